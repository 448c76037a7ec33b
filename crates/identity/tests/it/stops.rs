//! Stops (design D23), as far as the API alone shows them.

use countersign_api::admin::SubjectKind;
use countersign_api::{Client, ErrorCode, admin, control, data};
use serde_json::json;

use crate::world::{ACCOUNT, OTHER_ACCOUNT, call, code, worlds};

async fn stop(admin: &Client, subject_kind: SubjectKind, subject: &str) -> admin::stop::Output {
    let input = admin::stop::Input {
        subject_kind,
        subject: subject.to_owned(),
        reason: Some("test".to_owned()),
        revoke_tokens: None,
    };
    call::<admin::Stop>(admin, input).await.expect("stopped")
}

async fn start(admin: &Client, subject_kind: SubjectKind, subject: &str) {
    let input = admin::start::Input {
        subject_kind,
        subject: subject.to_owned(),
    };
    call::<admin::Start>(admin, input).await.expect("started");
}

#[tokio::test]
async fn a_stopped_principal_workload_or_account_gets_nothing_until_it_is_started() {
    for world in worlds().await {
        let (admin, agent) = (world.admin(), world.client(&world.dev.agent));
        let wat = || data::get_workload_access_token::Input {
            workload_name: "dev-agent".to_owned(),
        };
        call::<data::GetWorkloadAccessToken>(&agent, wat())
            .await
            .expect("before");
        for (kind, subject, reason) in [
            (SubjectKind::Principal, "dev-agent", "principal_stopped"),
            (SubjectKind::Workload, "dev-agent", "workload_stopped"),
            (SubjectKind::Account, ACCOUNT, "account_stopped"),
        ] {
            stop(&admin, kind, subject).await;
            let refused = call::<data::GetWorkloadAccessToken>(&agent, wat()).await;
            assert_eq!(code(refused), ErrorCode::AccessDenied, "{kind:?}");
            assert_eq!(world.records("GetWorkloadAccessToken").await[0]["reason"], reason);
            start(&admin, kind, subject).await;
            call::<data::GetWorkloadAccessToken>(&agent, wat())
                .await
                .expect("started again");
        }
        stop(&admin, SubjectKind::Account, ACCOUNT).await;
        let get = control::get_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        assert_eq!(
            code(call::<control::GetWorkloadIdentity>(&admin, get).await),
            ErrorCode::AccessDenied
        );
        start(&admin, SubjectKind::Account, ACCOUNT).await;
        world.close().await;
    }
}

#[tokio::test]
async fn who_stops_themselves_is_refused_the_answer_and_recorded_as_having_done_it() {
    for world in worlds().await {
        let everything = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]});
        let own = world.client(&world.principal("operator", everything).await);
        let input = admin::stop::Input {
            subject_kind: SubjectKind::Principal,
            subject: "operator".to_owned(),
            reason: None,
            revoke_tokens: None,
        };
        assert_eq!(
            code(call::<admin::Stop>(&own, input).await),
            ErrorCode::AccessDenied
        );
        let record = &world.records("Stop").await[0];
        assert_eq!(record["reason"], "principal_stopped");
        assert_eq!(record["detail"]["effective"], true, "a restore does it again");
        world.close().await;
    }
}

#[tokio::test]
async fn stops_are_listed_and_lifted_once() {
    for world in worlds().await {
        let admin = world.admin();
        let first = stop(&admin, SubjectKind::Provider, "ledgerline").await;
        world.clock.advance(std::time::Duration::from_secs(5));
        let second = stop(&admin, SubjectKind::Provider, "ledgerline").await;
        assert_eq!(first.stop, second.stop, "{}: since the first time", world.engine);
        stop(&admin, SubjectKind::User, "alice").await;
        let input = admin::list_stops::Input {
            max_results: Some(1),
            ..admin::list_stops::Input::default()
        };
        let page = call::<admin::ListStops>(&admin, input).await.expect("a page");
        assert_eq!(page.stops[0].subject, "ledgerline");
        let input = admin::list_stops::Input {
            next_token: page.next_token,
            ..admin::list_stops::Input::default()
        };
        let rest = call::<admin::ListStops>(&admin, input).await.expect("a page");
        assert_eq!(rest.stops.len(), 1);
        assert_eq!(
            rest.stops[0].subject,
            countersign_crypto::UserKey::id("alice").to_hex(),
            "never the name"
        );

        start(&admin, SubjectKind::User, "alice").await;
        let input = admin::start::Input {
            subject_kind: SubjectKind::User,
            subject: "alice".to_owned(),
        };
        assert_eq!(
            code(call::<admin::Start>(&admin, input).await),
            ErrorCode::ResourceNotFound
        );
        let input = admin::stop::Input {
            subject_kind: SubjectKind::Account,
            subject: OTHER_ACCOUNT.to_owned(),
            reason: None,
            revoke_tokens: None,
        };
        assert_eq!(
            code(call::<admin::Stop>(&admin, input).await),
            ErrorCode::Validation,
            "another account"
        );
        let record = &world.records("Stop").await[1];
        assert_eq!(
            (&record["outcome"], &record["detail"]["subjectKind"]),
            (&json!("done"), &json!("user"))
        );
        assert!(record["person"].is_string(), "{record}");
        world.close().await;
    }
}

#[tokio::test]
async fn a_stop_and_a_lost_key_reach_another_replica_within_a_second() {
    for world in worlds().await {
        if world.engine == "sqlite" {
            // One process has the file; there is no other replica.
            world.close().await;
            continue;
        }
        let replica = world.replica().await;
        let agent = replica.client(&world.dev.agent);
        let wat = || data::get_workload_access_token::Input {
            workload_name: "dev-agent".to_owned(),
        };
        call::<data::GetWorkloadAccessToken>(&agent, wat())
            .await
            .expect("before");
        stop(&world.admin(), SubjectKind::Workload, "dev-agent").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(
            code(call::<data::GetWorkloadAccessToken>(&agent, wat()).await),
            ErrorCode::AccessDenied
        );
        start(&world.admin(), SubjectKind::Workload, "dev-agent").await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        call::<data::GetWorkloadAccessToken>(&agent, wat())
            .await
            .expect("started again");
        let input = admin::delete_access_key::Input {
            access_key_id: world.dev.agent.access_key_id.clone(),
        };
        call::<admin::DeleteAccessKey>(&world.admin(), input)
            .await
            .expect("removed");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(
            code(call::<data::GetWorkloadAccessToken>(&agent, wat()).await),
            ErrorCode::UnrecognizedClient
        );
        replica.close().await;
        world.close().await;
    }
}
