//! `/console/audit/verification`: whether the trail is unchanged. A long trail takes a minute to check, so the check runs
//! by itself, once at a time, and the page says how it went or that it is under way.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use countersign_api::admin::{VerifyAudit, verify_audit};
use countersign_crypto::Timestamp;

use super::operator::{Problem, Session};
use super::page::{Cell, Page, Table, time};
use crate::operation::{perform, share};

const HERE: &str = "/console/audit";
const PATH: &str = "/console/audit/verification";
/// A short trail is checked while the page is waited for.
const PATIENCE: Duration = Duration::from_millis(60);
/// A result this young is shown again.
const YOUNG: Duration = Duration::from_secs(30);
/// After this time a check that did not end never will.
const LOST: Duration = Duration::from_mins(15);

/// The check that was begun last in this process.
#[derive(Debug, Default)]
pub(crate) struct Verification(Mutex<Stage>);

#[derive(Debug, Default, Clone)]
enum Stage {
    #[default]
    Never,
    Since(Timestamp),
    Ended(Timestamp, verify_audit::Output),
}

impl Verification {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller is to check now.
    fn begin(&self, now: Timestamp) -> bool {
        let mut stage = self.stage();
        let busy = match &*stage {
            Stage::Never => false,
            Stage::Since(since) => now.since(*since) < LOST,
            Stage::Ended(at, _) => now.since(*at) < YOUNG,
        };
        if !busy {
            *stage = Stage::Since(now);
        }
        !busy
    }

    fn page(&self) -> Page {
        match self.stage().clone() {
            Stage::Ended(at, found) => verified(at, found),
            Stage::Since(since) => under_way(Some(since)),
            Stage::Never => under_way(None),
        }
    }
}

#[tracing::instrument(name = "identity.console_verify_audit", skip_all)]
pub(super) async fn show(session: Session) -> Response {
    let verification = &session.visit.state.verification;
    let page = if verification.begin(session.visit.now) {
        check(&session).await
    } else {
        let shared = share::<VerifyAudit>(&session.visit.state, session.operator()).await;
        shared.map(|()| verification.page()).map_err(Problem)
    };
    session.answer(page)
}

/// Begins the check, and waits for it as long as a page may. It goes on by itself when that time is over.
async fn check(session: &Session) -> Result<Page, Problem> {
    let (state, operator) = (session.visit.state.clone(), session.operator());
    let checking = tokio::spawn(async move {
        let input = verify_audit::Input::default();
        let found = perform::<VerifyAudit>(&state, operator, &input).await;
        // What this operator was refused is no answer to the next.
        *state.verification.stage() = match &found {
            Ok(found) => Stage::Ended(state.clock.now(), found.clone()),
            Err(_) => Stage::Never,
        };
        found.map(|_| ())
    });
    match tokio::time::timeout(PATIENCE, checking).await {
        Ok(Ok(Err(error))) => Err(Problem(error)),
        _ => Ok(session.visit.state.verification.page()),
    }
}

fn under_way(since: Option<Timestamp>) -> Page {
    let mut page = Page::new(HERE, "Is the trail unchanged?");
    page.lead = "Every record and every checkpoint is being checked. A million records take about a minute.";
    page.facts = vec![("Result", Cell::status("under way", "limited"))];
    if let Some(since) = since {
        page.facts.push(("Begun", Cell::text(time(epoch(since)))));
    }
    page.facts.push(("Then", Cell::text("Look again").at(PATH)));
    page
}

fn verified(at: Timestamp, found: verify_audit::Output) -> Page {
    let mut page = Page::new(HERE, "Is the trail unchanged?");
    page.lead = "This server checked itself. Who trusts it least exports the trail and checks it elsewhere, with the \
                 public key alone: countersign audit verify --export.";
    let word = if found.ok {
        Cell::status("no fault found", "good")
    } else {
        Cell::status("changed", "bad")
    };
    page.facts = vec![
        ("Result", word),
        ("Records", Cell::text(found.records.to_string())),
        (
            "Anchored",
            Cell::text(
                found
                    .anchored_to
                    .unwrap_or_else(|| "No checkpoint covers them yet".to_owned()),
            ),
        ),
        ("Checked", Cell::text(time(epoch(at)))),
    ];
    if !found.faults.is_empty() {
        let row = |fault: verify_audit::Fault| vec![Cell::code(fault.place), Cell::text(fault.what)];
        page.tables.push(Table {
            caption: "Faults",
            head: &["Where", "What"],
            rows: found.faults.into_iter().map(row).collect(),
            ..Table::default()
        });
    }
    page
}

fn epoch(at: Timestamp) -> countersign_api::EpochSeconds {
    countersign_api::EpochSeconds::from_micros(at.as_micros())
}
