//! `/console/people`: who has let an agent do something, by user key. Names are not kept; the login provider knows them.

use axum::extract::{Path, Query};
use axum::response::Response;
use countersign_api::admin::{
    ListAuthorizationSessions, ListGrants, ListUsers, SubjectKind, list_authorization_sessions, list_grants,
    list_users,
};
use countersign_web::page::see_other;
use serde::Deserialize;

use super::operator::{Problem, Session};
use super::page::{Cell, Field, Page, Table, link, next, query, short, time};
use super::{grants, report, sessions, stops};
use crate::admin::stop_subject;

pub(super) const HERE: &str = "/console/people";

/// Which people.
#[derive(Deserialize)]
pub(super) struct Asked {
    person: Option<String>,
    next: Option<String>,
}

#[tracing::instrument(name = "identity.console_people", skip_all)]
pub(super) async fn list(Query(asked): Query<Asked>, session: Session) -> Response {
    if let Some(person) = asked
        .person
        .as_deref()
        .map(str::trim)
        .filter(|person| !person.is_empty())
    {
        return see_other(&link(HERE, &person_key(person)));
    }
    let page = listed(&session, asked.next).await;
    session.answer(page)
}

/// The user key or published id of whoever was asked for: a path is logged and stands in traces, and an operator may type
/// an address.
fn person_key(typed: &str) -> String {
    let (_, key) = stop_subject::user(typed).stored("");
    key
}

async fn listed(session: &Session, token: Option<String>) -> Result<Page, Problem> {
    let input = list_users::Input {
        next_token: token,
        max_results: Some(50),
        ..list_users::Input::default()
    };
    let found = session.perform::<ListUsers>(&input).await?;
    let mut page = Page::new(HERE, "People");
    page.lead = "Everybody who has let an agent do something, by user key: no name is kept here. The login provider knows \
                 whose subject it is.";
    page.filter = vec![Field::text("person", "Person (user id or key)", None)];
    page.filter_button = "Open";
    let row = |user: list_users::User| {
        let count = user.live_grants.to_string();
        let count = if user.more_grants {
            format!("{count} of the newest 100")
        } else {
            count
        };
        let agents = match user.workload_names.as_slice() {
            [first, second, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second} and {} more", rest.len())
            }
            few => few.join(", "),
        };
        vec![
            cell(&user.user_key),
            Cell::code(user.published_user_id.unwrap_or_default()),
            Cell::text(count),
            Cell::text(agents),
            Cell::text(time(user.last_consent_time)),
        ]
    };
    page.tables.push(Table {
        head: &[
            "User key",
            "Published id",
            "Live grants",
            "Agents",
            "Last consent",
        ],
        rows: found.users.into_iter().map(row).collect(),
        empty: "Nobody has connected anything yet.",
        next: next(HERE, &[], found.next_token),
        ..Table::default()
    });
    Ok(page)
}

/// A person in a table.
pub(super) fn cell(user_key: &str) -> Cell {
    Cell::code(short(user_key, 12)).to(HERE, user_key)
}

#[tracing::instrument(name = "identity.console_person", skip_all)]
pub(super) async fn one(Path(person): Path<String>, session: Session) -> Response {
    let page = shown(&session, person).await;
    session.answer(page)
}

async fn shown(session: &Session, person: String) -> Result<Page, Problem> {
    let input = list_users::Input {
        user: Some(person.clone()),
        ..list_users::Input::default()
    };
    let known = session.perform::<ListUsers>(&input).await?.users;
    let mut page = Page::new(HERE, format!("Person {}", short(&person, 16)));
    page.lead = "What they let agents do, and what came of it. Their browser sessions are the gateway's; a stop ends those \
                 too.";
    page.facts = vec![("Named as", Cell::code(&*person))];
    for user in &known {
        if user.user_key != person {
            page.facts.push(("User key", Cell::code(&*user.user_key)));
        }
        if let Some(published) = user
            .published_user_id
            .as_ref()
            .filter(|published| **published != person)
        {
            page.facts.push(("Published id", Cell::code(&**published)));
        }
        page.facts
            .push(("Last consent", Cell::text(time(user.last_consent_time))));
    }
    if known.is_empty() {
        page.facts.push((
            "Known",
            Cell::text("No grant is theirs; a stop holds all the same"),
        ));
    }
    let evidence = query("/console/audit", "user", &person);
    page.facts
        .push(("Evidence", Cell::text("Records about this person").at(evidence)));
    page.facts.push(report::fact("user", &person));
    let input = list_grants::Input {
        user: Some(person.clone()),
        max_results: Some(50),
        ..list_grants::Input::default()
    };
    let held = session.perform::<ListGrants>(&input).await?;
    let more = held.next_token.is_some();
    let mut table = grants::table(held);
    table.caption = "Grants";
    if more {
        table.next = Some(query("/console/grants", "user", &person));
        "All of them".clone_into(&mut table.further);
    }
    page.tables.push(table);
    let input = list_authorization_sessions::Input {
        user: Some(person.clone()),
        max_results: Some(10),
        ..list_authorization_sessions::Input::default()
    };
    let asked = session.perform::<ListAuthorizationSessions>(&input).await?;
    let mut table = sessions::table(asked.sessions);
    table.caption = "Authorization sessions of the last day";
    page.tables.push(table);
    let published = known.into_iter().filter_map(|user| user.published_user_id);
    let published = published
        .filter(|published| *published != person)
        .collect::<Vec<_>>();
    // They may be stopped under either name.
    let other = published.first().map(String::as_str);
    stops::put(session, &mut page, SubjectKind::User, &person, other).await?;
    Ok(page)
}
