//! `/console/stops`: who and what may do nothing, and the button for it.

use axum::extract::{Query, Request, State as Extract};
use axum::response::Response;
use countersign_api::ApiError;
use countersign_api::admin::{
    ListStops, LiveToken, Start, Stop, Stopped, SubjectKind, list_stops, start, stop as stop_operation,
};
use countersign_api::data::Oauth2Flow;
use countersign_web::page::see_other;
use serde::Deserialize;

use super::audit::caller;
use super::operator::{Problem, Role, Session, enter_with_form};
use super::page::{Action, Cell, Field, Page, Table, next, short, time};
use super::report as released;
use crate::state::State;
use crate::stops::stored_word;

const HERE: &str = "/console/stops";
const LIFT: &str = "/console/stops/lift";
const KINDS: &[(&str, &str)] = &[
    ("workload", "Agent"),
    ("user", "Person"),
    ("provider", "Provider"),
    ("principal", "Principal"),
    ("account", "The whole account"),
];

/// Which page of a list.
#[derive(Deserialize)]
pub(super) struct Turn {
    pub(super) next: Option<String>,
}

/// What is to be stopped.
#[derive(Deserialize)]
pub(super) struct StopForm {
    kind: SubjectKind,
    subject: String,
    reason: String,
    revoke: Option<String>,
}

/// What may go on.
#[derive(Deserialize)]
pub(super) struct LiftForm {
    kind: SubjectKind,
    subject: String,
}

#[tracing::instrument(name = "identity.console_stops", skip_all)]
pub(super) async fn list(Query(turn): Query<Turn>, session: Session) -> Response {
    let page = listed(&session, turn).await;
    session.answer(page)
}

async fn listed(session: &Session, turn: Turn) -> Result<Page, Problem> {
    let input = list_stops::Input {
        next_token: turn.next,
        max_results: Some(50),
        ..list_stops::Input::default()
    };
    let found = session.perform::<ListStops>(&input).await?;
    let mut page = Page::new(HERE, "Stops");
    page.lead = "What is stopped gets no token, on every replica within a second, until it is started again.";
    let row = |stopped: &Stopped| {
        vec![
            Cell::text(kind_word(stopped.subject_kind)),
            subject(stopped),
            Cell::text(stopped.reason.clone().unwrap_or_default()),
            Cell::text(time(stopped.stopped_time)),
            Cell::text(caller(stopped.stopped_by.as_deref().unwrap_or_default())),
        ]
    };
    page.tables.push(Table {
        caption: "In force",
        head: &["What", "Which", "Why", "Since", "By"],
        rows: found.stops.iter().map(row).collect(),
        empty: "Nothing is stopped.",
        next: next(HERE, &[], found.next_token),
        ..Table::default()
    });
    if session.may(Role::Responder) {
        page.actions.push(Action {
            fields: vec![
                Field::choice("kind", "What", KINDS, None),
                Field::required(
                    "subject",
                    "Name; of a person the user id or key; of the account its number",
                ),
                Field::required("reason", "Why (for the record)"),
            ],
            ..stop_action("Stop something")
        });
        page.actions.extend(found.stops.iter().map(lift_action));
    }
    Ok(page)
}

/// What is stopped, with the way to its page.
fn subject(stopped: &Stopped) -> Cell {
    let (name, cell) = (&stopped.subject, Cell::code(&*stopped.subject));
    match stopped.subject_kind {
        SubjectKind::User => Cell::code(short(name, 16)).to("/console/people", name),
        SubjectKind::Workload => cell.to("/console/agents", name),
        SubjectKind::Provider => cell.to("/console/providers", name),
        SubjectKind::Principal if !name.starts_with("console-") => cell.to("/console/principals", name),
        SubjectKind::Principal | SubjectKind::Account => cell,
    }
}

const fn kind_word(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::User => "Person",
        SubjectKind::Workload => "Agent",
        SubjectKind::Provider => "Provider",
        SubjectKind::Principal => "Principal",
        SubjectKind::Account => "Account",
    }
}

fn stop_action(heading: &'static str) -> Action {
    Action {
        explanation: "No new token leaves. The page after this one lists the tokens that are out already and still good.",
        tick: Some((
            "revoke",
            "Also end the grants those tokens came from, and withdraw the tokens at the services. This cannot be undone.",
        )),
        danger: true,
        ..Action::new(HERE, heading, "Stop")
    }
}

/// Says on a page whether what it is about is stopped, under this name or its `other` one, with the button that changes
/// it for those who may.
pub(super) async fn put(
    session: &Session,
    page: &mut Page,
    kind: SubjectKind,
    subject: &str,
    other: Option<&str>,
) -> Result<(), Problem> {
    let mut in_force = Vec::new();
    for name in [Some(subject), other].into_iter().flatten() {
        let input = list_stops::Input {
            subject_kind: Some(kind),
            subject: Some(name.to_owned()),
            ..list_stops::Input::default()
        };
        in_force.extend(session.perform::<ListStops>(&input).await?.stops);
    }
    if in_force.is_empty() {
        page.actions.extend(form_for(session, kind, subject));
        return Ok(());
    }
    for stopped in in_force {
        let because = stopped.reason.as_ref().map(|reason| format!(": {reason}"));
        let words = format!(
            "since {}{}",
            time(stopped.stopped_time),
            because.unwrap_or_default()
        );
        page.facts.insert(0, ("Stopped", Cell::status(words, "bad")));
        if session.may(Role::Responder) {
            page.actions.push(lift_action(&stopped));
        }
    }
    Ok(())
}

/// The button that stops what a page is about, for those who may.
fn form_for(session: &Session, kind: SubjectKind, subject: &str) -> Option<Action> {
    session.may(Role::Responder).then(|| Action {
        hidden: vec![
            ("kind", stored_word(kind).to_owned()),
            ("subject", subject.to_owned()),
        ],
        fields: vec![Field::required("reason", "Why (for the record)")],
        ..stop_action(match kind {
            SubjectKind::User => "Stop this person's agents",
            SubjectKind::Workload => "Stop this agent",
            SubjectKind::Provider => "Stop this provider",
            SubjectKind::Principal => "Stop this principal",
            SubjectKind::Account => "Stop the account",
        })
    })
}

fn lift_action(stopped: &Stopped) -> Action {
    Action {
        hidden: vec![
            ("kind", stored_word(stopped.subject_kind).to_owned()),
            ("subject", stopped.subject.clone()),
        ],
        ..Action::new(
            LIFT,
            format!("{} {}", kind_word(stopped.subject_kind), stopped.subject),
            "Start again",
        )
    }
}

#[tracing::instrument(name = "identity.console_stop", skip_all)]
pub(super) async fn stop(Extract(state): Extract<State>, request: Request) -> Response {
    let (session, form) = match enter_with_form::<StopForm>(&state, request, HERE).await {
        Ok(entered) => entered,
        Err(answer) => return *answer,
    };
    let reason = form.reason.trim().to_owned();
    if reason.is_empty() {
        return Problem(ApiError::field("reason", "must say why, for the record")).page(&session);
    }
    let input = stop_operation::Input {
        subject_kind: form.kind,
        subject: form.subject.trim().to_owned(),
        reason: Some(reason),
        revoke_tokens: form.revoke.map(|_| true),
    };
    match session.perform::<Stop>(&input).await {
        Ok(done) => report(&done).render(&session),
        Err(problem) => problem.page(&session),
    }
}

/// What the stop came to: what is still out there.
fn report(done: &stop_operation::Output) -> Page {
    let stopped = &done.stop;
    let mut page = Page::new(
        HERE,
        format!(
            "{} {} is stopped",
            kind_word(stopped.subject_kind),
            short(&stopped.subject, 48)
        ),
    );
    let count = done.live_tokens.len();
    page.facts = vec![
        ("Since", Cell::text(time(stopped.stopped_time))),
        ("Why", Cell::text(stopped.reason.clone().unwrap_or_default())),
        (
            "Tokens still alive",
            Cell::text(if done.truncated {
                format!("More than {count}; {count} are below")
            } else {
                count.to_string()
            }),
        ),
    ];
    if let Some(from) = done.searched_from {
        let words = format!(
            "only what was released since {}, and present tokens of grants",
            time(from)
        );
        page.facts.push(("Looked at", Cell::status(words, "bad")));
    }
    let asked = match stopped.subject_kind {
        SubjectKind::Workload => Some("agent"),
        SubjectKind::User => Some("user"),
        SubjectKind::Provider => Some("provider"),
        SubjectKind::Principal | SubjectKind::Account => None,
    };
    page.facts
        .extend(asked.map(|name| released::fact(name, &stopped.subject)));
    if let Some(ended) = done.grants_revoked {
        page.facts.push(("Grants ended", Cell::text(ended.to_string())));
        page.facts.push((
            "Withdrawal",
            Cell::text("Tokens of grants are being withdrawn at the services; others end by themselves"),
        ));
    }
    page.tables.push(Table {
        caption: "Tokens and keys that were released before and may still be used",
        head: &["From", "Agent", "Provider", "Released", "Ends"],
        rows: done.live_tokens.iter().map(row).collect(),
        empty: if done.searched_from.is_some() {
            "None in what was looked at."
        } else {
            "None."
        },
        ..Table::default()
    });
    page
}

/// A token that is out.
fn row(token: &LiveToken) -> Vec<Cell> {
    let from = match (&token.grant_id, token.oauth2_flow) {
        (Some(grant), _) => Cell::text(format!("Grant {}", short(grant, 8))).to("/console/grants", grant),
        (None, Some(Oauth2Flow::M2m)) => Cell::text("The agent's own access"),
        (None, Some(_)) => Cell::text("Exchange of a person's token"),
        (None, None) => Cell::text("API key"),
    };
    let at = Cell::time(token.last_released_time, "");
    vec![
        from,
        Cell::text(&*token.workload_name).to("/console/agents", &token.workload_name),
        match token.oauth2_flow {
            Some(_) => Cell::text(&*token.credential_provider_name)
                .to("/console/providers", &token.credential_provider_name),
            // One of API keys has no page.
            None => Cell::text(&*token.credential_provider_name),
        },
        match &token.audit_record_id {
            Some(record) => at.to("/console/audit", record),
            None => at,
        },
        Cell::time(token.expires_at, "Nobody has said"),
    ]
}

#[tracing::instrument(name = "identity.console_start", skip_all)]
pub(super) async fn lift(Extract(state): Extract<State>, request: Request) -> Response {
    let (session, form) = match enter_with_form::<LiftForm>(&state, request, LIFT).await {
        Ok(entered) => entered,
        Err(answer) => return *answer,
    };
    let input = start::Input {
        subject_kind: form.kind,
        subject: form.subject,
    };
    match session.perform::<Start>(&input).await {
        Ok(_) => see_other(HERE),
        Err(problem) => problem.page(&session),
    }
}

#[cfg(test)]
mod tests {
    use countersign_api::EpochSeconds;
    use countersign_api::admin::{Stopped, SubjectKind, stop as stop_operation};

    use super::report;

    #[test]
    fn none_is_said_only_where_all_was_looked_at() {
        let done = |truncated, searched_from| stop_operation::Output {
            stop: Stopped {
                subject_kind: SubjectKind::Principal,
                subject: "agent".to_owned(),
                reason: None,
                stopped_time: EpochSeconds::from_micros(0),
                stopped_by: None,
            },
            live_tokens: Vec::new(),
            truncated,
            searched_from,
            grants_revoked: None,
        };
        let fact = |done: &stop_operation::Output, name| {
            let page = report(done);
            let found = page.facts.iter().find(|(fact, _)| *fact == name);
            found.map(|(_, cell)| cell.text.clone())
        };
        let all = done(false, None);
        assert_eq!(report(&all).tables[0].empty, "None.");
        assert_eq!(fact(&all, "Tokens still alive").as_deref(), Some("0"));
        assert_eq!(fact(&all, "Looked at"), None);
        let some = done(false, Some(EpochSeconds::from_micros(1_800_000_000_000_000)));
        assert_eq!(report(&some).tables[0].empty, "None in what was looked at.");
        let looked_at = fact(&some, "Looked at").expect("it says so");
        assert!(looked_at.contains("15 Jan 2027, 08:00:00 UTC"), "{looked_at}");
        let more = fact(&done(true, None), "Tokens still alive").expect("a number");
        assert!(more.starts_with("More than"), "{more}");
    }
}
