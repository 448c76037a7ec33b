//! A running identity role, and callers of it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use countersign_api::{ApiError, Client, ClientError, Credentials, ErrorCode, Operation, admin, sigv4};
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{Clock as _, FileKeyProvider, SystemRandom, Timestamp};
use countersign_db::testing::TestDatabase;
use countersign_db::{Database, DatabaseConfig, Pool};
use countersign_identity::{
    AccessKey, Bootstrap, BootstrapProvider, Bootstrapped, Config, Damage, Identity, InitialAdmin, Parts,
};
use countersign_outbound as outbound;
use countersign_web::{Drain, DrainSignal, ServeOptions, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const OTHER_ACCOUNT: &str = "111111111111";
pub(crate) const REGION: &str = "us-east-1";
/// When tests begin.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// A running role with what `dev` finds in place, and a second account.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) identity: Identity,
    pub(crate) api: Url,
    pub(crate) dev: Bootstrapped,
    pub(crate) other_admin: AccessKey,
    /// Which engine, for messages.
    pub(crate) engine: &'static str,
    http: outbound::Client,
    drain: DrainSignal,
    kept: Arc<Kept>,
}

/// What replicas share.
struct Kept {
    database: TestDatabase,
    directory: tempfile::TempDir,
    other_admin: AccessKey,
    /// Set when the first replica has made them.
    dev: OnceLock<Bootstrapped>,
}

/// One world an engine.
pub(crate) async fn worlds() -> Vec<World> {
    worlds_with(|_| ()).await
}

/// One world an engine, with a configuration of its own.
pub(crate) async fn worlds_with(adjust: impl Fn(&mut Config)) -> Vec<World> {
    let mut worlds = Vec::new();
    for database in countersign_db::testing::databases().await {
        worlds.push(World::start(database, &adjust).await);
    }
    worlds
}

impl World {
    async fn start(database: TestDatabase, adjust: &impl Fn(&mut Config)) -> Self {
        // The role opens the database itself, as its only writer.
        database.pool.close().await;
        let other_admin = AccessKey {
            access_key_id: "AKIAOTHERACCOUNT0000".to_owned(),
            secret_access_key: "the secret of the other account's admin".to_owned().into(),
        };
        let directory = tempfile::tempdir().expect("a directory");
        let kept = Kept {
            database,
            directory,
            other_admin,
            dev: OnceLock::new(),
        };
        Self::serve_on(Arc::new(kept), Arc::new(ManualClock::new(START)), adjust).await
    }

    async fn serve_on(kept: Arc<Kept>, clock: Arc<ManualClock>, adjust: &impl Fn(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut config: Config = serde_json::from_value(json!({
            "api_hosts": [address.to_string()],
            "front_channel_url": "http://localhost:8407",
            "account": ACCOUNT,
            "other_accounts": [{"id": OTHER_ACCOUNT}],
            "database": {"url": "sqlite:unused"},
        }))
        .expect("a configuration");
        config.database = reopened(&kept.database.database);
        config.other_accounts[0].initial_admin = Some(InitialAdmin {
            access_key_id: kept.other_admin.access_key_id.clone(),
            secret_access_key: kept.other_admin.secret_access_key.clone(),
        });
        adjust(&mut config);
        let key_file = kept.directory.path().join("identity.key");
        let key_provider =
            FileKeyProvider::open_or_create(&key_file, Arc::new(SystemRandom)).expect("a key file");
        let parts = Parts {
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            key_provider: Arc::new(key_provider),
            previous_key_provider: None,
        };
        let identity = Identity::start(config, parts).await.expect("the role starts");
        if kept.dev.get().is_none() {
            let dev = identity
                .bootstrap(bootstrap())
                .await
                .expect("everything in place");
            kept.dev.set(dev).expect("set once");
        }
        let (drain, drained) = Drain::new();
        tokio::spawn(serve(
            vec![listener],
            identity.api_router(),
            drained,
            ServeOptions::default(),
        ));
        let allow = vec![address.to_string().parse().expect("host and port")];
        let http = outbound::Client::new(outbound::Policy {
            allow,
            ..outbound::Policy::default()
        })
        .expect("a client");
        Self {
            clock,
            identity,
            api: Url::parse(&format!("http://{address}/")).expect("a URL"),
            dev: kept.dev.get().expect("made").clone(),
            other_admin: kept.other_admin.clone(),
            engine: kept.database.name,
            http,
            drain,
            kept,
        }
    }

    /// A client that signs with `key` by the world's clock.
    pub(crate) fn client(&self, key: &AccessKey) -> Client {
        let clock = Arc::clone(&self.clock);
        self.client_at(key, Arc::new(move || clock.now().as_secs()))
    }

    /// A client with a clock of its own.
    pub(crate) fn client_at(&self, key: &AccessKey, now_secs: Arc<dyn Fn() -> i64 + Send + Sync>) -> Client {
        let credentials = Credentials {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
            session_token: None,
        };
        Client::new(
            self.api.clone(),
            REGION.to_owned(),
            credentials,
            self.http.clone(),
            now_secs,
        )
    }

    /// The administrator's client.
    pub(crate) fn admin(&self) -> Client {
        self.client(&self.dev.admin)
    }

    /// A new principal of the first account with this policy.
    pub(crate) async fn principal(&self, name: &str, document: Value) -> AccessKey {
        let admin = self.admin();
        let principal_name = name.to_owned();
        let input = admin::create_principal::Input {
            principal_name: principal_name.clone(),
            tags: None,
            trust_policy: None,
        };
        admin
            .call::<admin::CreatePrincipal>(&input)
            .await
            .expect("a principal");
        let input = admin::put_principal_policy::Input {
            principal_name: principal_name.clone(),
            document,
            break_glass: Some(true),
        };
        admin
            .call::<admin::PutPrincipalPolicy>(&input)
            .await
            .expect("a policy");
        let input = admin::create_access_key::Input { principal_name };
        let output = admin
            .call::<admin::CreateAccessKey>(&input)
            .await
            .expect("an access key");
        AccessKey {
            access_key_id: output.access_key.access_key_id,
            secret_access_key: output.secret_access_key.into_secret(),
        }
    }

    /// A signed call with any body.
    pub(crate) async fn signed(
        &self,
        key: &AccessKey,
        service: &str,
        path: &str,
        body: &str,
    ) -> (http::StatusCode, Option<ErrorCode>) {
        let answer = self.answer(key, service, path, body).await;
        let error = ApiError::from_http(&answer.headers, &answer.body);
        (answer.status, error.map(|error| error.code))
    }

    /// As [`Self::signed`], with the whole answer.
    pub(crate) async fn answer(
        &self,
        key: &AccessKey,
        service: &str,
        path: &str,
        body: &str,
    ) -> outbound::Response {
        let credentials = Credentials {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
            session_token: None,
        };
        let url = self.api.join(path).expect("a URL");
        let request = http::Request::post(url.as_str()).body(Bytes::copy_from_slice(body.as_bytes()));
        let mut request = request.expect("a request");
        let now = self.clock.now().as_secs();
        sigv4::sign(&credentials, REGION, service, &mut request, now).expect("signed");
        let (parts, body) = request.into_parts();
        let request = outbound::Request {
            headers: parts.headers,
            body,
            ..outbound::Request::post(url)
        };
        self.http.send(request).await.expect("an answer")
    }

    /// Another replica on the same database, by the same clock and keys; PostgreSQL only.
    pub(crate) async fn replica(&self) -> Self {
        Self::serve_on(Arc::clone(&self.kept), Arc::clone(&self.clock), &|_| ()).await
    }

    /// Ended, its database changed by `statements`, and looked through; then started again.
    pub(crate) async fn damaged(self, statements: &[&'static str]) -> (Self, Vec<Damage>) {
        let (kept, clock) = (Arc::clone(&self.kept), Arc::clone(&self.clock));
        self.close().await;
        let pool = Pool::connect(&kept.database.database).await.expect("opens");
        for statement in statements {
            let changed = pool.execute(statement, Vec::new()).await.expect("changed");
            assert!(changed > 0, "{statement}");
        }
        let key_file = kept.directory.path().join("identity.key");
        let provider = FileKeyProvider::open(&key_file, Arc::new(SystemRandom)).expect("the key file");
        let found = countersign_identity::integrity(&pool, &provider)
            .await
            .expect("looked through");
        pool.close().await;
        (Self::serve_on(kept, clock, &|_| ()).await, found)
    }

    /// Changes the database beside the role; PostgreSQL only.
    pub(crate) async fn execute(&self, statement: &'static str) {
        let pool = Pool::connect(&self.kept.database.database).await.expect("opens");
        pool.execute(statement, Vec::new()).await.expect("changed");
        pool.close().await;
    }

    /// Who may both ask and complete, as `doctor` sees it.
    pub(crate) async fn break_glass(&self) -> Vec<String> {
        let database = self.kept.database.database.clone().read_only();
        let pool = Pool::connect(&database).await.expect("opens");
        let found = countersign_identity::break_glass(&pool).await.expect("read");
        pool.close().await;
        found.into_iter().map(|found| found.principal).collect()
    }

    /// The same after it was ended in good order and started again.
    pub(crate) async fn restarted(self) -> Self {
        let (kept, clock) = (Arc::clone(&self.kept), Arc::clone(&self.clock));
        self.close().await;
        Self::serve_on(kept, clock, &|_| ()).await
    }

    /// The newest audit records of `action`, newest first.
    pub(crate) async fn records(&self, action: &str) -> Vec<Value> {
        let input = admin::list_audit_records::Input {
            action: Some(action.to_owned()),
            newest: Some(true),
            max_results: Some(100),
            ..Default::default()
        };
        self.admin()
            .call::<admin::ListAuditRecords>(&input)
            .await
            .expect("records")
            .records
    }

    /// Waits until an audit record of `action` has `reason`: refusals of strangers are written in the background.
    pub(crate) async fn refusal(&self, action: &str, reason: &str) -> Value {
        for _ in 0..100 {
            let records = self.records(action).await;
            if let Some(record) = records.into_iter().find(|record| record["reason"] == reason) {
                return record;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{}: no record of {action} with reason {reason}", self.engine);
    }

    /// Ends the role; everything it kept stays until the world is dropped.
    pub(crate) async fn close(self) {
        self.drain.drain();
        self.identity.close().await.expect("the audit trail is finished");
    }
}

/// Everything allowed everywhere.
pub(crate) fn allow(actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]})
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> ErrorCode {
    result
        .expect_err("a refusal")
        .code()
        .expect("an error of the API")
}

/// What an operation answers to everybody alike.
pub(crate) async fn call<O: Operation>(client: &Client, input: O::Input) -> Result<O::Output, ClientError> {
    client.call::<O>(&input).await
}

pub(crate) fn bootstrap() -> Bootstrap {
    Bootstrap {
        admin: None,
        agent: None,
        binding: None,
        workload: "dev-agent".to_owned(),
        return_urls: vec![Url::parse("http://localhost:8407/oauth2/session-binding").expect("a URL")],
        provider: BootstrapProvider {
            name: "ledgerline".to_owned(),
            discovery_url: Url::parse("http://127.0.0.1:8404/.well-known/openid-configuration")
                .expect("a URL"),
            client_id: "countersign".to_owned(),
            client_secret: "the secret of ledgerline".to_owned().into(),
        },
    }
}

fn reopened(database: &Database) -> DatabaseConfig {
    match database {
        Database::Sqlite { path, .. } => DatabaseConfig {
            url: format!("sqlite:{}", path.display()).into(),
            schema: None,
            max_connections: None,
        },
        Database::Postgres {
            url,
            schema,
            max_connections,
        } => DatabaseConfig {
            url: url.clone(),
            schema: Some(schema.clone()),
            max_connections: Some(*max_connections),
        },
    }
}
