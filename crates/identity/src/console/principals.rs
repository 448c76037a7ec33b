//! `/console/principals`: callers of the API, what their policies let them do, and their access keys.

use axum::extract::{Path, Query};
use axum::response::Response;
use countersign_api::admin::{
    AccessKey, AccessKeyStatus, GetPrincipal, GetPrincipalPolicy, ListAccessKeys, ListPrincipals, Principal,
    SubjectKind, get_principal, get_principal_policy, list_access_keys, list_principals,
};

use super::operator::{Problem, Session};
use super::page::{Cell, Page, Table, next, query, time};
use super::stops::{self, Turn};

const HERE: &str = "/console/principals";

#[tracing::instrument(name = "identity.console_principals", skip_all)]
pub(super) async fn list(Query(turn): Query<Turn>, session: Session) -> Response {
    let page = listed(&session, turn).await;
    session.answer(page)
}

async fn listed(session: &Session, turn: Turn) -> Result<Page, Problem> {
    let input = list_principals::Input {
        next_token: turn.next,
        max_results: Some(50),
    };
    let found = session.perform::<ListPrincipals>(&input).await?;
    let mut page = Page::new(HERE, "Principals");
    page.lead = "Who may call the API: services by their access keys, workloads by roles.";
    let row = |principal: Principal| {
        let kind = if principal.trust_policy.is_some() {
            "Role"
        } else {
            "Access keys"
        };
        let standing = if principal.break_glass {
            Cell::status("break-glass", "limited")
        } else {
            Cell::default()
        };
        vec![
            Cell::text(&*principal.principal_name).to(HERE, &principal.principal_name),
            Cell::text(kind),
            standing,
            Cell::text(time(principal.created_time)),
        ]
    };
    page.tables.push(Table {
        head: &["Name", "Comes by", "Policy", "Made"],
        rows: found.principals.into_iter().map(row).collect(),
        empty: "There are none.",
        next: next(HERE, &[], found.next_token),
        ..Table::default()
    });
    Ok(page)
}

#[tracing::instrument(name = "identity.console_principal", skip_all)]
pub(super) async fn one(Path(name): Path<String>, session: Session) -> Response {
    let page = shown(&session, name).await;
    session.answer(page)
}

async fn shown(session: &Session, name: String) -> Result<Page, Problem> {
    let input = get_principal::Input {
        principal_name: name.clone(),
    };
    let principal = session.perform::<GetPrincipal>(&input).await?.principal;
    let input = list_access_keys::Input {
        principal_name: name.clone(),
    };
    let keys = session.perform::<ListAccessKeys>(&input).await?;
    let evidence = query("/console/audit", "caller", &principal.principal_arn);
    let mut page = Page::new(HERE, name.as_str());
    page.facts = vec![
        ("ARN", Cell::code(principal.principal_arn)),
        ("Made", Cell::text(time(principal.created_time))),
        (
            "Policy",
            Cell::text("What would it decide?").at(query("/console/simulation", "principal", &name)),
        ),
        ("Evidence", Cell::text("Records of its calls").at(evidence)),
    ];
    let row = |key: AccessKey| {
        let status = match key.status {
            AccessKeyStatus::Active => Cell::status("active", "good"),
            AccessKeyStatus::Inactive => Cell::status("inactive", "limited"),
        };
        vec![
            Cell::code(key.access_key_id),
            status,
            Cell::time(key.last_used_time, "Not yet"),
            Cell::text(time(key.created_time)),
        ]
    };
    page.tables.push(Table {
        caption: "Access keys",
        head: &["Id", "Status", "Last use", "Made"],
        rows: keys.access_keys.into_iter().map(row).collect(),
        empty: "There are none.",
        ..Table::default()
    });
    let input = get_principal_policy::Input {
        principal_name: name.clone(),
    };
    // Whoever has no policy may do nothing, and says so in place of one.
    let policy = match session.perform::<GetPrincipalPolicy>(&input).await {
        Ok(found) => serde_json::to_string_pretty(&found.document).unwrap_or_default(),
        Err(Problem(error)) if error.code == countersign_api::ErrorCode::ResourceNotFound => {
            "There is none: this principal may do nothing.".to_owned()
        }
        Err(problem) => return Err(problem),
    };
    page.documents.push(("Policy", policy));
    stops::put(session, &mut page, SubjectKind::Principal, &name, None).await?;
    Ok(page)
}
