//! How applications log out behind an ALB: they expire its session cookie. Here that ends the session
//! itself, so that a copy of the cookie is worth nothing either.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#authentication-logout>

use std::sync::Arc;

use countersign_audit::Outcome;
use countersign_web::cookie;
use http::header::Entry;
use http::{HeaderMap, HeaderValue, header};

use super::site::{Presented, Site};
use super::{session_entry, unavailable};
use crate::gateway::Shared;
use crate::headers::cookie_name;
use crate::provenance::Provenance;
use crate::reason::Reason;
use crate::session::Session;

/// Name of this operation in the audit trail.
const ACTION: &str = "Logout";

/// Ends each session whose ticket the target's answer expires, whatever rule or listener of its host led to the target.
/// A target may expire a ticket and do nothing else with it: other cookies of its name are removed from the answer, or a
/// page that nobody logs in for could give a browser somebody else's session.
pub(crate) async fn apply(
    gateway: &Shared,
    presented: &Presented<'_>,
    person: Option<(&Site, &Session)>,
    provenance: &Provenance,
    answer: &mut HeaderMap,
) -> Result<(), Reason> {
    for site in expired(presented, gateway.clock.now().as_secs(), answer) {
        let of_person = person.filter(|(at, _)| std::ptr::eq(*at, &raw const **site));
        let found = match (of_person, site.cookies.ticket_bytes(&presented.cookies)) {
            (Some((_, session)), _) => {
                end(gateway, session, provenance).await?;
                None
            }
            (None, Ok(Some(cookie))) => {
                let found = gateway.sessions.find_by_cookie(&site.scope, cookie).await;
                found.map_err(|error| unavailable(&error))?
            }
            // Two of one name are nobody's, and of none there is nothing to end.
            (None, Ok(None) | Err(_)) => None,
        };
        if let Some((_, session)) = found {
            end(gateway, &session, provenance).await?;
        }
        // Whatever domain and path the application wrote, this is the cookie that we set.
        answer.append(header::SET_COOKIE, site.cookies.clear_ticket());
    }
    Ok(())
}

/// The sites whose tickets the answer expires; takes out of it what would do more with one.
fn expired<'a>(presented: &Presented<'a>, now: i64, answer: &mut HeaderMap) -> Vec<&'a Arc<Site>> {
    let Entry::Occupied(entry) = answer.entry(header::SET_COOKIE) else {
        return Vec::new();
    };
    let mut expired: Vec<&Arc<Site>> = Vec::new();
    let (name, values) = entry.remove_entry_mult();
    let values: Vec<HeaderValue> = values.collect();
    for value in values {
        // By its bytes: browsers also keep cookies that are not ASCII.
        let set = std::str::from_utf8(cookie_name(value.as_bytes())).unwrap_or_default();
        let mut of = presented.sites.iter().filter(|site| site.cookies.is_ticket(set));
        if let Some(site) = of.next() {
            let read = value.to_str().ok();
            let ends = read.and_then(|text| cookie::read_set_cookie(text, now));
            if !ends.is_some_and(|(_, ends)| ends) {
                continue;
            }
            for site in std::iter::once(site).chain(of) {
                if !expired.iter().any(|known| Arc::ptr_eq(known, site)) {
                    expired.push(site);
                }
            }
        }
        answer.append(&name, value);
    }
    expired
}

async fn end(gateway: &Shared, session: &Session, provenance: &Provenance) -> Result<(), Reason> {
    let ended = gateway.sessions.end(session.sid).await;
    ended.map_err(|error| unavailable(&error))?;
    let entry = session_entry(provenance, ACTION, Outcome::Done, session);
    gateway.record(entry.with_detail("by", "target")).await
}
