//! `countersign deploy check`: the smoke list of a deployment, from outside and without a login. It reads; it changes
//! nothing and sends no secret.

#[cfg(test)]
mod tests;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use clap::{Args, Subcommand};
use countersign_outbound::{Client, HostPort, Request, Response};
use serde::Serialize;
use serde_json::Value;
use tokio::net::TcpStream;
use url::Url;

use crate::{args::Output, output, roles};

/// How long an answer may take, and a connection that must not come about.
const LIMIT: Duration = Duration::from_secs(10);
const REFUSED_WITHIN: Duration = Duration::from_secs(3);
/// From the app origin to the login provider there are two.
const MOST_REDIRECTS: usize = 5;
/// How providers that answer 200 say that they do not know the client or its redirect URI: Microsoft Entra ID (application
/// not found, redirect URI not registered), Google, Okta, Auth0.
const REFUSALS: [&str; 5] = [
    "AADSTS700016",
    "AADSTS50011",
    "redirect_uri_mismatch",
    "invalid_redirect_uri",
    "Callback URL mismatch",
];
/// A session that nobody has: the answer may not depend on whether it exists.
const NO_SESSION: &str = "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Debug, Subcommand)]
pub(crate) enum DeployCommand {
    /// Ask a deployment from outside, without a login, and say what is wrong and how to mend it.
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// JSON of `aws cloudformation describe-stacks --stack-name …`, in place of the two URLs.
    #[arg(long, value_name = "FILE", required_unless_present_all = ["app_url", "account_url"])]
    outputs: Option<PathBuf>,
    /// The app origin.
    #[arg(long, value_name = "URL")]
    app_url: Option<Url>,
    /// The account origin.
    #[arg(long, value_name = "URL")]
    account_url: Option<Url>,
    /// An ALB logs people in, on each origin for itself, rather than our gateway on the account origin. With --outputs the
    /// stack says so itself.
    #[arg(long)]
    behind_alb: bool,
    /// A port of a task, which must not be reached from here; give it once for each.
    #[arg(long = "task", value_name = "HOST:PORT")]
    tasks: Vec<HostPort>,
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    /// What is wrong; absent, nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<String>,
    /// Why it cannot be told from here whether something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<&'static str>,
}

/// Prints the list; 1 if something is wrong.
pub(crate) async fn run(command: DeployCommand, output: Output) -> anyhow::Result<ExitCode> {
    let DeployCommand::Check(args) = command;
    let origins = Origins::of(&args)?;
    let client = roles::operator_client(&[origins.app.clone(), origins.account.clone()])?;
    let check = Check {
        client,
        behind_alb: args.behind_alb || origins.behind_alb,
        origins,
    };
    let mut findings = vec![
        check.two_hosts(),
        check.reached(&check.origins.app).await,
        check.reached(&check.origins.account).await,
    ];
    // Everything else would fail for the same reason, and hide it.
    if findings.iter().any(|finding| finding.wrong.is_some()) {
        return print(&findings, output);
    }
    for (origin, path) in [
        (&check.origins.app, "/"),
        (&check.origins.account, "/oauth2/session-binding"),
    ] {
        findings.extend(check.login(origin, path).await);
    }
    findings.push(check.invocations().await);
    for path in ["/ping", "/healthz", "/readyz", "/metrics"] {
        findings.push(check.not_public(&check.origins.account, path).await);
        findings.push(check.not_public(&check.origins.app, path).await);
    }
    findings.push(check.unknown_operation().await);
    findings.push(check.start_on_the_app_origin().await);
    findings.push(check.forged_identity().await);
    for task in &args.tasks {
        findings.push(unreachable(task).await);
    }
    print(&findings, output)
}

fn print(findings: &[Finding], output: Output) -> anyhow::Result<ExitCode> {
    if output == Output::Json {
        output::json(&findings)?;
    } else {
        for finding in findings {
            match (&finding.wrong, &finding.unknown) {
                (Some(wrong), _) => output::line(format!("WRONG  {}: {wrong}", finding.check)),
                (None, Some(unknown)) => output::line(format!("?      {}: {unknown}", finding.check)),
                (None, None) => output::line(format!("ok     {}", finding.check)),
            }
            if let Some(mend) = finding.mend {
                output::line(format!("       mend: {mend}"));
            }
        }
    }
    let wrong = findings.iter().any(|finding| finding.wrong.is_some());
    Ok(ExitCode::from(u8::from(wrong)))
}

/// Where the deployment is.
struct Origins {
    app: Url,
    account: Url,
    /// What the stack's output `Form` says.
    behind_alb: bool,
}

impl Origins {
    fn of(args: &CheckArgs) -> anyhow::Result<Self> {
        let outputs = match &args.outputs {
            Some(path) => {
                let text = std::fs::read(path).with_context(|| path.display().to_string())?;
                serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?
            }
            None => Value::Null,
        };
        let url = |given: &Option<Url>, name: &str| {
            let url = match given {
                Some(url) => url.clone(),
                None => output_of(&outputs, name)
                    .with_context(|| format!("the stack has no output {name}"))?
                    .parse()
                    .with_context(|| format!("output {name}"))?,
            };
            if url.path() != "/" || url.query().is_some() {
                bail!("{url} is not an origin: scheme, host and port alone");
            }
            Ok(url)
        };
        Ok(Self {
            app: url(&args.app_url, "AppUrl")?,
            account: url(&args.account_url, "AccountUrl")?,
            behind_alb: output_of(&outputs, "Form").is_some_and(|form| form != "gateway"),
        })
    }
}

/// `Stacks[0].Outputs[…]`.
fn output_of<'a>(stacks: &'a Value, name: &str) -> Option<&'a str> {
    let outputs = stacks.pointer("/Stacks/0/Outputs")?.as_array()?;
    let output = outputs
        .iter()
        .find(|output| output.get("OutputKey").and_then(Value::as_str) == Some(name))?;
    output.get("OutputValue")?.as_str()
}

/// What asks.
struct Check {
    client: Client,
    origins: Origins,
    behind_alb: bool,
}

impl Check {
    /// Cookies know no ports (RFC 6265 section 8.5), so two ports of one host are one origin to them.
    fn two_hosts(&self) -> Finding {
        let same = self.origins.app.host_str() == self.origins.account.host_str()
            && self.origins.app.scheme() == "https";
        finding(
            "app and account origin are two hosts",
            same.then(|| "they are one host".to_owned()),
            "give the account origin a host of its own: the agent's page must not share the consent page's cookies",
        )
    }

    /// The name leads somewhere, and what answers there proves that it is the one.
    async fn reached(&self, origin: &Url) -> Finding {
        let host = origin.host_str().unwrap_or_default();
        let port = origin.port_or_known_default().unwrap_or(443);
        let addresses = tokio::net::lookup_host((host, port)).await;
        if !addresses.is_ok_and(|mut found| found.next().is_some()) {
            return finding(
                &format!("{host} is a name"),
                Some(format!("{host} has no address")),
                "compare the prefixes and the zone's name with the hosted zone, and its name servers with the ones that the \
                 domain is delegated to",
            );
        }
        let check = format!("{host} answers, and proves that it does");
        let Err(error) = self.get(join(origin, "/"), HeaderMap::new()).await else {
            return finding(&check, None, "");
        };
        let error = format!("{error:#}");
        let lower = error.to_lowercase();
        if lower.contains("not valid for name") || lower.contains("notvalidforname") {
            let wrong = format!("the certificate is not for {host}");
            let mend = "the name leads to another load balancer, or the certificate was made for another prefix or zone";
            return finding(&check, Some(wrong), mend);
        }
        let mend = "is a task of the service running and ready (a gateway is not until it has read the login provider's \
                    metadata: may its security group reach the provider on 443?), is its certificate of an authority that \
                    is known here, and may this machine reach port 443 of the load balancer?";
        finding(&check, Some(error), mend)
    }

    /// A navigation without a login ends at the login provider, with our redirect URI, which the provider knows.
    async fn login(&self, origin: &Url, path: &str) -> Vec<Finding> {
        let check = format!("{}{path} asks for a login", shown(origin));
        let login_origin = if self.behind_alb {
            origin
        } else {
            &self.origins.account
        };
        let expected = format!("{}/oauth2/idpresponse", shown(login_origin));
        let mend = "compare OidcIssuer, the prefixes of the hosts and the zone's name; is the role's task running, and may \
                    its security group reach the provider on 443?";
        let provider = match self.follow(join(origin, path)).await {
            Err(error) => return vec![finding(&check, Some(format!("{error:#}")), mend)],
            Ok(provider) => provider,
        };
        let redirect = provider.query_pairs().find(|(name, _)| name == "redirect_uri");
        let wrong = match redirect {
            Some((_, uri)) if uri == expected => None,
            Some((_, uri)) => Some(format!(
                "the redirect URI is {uri}, not {expected}: the provider will refuse it, or send people elsewhere"
            )),
            None => Some(format!("it leads to {} without a redirect_uri", shown(&provider))),
        };
        let (refused, unknown) = match ask(&provider).await {
            Ok(refused) => (refused, None),
            // That this machine does not reach it is nothing about the redirect URI.
            Err(error) => (None, Some(format!("it cannot be asked from here ({error:#})"))),
        };
        let refused = refused.map(|how| {
            format!("the login provider refuses the request ({how}); the redirect URI in it is {expected}")
        });
        let taken = finding(
            &format!("{} takes the request of {}", shown(&provider), shown(origin)),
            refused,
            "register exactly this redirect URI for this client at the provider, and compare OidcClientId",
        );
        vec![finding(&check, wrong, mend), Finding { unknown, ..taken }]
    }

    /// The first address outside the two origins.
    async fn follow(&self, mut url: Url) -> anyhow::Result<Url> {
        for _ in 0..MOST_REDIRECTS {
            let answer = self.get(url.clone(), HeaderMap::new()).await?;
            if !answer.status.is_redirection() {
                bail!("{} answers {}, not a redirect", shown(&url), answer.status);
            }
            let location = answer.headers.get(header::LOCATION);
            let location = location
                .and_then(|location| location.to_str().ok())
                .context("a redirect without Location")?;
            url = url
                .join(location)
                .with_context(|| format!("Location {location}"))?;
            let ours = [&self.origins.app, &self.origins.account]
                .iter()
                .any(|origin| origin.origin() == url.origin());
            if !ours {
                return Ok(url);
            }
        }
        bail!("more than {MOST_REDIRECTS} redirects")
    }

    /// A script without a login gets an error, not a page and not a redirect that it would follow.
    async fn invocations(&self) -> Finding {
        let request = Request::new(Method::POST, join(&self.origins.app, "/invocations"))
            .body(HeaderValue::from_static("application/json"), "{}")
            .header(
                header::ORIGIN,
                HeaderValue::from_str(&shown(&self.origins.app)).unwrap_or(HeaderValue::from_static("null")),
            )
            .timeout(LIMIT);
        let wrong = match self.client.send(request).await {
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => None,
            Ok(answer) => Some(format!("answers {}, not 401", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        finding(
            "POST /invocations without a login is refused",
            wrong,
            "the rule of /invocations comes before that of the page, with `deny` (ALB) or `authenticate-navigation`",
        )
    }

    /// What is for load balancers and operators is not for browsers.
    async fn not_public(&self, origin: &Url, path: &str) -> Finding {
        let check = format!("{}{path} is not public", shown(origin));
        let wrong = match self.get(join(origin, path), HeaderMap::new()).await {
            Ok(answer) if answer.status.is_success() => Some(format!("answers {}", answer.status)),
            Ok(_) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        finding(
            &check,
            wrong,
            "no rule may forward it; operations are on a port of their own that nothing outside reaches",
        )
    }

    /// The API is not on the account origin.
    async fn unknown_operation(&self) -> Finding {
        let url = join(&self.origins.account, "/identities/CompleteResourceTokenAuth");
        let wrong = match self.get(url, HeaderMap::new()).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => None,
            Ok(answer) => Some(format!("answers {}, not 404", answer.status)),
            Err(error) => Some(format!("{error:#}")),
        };
        finding(
            "the identity API is not on the account origin",
            wrong,
            "forward /identities/oauth2/authorize* and /identities/oauth2/callback/* there, and nothing else below /identities",
        )
    }

    /// The start page is on the account origin alone.
    async fn start_on_the_app_origin(&self) -> Finding {
        let mut url = join(&self.origins.app, "/identities/oauth2/authorize");
        url.query_pairs_mut().append_pair("request_uri", NO_SESSION);
        let wrong = match self.get(url, HeaderMap::new()).await {
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => None,
            Ok(answer) => Some(format!("answers {}, not 404", answer.status)),
            Err(error) => Some(format!("{error:#}")),
        };
        finding(
            "the start page is not on the app origin",
            wrong,
            "a rule of the app origin answers 404 to /identities and /identities/*",
        )
    }

    /// Identity headers of a client count for nothing.
    async fn forged_identity(&self) -> Finding {
        let mut headers = HeaderMap::new();
        for name in [
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-countersign-user-token",
        ] {
            headers.insert(name, HeaderValue::from_static("eyJhbGciOiJub25lIn0.e30."));
        }
        let mut url = join(&self.origins.account, "/oauth2/session-binding");
        url.query_pairs_mut().append_pair("session_id", NO_SESSION);
        let wrong = match self.get(url, headers).await {
            Ok(answer) if answer.status.is_success() => {
                Some(format!("a forged identity header is answered {}", answer.status))
            }
            Ok(_) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        finding(
            "an identity header that a client sends opens nothing",
            wrong,
            "the binding service is reached around the load balancer, or does not check `signer`: see its security group",
        )
    }

    async fn get(&self, url: Url, headers: HeaderMap) -> anyhow::Result<Response> {
        get(&self.client, url, headers).await
    }
}

/// Whether the provider shows an error rather than a login, and which. Providers have no common way to say so to a
/// browser that they will not send back: a status (RFC 6749 section 4.1.2.1 leaves it to them), or a page.
async fn ask(provider: &Url) -> anyhow::Result<Option<String>> {
    // It may be an internal one, which the gateway's `outbound_allow` names.
    let client = roles::operator_client(std::slice::from_ref(provider))?;
    let answer = get(&client, provider.clone(), HeaderMap::new()).await?;
    if answer.status.is_client_error() || answer.status.is_server_error() {
        return Ok(Some(answer.status.to_string()));
    }
    let location = answer.headers.get(header::LOCATION);
    let location = location
        .and_then(|location| location.to_str().ok())
        .unwrap_or_default();
    let page = String::from_utf8_lossy(&answer.body);
    let refusal = REFUSALS
        .iter()
        .find(|mark| location.contains(*mark) || page.contains(*mark));
    Ok(refusal.map(|mark| (*mark).to_owned()))
}

/// As a browser goes to a page.
async fn get(client: &Client, url: Url, headers: HeaderMap) -> anyhow::Result<Response> {
    let place = shown(&url);
    let mut request = Request::get(url).timeout(LIMIT).header(
        header::ACCEPT,
        HeaderValue::from_static("text/html,application/xhtml+xml"),
    );
    for (name, value) in [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")] {
        request = request.header(name.parse()?, HeaderValue::from_static(value));
    }
    request.headers.extend(headers);
    client
        .send(request)
        .await
        .with_context(|| format!("{place} does not answer"))
}

/// Direct access to a task is what lets headers be forged.
async fn unreachable(task: &HostPort) -> Finding {
    let connected = tokio::time::timeout(REFUSED_WITHIN, TcpStream::connect(task.to_string())).await;
    finding(
        &format!("{task} is not reached from here"),
        matches!(connected, Ok(Ok(_))).then(|| "it accepts connections".to_owned()),
        "its security group may allow the load balancer's alone",
    )
}

fn finding(check: &str, wrong: Option<String>, mend: &'static str) -> Finding {
    Finding {
        check: check.to_owned(),
        mend: wrong.is_some().then_some(mend),
        wrong,
        unknown: None,
    }
}

fn join(origin: &Url, path: &str) -> Url {
    let mut url = origin.clone();
    url.set_path(path);
    url
}

/// Without query, which may hold states.
fn shown(url: &Url) -> String {
    let path = if url.path() == "/" { "" } else { url.path() };
    format!("{}{path}", url.origin().ascii_serialization())
}
