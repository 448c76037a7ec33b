//! The chat page.

use countersign_agent::{Config, Tools};
use http::{Method, StatusCode};

use crate::harness::Agent;

#[tokio::test]
async fn the_page_has_its_hooks_and_loads_its_own_files_alone() {
    let agent = Agent::start().await;
    let answer = agent.get("alice <b>", "/").await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers["content-security-policy"].to_str().expect("text");
    assert_eq!(
        policy,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri \
         'none'; form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let page = String::from_utf8(answer.body.to_vec()).expect("text");
    for expected in [
        "id=\"message\"",
        "id=\"send\"",
        "offline model",
        "aria-live",
        "alice &#60;b&#62;",
        "/logout",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(page.contains("data-front-channel=\"http://localhost:8407\""));
    for (path, kind) in [
        ("/assets/chat.js", "text/javascript"),
        ("/assets/consent.js", "text/javascript"),
        ("/assets/chat.css", "text/css"),
    ] {
        let asset = agent.get("alice", path).await;
        assert_eq!(asset.status, StatusCode::OK);
        let found = asset.headers["content-type"].to_str().expect("text");
        assert!(found.starts_with(kind), "{path}: {found}");
        assert_eq!(asset.headers["x-content-type-options"], "nosniff");
        let held = asset.headers["etag"].to_str().expect("text");
        let token = agent.user_token("alice", "dev-agent");
        let headers = [
            ("x-countersign-user-token", token.as_str()),
            ("if-none-match", held),
        ];
        let again = agent.send(agent.request(Method::GET, path, &headers, "")).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    }
    let missing = agent.get("alice", "/assets/chat.html").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

/// What the page offers to ask.
async fn examples(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let agent = Agent::configured(change).await;
    let page = agent.get("alice", "/").await;
    let page = String::from_utf8(page.body.to_vec()).expect("text");
    page.split("data-example=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"').map(|(example, _)| example.to_owned()))
        .collect()
}

#[tokio::test]
async fn what_the_page_offers_to_ask_follows_the_tools() {
    let both = [
        "Who am I on GitHub?",
        "List my open issues",
        "List my repositories",
        "Create issue: Printer on fire",
        "What can you do?",
    ];
    assert_eq!(examples(|_| ()).await, both, "of each service in turn");
    let github = ["Who am I on GitHub?", "List my repositories", "What can you do?"];
    assert_eq!(examples(|config| config.tools.ledgerline = None).await, github);
    assert_eq!(
        examples(|config| config.tools = Tools::default()).await,
        ["What can you do?"]
    );
}

#[tokio::test]
async fn health_is_open_and_everything_else_answers_plainly() {
    let agent = Agent::start().await;
    let ping = agent.send(agent.request(Method::GET, "/ping", &[], "")).await;
    assert_eq!((ping.status, &ping.body[..]), (StatusCode::OK, &b"ok"[..]));
    assert_eq!(agent.get("alice", "/nothing").await.status, StatusCode::NOT_FOUND);
    let stranger = agent.send(agent.request(Method::GET, "/", &[], "")).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
}
