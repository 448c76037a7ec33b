//! A replica that dies while it exchanges a code.

use std::time::Duration;

use e2e::{chaos::Fate, replicas::Caller};
use serde_json::json;

use super::Scene;

/// The code is spent at the provider, and its tokens died with the replica: nothing may be exchanged again, and the
/// session must say that it failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b10_a_crash_in_the_exchange_ends_the_session_without_another_exchange() {
    let later = Duration::from_secs(3);
    tokio::join!(
        // Between code_held and completed.
        crashes(Fate::Arrives(later, Duration::ZERO), 0),
        // Between the exchange and the write to the vault.
        crashes(Fate::Arrives(Duration::ZERO, later), 1),
    );
}

async fn crashes(fate: Fate, reached: u64) {
    let mut scene = Scene::start("", 60).await;
    let wat = scene.caller.wat("alice").await;
    let pending = scene.caller.token(0, &wat).await.expect("an answer").body;
    let handle = Caller::consents(pending["authorizationUrl"].as_str().expect("a link")).await;
    scene.chaos.will(move |_| fate);
    let complete = json!({"sessionUri": handle, "userIdentifier": {"userId": "alice"}});
    let path = "/identities/CompleteResourceTokenAuth";
    let dying = tokio::spawn({
        let (caller, complete) = (scene.caller.clone(), complete.clone());
        async move { caller.call(1, path, &complete).await.map(|answer| answer.status) }
    });
    while scene.chaos.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.replicas.kill(1);
    dying.await.expect("no panic").expect_err("its answer never came");
    scene.replicas.start_again(1);
    scene
        .chaos
        .will(|_| Fate::Arrives(Duration::ZERO, Duration::ZERO));
    // Others wait for as long as an exchange may take, and then know better than to try.
    let again = loop {
        let again = scene.caller.call(2, path, &complete).await.expect("an answer");
        if again.status.as_u16() != 429 {
            break again;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(again.status.as_u16(), 403, "{again:?}");
    assert_eq!(scene.chaos.requests(), 1, "the code was sent once");
    assert_eq!(scene.log().await["codes"], reached);
    let grants = scene.caller.must("/countersign/ListGrants", json!({})).await;
    assert_eq!(grants["grants"], json!([]));
    // Alice is asked anew.
    let mut poll = Caller::token_request(&wat);
    poll["sessionUri"] = pending["sessionUri"].clone();
    let polled = scene
        .caller
        .call(0, "/identities/oauth2/token", &poll)
        .await
        .expect("an answer");
    assert_eq!(polled.body["sessionStatus"], "FAILED", "{polled:?}");
    assert!(scene.caller.connects("alice", &wat).await["accessToken"].is_string());
    scene.verify_audit();
}
