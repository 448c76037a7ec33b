//! An agent in Rust behind Countersign's gateway, on the signed client of the identity API. It has no model: whatever it
//! is asked, it looks up the person's open issues. What an agent needs of the identity service is all here.
//!
//! `rust-agent PORT`, with the variables of `countersign dev --env-file`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::extract::{Json, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use countersign_api::data::get_resource_oauth2_token::{Input, Output};
use countersign_api::data::{
    GetResourceOauth2Token, GetWorkloadAccessTokenForJWT, Oauth2Flow, SessionStatus,
    get_workload_access_token_for_jwt as for_jwt,
};
use countersign_api::{Client, Credentials, Sensitive};
use countersign_outbound::{self as outbound, HostPort, Policy, Request};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use url::Url;

/// Between two looks at a consent that is waited for.
const POLL: Duration = Duration::from_secs(1);

struct Agent {
    /// The origin of the page that may ask.
    app: String,
    identity: Client,
    http: outbound::Client,
    workload: String,
    provider: String,
    return_url: String,
    issues: Url,
}

#[derive(Deserialize)]
struct Invocation {
    #[expect(dead_code, reason = "a model would read it")]
    message: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port: u16 = std::env::args().nth(1).context("rust-agent PORT")?.parse()?;
    let agent = Arc::new(Agent::from_environment()?);
    let router = axum::Router::new()
        .route("/invocations", post(invocations))
        .route("/ping", get(async || "ok"))
        .with_state(agent);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, router).await?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own settings"
)]
fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name}: source the file of `countersign dev --env-file`"))
}

impl Agent {
    fn from_environment() -> anyhow::Result<Self> {
        let endpoint: Url = variable("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE")?.parse()?;
        let ledgerline = variable("LEDGERLINE_URL").unwrap_or_else(|_| "http://127.0.0.1:8404".to_owned());
        let issues: Url = format!("{ledgerline}/api/issues?state=open").parse()?;
        // The guard reaches no internal address but these two.
        let allow = [&endpoint, &issues]
            .into_iter()
            .filter_map(HostPort::of)
            .collect();
        let policy = Policy {
            allow,
            ..Policy::default()
        };
        let http = outbound::Client::new(policy)?;
        let credentials = Credentials {
            access_key_id: variable("COUNTERSIGN_AGENT_ACCESS_KEY_ID")?,
            secret_access_key: variable("COUNTERSIGN_AGENT_SECRET_ACCESS_KEY")?.into(),
            session_token: None,
        };
        Ok(Self {
            app: variable("COUNTERSIGN_APP_URL")?,
            identity: Client::new(
                endpoint,
                variable("AWS_REGION")?,
                credentials,
                http.clone(),
                Arc::new(now_secs),
            ),
            http,
            workload: variable("COUNTERSIGN_WORKLOAD")?,
            provider: variable("COUNTERSIGN_PROVIDER")?,
            return_url: format!("{}/oauth2/session-binding", variable("COUNTERSIGN_ACCOUNT_URL")?),
            issues,
        })
    }

    /// By the token that the gateway made for this agent: the identity service verifies it, nobody is named.
    async fn workload_access_token(&self, user_token: String) -> anyhow::Result<Sensitive> {
        let input = for_jwt::Input {
            workload_name: self.workload.clone(),
            user_token: user_token.into(),
        };
        let output = self.identity.call::<GetWorkloadAccessTokenForJWT>(&input).await?;
        Ok(output.workload_access_token)
    }

    /// The vault's token; without one the person's consent is asked for, and waited for.
    async fn token(&self, wat: Sensitive, tell: &Tell) -> anyhow::Result<Sensitive> {
        let mut input = Input {
            workload_identity_token: wat,
            resource_credential_provider_name: self.provider.clone(),
            scopes: vec!["issues:read".to_owned()],
            oauth2_flow: Oauth2Flow::UserFederation,
            resource_oauth2_return_url: Some(self.return_url.clone()),
            ..Input::default()
        };
        loop {
            let output: Output = self.identity.call::<GetResourceOauth2Token>(&input).await?;
            if let Some(token) = output.access_token {
                return Ok(token);
            }
            // Another session: what the person gave was taken back before it was fetched.
            let asked = input.session_uri.as_ref();
            let another =
                asked.is_some_and(|asked| output.session_uri.as_ref().is_some_and(|uri| uri != asked));
            if another || output.session_status == Some(SessionStatus::Failed) {
                anyhow::bail!("not connected");
            }
            if input.session_uri.is_none() {
                let url = output.authorization_url.context("neither a token nor a URL")?;
                let ours = Url::parse(&self.return_url)?.origin();
                anyhow::ensure!(
                    Url::parse(url.expose())?.origin() == ours,
                    "the link leads elsewhere"
                );
                tell.event(
                    "consent",
                    &json!({ "provider": self.provider, "scopes": input.scopes, "url": url.expose() }),
                );
                input.session_uri = output.session_uri;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn answer(&self, wat: Sensitive, tell: &Tell) -> anyhow::Result<()> {
        tell.event("tool", &json!({ "name": "list_issues", "state": "started" }));
        let token = self.token(wat, tell).await?;
        let request = Request::get(self.issues.clone()).bearer(token.expose());
        let answer = self.http.send(request).await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "Ledgerline answered {}",
            answer.status
        );
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let issues = answer["issues"].as_array().context("a list of issues")?;
        let lines: Vec<String> = issues
            .iter()
            .map(|issue| format!("{}: {}", text(&issue["key"]), text(&issue["title"])))
            .collect();
        tell.event("message", &json!({ "text": lines.join("\n") }));
        Ok(())
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The stream of events of one turn.
struct Tell(UnboundedSender<Event>);

impl Tell {
    fn event(&self, name: &str, data: &Value) {
        // Nobody listens any more: the turn ends at its next step.
        let _ = self.0.send(Event::default().event(name).data(data.to_string()));
    }
}

async fn invocations(
    State(agent): State<Arc<Agent>>,
    headers: HeaderMap,
    Json(_): Json<Invocation>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // The person's session comes with every request of their browser, also one that another page of the same site makes.
    if header("origin") != Some(&*agent.app) {
        return Err(StatusCode::FORBIDDEN);
    }
    let user_token = header("x-countersign-user-token")
        .ok_or(StatusCode::UNAUTHORIZED)?
        .to_owned();
    let wat = agent.workload_access_token(user_token).await;
    let wat = wat.map_err(|_| StatusCode::UNAUTHORIZED)?;
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move {
        let tell = Tell(sender);
        tokio::select! {
            outcome = agent.answer(wat, &tell) => {
                if let Err(error) = outcome {
                    tell.event("error", &json!({ "message": error.to_string() }));
                }
                tell.event("done", &json!({}));
            }
            // The reader has gone.
            () = tell.0.closed() => {}
        }
    });
    Ok(Sse::new(UnboundedReceiverStream::new(receiver).map(Ok)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, with its own clock"
)]
fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
