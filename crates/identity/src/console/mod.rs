//! `/console`: what operators see of an account, and what they can do about it.
//!
//! ```text
//! GET  /console                       overview
//! GET  /console/agents[/{name}]       workload identities
//! GET  /console/people[/{person}]     people who have let an agent do something
//! GET  /console/providers[/{name}]    credential providers
//! GET  /console/grants[/{id}]         grants; POST /console/grants/{id}/revoke
//! GET  /console/sessions              authorization sessions
//! GET  /console/stops                 what is stopped; POST, and POST /console/stops/lift
//! GET  /console/principals[/{name}]   callers of the API, their policies and access keys
//! GET  /console/simulation            what a policy would decide
//! GET  /console/keys                  the account's keys; POST /console/keys/rotate
//! GET  /console/audit                 the trail; /{id} draws a record's chain; /verification checks it
//! GET  /console/report                which tokens and keys were released; /{format} is the same as a file
//! GET  /console/health                anchoring, grants that need somebody, revocations, who was seen last
//! ```
//!
//! The console has no way of its own to the data: each page is made from operations of the API, which the operator calls
//! by the policy of a role. So whatever is read or changed here passes the same checks and leaves the same records as
//! when it is done by a signed call. The role comes from the person's groups (`[identity.console]`), the person from
//! the gateway's token; a change needs a login of the last ten minutes, our own page's form and the browser's cookie.

mod agents;
mod audit;
mod chain;
mod grants;
mod health;
mod keys;
mod operator;
mod overview;
mod page;
mod people;
mod principals;
mod providers;
mod report;
mod sessions;
mod simulation;
mod stops;
mod verification;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use verification::Verification;

use crate::state::State;

const PATH: &str = "/console";

/// Adds the pages.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    router
        .route(PATH, get(overview::show))
        .route("/console/agents", get(agents::list))
        .route("/console/agents/{name}", get(agents::one))
        .route("/console/people", get(people::list))
        .route("/console/people/{person}", get(people::one))
        .route("/console/providers", get(providers::list))
        .route("/console/providers/{name}", get(providers::one))
        .route("/console/grants", get(grants::list))
        .route("/console/grants/{id}", get(grants::one))
        .route("/console/grants/{id}/revoke", post(grants::revoke))
        .route("/console/sessions", get(sessions::list))
        .route("/console/stops", get(stops::list).post(stops::stop))
        .route("/console/stops/lift", post(stops::lift))
        .route("/console/principals", get(principals::list))
        .route("/console/principals/{name}", get(principals::one))
        .route("/console/simulation", get(simulation::show))
        .route("/console/keys", get(keys::list))
        .route("/console/keys/rotate", post(keys::rotate))
        .route("/console/audit", get(audit::list))
        .route("/console/audit/verification", get(verification::show))
        .route("/console/audit/{id}", get(chain::show))
        .route("/console/report", get(report::show))
        .route("/console/report/{format}", get(report::file))
        .route("/console/health", get(health::show))
}
