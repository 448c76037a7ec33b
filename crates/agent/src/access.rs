//! Access to the third-party service during one turn: the token if the vault has one, else the person's
//! consent, asked for by a structured card, and the wait until it is decided.
//!
//! It asks once: scopes that were declined in this turn stay declined in it, and a token that the service
//! refuses leads to one new consent and then to a stop, never to a loop (E7, H5).

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_api::data::get_resource_oauth2_token::{Input, Output};
use countersign_api::data::{GetResourceOauth2Token, Oauth2Flow, SessionStatus};
use countersign_api::{ClientError, Sensitive};
use countersign_crypto::{Timestamp, token};
use url::Url;

use crate::Agent;
use crate::event::{Event, Events, ToolState};
use crate::turn::TurnError;
use crate::turns::Place;

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
pub(crate) struct Access<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) events: &'a Events,
    pub(crate) place: &'a Place,
    workload_access_token: Sensitive,
    declined: BTreeSet<&'static str>,
    forced: bool,
}

impl Grant {
    /// Whether the person's consent, as far as it is known, covers `scope`.
    pub(crate) fn permits(&self, scope: &str) -> bool {
        self.scopes
            .as_ref()
            .is_none_or(|scopes| scopes.iter().any(|granted| granted == scope))
    }
}

impl<'a> Access<'a> {
    pub(crate) fn new(
        agent: &'a Agent,
        events: &'a Events,
        place: &'a Place,
        workload_access_token: Sensitive,
    ) -> Self {
        Self {
            agent,
            events,
            place,
            workload_access_token,
            declined: BTreeSet::new(),
            forced: false,
        }
    }

    /// A token for `scopes`, on behalf of the calls in `waiting`.
    pub(crate) async fn obtain(
        &mut self,
        scopes: &BTreeSet<&'static str>,
        waiting: &[Waiting<'_>],
    ) -> Result<Result<Grant, Denial>, TurnError> {
        self.request(scopes, false, waiting).await
    }

    /// Another token than `dead`, which the service has refused although the vault held it to be good.
    pub(crate) async fn renew(
        &mut self,
        dead: &Sensitive,
        scopes: &BTreeSet<&'static str>,
        waiting: Waiting<'_>,
    ) -> Result<Result<Grant, Denial>, TurnError> {
        if self.forced {
            return Ok(Err(Denial::Unusable));
        }
        // It may have expired on its way here, and the vault have a newer one by now.
        match self.request(scopes, false, &[waiting]).await? {
            Ok(grant) if grant.token != *dead => return Ok(Ok(grant)),
            Ok(_) => {}
            Err(denial) => return Ok(Err(denial)),
        }
        self.forced = true;
        self.request(scopes, true, &[waiting]).await
    }

    async fn request(
        &mut self,
        scopes: &BTreeSet<&'static str>,
        force: bool,
        waiting: &[Waiting<'_>],
    ) -> Result<Result<Grant, Denial>, TurnError> {
        if !self.declined.is_disjoint(scopes) {
            return Ok(Err(Denial::Declined));
        }
        let mut input = Input {
            workload_identity_token: self.workload_access_token.clone(),
            resource_credential_provider_name: self.agent.provider.clone(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            oauth2_flow: Oauth2Flow::UserFederation,
            resource_oauth2_return_url: Some(self.agent.return_url.clone()),
            force_authentication: force.then_some(true),
            ..Input::default()
        };
        let output = self.agent.identity.call::<GetResourceOauth2Token>(&input).await?;
        if let Some(grant) = granted(&output) {
            return Ok(Ok(grant));
        }
        let expires_at = self.ask(&input.scopes, &output, waiting).await?;
        input.force_authentication = None;
        input.session_uri = output.session_uri;
        let outcome = self.wait(&input, expires_at).await?;
        if outcome.is_err() {
            self.declined.extend(scopes);
        }
        Ok(outcome)
    }

    /// Shows the consent card; when the session expires.
    async fn ask(
        &self,
        scopes: &[String],
        output: &Output,
        waiting: &[Waiting<'_>],
    ) -> Result<Timestamp, TurnError> {
        let (Some(url), Some(_)) = (&output.authorization_url, &output.session_uri) else {
            return Err(TurnError::Answer("neither a token nor a session to wait for"));
        };
        // Whatever else may have gone wrong, the person is never sent to a place that is not ours (H1).
        let parsed = Url::parse(url.expose()).map_err(|_| TurnError::Answer("authorization URL"))?;
        if parsed.origin() != self.agent.front_channel {
            return Err(TurnError::Answer("authorization URL of a foreign origin"));
        }
        let now = self.agent.parts.clock.now();
        let expires_at = output.expires_at.map_or(now.plus(SESSION_LIFE), |at| {
            Timestamp::from_secs(whole_secs(at.as_secs_f64()))
        });
        for call in waiting {
            self.events
                .tool(call.id, call.name, ToolState::Waiting, None)
                .await;
        }
        self.events
            .send(Event::Consent {
                id: token(&*self.agent.parts.random),
                provider: self.agent.provider.clone(),
                scopes: scopes.to_vec(),
                url: url.expose().to_owned(),
                expires_at: expires_at.as_secs(),
            })
            .await;
        Ok(expires_at)
    }

    /// Polls until the person has decided, the session is over or a newer message replaces the turn.
    #[tracing::instrument(name = "agent.wait_for_consent", skip_all)]
    async fn wait(&self, poll: &Input, expires_at: Timestamp) -> Result<Result<Grant, Denial>, TurnError> {
        let mut failures = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.place.replaced() => return Err(TurnError::Replaced),
                () = self.agent.parts.drain.signaled() => return Err(TurnError::Draining),
            }
            let expired = self.agent.parts.clock.now() >= expires_at;
            match self.agent.identity.call::<GetResourceOauth2Token>(poll).await {
                Ok(output) => {
                    failures = 0;
                    if let Some(grant) = granted(&output) {
                        return Ok(Ok(grant));
                    }
                    if expired {
                        return Ok(Err(Denial::Expired));
                    }
                    if output.session_status == Some(SessionStatus::Failed) {
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
        ClientError::Transport(_) => true,
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
