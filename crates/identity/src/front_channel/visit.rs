//! One browser's visit to the front channel: what every page there has to know, and how its outcome is recorded.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::response::Response;
use countersign_audit::{Entry, Outcome};
use countersign_crypto::{Timestamp, UserKey, published_user_id};
use countersign_outbound::trace;
use countersign_web::{Peer, Person, PersonError, RequestId};
use http::request::Parts;

use super::browser::BrowserCookie;
use super::page::Refusal;
use crate::data::user_subjects;
use crate::session::Status;
use crate::state::State;
use crate::stops::Subject;
use crate::store::authorization_session::{self, Ending, SessionRow};
use crate::store::oauth2_provider::ProviderRow;
use crate::store::workload_identity::WorkloadIdentityRow;
use crate::vault::Provider;

/// A visit.
pub(crate) struct Visit {
    pub(crate) state: State,
    pub(crate) parts: Parts,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) now: Timestamp,
    pub(crate) entry: Entry,
    /// Who is signed in, for the head of the page.
    person: Option<String>,
    source: String,
}

/// A visit that ends with a refusal.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// The audit reason.
    pub(crate) reason: &'static str,
}

impl Refused {
    pub(crate) const fn new(refusal: Refusal, reason: &'static str) -> Self {
        Self { refusal, reason }
    }

    /// Something of ours failed. `cause` is for our log.
    pub(crate) fn failed(reason: &'static str, cause: impl std::fmt::Display) -> Self {
        tracing::error!(reason, %cause, "the front channel failed");
        Self {
            refusal: Refusal::Unavailable,
            reason,
        }
    }
}

impl From<countersign_db::DbError> for Refused {
    fn from(error: countersign_db::DbError) -> Self {
        Self::failed("store_failed", error)
    }
}

impl From<crate::state::NoKeys> for Refused {
    fn from(error: crate::state::NoKeys) -> Self {
        let reason = match error {
            crate::state::NoKeys::NotConfigured(_) => "account_not_configured",
            crate::state::NoKeys::Outdated => "keys_unavailable",
            crate::state::NoKeys::VaultAway => "vault_key_unavailable",
        };
        Self::failed(reason, error)
    }
}

impl Visit {
    /// Begins. The gateway in front of us is the peer; the browser's own address is in its access log under the same
    /// request.
    pub(crate) fn begin(state: &State, action: &'static str, request: Request) -> (Self, Body) {
        let (parts, body) = request.into_parts();
        let request_id = parts.extensions.get::<RequestId>().cloned();
        let source = parts
            .extensions
            .get::<Peer>()
            .map_or_else(|| "unknown".to_owned(), |peer| peer.0.ip().to_string());
        let mut entry = Entry::new(action, Outcome::Done).with_source(source.as_str());
        entry.request_id = request_id.as_ref().map(ToString::to_string);
        entry.trace_id = trace::current_id();
        let visit = Self {
            state: state.clone(),
            parts,
            request_id,
            now: state.clock.now(),
            entry,
            person: None,
            source,
        };
        (visit, body)
    }

    /// How the browser cookie is written here.
    pub(crate) fn cookie(&self) -> BrowserCookie {
        let secure = self.state.config.front_channel_url.scheme() == "https";
        BrowserCookie::new(secure, &self.state.config.cookie_suffix)
    }

    /// Names the session in what is recorded.
    pub(crate) fn concerns(&mut self, session: &SessionRow) {
        let entry = &mut self.entry;
        entry.account.clone_from(&session.account);
        entry.region.clone_from(&self.state.config.region);
        entry.session = Some(session.id.clone());
        entry.workload = Some(session.workload_name.clone());
        entry.provider = Some(session.provider_name.clone());
    }

    /// Names who acts in what is recorded: the logged-in person, or nobody's word but the session's.
    pub(crate) fn acts(&mut self, key: UserKey, sid: Option<&str>) {
        self.entry.person = Some(key);
        self.entry.sid = sid.map(str::to_owned);
    }

    /// Names the logged-in person, in what is recorded and on the page.
    pub(crate) fn is_seen_by(&mut self, person: &Person) {
        self.acts(person.user_key, person.sid.as_deref());
        self.person = Some(person.display_name().to_owned());
    }

    /// The logged-in person; `None` where the gateway names nobody.
    pub(crate) async fn person(&self) -> Result<Option<Person>, Refused> {
        match self.state.persons.verify(&self.parts.headers).await {
            Ok(person) => Ok(Some(person)),
            Err(PersonError::Missing | PersonError::Token(countersign_crypto::JwtError::Expired)) => Ok(None),
            Err(error @ PersonError::KeysUnavailable) => Err(Refused::failed(error.reason(), error)),
            Err(error) => Err(Refused::new(Refusal::OtherPerson, error.reason())),
        }
    }

    /// Whether `person` is the one for whom `session` was made, vouched for by a gateway of its account.
    pub(crate) fn is_for(&self, session: &SessionRow, person: &Person) -> bool {
        let served = self.state.config.account_served(person);
        let published = published_user_id(&person.issuer, &person.subject);
        session.person.as_deref() == Some(published.as_str())
            && served.is_none_or(|account| account == session.account)
    }

    /// Ends a session that is past its deadline, and says so.
    pub(crate) async fn refuse_lapsed(&self, session: &SessionRow) -> Result<(), Refused> {
        if !session.status.awaits_the_person() || !session.lapsed(self.now) {
            return Ok(());
        }
        self.end(session, Status::Expired, "expired", None).await?;
        Err(Refused::new(Refusal::Expired, "expired"))
    }

    /// Moves `session` from where it was read to a terminal status.
    pub(crate) async fn end(
        &self,
        session: &SessionRow,
        status: Status,
        reason: &'static str,
        error: Option<&str>,
    ) -> Result<bool, Refused> {
        let ending = Ending {
            status,
            reason,
            error,
        };
        let pool = &self.state.pool;
        Ok(authorization_session::end(pool, &session.id, session.status, ending, None, self.now).await?)
    }

    /// Refuses when anyone or anything concerned is stopped.
    pub(crate) async fn refuse_stopped(&self, session: &SessionRow) -> Result<(), Refused> {
        let mut subjects = vec![
            Subject::Account,
            Subject::Workload(session.workload_name.clone()),
            Subject::Provider(session.provider_name.clone()),
        ];
        subjects.extend(user_subjects(session.user_key, session.person.as_deref()));
        match self
            .state
            .stops
            .first_stopped(&session.account, &subjects)
            .await?
        {
            None => Ok(()),
            Some(subject) => Err(Refused::new(Refusal::Withdrawn, subject.reason())),
        }
    }

    /// The provider that the session was made for, if it and the workload are still what they were: the provider at the
    /// same configuration version (attack row C5), the return URL still registered (D3).
    pub(crate) async fn registered(&self, session: &SessionRow) -> Result<Arc<ProviderRow>, Refused> {
        let cache = &self.state.cache;
        let workload = cache
            .workload_identity_by_id(&session.account, &session.workload_id)
            .await?;
        let workload = workload.ok_or(Refused::new(Refusal::Withdrawn, "workload_deleted"))?;
        check_return_url(&workload, session)?;
        let provider = cache
            .provider_by_id(&session.account, &session.provider_id)
            .await?;
        provider
            .filter(|provider| provider.config_version == session.provider_version)
            .ok_or(Refused::new(Refusal::Withdrawn, "provider_changed"))
    }

    /// As [`Self::registered`], with what its metadata says.
    pub(crate) async fn unchanged(&self, session: &SessionRow) -> Result<Provider, Refused> {
        let provider = self.registered(session).await?;
        Provider::resolve(&self.state, provider)
            .await
            .map_err(|error| Refused::failed("provider_unusable", error))
    }

    /// Records that the visit did what it was for, then lets `answer` go. Without a record there is no answer.
    pub(crate) async fn done(self, answer: Response) -> Response {
        match self.state.recorder.record(self.entry).await {
            Ok(_) => answer,
            Err(error) => {
                tracing::error!(%error, "a visit could not be recorded; its answer is withheld");
                let app = self.state.config.app_url.as_ref();
                Refusal::Unavailable.page(app, self.request_id.as_ref(), self.person.as_deref())
            }
        }
    }

    /// Records the refusal and shows its page. Strangers' refusals are counted rather than waited for (design D15).
    pub(crate) async fn refuse(mut self, refused: Refused) -> Response {
        let app = self.state.config.app_url.as_ref();
        let page = refused
            .refusal
            .page(app, self.request_id.as_ref(), self.person.as_deref());
        self.entry.outcome = if refused.refusal == Refusal::Unavailable {
            Outcome::Failed
        } else {
            Outcome::Refused
        };
        self.entry.reason = Some(refused.reason);
        if self.entry.person.is_some() {
            return self.done(page).await;
        }
        self.count_refusal();
        page
    }

    /// Records the refusal of a stranger.
    pub(crate) fn count_refusal(self) {
        self.state
            .recorder
            .record_unauthenticated_refusal(&self.source, self.entry);
    }
}

fn check_return_url(workload: &WorkloadIdentityRow, session: &SessionRow) -> Result<(), Refused> {
    if workload.allowed_return_urls.contains(&session.return_url) {
        return Ok(());
    }
    Err(Refused::new(Refusal::Withdrawn, "return_url_not_registered"))
}

/// Any other path.
pub(crate) async fn not_found(Extract(state): Extract<State>, request: Request) -> Response {
    let (visit, _) = Visit::begin(&state, "FrontChannel", request);
    visit.refuse(Refused::new(Refusal::NoPage, "no_such_page")).await
}

/// Any other method at a path of ours: `form_post` (OAuth 2.0 Form Post Response Mode) at the callback among them,
/// where the browser would come without its `SameSite=Lax` cookie.
pub(crate) async fn wrong_method(Extract(state): Extract<State>, request: Request) -> Response {
    let (visit, _) = Visit::begin(&state, "FrontChannel", request);
    visit
        .refuse(Refused::new(Refusal::WrongMethod, "wrong_method"))
        .await
}
