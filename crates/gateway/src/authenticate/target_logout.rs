//! How applications log out behind an ALB: they expire its session cookie. Here that ends the session
//! itself, so that a copy of the cookie is worth nothing either.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#authentication-logout>

use countersign_audit::Outcome;
use countersign_web::cookie;
use http::{HeaderMap, HeaderValue, header};

use super::site::Site;
use super::{session_entry, unavailable};
use crate::gateway::Shared;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::session::Session;

/// Name of this operation in the audit trail.
const ACTION: &str = "Logout";

/// Ends the session if the target's answer expires its ticket. A target may expire the ticket and do nothing
/// else with it: other cookies of its name are removed from the answer.
pub(crate) async fn apply(
    gateway: &Shared,
    site: &Site,
    session: &Session,
    provenance: &Provenance,
    answer: &mut HeaderMap,
) -> Result<(), Reason> {
    if site.cookies.foreign_ticket_name().is_none() || !answer.contains_key(header::SET_COOKIE) {
        return Ok(());
    }
    let now = gateway.clock.now().as_secs();
    let mut expired = false;
    let mut kept: Vec<HeaderValue> = Vec::new();
    for value in answer.get_all(header::SET_COOKIE) {
        let set = value
            .to_str()
            .ok()
            .and_then(|text| cookie::read_set_cookie(text, now));
        match set {
            Some((name, ends)) if site.cookies.is_ticket(&name) => {
                expired |= ends;
                if ends {
                    kept.push(value.clone());
                }
            }
            _ => kept.push(value.clone()),
        }
    }
    answer.remove(header::SET_COOKIE);
    for value in kept {
        answer.append(header::SET_COOKIE, value);
    }
    if !expired {
        return Ok(());
    }
    gateway
        .sessions
        .end(session.sid)
        .await
        .map_err(|error| unavailable(&error))?;
    gateway
        .record(session_entry(provenance, ACTION, Outcome::Done, session).with_detail("by", "target"))
        .await?;
    // Whatever domain and path the application wrote, this is the cookie that we set.
    answer.append(header::SET_COOKIE, site.cookies.clear_ticket());
    Ok(())
}
