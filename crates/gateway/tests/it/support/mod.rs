//! One gateway with everything around it.

pub(crate) mod browser;
pub(crate) mod counters;
pub(crate) mod frames;
pub(crate) mod program;
pub(crate) mod provider;
pub(crate) mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_crypto::testing::ManualClock;
use countersign_crypto::{FileKeyProvider, SharedRandom, SystemRandom, Timestamp};
use countersign_db::{Database, Pool};
use countersign_gateway::config::{
    AccessLog, AccessLogFormat, AuthenticateOidc, ClaimsHeader, ClientLimits, Config, ForwardLimits,
    KeyListener, Listener, Listeners, Rule, SessionLimits, TargetGroup, UserToken, account_rules, app_rules,
};
use countersign_gateway::{Gateway, Operator, Parts, ReloadError};
use countersign_web::{Drain, DrainSignal, Respond, ServeOptions, bind_localhost, serve};
use http::Method;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) use browser::{Answer, Browser};
pub(crate) use counters::Counters;
pub(crate) use provider::{Fault, Forgery, Key, Lie, OpenIdProvider};

/// A point in time at which tests begin.
pub(crate) const START: i64 = 1_800_000_000;
pub(crate) const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/countersign/0";

pub(crate) struct System {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) provider: OpenIdProvider,
    pub(crate) app: String,
    pub(crate) account: String,
    pub(crate) keys: String,
    config: Box<Config>,
    directory: TempDir,
    gateway: Option<Gateway>,
    drain: DrainSignal,
    also_drained: Vec<DrainSignal>,
    serving: Vec<tokio::task::JoinHandle<()>>,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    /// Starts with a configuration that `change` has changed.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        // Its future is large.
        Box::pin(Self::started(change)).await
    }

    async fn started(change: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(START)));
        let provider = OpenIdProvider::start(clock.clone()).await;
        let target = target::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(bind_localhost(0).await.expect("a free port"));
        }
        let urls: Vec<String> = sockets
            .iter()
            .map(|sockets| format!("http://localhost:{}", port(sockets)))
            .collect();
        let mut config = config(&urls, &provider, &target, &directory);
        change(&mut config);
        let (drain, _) = Drain::new();
        let mut system = Self {
            clock,
            provider,
            app: urls[0].clone(),
            account: urls[1].clone(),
            keys: urls[2].clone(),
            config: Box::new(config),
            directory,
            gateway: None,
            drain,
            also_drained: Vec::new(),
            serving: Vec::new(),
        };
        system.run(sockets).await;
        system
    }

    async fn run(&mut self, sockets: Vec<Vec<TcpListener>>) {
        let random: SharedRandom = Arc::new(SystemRandom);
        let key_file = self.directory.path().join("gateway.key");
        let key_provider = FileKeyProvider::open_or_create(&key_file, random.clone()).expect("a key file");
        let parts = Parts {
            clock: self.clock.clone(),
            random,
            key_provider: Arc::new(key_provider),
            previous_key_provider: None,
        };
        let gateway = Box::pin(Gateway::start(Config::clone(&self.config), parts))
            .await
            .expect("the gateway starts");
        let (signal, drain) = Drain::new();
        self.drain = signal;
        for (sockets, name) in sockets.into_iter().zip(["app", "account", "keys"]) {
            let responder = gateway.responder(name).expect("a listener");
            self.serving.push(spawn(sockets, responder, drain.clone()));
        }
        self.gateway = Some(gateway);
    }

    /// Serves a listener of the test's own, with what comes before HTTP; answers its port.
    pub(crate) async fn serve_listener(&mut self, name: &str) -> u16 {
        let sockets = bind_localhost(0).await.expect("a free port");
        let port = port(&sockets);
        let gateway = self.gateway.as_ref().expect("a running gateway");
        let responder = gateway.responder(name).expect("a listener");
        let options = ServeOptions {
            transport: gateway.transport(name),
            ..self.config.client.serve_options(1)
        };
        let (signal, drain) = Drain::new();
        self.also_drained.push(signal);
        self.serving.push(tokio::spawn(async move {
            serve(sockets, responder, drain, options)
                .await
                .expect("serving ends well");
        }));
        port
    }

    /// An operator of the running gateway.
    pub(crate) fn operator(&self) -> Operator {
        self.gateway.as_ref().expect("a running gateway").operator()
    }

    /// Waits until it knows who is stopped.
    pub(crate) async fn stops_are_known(&self) {
        let gateway = self.gateway.as_ref().expect("a running gateway");
        gateway.stops_are_known().await;
    }

    /// What the gateway was started with.
    pub(crate) fn config(&self) -> Config {
        Config::clone(&self.config)
    }

    pub(crate) async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let gateway = self.gateway.as_ref().expect("a running gateway");
        gateway.reload(config).await
    }

    /// What comes before HTTP on a listener.
    pub(crate) fn transport(&self, name: &str) -> Arc<dyn countersign_web::Transport> {
        let gateway = self.gateway.as_ref().expect("a running gateway");
        gateway.transport(name).expect("a listener")
    }

    /// Stops the gateway in order.
    pub(crate) async fn stop(&mut self) {
        self.drain.drain();
        for signal in self.also_drained.drain(..) {
            signal.drain();
        }
        for task in self.serving.drain(..) {
            task.await.expect("a listener ends");
        }
        if let Some(gateway) = self.gateway.take() {
            gateway.close().await.expect("the gateway closes");
        }
    }

    /// Takes the session store away from under the listeners.
    pub(crate) async fn lose_store(&mut self) {
        let gateway = self.gateway.take().expect("a running gateway");
        gateway.close().await.expect("the gateway closes");
    }

    /// Stops and starts again on the same data and ports.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let mut sockets = Vec::new();
        for url in [&self.app, &self.account, &self.keys] {
            let port = url
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
                .expect("a port");
            sockets.push(bind_localhost(port).await.expect("the port is free again"));
        }
        self.run(sockets).await;
    }

    /// Stops, and answers (action, outcome, reason) of every audit record beside the chain's own.
    pub(crate) async fn audit(&mut self) -> Vec<(String, String, Option<String>)> {
        self.stop().await;
        let path = self.directory.path().join("gateway.sqlite");
        let pool = Pool::connect(&Database::Sqlite {
            path,
            read_only: true,
        })
        .await
        .expect("the database opens");
        let sql = "SELECT action, outcome, reason FROM audit_record WHERE action <> 'OpenAuditWriter'
                   ORDER BY recorded_at, seq";
        let rows = pool.fetch_all(sql, Vec::new()).await.expect("audit records");
        let read = |row: &countersign_db::Row| {
            let text = |column| row.text(column).expect("a text");
            (
                text("action"),
                text("outcome"),
                row.opt_text("reason").expect("a reason"),
            )
        };
        rows.iter().map(read).collect()
    }

    /// Stops, does something to the database, and starts again.
    pub(crate) async fn restart_with(&mut self, statement: &'static str) {
        self.stop().await;
        let path = self.directory.path().join("gateway.sqlite");
        let pool = Pool::connect(&Database::Sqlite {
            path,
            read_only: false,
        })
        .await
        .expect("the database opens");
        pool.execute(statement, Vec::new()).await.expect("done");
        pool.close().await;
        self.restart().await;
    }

    /// The whole database as bytes, after a stop.
    pub(crate) async fn database_bytes(&mut self) -> Vec<u8> {
        self.stop().await;
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.directory.path())
            .expect("the directory")
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with("gateway.sqlite") {
                all.extend(std::fs::read(entry.path()).expect("a file"));
            }
        }
        all
    }

    /// What the provider is answered when it says by `token` who has logged out.
    pub(crate) async fn back_channel_logout(&self, token: &str) -> u16 {
        let endpoint = format!("{}/oauth2/backchannel-logout", self.account);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("logout_token={token}");
        let answer = Browser::new().send(Method::POST, &endpoint, &form, &body).await;
        answer.status
    }

    /// A browser in which `user` is logged in on both origins.
    pub(crate) async fn logged_in(&self, user: &str) -> Browser {
        self.provider.user(user);
        let mut browser = Browser::new();
        let answer = browser.follow(&format!("{}/", self.app)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        browser
    }
}

pub(crate) fn spawn(
    sockets: Vec<TcpListener>,
    responder: impl Respond,
    drain: Drain,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        serve(sockets, responder, drain, ServeOptions::default())
            .await
            .expect("serving ends well");
    })
}

pub(crate) fn port(sockets: &[TcpListener]) -> u16 {
    sockets[0].local_addr().expect("a bound socket").port()
}

fn config(urls: &[String], provider: &OpenIdProvider, target: &str, directory: &TempDir) -> Config {
    let path = directory.path().join("gateway.sqlite");
    let listener = |url: &String, rules: Vec<Rule>| {
        let listen = url.trim_start_matches("http://");
        Listener::new(listen, url.parse().expect("an origin"), rules)
    };
    let group = |audience: Option<&str>, cookies: &[&str]| TargetGroup {
        user_token_audience: audience.map(str::to_owned),
        cookies: cookies.iter().map(|&kind| kind.to_owned()).collect(),
        max_request_body_bytes: 64 * 1024,
        ..TargetGroup::of(target.parse().expect("a URL"))
    };
    Config {
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        cookie_suffix: "8400".to_owned(),
        database: countersign_db::DatabaseConfig {
            url: format!("sqlite:{}", path.display()).into(),
            schema: None,
            max_connections: None,
        },
        checkpoint_file: None,
        evidence: countersign_audit::delivery::EvidenceConfig::default(),
        authenticate_oidc: AuthenticateOidc {
            client_secret: Some("gateway-secret".to_owned().into()),
            endpoint_timeout_ms: 1_000,
            ..AuthenticateOidc::new(&provider.issuer, "gateway")
        },
        applications: BTreeMap::new(),
        stop_list: None,
        outbound_allow: vec![
            provider
                .issuer
                .trim_start_matches("http://")
                .parse()
                .expect("host and port"),
        ],
        session: SessionLimits {
            session_timeout_seconds: 3_600,
            idle_timeout_seconds: 1_800,
        },
        claims_header: ClaimsHeader {
            signer: SIGNER.to_owned(),
            lifetime_seconds: 120,
        },
        user_token: UserToken {
            issuer: format!("{}/default", urls[2]).parse().expect("a URL"),
            lifetime_seconds: 300,
        },
        listeners: Listeners {
            app: listener(&urls[0], app_rules("agent")),
            account: listener(&urls[1], account_rules("identity", "binding")),
            keys: KeyListener {
                listen: String::new(),
                hosts: vec![urls[2].trim_start_matches("http://").to_owned()],
                tls: None,
                plaintext_from: Vec::new(),
            },
            additional: BTreeMap::new(),
        },
        acme: None,
        target_groups: BTreeMap::from([
            ("agent".to_owned(), group(Some("dev-agent"), &[])),
            (
                "identity".to_owned(),
                group(Some("identity"), &["browser", "csrf"]),
            ),
            ("binding".to_owned(), group(Some("binding"), &[])),
        ]),
        forward: ForwardLimits {
            connect_timeout_ms: 500,
            idle_timeout_seconds: 1,
            ..ForwardLimits::default()
        },
        client: ClientLimits::default(),
        workers: None,
        operator: None,
        access_log: AccessLog {
            format: AccessLogFormat::Off,
            path: None,
        },
    }
}
