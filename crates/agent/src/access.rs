//! Access to the third-party service during one turn: the token if the vault has one, else the person's
//! consent, asked for by a structured card, and the wait until it is decided.
//!
//! It asks once: scopes that were declined in this turn stay declined in it, and a token that the service
//! refuses leads to one new consent and then to a stop, never to a loop (E7, H5).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_api::data::get_resource_oauth2_token::{Input, Output};
use countersign_api::data::{GetResourceOauth2Token, Oauth2Flow, SessionStatus};
use countersign_api::{ClientError, Sensitive};
use countersign_crypto::{Timestamp, token};
use countersign_web::page::scope_words;
use url::Url;

use crate::event::{Consent, Event, ToolState};
use crate::turn::{Turn, TurnError};

/// Between two polls of a pending session.
const POLL: Duration = Duration::from_secs(1);
/// Failed polls in a row after which the wait is given up.
const MOST_FAILED_POLLS: u32 = 15;
/// A session's life (AgentCore: ten minutes), where the answer does not tell its end.
const SESSION_LIFE: Duration = Duration::from_mins(10);

/// A resource token and what it permits, as far as that is known.
pub(crate) struct Grant {
    pub(crate) token: Sensitive,
    scopes: Option<Vec<String>>,
}

/// Why there is no token. Told to the person and to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The person declined, or the service or the completion refused; the API tells no more than that.
    Declined,
    /// Nobody answered in time.
    Expired,
    /// The service refuses tokens even after new consent.
    Unusable,
}

/// A tool call that waits, for the page.
#[derive(Clone, Copy)]
pub(crate) struct Waiting<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

/// One turn's access to one provider.
pub(crate) struct Access {
    provider: Arc<str>,
    workload_access_token: Sensitive,
    /// Scopes that the person is known to have consented to before.
    known: BTreeSet<String>,
    declined: BTreeSet<String>,
    /// A request that names no scopes was declined: such a provider has one kind of access.
    declined_whole: bool,
    forced: bool,
}

impl Grant {
    /// Whether the person's consent, as far as it is known, covers `scope`.
    pub(crate) fn permits(&self, scope: &str) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.iter().any(|granted| granted == scope))
    }

    /// What was consented to; `None` when the identity service does not say (AWS's does not).
    pub(crate) fn scopes(&self) -> Option<&Vec<String>> {
        self.scopes.as_ref()
    }
}

impl Access {
    pub(crate) fn new(provider: Arc<str>, workload_access_token: Sensitive, known: BTreeSet<String>) -> Self {
        Self {
            provider,
            workload_access_token,
            known,
            declined: BTreeSet::new(),
            declined_whole: false,
            forced: false,
        }
    }

    /// The provider's name at the identity service.
    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Scopes that the person is known to have consented to.
    pub(crate) fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// Whether the person is known to have consented to all of `scopes`, and they say anything.
    pub(crate) fn knows(&self, scopes: &[String]) -> bool {
        !scopes.is_empty() && scopes.iter().all(|scope| self.known.contains(scope))
    }

    /// A token for `scopes`, on behalf of the calls in `waiting`.
    pub(crate) async fn obtain(
        &mut self,
        turn: &Turn,
        scopes: &BTreeSet<String>,
        waiting: &[Waiting<'_>],
    ) -> Result<Result<Grant, Denial>, TurnError> {
        self.request(turn, scopes, false, waiting).await
    }

    /// Another token than `dead`, which the service has refused although the vault held it to be good.
    pub(crate) async fn renew(
        &mut self,
        turn: &Turn,
        dead: &Sensitive,
        scopes: &BTreeSet<String>,
        waiting: Waiting<'_>,
    ) -> Result<Result<Grant, Denial>, TurnError> {
        if self.forced {
            return Ok(Err(Denial::Unusable));
        }
        // It may have expired on its way here, and the vault have a newer one by now.
        match self.request(turn, scopes, false, &[waiting]).await? {
            Ok(grant) if grant.token != *dead => return Ok(Ok(grant)),
            Ok(_) => {}
            Err(denial) => return Ok(Err(denial)),
        }
        self.forced = true;
        self.request(turn, scopes, true, &[waiting]).await
    }

    async fn request(
        &mut self,
        turn: &Turn,
        scopes: &BTreeSet<String>,
        force: bool,
        waiting: &[Waiting<'_>],
    ) -> Result<Result<Grant, Denial>, TurnError> {
        if !self.declined.is_disjoint(scopes) || (scopes.is_empty() && self.declined_whole) {
            return Ok(Err(Denial::Declined));
        }
        let mut input = Input {
            workload_identity_token: self.workload_access_token.clone(),
            resource_credential_provider_name: self.provider.to_string(),
            scopes: scopes.iter().cloned().collect(),
            oauth2_flow: Oauth2Flow::UserFederation,
            resource_oauth2_return_url: Some(turn.agent.return_url.clone()),
            force_authentication: force.then_some(true),
            ..Input::default()
        };
        let output = turn.agent.identity.call::<GetResourceOauth2Token>(&input).await?;
        if let Some(grant) = granted(&output) {
            self.learn(scopes, &grant);
            return Ok(Ok(grant));
        }
        let expires_at = self.ask(turn, &input.scopes, &output, waiting)?;
        input.force_authentication = None;
        input.session_uri = output.session_uri;
        let outcome = wait(turn, &input, expires_at).await?;
        match &outcome {
            Ok(grant) => self.learn(scopes, grant),
            Err(_) => self.give_up(scopes),
        }
        Ok(outcome)
    }

    fn learn(&mut self, asked: &BTreeSet<String>, grant: &Grant) {
        match grant.scopes() {
            Some(granted) => self.known.extend(granted.iter().cloned()),
            None => self.known.extend(asked.iter().cloned()),
        }
    }

    /// A no to something new takes nothing away that was agreed to before.
    fn give_up(&mut self, asked: &BTreeSet<String>) {
        let declined = self.declined.len();
        self.declined.extend(asked.difference(&self.known).cloned());
        if self.declined.len() == declined {
            self.declined.extend(asked.iter().cloned());
        }
        self.declined_whole |= asked.is_empty();
    }

    /// Shows the consent card; when the session expires.
    fn ask(
        &self,
        turn: &Turn,
        scopes: &[String],
        output: &Output,
        waiting: &[Waiting<'_>],
    ) -> Result<Timestamp, TurnError> {
        let agent = &turn.agent;
        let (Some(url), Some(session_uri)) = (&output.authorization_url, &output.session_uri) else {
            return Err(TurnError::Answer("neither a token nor a session to wait for"));
        };
        let url = match &agent.binding_start {
            // AgentCore opens its URL for anybody: the person goes there by a page of ours that knows them.
            Some(start) => with_request_uri(start, session_uri),
            None => url.expose().to_owned(),
        };
        // Whatever else may have gone wrong, the person is never sent to a place that is not ours (H1).
        let parsed = Url::parse(&url).map_err(|_| TurnError::Answer("authorization URL"))?;
        if parsed.origin() != agent.front_channel {
            return Err(TurnError::Answer("authorization URL of a foreign origin"));
        }
        let now = agent.parts.clock.now();
        let expires_at = output.expires_at.map_or(now.plus(SESSION_LIFE), |at| {
            Timestamp::from_secs(whole_secs(at.as_secs_f64()))
        });
        for call in waiting {
            turn.log.push(Event::Tool {
                id: call.id.to_owned(),
                name: call.name.to_owned(),
                state: ToolState::Waiting,
                reason: None,
            });
        }
        let service = agent.tools.service(&self.provider);
        let known_scopes: Vec<String> = self.known.iter().cloned().collect();
        let new_scopes = scopes
            .iter()
            .filter(|&scope| !self.known.contains(scope))
            .cloned()
            .collect();
        let words = |scope: &String| {
            let known = service.and_then(|service| service.scopes.get(scope).cloned());
            Some((scope.clone(), known.or_else(|| scope_words(scope))?))
        };
        turn.log.push(Event::Consent(Box::new(Consent {
            id: token(&*agent.parts.random),
            provider: self.provider.to_string(),
            title: agent.title(&self.provider),
            agent: agent.workload.clone(),
            person: turn.person.display_name().to_owned(),
            scopes: scopes.to_vec(),
            scope_descriptions: scopes.iter().chain(&known_scopes).filter_map(words).collect(),
            new_scopes,
            known_scopes,
            calls: waiting.iter().map(|call| call.id.to_owned()).collect(),
            url,
            expires_at: expires_at.as_secs(),
        })));
        Ok(expires_at)
    }
}

/// Polls until the person has decided, the session is over or the turn must not go on.
#[tracing::instrument(name = "agent.wait_for_consent", skip_all)]
async fn wait(turn: &Turn, poll: &Input, expires_at: Timestamp) -> Result<Result<Grant, Denial>, TurnError> {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            ended = turn.running.ended() => return Err(ended.into()),
            () = turn.agent.parts.drain.signaled() => return Err(TurnError::Draining),
        }
        let expired = turn.agent.parts.clock.now() >= expires_at;
        match turn.agent.identity.call::<GetResourceOauth2Token>(poll).await {
            Ok(output) => {
                failures = 0;
                if let Some(grant) = granted(&output) {
                    return Ok(Ok(grant));
                }
                if expired {
                    return Ok(Err(Denial::Expired));
                }
                // Another session: what the person gave was taken back before it was fetched. The one they were shown is over.
                let another = output.session_uri.is_some() && output.session_uri != poll.session_uri;
                if another || output.session_status == Some(SessionStatus::Failed) {
                    return Ok(Err(Denial::Declined));
                }
            }
            Err(error) if is_passing(&error) && failures < MOST_FAILED_POLLS => {
                failures += 1;
                tracing::warn!(%error, failures, "a poll failed");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The start page's address for one session: at AgentCore `request_uri` and session URI are the same.
fn with_request_uri(start: &Url, session_uri: &str) -> String {
    let mut url = start.clone();
    url.query_pairs_mut().append_pair("request_uri", session_uri);
    url.into()
}

fn granted(output: &Output) -> Option<Grant> {
    output.access_token.as_ref().map(|token| Grant {
        token: token.clone(),
        scopes: output.granted_scopes.clone(),
    })
}

/// Whether the next poll may well succeed.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Api(error) => error.code.status().is_server_error() || error.code.status() == 429,
        ClientError::Transport(_) | ClientError::Credentials(_) => true,
        ClientError::Unexpected { status } => status.is_server_error(),
        ClientError::Request(_) => false,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "casts from f64 saturate; no session lasts that long"
)]
fn whole_secs(secs: f64) -> i64 {
    secs as i64
}
