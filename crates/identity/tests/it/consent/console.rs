//! The console: who may open it, what it shows and what it does.

use std::time::Duration;

use axum::body::Body;
use http::header::ORIGIN;
use http::{Method, StatusCode};
use serde_json::json;

use super::actors::{Ask, Page, Person};
use super::{FRONT, GATEWAY, System, text};

const PAGES: [&str; 16] = [
    "/console",
    "/console/agents",
    "/console/agents/agent",
    "/console/people",
    "/console/providers",
    "/console/providers/vendor",
    "/console/grants",
    "/console/sessions",
    "/console/stops",
    "/console/principals",
    "/console/simulation",
    "/console/keys",
    "/console/audit",
    "/console/report",
    "/console/report?agent=agent",
    "/console/health",
];

async fn system() -> System {
    let roles = json!({"viewers": ["staff"], "responders": ["security"], "admins": ["platform"]});
    System::start_with(json!({"console": roles})).await
}

fn operator<'s>(system: &'s System, name: &str, group: &'static str) -> Person<'s> {
    let mut person = system.person(name);
    person.groups.push(group);
    person
}

async fn posts(person: &Person<'_>, path: &str, form: &[(&str, &str)], origin: &'static str) -> Page {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = person
        .request(Method::POST, path)
        .header("x-countersign-user-token", person.token("identity"))
        .header(ORIGIN, origin)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request");
    person.send(request).await
}

/// Stops the agent by the form of its page, as far as `operator` gets.
async fn stops_the_agent(operator: &Person<'_>, token: &str, origin: &'static str) -> Page {
    let form = [
        ("csrf_token", token),
        ("kind", "workload"),
        ("subject", "agent"),
        ("reason", "it lists what nobody asked for"),
    ];
    posts(operator, "/console/stops", &form, origin).await
}

async fn agent_gets_a_token(system: &System, person: &Person<'_>) -> bool {
    let agent = system.workload("agent");
    let answer = agent
        .mint("ForJWT", json!({"userToken": person.token("agent")}))
        .await;
    if answer.status != StatusCode::OK {
        return false;
    }
    let answer = agent
        .asks(text(&answer.body["workloadAccessToken"]), &Ask::default())
        .await;
    answer.token().is_some()
}

#[tokio::test]
async fn a_viewer_sees_everything_but_secrets_and_has_no_buttons() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let answer = agent.asks_for_token(&alice).await;
    let token = answer.token().expect("a token").to_owned();
    let viewer = operator(&system, "vera", "staff");
    for path in PAGES {
        let page = viewer.opens(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {page:?}");
        for secret in [token.as_str(), "client-secret-canary"] {
            assert!(!page.body.contains(secret), "{path} shows a secret");
        }
        assert!(!page.body.contains("method=\"post\""), "{path} has a button");
    }
    let grants = viewer.opens("/console/grants?agent=agent&provider=vendor").await;
    assert!(grants.body.contains(">active<"), "{grants:?}");
    let none = viewer.opens("/console/grants?agent=another").await;
    assert!(none.body.contains("There are none."), "{none:?}");
    // Under the label that stands on the field, in the form that was filled in.
    for (path, told) in [
        ("/console/grants?agent=%20", "Agent: "),
        (
            "/console/audit?agent=agent&from=yesterday",
            "From: must be a time",
        ),
        (
            "/console/report?agent=agent&to=2026-13-01",
            "Before: must be a time",
        ),
        ("/console/report?grant=%2F", "Grant: "),
        ("/console/simulation?principal=agent", "Action: must be given"),
    ] {
        let wrong = viewer.opens(path).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{path}: {wrong:?}");
        let notice = wrong.body.split_once("role=\"alert\">").expect("a notice").1;
        assert!(notice.starts_with(told), "{path}: {notice}");
        assert!(wrong.body.contains("aria-invalid=\"true\""), "{path}: {wrong:?}");
    }
}

#[tokio::test]
async fn the_chain_is_drawn_from_consent_to_use() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent_gets_a_token(&system, &alice).await);
    let viewer = operator(&system, "vera", "staff");
    let list = viewer.opens("/console/audit?action=GetResourceOauth2Token").await;
    let link = list.body.split_once("<td><a href=\"").expect("a record").1;
    let link = link.split_once('"').expect("a quote").0;
    let page = viewer.opens(link).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let drawn = page.body.split_once("<h1>").expect("a heading").1;
    for words in [
        "Login",
        "Workload access token",
        "Authorization session",
        "StartAuthorization",
        "CompleteResourceTokenAuth",
        "Grant",
        "Token released",
        "The record",
    ] {
        assert!(drawn.contains(words), "{words}: {drawn}");
    }
    // Whatever it names leads to its page, the person too.
    let key = countersign_crypto::UserKey::jwt(&alice.issuer, &alice.subject).to_hex();
    for path in [
        "/console/audit?login=sid%2Dalice".to_owned(),
        "/console/agents/agent".to_owned(),
        "/console/providers/vendor".to_owned(),
        "/console/grants/".to_owned(),
        format!("/console/people/{key}"),
    ] {
        let chain = drawn.split_once("The record").expect("what is below").0;
        assert!(chain.contains(&format!("href=\"{path}")), "{path}: {chain}");
    }
    // Looking is on the trail, under the role and the login.
    system
        .assert_recorded_by(
            "ExplainAuditRecord",
            "done",
            "assumed-role/console-viewer/sid-vera",
        )
        .await;
    // The check goes on by itself when it takes longer than a page may.
    for _ in 0..200 {
        let check = viewer.opens("/console/audit/verification").await;
        if check.body.contains("no fault found") {
            return;
        }
        assert!(check.body.contains("under way"), "{check:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the check does not end");
}

/// A check is shared by those who look within half a minute, not the right to see it.
#[tokio::test]
async fn a_check_of_the_trail_is_shown_to_nobody_who_is_stopped_and_on_record_for_each() {
    let system = system().await;
    let [admin, viewer, stopped] = [("ada", "platform"), ("vera", "staff"), ("vito", "staff")]
        .map(|(name, group)| operator(&system, name, group));
    system.stop("user", &stopped.published_id()).await;
    let checked = async |person: &Person<'_>| {
        for _ in 0..200 {
            let page = person.opens("/console/audit/verification").await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            if page.body.contains("no fault found") {
                return;
            }
            assert!(page.body.contains("under way"), "{page:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the check does not end");
    };
    let refused = async || {
        let page = stopped.opens("/console/audit/verification").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{page:?}");
        assert!(!page.body.contains("no fault found"), "{page:?}");
        system
            .assert_recorded("VerifyAudit", "refused", "user_stopped")
            .await;
    };
    // Nobody has checked yet: what he is told is not for the next.
    refused().await;
    checked(&admin).await;
    refused().await;
    checked(&viewer).await;
    for caller in ["console-admin/sid-ada", "console-viewer/sid-vera"] {
        system
            .assert_recorded_by("VerifyAudit", "done", &format!("assumed-role/{caller}"))
            .await;
    }
}

#[tokio::test]
async fn a_person_is_found_by_key_with_what_they_granted_and_what_is_recorded_of_them() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let (bob, viewer) = (system.person("bob"), operator(&system, "vera", "staff"));
    bob.connects(agent.asks_for_token(&bob).await.link()).await;
    let people = viewer.opens("/console/people").await;
    let links: Vec<&str> = people
        .body
        .split("<td><a href=\"/console/people/")
        .skip(1)
        .collect();
    assert_eq!(links.len(), 2, "two people: {people:?}");
    let key = links[0].split_once('"').expect("a quote").0;
    let page = viewer.opens(&format!("/console/people/{key}")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert_eq!(
        page.body.matches("/console/grants/").count(),
        2,
        "a grant, and the session it came of: {page:?}"
    );
    assert!(page.body.contains(">completed<"), "{page:?}");
    let records = viewer
        .opens(&format!(
            "/console/audit?user={key}&action=CompleteResourceTokenAuth"
        ))
        .await;
    assert_eq!(
        records.body.matches(">CompleteResourceTokenAuth<").count(),
        1,
        "one person's: {records:?}"
    );
    let stranger = viewer.opens("/console/people/somebody").await;
    assert!(stranger.body.contains("No grant is theirs"), "{stranger:?}");
    let sessions = viewer
        .opens("/console/sessions?state=COMPLETED&agent=agent")
        .await;
    assert_eq!(sessions.body.matches(">completed<").count(), 2, "{sessions:?}");
    let none = viewer.opens("/console/sessions?state=DENIED").await;
    assert!(none.body.contains("There are none."), "{none:?}");
    let wrong = viewer.opens("/console/sessions?state=WHATEVER").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
}

#[tokio::test]
async fn what_was_released_is_reported_on_a_page_and_as_files() {
    let system = system().await;
    let viewer = operator(&system, "vera", "staff");
    let form = viewer.opens("/console/report").await;
    assert!(
        form.body.contains("name=\"from\"") && !form.body.contains("<table>"),
        "{form:?}"
    );
    let nothing = viewer.opens("/console/report?agent=agent").await;
    assert!(nothing.body.contains("Nothing was released."), "{nothing:?}");
    assert!(
        !nothing.body.contains("/console/report/csv"),
        "no file of nothing: {nothing:?}"
    );

    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent_gets_a_token(&system, &alice).await);
    let page = viewer
        .opens("/console/report?agent=agent&provider=&user=&grant=&from=&to=")
        .await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    let rows = page.body.split_once("<tbody>").expect("a table").1;
    assert!(
        rows.contains(">vendor<") && rows.contains("/console/grants/"),
        "{rows}"
    );
    assert!(
        rows.contains(">valid<") && rows.contains("<code>read</code>"),
        "{rows}"
    );
    for other in ["agent=another", "from=2020-01-01&to=2020-01-02", "user=nobody"] {
        let none = viewer.opens(&format!("/console/report?{other}")).await;
        assert!(none.body.contains("Nothing was released."), "{other}: {none:?}");
    }

    let link = page
        .body
        .split_once("href=\"/console/report/csv")
        .expect("a file")
        .1;
    let link = link.split_once('"').expect("a quote").0;
    let query = link.replace("&#38;", "&").replace("&amp;", "&");
    for (format, kind, told) in [
        (
            "csv",
            "text/csv; charset=utf-8",
            "at,action,flow,workload,provider",
        ),
        ("html", "text/html; charset=utf-8", "<!doctype html>"),
        ("json", "application/json", "{"),
    ] {
        let file = viewer.opens(&format!("/console/report/{format}{query}")).await;
        assert_eq!(file.status, StatusCode::OK, "{format}: {file:?}");
        assert_eq!(file.header("content-type"), kind);
        let name = file.header("content-disposition");
        assert!(
            name.starts_with("attachment; filename=\"countersign-report-"),
            "{name}"
        );
        assert!(name.ends_with(&format!(".{format}\"")), "{name}");
        assert!(file.body.starts_with(told), "{file:?}");
        assert!(file.body.contains("vendor"), "{file:?}");
    }
    let unknown = viewer.opens("/console/report/pdf?agent=agent").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{unknown:?}");
    // Accounts at services are personal: who asked is on the trail.
    system
        .assert_recorded_by("GetAuditReport", "done", "assumed-role/console-viewer/sid-vera")
        .await;
    let stranger = system
        .person("mallory")
        .opens("/console/report/csv?agent=agent")
        .await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN, "{stranger:?}");
}

#[tokio::test]
async fn a_policy_is_simulated_and_says_why() {
    let system = system().await;
    let viewer = operator(&system, "vera", "staff");
    let name = "dev-agent";
    let ask = async |action: &str| {
        let path =
            format!("/console/simulation?principal={name}&action=bedrock-agentcore:{action}&agent=agent");
        viewer.opens(&path).await
    };
    let allowed = ask("GetResourceOauth2Token").await;
    assert!(allowed.body.contains(">allowed<"), "{allowed:?}");
    let denied = ask("CompleteResourceTokenAuth").await;
    assert!(
        denied.body.contains(">not allowed by any statement<"),
        "{denied:?}"
    );
    assert!(denied.body.contains("Action wants"), "{denied:?}");
    let wrong = viewer
        .opens(&format!(
            "/console/simulation?principal={name}&action=a:b&context=nonsense"
        ))
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    assert!(wrong.body.contains("key=value"), "{wrong:?}");
}

#[tokio::test]
async fn health_shows_what_needs_somebody() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let viewer = operator(&system, "vera", "staff");
    let health = viewer.opens("/console/health").await;
    for words in [
        "arrive within a second",
        "readable",
        "None: every live grant gives tokens.",
        GATEWAY,
        "not since this replica began",
    ] {
        assert!(health.body.contains(words), "{words}: {health:?}");
    }
}

#[tokio::test]
async fn the_trail_is_searched_by_time_and_a_wrong_time_is_named() {
    let system = system().await;
    let viewer = operator(&system, "vera", "staff");
    viewer.opens("/console").await;
    let none = viewer.opens("/console/audit?to=2001-01-01").await;
    assert!(none.body.contains("No record is like this."), "{none:?}");
    let some = viewer
        .opens("/console/audit?from=2001-01-01%2014:03&login=sid-vera")
        .await;
    assert!(some.body.contains("ListStops"), "{some:?}");
    let wrong = viewer.opens("/console/audit?from=yesterday").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{wrong:?}");
    assert!(wrong.body.contains("from"), "{wrong:?}");
}

#[tokio::test]
async fn who_is_in_no_group_sees_nothing_and_is_recorded() {
    let system = system().await;
    let other = operator(&system, "oscar", "sales");
    for path in PAGES {
        let page = other.opens(path).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        assert!(page.body.contains("for operators"), "{page:?}");
    }
    system
        .assert_recorded("OpenConsole", "refused", "not_an_operator")
        .await;
    let nobody = other.opens_anonymously("/console").await;
    assert_eq!(nobody.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// In force and on no record it would be lost by a restore.
#[tokio::test]
async fn a_stop_goes_on_and_is_recorded_when_the_responder_leaves_the_page() {
    let system = system()
        .await
        .damaged(&[
            "CREATE VIEW slow AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3000000) \
             SELECT x FROM c",
            "CREATE TRIGGER late AFTER INSERT ON stop BEGIN SELECT COUNT(*) FROM slow; END",
        ])
        .await;
    let responder = operator(&system, "rita", "security");
    let page = responder.opens("/console/agents/agent").await;
    let token = page.hidden("csrf_token");
    let stopping = stops_the_agent(&responder, &token, FRONT);
    let left = tokio::time::timeout(Duration::from_millis(100), stopping).await;
    assert!(left.is_err(), "{left:?}");
    for _ in 0..200 {
        if system.last_record("Stop").await["outcome"] == "done" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("on no record");
}

#[tokio::test]
async fn a_responder_stops_an_agent_sees_the_live_tokens_and_starts_it_again() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    assert!(agent_gets_a_token(&system, &alice).await);
    let responder = operator(&system, "rita", "security");
    let page = responder.opens("/console/agents/agent").await;
    let done = stops_the_agent(&responder, &page.hidden("csrf_token"), FRONT).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(done.body.contains("Agent agent is stopped"), "{done:?}");
    let live = done.body.split_once("Tokens still alive").expect("the fact").1;
    assert!(live.starts_with("</dt><dd>1</dd>"), "{live}");
    assert!(!agent_gets_a_token(&system, &alice).await, "stopped");
    system
        .assert_recorded_by("Stop", "done", "assumed-role/console-responder/sid-rita")
        .await;
    let page = responder.opens("/console/agents/agent").await;
    assert!(
        page.body.contains("Stopped") && page.body.contains("Start again"),
        "{page:?}"
    );
    let stops = responder.opens("/console/stops").await;
    assert!(stops.body.contains("it lists what nobody asked for"), "{stops:?}");
    let lift = stops.body.split_once("/console/stops/lift").expect("the form").1;
    let token = lift.split_once("value=\"").expect("a token").1;
    let token = token.split_once('"').expect("a quote").0;
    let form = [("csrf_token", token), ("kind", "workload"), ("subject", "agent")];
    let lifted = posts(&responder, "/console/stops/lift", &form, FRONT).await;
    assert_eq!(
        (lifted.status, lifted.location()),
        (StatusCode::SEE_OTHER, "/console/stops")
    );
    assert!(agent_gets_a_token(&system, &alice).await, "started again");
}

#[tokio::test]
async fn a_responder_revokes_a_grant_and_an_admin_alone_rotates_keys() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let responder = operator(&system, "rita", "security");
    let list = responder.opens("/console/grants").await;
    let link = list.body.split_once("<td><a href=\"").expect("a grant").1;
    let link = link.split_once('"').expect("a quote").0.to_owned();
    let page = responder.opens(&link).await;
    let form = [("csrf_token", &*page.hidden("csrf_token"))];
    let revoked = posts(&responder, &format!("{link}/revoke"), &form, FRONT).await;
    assert_eq!(
        (revoked.status, revoked.location()),
        (StatusCode::SEE_OTHER, &*link)
    );
    assert!(responder.opens(&link).await.body.contains(">ended<"));
    assert!(
        !agent_gets_a_token(&system, &alice).await,
        "consent is needed again"
    );
    assert!(!responder.opens("/console/keys").await.body.contains("Rotate"));
    let admin = operator(&system, "ada", "platform");
    let keys = admin.opens("/console/keys").await;
    let form = [
        ("csrf_token", &*keys.hidden("csrf_token")),
        ("purpose", "workload-access-token"),
    ];
    let rotated = posts(&admin, "/console/keys/rotate", &form, FRONT).await;
    assert_eq!(rotated.status, StatusCode::SEE_OTHER, "{rotated:?}");
    let keys = admin.opens("/console/keys").await;
    assert!(
        keys.body.contains("Workload access tokens, version 2"),
        "{keys:?}"
    );
}

#[tokio::test]
async fn a_change_needs_the_role_a_fresh_login_and_our_own_form() {
    let system = system().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let mut rita = operator(&system, "rita", "security");
    let token = rita.opens("/console/agents/agent").await.hidden("csrf_token");

    let page = stops_the_agent(&rita, &token, "https://elsewhere.test").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "another origin");
    system
        .assert_recorded("OpenConsole", "refused", "cross_origin")
        .await;
    let page = stops_the_agent(&rita, "1.forged", FRONT).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "no token of ours");
    system
        .assert_recorded("OpenConsole", "refused", "csrf_token")
        .await;

    rita.login_age = 601;
    let page = stops_the_agent(&rita, &token, FRONT).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "an old login");
    assert!(page.body.contains("Sign in again"), "{page:?}");
    system
        .assert_recorded("OpenConsole", "refused", "login_too_old")
        .await;

    // Nobody learns later why it was done.
    rita.login_age = 0;
    let form = [
        ("csrf_token", token.as_str()),
        ("kind", "workload"),
        ("subject", "agent"),
        ("reason", " "),
    ];
    let page = posts(&rita, "/console/stops", &form, FRONT).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "no reason");

    // The form of a page that was opened with more rights than are left.
    rita.groups = vec!["staff"];
    let page = stops_the_agent(&rita, &token, FRONT).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "a viewer");
    system.assert_recorded("Stop", "refused", "not_authorized").await;

    assert!(agent_gets_a_token(&system, &alice).await, "nothing was stopped");
}

/// Until when the other replicas may go on (design D23).
const EVERYWHERE: std::time::Duration = std::time::Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_at_one_replica_holds_on_all_three_within_a_second_and_lists_every_live_token() {
    for database in countersign_db::testing::databases().await {
        let countersign_db::Database::Postgres { url, schema, .. } = &database.database else {
            continue;
        };
        database.pool.close().await;
        let url = countersign_crypto::ExposeSecret::expose_secret(url);
        let roles = json!({"viewers": ["staff"], "responders": ["security"], "admins": ["platform"]});
        let members = json!({"console": roles, "database": {"url": url, "schema": schema}});
        let system = System::start_with(members).await;
        let (second, third) = (system.replica().await, system.replica().await);
        let replicas = [system.api.clone(), second.api_router(), third.api_router()];
        let agent = system.workload("agent");
        let people: Vec<Person<'_>> = ["alice", "bob", "carol"].map(|name| system.person(name)).into();
        let mut bodies = Vec::new();
        for person in &people {
            person.connects(agent.asks_for_token(person).await.link()).await;
            bodies.push(json!({
                "workloadIdentityToken": agent.wat(person).await,
                "resourceCredentialProviderName": "vendor",
                "scopes": ["read"],
                "oauth2Flow": "USER_FEDERATION",
                "resourceOauth2ReturnUrl": super::RETURN_URL,
            }));
        }
        let path = "/identities/oauth2/token";
        // Every replica has every grant in its memory.
        for api in &replicas {
            for body in &bodies {
                let answer = system.call_at(api, &agent.credentials, path, body).await;
                assert!(answer.token().is_some(), "{answer:?}");
            }
        }
        let responder = operator(&system, "rita", "security");
        let page = responder.opens("/console/agents/agent").await;
        let done = stops_the_agent(&responder, &page.hidden("csrf_token"), FRONT).await;
        let stopped = tokio::time::Instant::now();
        assert!(done.body.contains("Agent agent is stopped"), "{done:?}");
        let live = done.body.split_once("Tokens still alive").expect("the fact").1;
        assert!(
            live.starts_with("</dt><dd>3</dd>"),
            "each token that is out: {live}"
        );
        for (number, api) in replicas.iter().enumerate() {
            loop {
                // What is asked after this second may not be answered; what is under way may.
                let asked = stopped.elapsed();
                let answer = system
                    .call_at(api, &agent.credentials, path, &bodies[number])
                    .await;
                if answer.token().is_none() {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
                    break;
                }
                assert!(
                    asked < EVERYWHERE,
                    "replica {number} still gives tokens {asked:?} after the stop"
                );
            }
        }
        second.close().await.expect("ends");
        third.close().await.expect("ends");
    }
}
