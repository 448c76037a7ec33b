//! `/console/providers`: credential providers, of OAuth 2.0 and of API keys.

use axum::extract::{Path, Query};
use axum::response::Response;
use countersign_api::admin::{ListGrants, SubjectKind, list_grants};
use countersign_api::control::{
    CredentialProviderVendor, GetOauth2CredentialProvider, ListApiKeyCredentialProviders,
    ListOauth2CredentialProviders, get_oauth2_credential_provider, list_api_key_credential_providers,
    list_oauth2_credential_providers,
};

use super::operator::{Problem, Session};
use super::page::{Cell, Page, Table, next, query, time};
use super::stops::{self, Turn};
use super::{grants, report};

const HERE: &str = "/console/providers";

#[tracing::instrument(name = "identity.console_providers", skip_all)]
pub(super) async fn list(Query(turn): Query<Turn>, session: Session) -> Response {
    let page = listed(&session, turn).await;
    session.answer(page)
}

async fn listed(session: &Session, turn: Turn) -> Result<Page, Problem> {
    let first = turn.next.is_none();
    let input = list_oauth2_credential_providers::Input {
        next_token: turn.next,
        max_results: Some(20),
    };
    let oauth2 = session.perform::<ListOauth2CredentialProviders>(&input).await?;
    let mut page = Page::new(HERE, "Providers");
    page.lead = "Services at which people connect accounts, and API keys that agents share.";
    let row = |item: list_oauth2_credential_providers::Item| {
        vec![
            Cell::text(&*item.name).to(HERE, &item.name),
            Cell::text(vendor(item.credential_provider_vendor)),
            Cell::text(time(item.last_updated_time)),
        ]
    };
    page.tables.push(Table {
        caption: "OAuth 2.0",
        head: &["Name", "Vendor", "Changed"],
        rows: oauth2.credential_providers.into_iter().map(row).collect(),
        empty: "There are none yet.",
        next: next(HERE, &[], oauth2.next_token),
        ..Table::default()
    });
    if first {
        page.tables.push(api_keys(session).await?);
    }
    Ok(page)
}

/// The vendor as it is named on the wire.
fn vendor(vendor: CredentialProviderVendor) -> String {
    let name = serde_json::to_value(vendor).ok();
    name.as_ref()
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The first of them; they have no page of their own, for there is nothing to show but the name.
async fn api_keys(session: &Session) -> Result<Table, Problem> {
    let input = list_api_key_credential_providers::Input {
        max_results: Some(100),
        ..list_api_key_credential_providers::Input::default()
    };
    let found = session.perform::<ListApiKeyCredentialProviders>(&input).await?;
    let row = |item: list_api_key_credential_providers::Item| {
        vec![Cell::text(item.name), Cell::text(time(item.last_updated_time))]
    };
    Ok(Table {
        caption: "API keys",
        head: &["Name", "Changed"],
        rows: found.credential_providers.into_iter().map(row).collect(),
        empty: "There are none.",
        ..Table::default()
    })
}

#[tracing::instrument(name = "identity.console_provider", skip_all)]
pub(super) async fn one(Path(name): Path<String>, session: Session) -> Response {
    let page = shown(&session, name).await;
    session.answer(page)
}

async fn shown(session: &Session, name: String) -> Result<Page, Problem> {
    let input = get_oauth2_credential_provider::Input { name: name.clone() };
    let provider = session.perform::<GetOauth2CredentialProvider>(&input).await?;
    let input = list_grants::Input {
        credential_provider_name: Some(name.clone()),
        max_results: Some(20),
        ..list_grants::Input::default()
    };
    let held = session.perform::<ListGrants>(&input).await?;
    let mut page = Page::new(HERE, name.as_str());
    page.facts = vec![
        ("ARN", Cell::code(provider.credential_provider_arn)),
        ("Vendor", Cell::text(vendor(provider.credential_provider_vendor))),
        (
            "Callback URL",
            Cell::code(provider.callback_url.unwrap_or_default()),
        ),
        ("Made", Cell::text(time(provider.created_time))),
        ("Changed", Cell::text(time(provider.last_updated_time))),
        (
            "Evidence",
            Cell::text("Records about this provider").at(query("/console/audit", "provider", &name)),
        ),
        report::fact("provider", &name),
    ];
    let more = held.next_token.is_some();
    let mut table = grants::table(held);
    table.caption = "Newest grants";
    if more {
        table.next = Some(query("/console/grants", "provider", &name));
        "All of them".clone_into(&mut table.further);
    }
    page.tables.push(table);
    stops::put(session, &mut page, SubjectKind::Provider, &name, None).await?;
    Ok(page)
}
