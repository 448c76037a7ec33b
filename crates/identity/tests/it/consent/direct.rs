//! The flows without a browser: tokens of workloads themselves (M2M), and people's own tokens exchanged
//! (`ON_BEHALF_OF_TOKEN_EXCHANGE`).

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::vendor::{AUTHORIZATION, Next};
use super::{Answer, Ask, IDP, System, Workload, text};

const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl Workload<'_> {
    /// Mints a workload access token for the agent alone.
    async fn wat_alone(&self) -> String {
        let minted = self.mint("", json!({})).await;
        assert_eq!(minted.status, StatusCode::OK, "{minted:?}");
        text(&minted.body["workloadAccessToken"]).to_owned()
    }

    async fn asks_directly(&self, wat: &str, flow: &str, more: Value) -> Answer {
        let mut body = json!({
            "workloadIdentityToken": wat, "resourceCredentialProviderName": "vendor", "scopes": ["read"],
            "oauth2Flow": flow,
        });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.system
            .call(&self.credentials, "/identities/oauth2/token", &body)
            .await
    }

    async fn asks_m2m(&self, wat: &str, more: Value) -> Answer {
        self.asks_directly(wat, "M2M", more).await
    }

    async fn asks_on_behalf(&self, wat: &str, more: Value) -> Answer {
        self.asks_directly(wat, "ON_BEHALF_OF_TOKEN_EXCHANGE", more).await
    }
}

impl System {
    /// The agent, with every right: the policies that dev ships are not what these tests are about.
    fn free_agent(&self, name: &str) -> Workload<'_> {
        Workload {
            credentials: self.admin.clone(),
            ..self.workload(name)
        }
    }

    /// Gives the provider `vendor` further members.
    async fn configure(&self, members: Value) {
        let mut config = self.provider_config("vendor", "client");
        let custom = &mut config["oauth2ProviderConfigInput"]["customOauth2ProviderConfig"];
        for (name, value) in members.as_object().expect("an object") {
            custom[name] = value.clone();
        }
        self.control("UpdateOauth2CredentialProvider", config).await;
    }
}

fn assert_validation(answer: &Answer, says: &str) {
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::BAD_REQUEST, "ValidationException"),
        "{answer:?}"
    );
    assert!(answer.error().1.contains(says), "{says}: {answer:?}");
}

#[tokio::test]
async fn a_workloads_own_token_is_fetched_once_and_kept_until_it_expires() {
    let system = System::start().await;
    let agent = system.free_agent("agent");
    let wat = agent.wat_alone().await;
    let asked = (0..20).map(|_| agent.asks_m2m(&wat, json!({"scopes": ["b", "a"]})));
    let answers = futures_util::future::join_all(asked).await;
    for answer in &answers {
        assert_eq!(answer.token(), Some("alone-1"), "{answer:?}");
    }
    assert_eq!(system.vendor.token_requests(), 1, "one flight");
    let request = system.vendor.last_request();
    assert_eq!(
        (&*request["grant_type"], &*request["scope"]),
        ("client_credentials", "a b")
    );
    let body = &answers[0].body;
    assert_eq!(body["grantedScopes"], json!(["a", "b"]));
    assert_eq!(body["expiresAt"], json!(1_800_003_600.0));
    assert!(body["grantId"].is_null() && body["authorizationUrl"].is_null() && body["sessionUri"].is_null());
    let record = system.last_record("GetResourceOauth2Token").await;
    assert_eq!(
        (&record["detail"]["flow"], &record["detail"]["released"]),
        (&json!("M2M"), &json!(true))
    );

    // Whoever the workload acts for, the token is its own; and a set of scopes has no order.
    let alices = agent.wat(&system.person("alice")).await;
    assert_eq!(
        agent.asks_m2m(&alices, json!({"scopes": ["a b"]})).await.token(),
        Some("alone-1")
    );
    system.clock.advance(Duration::from_secs(3570));
    assert_eq!(
        agent.asks_m2m(&wat, json!({"scopes": ["a", "b"]})).await.token(),
        Some("alone-1")
    );
    system.clock.advance(Duration::from_secs(20));
    assert_eq!(
        agent.asks_m2m(&wat, json!({"scopes": ["a", "b"]})).await.token(),
        Some("alone-2"),
        "too near its end"
    );
}

#[tokio::test]
async fn a_stop_lists_what_belongs_to_no_grant_and_what_one_caller_was_given() {
    let system = System::start().await;
    let actions = [
        "bedrock-agentcore:GetWorkloadAccessToken",
        "bedrock-agentcore:GetResourceOauth2Token",
    ];
    let courier = Workload {
        credentials: system.principal("courier", &actions, "agent", "vendor").await,
        ..system.workload("agent")
    };
    // The same token twice.
    let wat = courier.wat_alone().await;
    for _ in 0..2 {
        assert_eq!(courier.asks_m2m(&wat, json!({})).await.token(), Some("alone-1"));
    }
    // Another principal's, from a grant.
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent.asks_for_token(&alice).await.token().is_some());

    let stop = async |kind: &str, subject: &str| {
        let stopped = json!({"subjectKind": kind, "subject": subject});
        let done = system.admin("Stop", stopped.clone()).await;
        system.admin("Start", stopped).await;
        assert_eq!(done["truncated"], false, "{done}");
        assert!(done["searchedFrom"].is_null(), "all of the trail: {done}");
        done["liveTokens"].as_array().expect("a list").clone()
    };
    let of_courier = stop("principal", "courier").await;
    assert_eq!(of_courier.len(), 1, "{of_courier:?}");
    assert_eq!(
        (&of_courier[0]["oauth2Flow"], &of_courier[0]["workloadName"]),
        (&json!("M2M"), &json!("agent"))
    );
    assert!(of_courier[0]["grantId"].is_null(), "{of_courier:?}");
    assert!(of_courier[0]["auditRecordId"].is_string(), "{of_courier:?}");
    let of_agent = stop("workload", "agent").await;
    let mut flows: Vec<&str> = of_agent.iter().map(|token| text(&token["oauth2Flow"])).collect();
    flows.sort_unstable();
    assert_eq!(flows, ["M2M", "USER_FEDERATION"], "{of_agent:?}");
    assert_eq!(stop("principal", "somebody-else").await, Vec::<Value>::new());

    // The grants that a principal was given tokens from end too, where that is wanted.
    let withdrawn = json!({"subjectKind": "principal", "subject": "dev-agent", "revokeTokens": true});
    let done = system.admin("Stop", withdrawn).await;
    assert_eq!(done["grantsRevoked"], 1, "{done}");
    assert_ne!(system.grants().await[0]["state"], "ACTIVE");

    // What has ended is out no more.
    system.clock.advance(Duration::from_secs(3601));
    assert_eq!(stop("principal", "courier").await, Vec::<Value>::new());
}

/// One that workloads may assume is a role, and calls as one with its key too.
#[tokio::test]
async fn a_stop_lists_what_a_role_was_given_with_a_key_of_its_own() {
    let system = System::start_with(json!({"workload_issuers": [{"issuer": "https://cluster.test"}]})).await;
    let actions = [
        "bedrock-agentcore:GetWorkloadAccessToken",
        "bedrock-agentcore:GetResourceOauth2Token",
    ];
    let courier = Workload {
        credentials: system.principal("courier", &actions, "agent", "vendor").await,
        ..system.workload("agent")
    };
    let trusted = json!([{"issuer": "https://cluster.test", "audience": "a", "subject": "pod"}]);
    let trust = json!({"principalName": "courier", "trustPolicy": {"trusted": trusted}});
    system.admin("UpdatePrincipal", trust).await;
    let wat = courier.wat_alone().await;
    assert_eq!(courier.asks_m2m(&wat, json!({})).await.token(), Some("alone-1"));
    system
        .assert_recorded_by("GetResourceOauth2Token", "done", ":role/courier")
        .await;
    let done = system
        .admin("Stop", json!({"subjectKind": "principal", "subject": "courier"}))
        .await;
    assert_eq!(done["liveTokens"].as_array().map(Vec::len), Some(1), "{done}");
}

/// Of a million records, or of as many grants that end, it takes minutes.
#[tokio::test]
async fn a_stop_that_takes_a_minute_is_done_and_recorded_as_done() {
    let system = System::start().await;
    // A second or so, in which the test has a minute pass.
    let system = system
        .damaged(&[
            "CREATE VIEW slow AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000000) \
             SELECT x FROM c",
            "CREATE TRIGGER late AFTER INSERT ON stop BEGIN SELECT COUNT(*) FROM slow; END",
        ])
        .await;
    let subject = json!({"subjectKind": "workload", "subject": "agent"});
    let stopping = system.call(&system.admin, "/countersign/Stop", &subject);
    tokio::pin!(stopping);
    let waited = tokio::time::timeout(Duration::from_millis(100), stopping.as_mut()).await;
    assert!(waited.is_err(), "{waited:?}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    let answer = stopping.await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(system.last_record("Stop").await["outcome"], "done");
}

/// What is committed is in force, also where this replica cannot read it again at once: it is not reported as failed.
#[tokio::test]
async fn a_stop_that_cannot_be_read_again_at_once_is_in_force_and_done() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent.asks_for_token(&alice).await.token().is_some());
    // From the stop on there is a text that is none, until the first grant ends.
    let system = system
        .damaged(&[
            "CREATE TRIGGER spoil AFTER INSERT ON stop BEGIN \
             INSERT INTO stop VALUES ('000000000000', 'user', CAST(x'ff' AS TEXT), NULL, '', 0); END",
            "CREATE TRIGGER heal AFTER UPDATE ON oauth2_grant BEGIN DELETE FROM stop WHERE stopped_by = ''; END",
        ])
        .await;
    let stop = json!({"subjectKind": "workload", "subject": "agent", "revokeTokens": true});
    let done = system.admin("Stop", stop).await;
    assert_eq!(done["grantsRevoked"], 1, "{done}");
    assert_eq!(system.last_record("Stop").await["outcome"], "done");
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let refused = agent
        .mint("ForJWT", json!({"userToken": alice.token("agent")}))
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
}

/// The rows that lead from a person's id to their other keys are erased last.
#[tokio::test]
async fn a_forgetting_that_was_interrupted_is_done_by_the_next() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent.asks_for_token(&alice).await.token().is_some());
    // Keys of persons stay for as long as anything is stopped.
    let system = system
        .damaged(&[
            "CREATE TRIGGER interrupted BEFORE DELETE ON person_key WHEN EXISTS (SELECT 1 FROM stop) \
                    BEGIN SELECT RAISE(ABORT, 'interrupted'); END",
        ])
        .await;
    let other = json!({"subjectKind": "provider", "subject": "other"});
    system.admin("Stop", other.clone()).await;
    let forget = json!({"user": countersign_crypto::published_user_id(IDP, "alice")});
    let interrupted = system
        .call(&system.admin, "/countersign/ForgetUser", &forget)
        .await;
    assert!(interrupted.status.is_server_error(), "{interrupted:?}");
    system.admin("Start", other).await;
    let done = system.admin("ForgetUser", forget).await;
    assert_eq!(done["auditDetailsErased"], true, "{done}");
    assert_eq!(done["grantsErased"], 1, "{done}");
    let key = countersign_crypto::UserKey::jwt(IDP, "alice").to_hex();
    assert!(
        done["userKeys"]
            .as_array()
            .is_some_and(|keys| keys.contains(&json!(key))),
        "{done}"
    );
}

#[tokio::test]
async fn everything_of_a_request_keys_a_workloads_own_token() {
    let system = System::start().await;
    system.add_workload("other-agent").await;
    system.add_provider("other").await;
    let (agent, other) = (system.free_agent("agent"), system.free_agent("other-agent"));
    let wat = agent.wat_alone().await;
    let mut tokens = vec![agent.asks_m2m(&wat, json!({})).await];
    for more in [
        json!({"scopes": []}),
        json!({"scopes": ["read", "write"]}),
        json!({"resources": ["https://api.test"]}),
        json!({"audiences": ["api"]}),
        json!({"customParameters": {"tenant": "t"}}),
        json!({"resourceCredentialProviderName": "other"}),
        json!({"forceAuthentication": true}),
    ] {
        tokens.push(agent.asks_m2m(&wat, more).await);
    }
    tokens.push(other.asks_m2m(&other.wat_alone().await, json!({})).await);
    let seen: std::collections::BTreeSet<_> = tokens.iter().filter_map(Answer::token).collect();
    assert_eq!(seen.len(), 9, "{seen:?}");

    let more = json!({
        "scopes": [], "resources": ["https://a.test", "https://b.test"], "audiences": ["api"],
        "customParameters": {"tenant": "t"},
    });
    agent.asks_m2m(&wat, more).await;
    let request = system.vendor.last_request();
    assert!(!request.contains_key("scope"), "no scope at all: {request:?}");
    assert_eq!(
        (&*request["resource"], &*request["audience"], &*request["tenant"]),
        ("https://b.test", "api", "t")
    );

    // A changed registration is another client: nothing kept under the old one is served.
    let kept = agent.asks_m2m(&wat, json!({})).await;
    system.configure(json!({"clientSecret": "rotated"})).await;
    assert_ne!(agent.asks_m2m(&wat, json!({})).await.token(), kept.token());
    // Nor does a token outlive its provider.
    system
        .control("DeleteOauth2CredentialProvider", json!({"name": "other"}))
        .await;
    system.add_provider("other").await;
    let anew = agent
        .asks_m2m(&wat, json!({"resourceCredentialProviderName": "other"}))
        .await;
    assert!(!seen.contains(anew.token().expect("a token")));
}

#[tokio::test]
async fn a_workloads_own_token_is_stored_sealed_and_stops_hold() {
    let system = System::start().await;
    let agent = system.free_agent("agent");
    let wat = agent.wat_alone().await;
    assert_eq!(agent.asks_m2m(&wat, json!({})).await.token(), Some("alone-1"));
    for file in std::fs::read_dir(system.directory.path())
        .expect("the directory")
        .flatten()
    {
        let bytes = std::fs::read(file.path()).expect("a file");
        assert!(
            !bytes.windows(7).any(|part| part == b"alone-1"),
            "{:?}",
            file.path()
        );
    }
    system.stop("workload", "agent").await;
    let answer = agent.asks_m2m(&wat, json!({})).await;
    assert_eq!((answer.status, answer.token()), (StatusCode::FORBIDDEN, None));
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_ends_is_not_kept() {
    let system = System::start().await;
    let agent = system.free_agent("agent");
    let wat = agent.wat_alone().await;
    system.vendor.will(Next::Granted("other"));
    let first = agent.asks_m2m(&wat, json!({})).await;
    assert_eq!(first.token(), Some("alone-1"));
    assert!(first.body["expiresAt"].is_null());
    assert_eq!(
        first.body["grantedScopes"],
        json!(["other"]),
        "what was granted, not what was asked"
    );
    assert_eq!(agent.asks_m2m(&wat, json!({})).await.token(), Some("alone-2"));
}

#[tokio::test]
async fn flows_without_a_browser_refuse_what_they_cannot_honour() {
    let system = System::start().await;
    let agent = system.free_agent("agent");
    let wat = agent.wat(&system.person("alice")).await;
    let uri = "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy";
    for flow in ["M2M", "ON_BEHALF_OF_TOKEN_EXCHANGE"] {
        for (more, says) in [
            (json!({"sessionUri": uri}), "sessionUri"),
            (json!({"customState": "s"}), "customState"),
            (
                json!({"customParameters": {"grant_type": "password"}}),
                "customParameters.grant_type",
            ),
            (
                json!({"customParameters": {"Client_Secret": "x"}}),
                "customParameters.Client_Secret",
            ),
            (
                json!({"customParameters": {"scope": "admin"}}),
                "customParameters.scope",
            ),
            (
                json!({"customParameters": {"client_assertion": "x"}}),
                "customParameters.client_assertion",
            ),
            (
                json!({"customParameters": {"subject_token": "x"}}),
                "customParameters.subject_token",
            ),
            (
                json!({"customParameters": {"assertion": "x"}}),
                "customParameters.assertion",
            ),
            (
                json!({"customParameters": {"refresh_token": "x"}}),
                "customParameters.refresh_token",
            ),
        ] {
            system.vendor.will(Next::Tokens { expires_in: 60 });
            assert_validation(&agent.asks_directly(&wat, flow, more).await, says);
        }
    }
    let unknown = agent.asks_directly(&wat, "IMPLICIT", json!({})).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    // A person's flow needs a person; an exchange needs the person's own token, and a provider made for it.
    let alone = agent.wat_alone().await;
    assert_validation(
        &agent.asks(&alone, &Ask::default()).await,
        "workloadIdentityToken",
    );
    assert_validation(
        &agent.asks_on_behalf(&wat, json!({})).await,
        "onBehalfOfTokenExchangeConfig",
    );
    system
        .configure(json!({"onBehalfOfTokenExchangeConfig": {"grantType": "TOKEN_EXCHANGE"}}))
        .await;
    for wat in [alone, agent.wat_for_user_id("alice").await] {
        assert_validation(
            &agent.asks_on_behalf(&wat, json!({})).await,
            "GetWorkloadAccessTokenForJWT",
        );
    }
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn a_provider_that_gives_no_token_is_quoted_or_tried_again() {
    let system = System::start().await;
    let agent = system.free_agent("agent");
    let wat = agent.wat_alone().await;
    for (next, says) in [
        (Next::Error("invalid_scope"), "invalid_scope"),
        (
            Next::Says(r#"{"error":"unauthorized_client","error_description":"no"}"#),
            "unauthorized_client (no)",
        ),
        (Next::Says("<html>not here</html>"), "malformed"),
        (Next::Says("{}"), "malformed"),
        (Next::Says(""), "malformed"),
    ] {
        system.vendor.will(next);
        let answer = agent.asks_m2m(&wat, json!({})).await;
        assert_validation(&answer, "Error parsing ClientCredentials response");
        assert_validation(&answer, says);
    }
    system.vendor.will(Next::Redirect);
    assert_validation(&agent.asks_m2m(&wat, json!({})).await, "status 307");
    let asked = system.vendor.token_requests();
    for next in [Next::Broken, Next::Huge, Next::Status(429), Next::Status(408)] {
        system.vendor.will(next);
        let answer = agent.asks_m2m(&wat, json!({})).await;
        assert_eq!(
            (answer.status, answer.token()),
            (StatusCode::SERVICE_UNAVAILABLE, None),
            "{answer:?}"
        );
    }
    assert_eq!(
        system.vendor.token_requests(),
        asked + 4,
        "nobody followed or repeated anything"
    );
    system
        .assert_recorded("GetResourceOauth2Token", "failed", "provider_unreachable")
        .await;
}

#[tokio::test]
async fn a_persons_own_token_is_exchanged_as_rfc_8693_says() {
    let system = System::start().await;
    system
        .configure(json!({"onBehalfOfTokenExchangeConfig": {
            "grantType": "TOKEN_EXCHANGE", "tokenExchangeGrantTypeConfig": {"actorTokenContent": "NONE"},
        }}))
        .await;
    let (agent, alice) = (system.free_agent("agent"), system.person("alice"));
    let proof = alice.token("agent");
    let minted = agent.mint("ForJWT", json!({"userToken": proof})).await;
    let wat = text(&minted.body["workloadAccessToken"]);
    let more = json!({"resources": ["https://api.test"], "audiences": ["api"], "scopes": ["write", "read"]});
    let answer = agent.asks_on_behalf(wat, more.clone()).await;
    assert_eq!(answer.token(), Some("alone-1"), "{answer:?}");
    assert_eq!(answer.body["grantedScopes"], json!(["read", "write"]));
    assert!(answer.body["expiresAt"].is_number() && answer.body["grantId"].is_null());
    let sent = system.vendor.last_request();
    assert_eq!(sent["grant_type"], TOKEN_EXCHANGE);
    assert_eq!(sent["subject_token"], proof);
    assert_eq!(sent["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(
        (&*sent["scope"], &*sent["resource"], &*sent["audience"]),
        ("read write", "https://api.test", "api")
    );
    assert!(sent[AUTHORIZATION].starts_with("Basic ") && !sent.contains_key("actor_token"));
    // The caller gets it and nobody else: nothing is kept.
    assert_eq!(agent.asks_on_behalf(wat, more).await.token(), Some("alone-2"));
    assert_eq!(system.grants().await.len(), 0);
    let record = system.last_record("GetResourceOauth2Token").await;
    assert_eq!(record["detail"]["flow"], "ON_BEHALF_OF_TOKEN_EXCHANGE");
    assert!(!record.to_string().contains(&proof) && !record.to_string().contains("alone-2"));

    // Defaults give way, as the API says; what the grant is made of does not.
    let other = json!({"customParameters": {
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token", "requested_token_use": "x",
    }});
    agent.asks_on_behalf(wat, other).await;
    let sent = system.vendor.last_request();
    assert_eq!(
        sent["subject_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(sent["requested_token_use"], "x");
}

#[tokio::test]
async fn the_workload_itself_may_be_the_actor_of_an_exchange() {
    let system = System::start().await;
    let exchange = |actor: Value| json!({"onBehalfOfTokenExchangeConfig": {"grantType": "TOKEN_EXCHANGE", "tokenExchangeGrantTypeConfig": actor}});
    system
        .configure(exchange(
            json!({"actorTokenContent": "M2M", "actorTokenScopes": ["act"]}),
        ))
        .await;
    let (agent, alice) = (system.free_agent("agent"), system.person("alice"));
    let wat = agent.wat(&alice).await;
    for exchanged in ["alone-2", "alone-3"] {
        assert_eq!(
            agent.asks_on_behalf(&wat, json!({})).await.token(),
            Some(exchanged)
        );
        let sent = system.vendor.last_request();
        assert_eq!(sent["actor_token"], "alone-1", "the actor's own token is kept");
        assert_eq!(
            sent["actor_token_type"],
            "urn:ietf:params:oauth:token-type:access_token"
        );
    }
    let first = system.vendor.memory.lock().expect("not poisoned").requests[0].clone();
    assert_eq!(
        (&*first["grant_type"], &*first["scope"]),
        ("client_credentials", "act")
    );

    system
        .configure(exchange(json!({"actorTokenContent": "AWS_IAM_ID_TOKEN_JWT"})))
        .await;
    let sent_before = system.vendor.token_requests();
    assert_validation(
        &agent.asks_on_behalf(&wat, json!({})).await,
        "AWS_IAM_ID_TOKEN_JWT",
    );
    assert_eq!(system.vendor.token_requests(), sent_before);
}

#[tokio::test]
async fn a_persons_own_token_is_the_grant_as_rfc_7523_says() {
    let system = System::start().await;
    system
        .configure(json!({"onBehalfOfTokenExchangeConfig": {
            "grantType": "JWT_AUTHORIZATION_GRANT",
            "onBehalfOfAuthenticationConfig": {"clientAuthenticationMethod": "NO_CLIENT"},
        }}))
        .await;
    let (agent, alice) = (system.free_agent("agent"), system.person("alice"));
    let proof = alice.token("agent");
    let minted = agent.mint("ForJWT", json!({"userToken": proof})).await;
    let wat = text(&minted.body["workloadAccessToken"]);
    let more = json!({"customParameters": {"requested_token_use": "on_behalf_of"}});
    assert_eq!(agent.asks_on_behalf(wat, more).await.token(), Some("alone-1"));
    let sent = system.vendor.last_request();
    assert_eq!((&*sent["grant_type"], &*sent["assertion"]), (JWT_BEARER, &*proof));
    assert_eq!(sent["requested_token_use"], "on_behalf_of");
    for member in [AUTHORIZATION, "client_id", "client_secret"] {
        assert!(!sent.contains_key(member), "{member} was sent");
    }
    // The secret is dropped for the exchange alone.
    assert_eq!(agent.asks_m2m(wat, json!({})).await.token(), Some("alone-2"));
    assert!(system.vendor.last_request().contains_key(AUTHORIZATION));

    system.vendor.will(Next::Error("invalid_grant"));
    assert_validation(&agent.asks_on_behalf(wat, json!({})).await, "invalid_grant");
    system.stop("user", &alice.published_id()).await;
    let stopped = agent.asks_on_behalf(wat, json!({})).await;
    assert_eq!((stopped.status, stopped.token()), (StatusCode::FORBIDDEN, None));
}

/// Design D7: a token of more than 8 KB does not travel inside the workload access token.
#[tokio::test]
async fn a_long_inbound_token_waits_in_a_sealed_row() {
    let system = System::start().await;
    system
        .configure(json!({"onBehalfOfTokenExchangeConfig": {"grantType": "TOKEN_EXCHANGE"}}))
        .await;
    let (agent, alice) = (system.free_agent("agent"), system.person("alice"));
    let canary = "canary-of-a-long-token-";
    let now = countersign_crypto::Clock::now(&*system.clock).as_secs();
    let claims = json!({
        "iss": super::GATEWAY, "sub": "s", "aud": "agent", "iat": now, "exp": now + 300, "sid": alice.sid,
        "idp_iss": alice.issuer, "idp_sub": "alice", "groups": canary.repeat(400),
    });
    let proof = system
        .gateway
        .sign_jwt(serde_json::Map::new(), &claims)
        .expect("signed");
    assert!(
        proof.len() > 8 * 1024 && proof.len() <= 16 * 1024,
        "{}",
        proof.len()
    );
    let minted = agent.mint("ForJWT", json!({"userToken": proof})).await;
    let wat = text(&minted.body["workloadAccessToken"]);
    assert!(wat.len() < 1024, "{} characters", wat.len());
    let body = proof.split('.').nth(1).expect("claims");
    for file in std::fs::read_dir(system.directory.path())
        .expect("the directory")
        .flatten()
    {
        let bytes = std::fs::read(file.path()).expect("a file");
        let found = |needle: &str| bytes.windows(needle.len()).any(|part| part == needle.as_bytes());
        assert!(!found(canary) && !found(&body[4000..4100]), "{:?}", file.path());
    }
    assert_eq!(
        agent.asks_on_behalf(wat, json!({})).await.token(),
        Some("alone-1")
    );
    assert_eq!(system.vendor.last_request()["subject_token"], proof);
    system.clock.advance(Duration::from_hours(1));
    let answer = agent.asks_on_behalf(wat, json!({})).await;
    assert_eq!(
        answer.status,
        StatusCode::UNAUTHORIZED,
        "it dies with the workload access token"
    );
}
