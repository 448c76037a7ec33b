//! Conversations in a bucket: moto's S3.

use countersign_agent::{Config, Conversations, S3};
use countersign_outbound::{Client, HostPort, Policy, Request};
use http::Method;
use moto::Moto;
use serde_json::json;
use url::Url;

use crate::harness::{Agent, TOKEN, access_token, issues, json_of};

/// moto's S3 with one bucket.
struct Bucket {
    _moto: Moto,
    endpoint: Url,
    client: Client,
}

impl Bucket {
    async fn start() -> Self {
        let moto = Moto::start();
        let endpoint: Url = moto.url().parse().expect("a URL");
        let policy = Policy {
            allow: vec![HostPort::of(&endpoint).expect("a host")],
            ..Policy::default()
        };
        let bucket = Self {
            _moto: moto,
            endpoint,
            client: Client::new(policy).expect("a client"),
        };
        let url = bucket.endpoint.join("/conversations").expect("a URL");
        let made = bucket
            .client
            .send(Request::new(Method::PUT, url))
            .await
            .expect("moto answers");
        assert!(made.status.is_success(), "{}", made.status);
        bucket
    }

    fn used(&self, config: &mut Config) {
        config
            .outbound_allow
            .push(HostPort::of(&self.endpoint).expect("a host"));
        config.conversations = Conversations::S3(S3 {
            bucket: "conversations".to_owned(),
            region: "us-east-1".to_owned(),
            prefix: "countersign/agent/".to_owned(),
            endpoint: Some(self.endpoint.clone()),
            access_key_id: Some("AKIDSTORE".to_owned()),
            secret_access_key: Some("secret".into()),
        });
    }

    /// The bucket's list of objects, in S3's XML.
    async fn list(&self) -> String {
        let url = self.endpoint.join("/conversations?list-type=2").expect("a URL");
        let listed = self.client.send(Request::get(url)).await.expect("moto answers");
        String::from_utf8(listed.body.to_vec()).expect("text")
    }
}

#[tokio::test]
async fn conversations_live_in_a_bucket_and_through_a_restart() {
    let bucket = Bucket::start().await;
    let agent = Agent::configured(|config| bucket.used(config)).await;
    agent.grants_workload_access_token().await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    agent.answers("GET", "/api/issues", 200, issues()).await;
    agent
        .ask("alice", "c-1", "list my open issues")
        .await
        .rest()
        .await;
    agent.ask("alice", "c-2", "help").await.rest().await;
    let listed = bucket.list().await;
    assert_eq!(
        listed.matches("<Key>countersign/agent/").count(),
        3,
        "two and their key: {listed}"
    );
    assert!(!listed.contains("alice") && !listed.contains("c-1"), "{listed}");

    // Another process, with nothing but the bucket and the root key.
    let agent = agent.restarted(|config| bucket.used(config)).await;
    let history = json_of(&agent.get("alice", "/conversations/c-1").await);
    assert_eq!(history["entries"][0]["text"], "list my open issues");
    let list = json_of(&agent.get("alice", "/conversations").await);
    assert_eq!(list["conversations"].as_array().map(Vec::len), Some(2));
    assert_eq!(list["next"], json!(null));
    let (_, text) = agent
        .ask("alice", "c-1", "list my open issues")
        .await
        .rest()
        .await;
    assert!(text.contains("ALICE-1"), "{text}");
    let others = json_of(&agent.get("bob", "/conversations").await);
    assert_eq!(others["conversations"], json!([]));
    assert_eq!(bucket.list().await.matches("<Key>").count(), 3, "no second key");
}
