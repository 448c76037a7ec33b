use std::sync::Arc;
use std::time::Duration;

use countersign_audit::explain::{Source, explain};
use countersign_audit::{Entry, Outcome, PersonKeys, Recorder};
use countersign_crypto::UserKey;

use crate::fixture::{Fixture, fixtures};

struct Story {
    identity: Recorder,
    gateway: Recorder,
    fixture: Fixture,
    other: Fixture,
}

impl Story {
    async fn tell(fixture: Fixture, other: Fixture) -> Self {
        let identity = fixture.recorder().await;
        let gateway = fixture.recorder_of("gateway", other.pool()).await;
        Self {
            identity,
            gateway,
            fixture,
            other,
        }
    }

    async fn step(
        &self,
        recorder: &Recorder,
        action: &'static str,
        fill: impl FnOnce(Entry) -> Entry,
    ) -> String {
        self.fixture.clock.advance(Duration::from_secs(1));
        let entry =
            Entry::new(action, Outcome::Done).with_person(UserKey::jwt("https://idp.example", "alice"));
        recorder.record(fill(entry)).await.expect("records").to_string()
    }
}

/// What became of a grant is told, however often it was used.
#[tokio::test]
async fn a_grant_with_hundreds_of_uses_shows_both_ends_and_says_so() {
    for fixture in fixtures().await {
        let other = Fixture::new_sqlite().await;
        let story = Story::tell(fixture, other).await;
        let identity = &story.identity;
        let consent = story
            .step(identity, "CompleteResourceTokenAuth", |e| {
                agent("s1")(e).with_session("a1").with_grant("g1")
            })
            .await;
        let uses: Vec<Entry> = (0..500)
            .map(|_| agent("s1")(Entry::new("GetResourceOauth2Token", Outcome::Done)).with_grant("g1"))
            .collect();
        story.fixture.clock.advance(Duration::from_secs(1));
        let uses = futures_util::future::try_join_all(uses.into_iter().map(|used| identity.record(used)))
            .await
            .expect("records");
        let revoked = story
            .step(identity, "RevokeGrant", |entry| entry.with_grant("g1"))
            .await;
        let sources = [Source {
            pool: story.fixture.pool(),
            persons: None,
        }];
        let explanation = explain(&sources, "g1").await.expect("reads").expect("known");
        let text = explanation.to_string();
        for present in [&consent, &uses[0].to_string(), &uses[499].to_string(), &revoked] {
            assert!(text.contains(present.as_str()), "{present} is not in\n{text}");
        }
        // 502 records, of which the oldest and the newest hundred are shown.
        assert!(
            text.contains("(302 records between its oldest and its newest left out)"),
            "{text}"
        );
        let json = serde_json::to_string(&explanation).expect("JSON");
        assert_eq!(json.matches(r#""omitted":302"#).count(), 1, "{json}");
        // A single use is explained whole.
        let one = explain(&sources, &uses[250].to_string()).await.expect("reads");
        assert!(!one.expect("known").to_string().contains("left out"));
    }
}

fn agent(sid: &'static str) -> impl Fn(Entry) -> Entry {
    move |entry| entry.with_sid(sid).with_workload("dev-agent")
}

#[tokio::test]
async fn a_token_use_is_explained_from_login_to_use() {
    for fixture in fixtures().await {
        let other = Fixture::new(countersign_db::testing::sqlite().await).await;
        let story = Story::tell(fixture, other).await;
        let (identity, gateway) = (&story.identity, &story.gateway);
        let name = |entry: Entry| entry.with_personal("name", "Alice");
        let login = story
            .step(gateway, "Login", |entry| name(entry.with_sid("s1")))
            .await;
        let noise = story.step(gateway, "Login", |entry| entry.with_sid("s9")).await;
        let wat = story
            .step(identity, "GetWorkloadAccessTokenForJWT", agent("s1"))
            .await;
        let asked = story
            .step(identity, "GetResourceOauth2Token", |e| {
                agent("s1")(e).with_session("a1")
            })
            .await;
        let consent = story
            .step(identity, "CompleteResourceTokenAuth", |e| {
                agent("s1")(e).with_session("a1").with_grant("g1")
            })
            .await;
        let used = |sid| {
            move |entry: Entry| {
                agent(sid)(entry)
                    .with_grant("g1")
                    .with_request_id(format!("request-{sid}"))
            }
        };
        let first_use = story.step(identity, "GetResourceOauth2Token", used("s1")).await;
        let second_login = story.step(gateway, "Login", |entry| entry.with_sid("s2")).await;
        let second_wat = story
            .step(identity, "GetWorkloadAccessTokenForJWT", agent("s2"))
            .await;
        let second_use = story.step(identity, "GetResourceOauth2Token", used("s2")).await;

        let persons = PersonKeys::new(story.other.pool(), Arc::clone(&story.fixture.persons));
        let sources = [
            Source {
                pool: story.fixture.pool(),
                persons: None,
            },
            Source {
                pool: story.other.pool(),
                persons: Some(&persons),
            },
        ];
        for id in [first_use.as_str(), "request-s1"] {
            let explanation = explain(&sources, id).await.expect("reads").expect("known");
            let text = explanation.to_string();
            let place = |id: &str| text.find(id).unwrap_or_else(|| panic!("{id} is not in\n{text}"));
            let order = [&login, &wat, &asked, &consent, &first_use].map(|id| place(id));
            assert!(order.is_sorted(), "{text}");
            assert!(text.contains("Alice"), "{text}");
            for absent in [&noise, &second_use, &second_login] {
                assert!(!text.contains(absent.as_str()), "{text}");
            }
            assert_eq!(explanation.roots.len(), 1, "{text}");
            let grant = &explanation.roots[0].children[0].children[0].children[0];
            assert_eq!(
                (grant.kind, grant.id.as_str(), grant.children[0].kind),
                ("grant", "g1", "use")
            );
        }
        // Consent under one login, use under another: both are shown.
        let text = explain(&sources, &second_use)
            .await
            .expect("reads")
            .expect("known")
            .to_string();
        for present in [&login, &consent, &second_login, &second_wat, &second_use] {
            assert!(text.contains(present.as_str()), "{present} is not in\n{text}");
        }
        assert!(!text.contains(first_use.as_str()), "{text}");
        // A grant: all of its uses.
        for id in ["g1", "arn:aws:countersign:us-east-1:000000000000:grant/g1"] {
            let text = explain(&sources, id)
                .await
                .expect("reads")
                .expect("known")
                .to_string();
            assert!(text.contains(&first_use) && text.contains(&second_use), "{text}");
        }
        // A login by its own record id, and nothing at all.
        let text = explain(&sources, &login)
            .await
            .expect("reads")
            .expect("known")
            .to_string();
        assert!(text.starts_with("login s1\n") && text.contains(&login), "{text}");
        assert!(explain(&sources, "no such id").await.expect("reads").is_none());
    }
}
