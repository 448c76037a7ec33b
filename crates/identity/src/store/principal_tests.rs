//! The conformance suite of the stores of principals, their policies and access keys: the same on both engines.

use countersign_api::admin::TrustPolicy;
use countersign_db::DbError;
use serde_json::json;

use super::access_key::{self, AccessKeyRow};
use super::principal::{self, PrincipalRow};
use super::tests::{ACCOUNT, OTHER, at, databases, tx};

fn principal_row(id: &str, name: &str) -> PrincipalRow {
    PrincipalRow {
        id: id.to_owned(),
        account: ACCOUNT.to_owned(),
        name: name.to_owned(),
        policy: None,
        tags: crate::policy::Tags::new(),
        trust: None,
        created_at: at(1),
    }
}

#[tokio::test]
async fn principals_policies_and_access_keys() {
    for database in databases().await {
        let pool = &database.pool;
        let mut tx_ = tx(pool).await;
        assert!(
            principal::insert(&mut tx_, &principal_row("u1", "agent"))
                .await
                .expect("stored")
        );
        assert!(
            !principal::insert(&mut tx_, &principal_row("u2", "agent"))
                .await
                .expect("taken")
        );
        let key = AccessKeyRow {
            id: "AKIAEXAMPLEEXAMPLE00".to_owned(),
            account: ACCOUNT.to_owned(),
            principal_id: "u1".to_owned(),
            secret: b"sealed".to_vec(),
            active: true,
            last_used_at: None,
            created_at: at(1),
        };
        access_key::insert(&mut tx_, &key).await.expect("stored");
        tx_.commit().await.expect("committed");
        let mut again = tx(pool).await;
        let taken = access_key::insert(&mut again, &key).await;
        assert!(
            matches!(taken, Err(DbError::Constraint(_))),
            "{}: {taken:?}",
            database.name
        );
        drop(again);

        let document = json!({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let mut tx_ = tx(pool).await;
        assert!(
            principal::put_policy(&mut tx_, "u1", Some(&document), true, at(2))
                .await
                .expect("written")
        );
        assert!(
            !principal::put_policy(&mut tx_, "u9", Some(&document), true, at(2))
                .await
                .expect("nobody")
        );
        tx_.commit().await.expect("committed");
        let stored = principal::find_by_id(pool, "u1")
            .await
            .expect("read")
            .expect("there")
            .policy
            .expect("a policy");
        assert_eq!(
            (&stored.document, stored.break_glass, stored.updated_at),
            (&document, true, at(2))
        );

        let mut tx_ = tx(pool).await;
        assert!(
            principal::put_policy(&mut tx_, "u1", None, false, at(3))
                .await
                .expect("written")
        );
        assert!(
            !access_key::delete(&mut tx_, OTHER, &key.id)
                .await
                .expect("another account's")
        );
        tx_.commit().await.expect("committed");
        assert!(
            principal::find(pool, ACCOUNT, "agent")
                .await
                .expect("read")
                .expect("there")
                .policy
                .is_none()
        );
        assert_eq!(
            access_key::find(pool, &key.id)
                .await
                .expect("read")
                .expect("there")
                .secret,
            b"sealed"
        );

        let mut tx_ = tx(pool).await;
        principal::delete(&mut tx_, "u1").await.expect("deleted");
        tx_.commit().await.expect("committed");
        assert!(
            access_key::find(pool, &key.id).await.expect("read").is_none(),
            "keys go with their principal"
        );
        assert!(
            principal::list(pool, ACCOUNT, "", 10)
                .await
                .expect("a page")
                .is_empty()
        );
    }
}

#[tokio::test]
async fn a_change_of_tags_or_trust_leaves_the_other_as_it_stands() {
    for database in databases().await {
        let pool = &database.pool;
        let mut tx_ = tx(pool).await;
        principal::insert(&mut tx_, &principal_row("u1", "agent"))
            .await
            .expect("stored");
        let tags = crate::policy::Tags::from([("team".to_owned(), "blue".to_owned())]);
        let trust = TrustPolicy {
            trusted: Vec::new(),
            max_session_duration: 900,
        };
        for (changed, expected) in [
            ((None, Some(&trust)), (false, true)),
            ((Some(&tags), None), (true, true)),
            ((None, None), (true, true)),
        ] {
            let stands = principal::update(&mut tx_, "u1", changed.0, changed.1).await;
            let stands = stands.expect("answers").expect("there");
            let as_given = (stands.tags == tags, stands.trust.as_ref() == Some(&trust));
            assert_eq!(as_given, expected, "{}", database.name);
        }
        principal::withdraw_trust(&mut tx_, "u1")
            .await
            .expect("withdrawn");
        let stands = principal::update(&mut tx_, "u1", Some(&tags), None).await;
        assert_eq!(stands.expect("answers").expect("there").trust, None);
        let nobody = principal::update(&mut tx_, "u9", Some(&tags), None).await;
        assert!(nobody.expect("answers").is_none());
    }
}
