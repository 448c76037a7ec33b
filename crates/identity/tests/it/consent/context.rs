//! Attack rows C: the right thing in the wrong place.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::vendor::{Next, Vendor, parameters};
use super::{Ask, System, assert_invalid_session, text};

#[tokio::test]
async fn c01_a_principal_of_another_workload_completes_nothing() {
    let system = System::start().await;
    system.add_workload("other-agent").await;
    let actions = [
        "bedrock-agentcore:CompleteResourceTokenAuth",
        "countersign:DescribeAuthorizationSession",
    ];
    let other = system
        .principal("other-binding", &actions, "other-agent", "vendor")
        .await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": alice.token("binding")}});
    for path in [
        "/identities/CompleteResourceTokenAuth",
        "/countersign/DescribeAuthorizationSession",
    ] {
        assert_invalid_session(&system.call(&other, path, &body).await);
    }
    // Nor does the agent itself: it may ask, not complete.
    let answer = system
        .call(&system.agent, "/identities/CompleteResourceTokenAuth", &body)
        .await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::FORBIDDEN, "AccessDeniedException")
    );
    system.assert_nothing_happened().await;
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn c02_one_workloads_token_is_worth_nothing_to_anothers_principal() {
    let system = System::start().await;
    system.add_workload("other-agent").await;
    let actions = [
        "bedrock-agentcore:GetWorkloadAccessTokenForJWT",
        "bedrock-agentcore:GetResourceOauth2Token",
    ];
    let credentials = system
        .principal("other-agent", &actions, "other-agent", "vendor")
        .await;
    let mut other = system.workload("other-agent");
    other.credentials = credentials;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let answer = other.asks(&agent.wat(&alice).await, &Ask::default()).await;
    assert_eq!((answer.status, answer.token()), (StatusCode::FORBIDDEN, None));
    system
        .assert_recorded("GetResourceOauth2Token", "refused", "not_authorized")
        .await;
    // With its own token it finds its own, empty, vault.
    assert_eq!(other.asks_for_token(&alice).await.session_status(), "IN_PROGRESS");
}

#[tokio::test]
async fn c04_a_code_at_another_providers_callback_is_refused() {
    let system = System::start().await;
    let other_callback = system.add_provider("other").await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let vendor_url = alice.starts(pending.link()).await;
    let callback = system.vendor.agree(&vendor_url, "alice");
    let query = callback.split_once('?').expect("a query").1;
    let page = alice.opens(&format!("{other_callback}?{query}")).await;
    assert_eq!((page.status, page.location()), (StatusCode::FORBIDDEN, ""));
    system
        .assert_recorded(
            "ReceiveAuthorizationResponse",
            "refused",
            "callback_of_another_provider",
        )
        .await;
    // The session is lost: somebody mixes providers up.
    assert_eq!(alice.opens(&callback).await.status, StatusCode::CONFLICT);
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn c05_a_provider_changed_on_the_way_gets_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let held = agent.asks(&wat, &Ask::default()).await;
    let handle = alice.consents(held.link()).await;
    let started = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["write"],
                ..Ask::default()
            },
        )
        .await;
    let vendor_url = alice.starts(started.link()).await;
    let created = agent
        .asks(
            &wat,
            &Ask {
                scopes: vec!["admin"],
                ..Ask::default()
            },
        )
        .await;
    system
        .control(
            "UpdateOauth2CredentialProvider",
            system.provider_config("vendor", "new-client"),
        )
        .await;
    assert_eq!(
        alice.agrees(&vendor_url, "alice").await.status,
        StatusCode::FORBIDDEN
    );
    let question = alice.opens(created.link()).await;
    assert_eq!(
        alice.answers(&question, "allow").await.status,
        StatusCode::FORBIDDEN
    );
    let answer = alice.completes(&handle).await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::BAD_REQUEST, "ValidationException")
    );
    system.assert_nothing_happened().await;
}

/// Mallory runs P2 and sends Alice's browser on to P1's authorization endpoint, with the state of P2's session, so
/// that P1's code would be exchanged at P2's token endpoint (RFC 9207, mix-up).
#[tokio::test]
async fn c06_a_malicious_provider_gets_no_honest_ones_code() {
    let evil = Vendor::start().await;
    let evil_host = url::Url::parse(&evil.issuer())
        .expect("a URL")
        .authority()
        .to_owned();
    let system = System::start_with(json!({"outbound_allow": [evil_host]})).await;
    system
        .control(
            "CreateOauth2CredentialProvider",
            json!({
                "name": "evil",
                "credentialProviderVendor": "CustomOauth2",
                "oauth2ProviderConfigInput": {"customOauth2ProviderConfig": {
                    "oauthDiscovery": {"discoveryUrl": evil.discovery_url()},
                    "clientId": "client", "clientSecret": "secret",
                }},
            }),
        )
        .await;
    let alice = system.person("alice");
    let agent = super::Workload {
        credentials: system.admin.clone(),
        ..system.workload("agent")
    };
    let wat = agent.wat(&alice).await;
    let honest_url = alice.starts(agent.asks(&wat, &Ask::default()).await.link()).await;
    for redirected_to in ["the honest provider's callback", "its own callback"] {
        let ask = Ask {
            provider: "evil",
            force: true,
            ..Ask::default()
        };
        let evil_url = alice.starts(agent.asks(&wat, &ask).await.link()).await;
        assert!(evil_url.starts_with(&evil.issuer()), "{evil_url}");
        let mut mixed = parameters(&evil_url);
        if redirected_to == "the honest provider's callback" {
            mixed.insert(
                "redirect_uri".to_owned(),
                parameters(&honest_url)["redirect_uri"].clone(),
            );
        }
        let mut sent_on = url::Url::parse(&format!("{}/authorize", system.vendor.issuer())).expect("a URL");
        sent_on.query_pairs_mut().extend_pairs(mixed);
        // The honest server consents, names itself, and answers where it was told to.
        let page = alice.agrees(sent_on.as_str(), "alice").await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::FORBIDDEN, ""),
            "{redirected_to}: {page:?}"
        );
    }
    assert_eq!(
        evil.token_requests(),
        0,
        "an honest server's code reached the malicious one"
    );
    system.assert_nothing_happened().await;
    system
        .assert_recorded(
            "ReceiveAuthorizationResponse",
            "refused",
            "callback_of_another_provider",
        )
        .await;
}

#[tokio::test]
async fn c07_an_answer_of_another_issuer_is_refused() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let issuer = system.vendor.issuer();
    let evil = [("code", "c"), ("iss", "https://evil.example")];
    let missing = [("code", "c")];
    let twice = [("code", "c"), ("iss", issuer.as_str()), ("iss", issuer.as_str())];
    for parameters in [&evil[..], &missing, &twice] {
        let pending = agent
            .asks(
                &agent.wat(&alice).await,
                &Ask {
                    force: true,
                    ..Ask::default()
                },
            )
            .await;
        let vendor_url = alice.starts(pending.link()).await;
        let page = alice.opens(&Vendor::callback(&vendor_url, parameters)).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::FORBIDDEN, ""),
            "{parameters:?}"
        );
    }
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn c10_nobody_reaches_a_token_of_another_workload_person_or_request() {
    let system = System::start().await;
    system.add_workload("other-agent").await;
    system.add_provider("other").await;
    let (alice, bob, agent) = (
        system.person("alice"),
        system.person("bob"),
        system.workload("agent"),
    );
    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    alice.connects(pending.link()).await;
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());

    let others = [
        Ask {
            scopes: vec!["read", "write"],
            ..Ask::default()
        },
        Ask {
            provider: "other",
            ..Ask::default()
        },
        Ask {
            more: json!({"resources": ["https://api.test"]}),
            ..Ask::default()
        },
        Ask {
            more: json!({"audiences": ["api"]}),
            ..Ask::default()
        },
        Ask {
            more: json!({"customParameters": {"prompt": "consent"}}),
            ..Ask::default()
        },
    ];
    let credentials = system.admin.clone();
    for ask in &others {
        let answer = super::Workload {
            credentials: credentials.clone(),
            ..system.workload("agent")
        }
        .asks(&wat, ask)
        .await;
        assert_eq!(
            (answer.status, answer.token()),
            (StatusCode::OK, None),
            "{:?}",
            ask.more
        );
    }
    assert_eq!(agent.asks_for_token(&bob).await.token(), None);
    let other = super::Workload {
        credentials,
        ..system.workload("other-agent")
    };
    assert_eq!(other.asks_for_token(&alice).await.token(), None);
    // Another's session URI, even a completed one's, is no key either.
    for wat in [agent.wat(&bob).await, other.wat(&alice).await] {
        let answer = other.polls(&wat, pending.session_uri()).await;
        assert_eq!((answer.status, answer.token()), (StatusCode::FORBIDDEN, None));
    }
}

#[tokio::test]
async fn c11_workload_access_tokens_expire_and_cannot_be_changed() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let mut forged = Vec::new();
    for index in (0..wat.len()).step_by(7) {
        let mut bytes = wat.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        forged.push(String::from_utf8(bytes).expect("ASCII"));
    }
    forged.extend([
        format!("{wat}A"),
        wat[1..].to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        alice.token("agent"),
    ]);
    for token in &forged {
        let answer = agent.asks(token, &Ask::default()).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::UNAUTHORIZED, "UnauthorizedException"),
            "{token}"
        );
    }
    system.clock.advance(Duration::from_secs(3599));
    assert_eq!(agent.asks(&wat, &Ask::default()).await.status, StatusCode::OK);
    system.clock.advance(Duration::from_secs(1));
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::UNAUTHORIZED
    );
    system
        .assert_recorded("GetResourceOauth2Token", "refused", "wat_expired")
        .await;
}

#[tokio::test]
async fn c11_a_token_of_a_workload_that_was_made_anew_is_worth_nothing() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    system
        .control("DeleteWorkloadIdentity", json!({"name": "agent"}))
        .await;
    system.add_workload("agent").await;
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.status,
        StatusCode::UNAUTHORIZED
    );
}

/// Each door accepts the token made for it (design D8), even where the policy allows everything.
#[tokio::test]
async fn c11_a_user_token_opens_one_door() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let handle = alice.consents(pending.link()).await;
    for audience in ["agent", "other-agent", "binding", "identity", "nobody"] {
        let body = json!({"workloadName": "agent", "userToken": alice.token(audience)});
        let minted = system
            .call(&system.admin, "/identities/GetWorkloadAccessTokenForJWT", &body)
            .await;
        assert_eq!(
            minted.status.is_success(),
            audience == "agent",
            "{audience} at the agent's door"
        );
        if audience != "binding" {
            let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": alice.token(audience)}});
            assert_invalid_session(
                &system
                    .call(&system.admin, "/identities/CompleteResourceTokenAuth", &body)
                    .await,
            );
        }
        if audience != "identity" {
            let request = alice
                .request(http::Method::GET, pending.link())
                .header("x-countersign-user-token", alice.token(audience))
                .body(axum::body::Body::empty())
                .expect("a request");
            assert_eq!(
                alice.send(request).await.status,
                StatusCode::FORBIDDEN,
                "{audience} at the start page"
            );
        }
    }
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

/// The model lets 131,072 characters through; what no verifier takes is not called invalid or expired.
#[tokio::test]
async fn a_user_token_that_is_too_long_is_refused_for_its_length() {
    const GROUP: &str = "a group of a directory that puts every group of a person into the person's token";
    let system = System::start().await;
    let (mut alice, agent) = (system.person("alice"), system.workload("agent"));
    let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
    alice.groups = vec![GROUP; 150];
    let (wat, session) = (alice.token("agent"), alice.token("binding"));
    assert!((16_385..20_000).contains(&wat.len()), "{}", wat.len());
    for (credentials, path, body) in [
        (
            &agent.credentials,
            "/identities/GetWorkloadAccessTokenForJWT",
            json!({"workloadName": "agent", "userToken": wat}),
        ),
        (
            &system.binding,
            "/identities/CompleteResourceTokenAuth",
            json!({"sessionUri": handle, "userIdentifier": {"userToken": session}}),
        ),
    ] {
        let answer = system.call(credentials, path, &body).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException")
        );
        let says = answer.error().1;
        assert!(
            says.contains("userToken") && says.contains("must have at most 16384 bytes"),
            "{says}"
        );
    }
    // The same person with fewer groups, who still has many.
    alice.groups = vec![GROUP; 100];
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    assert_eq!(agent.asks_for_token(&alice).await.status, StatusCode::OK);
}

#[tokio::test]
async fn c12_only_the_signed_token_says_who_is_in_front_of_the_browser() {
    let system = System::start().await;
    let (alice, mallory, agent) = (
        system.person("alice"),
        system.person("mallory"),
        system.workload("agent"),
    );
    let pending = agent.asks_for_token(&alice).await;
    let spoofed = [
        ("x-amzn-oidc-identity", "alice"),
        ("x-amzn-oidc-data", "e30.e30.e30"),
        ("x-forwarded-user", "alice"),
        ("authorization", "Bearer alice"),
        ("cookie", "user=alice"),
    ];
    assert_eq!(
        mallory.opens_with(pending.link(), &spoofed).await.status,
        StatusCode::FORBIDDEN
    );
    let link = format!("{}&user=alice&userId=alice&sub=alice", pending.link());
    assert_eq!(mallory.opens(&link).await.status, StatusCode::FORBIDDEN);
    // Nor does a body: a member that the model does not have is nobody.
    let handle = alice.consents(pending.link()).await;
    let body = json!({
        "sessionUri": handle, "userIdentifier": {"userToken": mallory.token("binding")},
        "userId": alice.published_id(), "sub": "alice",
    });
    assert_invalid_session(
        &system
            .call(&system.binding, "/identities/CompleteResourceTokenAuth", &body)
            .await,
    );
    // Two headers, in either order: whoever added one is not the gateway.
    for (first, second) in [(&mallory, &alice), (&alice, &mallory)] {
        let twice = alice
            .request(http::Method::GET, pending.link())
            .header("x-countersign-user-token", first.token("identity"))
            .header("x-countersign-user-token", second.token("identity"))
            .body(axum::body::Body::empty())
            .expect("a request");
        let page = alice.send(twice).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        assert!(!page.body.contains("decision"), "nobody is asked: {page:?}");
    }
    // A token that says what the gateway never signed.
    let mut forged = alice.token("binding");
    forged.replace_range(forged.len() - 4.., "AAAA");
    let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": forged}});
    assert_invalid_session(
        &system
            .call(&system.binding, "/identities/CompleteResourceTokenAuth", &body)
            .await,
    );
    assert!(!text(&system.last_record("CompleteResourceTokenAuth").await["reason"]).is_empty());
    system.assert_nothing_happened().await;
}

/// What is deleted, with everything that was to become of it.
const DELETIONS: [(&str, &str); 2] = [
    ("DeleteWorkloadIdentity", "agent"),
    ("DeleteOauth2CredentialProvider", "vendor"),
];

#[tokio::test]
async fn a_workload_or_provider_deleted_on_the_way_gets_nothing() {
    for (delete, name) in DELETIONS {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let wat = agent.wat(&alice).await;
        let handle = alice
            .consents(agent.asks(&wat, &Ask::default()).await.link())
            .await;
        let other = Ask {
            scopes: vec!["write"],
            ..Ask::default()
        };
        let created = agent.asks(&wat, &other).await;
        system.control(delete, json!({"name": name})).await;
        assert_invalid_session(&alice.completes(&handle).await);
        system
            .assert_recorded("CompleteResourceTokenAuth", "refused", "already_failed")
            .await;
        let page = alice.opens(created.link()).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{page:?}");
        assert!(page.body.contains("not possible now"), "{page:?}");
        system.assert_nothing_happened().await;
    }
}

#[tokio::test]
async fn a_workload_or_provider_deleted_during_the_exchange_gets_nothing() {
    for (delete, name) in DELETIONS {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let handle = alice.consents(agent.asks_for_token(&alice).await.link()).await;
        system.vendor.will(Next::Slow(Duration::from_secs(1)));
        let deleted = async {
            while system.vendor.token_requests() == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            system.control(delete, json!({"name": name})).await;
        };
        let (answer, ()) = tokio::join!(alice.completes(&handle), deleted);
        assert_invalid_session(&answer);
        assert_eq!(system.grants().await.len(), 0, "{delete}");
        let revoked = system.vendor.memory.lock().expect("not poisoned").revoked.clone();
        assert_eq!(revoked.len(), 1, "{delete}: the pair lives on at the vendor");
    }
}
