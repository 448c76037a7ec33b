//! What is found, of servers on this machine.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[test]
fn outputs_of_a_stack_are_found_by_name() {
    let stacks = serde_json::json!({"Stacks": [{"Outputs": [
        {"OutputKey": "AppUrl", "OutputValue": "https://app.example.com"},
    ]}]});
    assert_eq!(output_of(&stacks, "AppUrl"), Some("https://app.example.com"));
    assert_eq!(output_of(&stacks, "AccountUrl"), None);
    assert_eq!(output_of(&Value::Null, "AppUrl"), None);
}

#[tokio::test]
async fn a_port_that_answers_is_wrong_and_a_closed_one_is_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let task: HostPort = listener
        .local_addr()
        .expect("its address")
        .to_string()
        .parse()
        .expect("host:port");
    assert!(unreachable(&task).await.wrong.is_some());
    drop(listener);
    assert!(unreachable(&task).await.wrong.is_none());
}

/// A server of one answer; where it is.
async fn answering(answer: String) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}").parse().expect("a URL")
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// What is found about a provider at an internal address, which is no exception of the client of the two origins.
async fn taken(provider: &Url) -> Finding {
    let account = "http://localhost:1";
    let location = format!("{provider}authorize?redirect_uri={account}/oauth2/idpresponse");
    let app = answering(status(&format!("302 Found\r\nlocation: {location}"))).await;
    let origins = Origins {
        app: app.clone(),
        account: account.parse().expect("a URL"),
        behind_alb: false,
    };
    let check = Check {
        client: roles::operator_client(&[app.clone(), origins.account.clone()]).expect("a client"),
        origins,
        behind_alb: false,
    };
    let [redirect, taken] = check.login(&app, "/").await.try_into().expect("two findings");
    assert!(redirect.wrong.is_none(), "{redirect:?}");
    taken
}

#[tokio::test]
async fn an_internal_login_provider_is_asked() {
    let provider = answering(status("200 OK")).await;
    let finding = taken(&provider).await;
    assert!(
        finding.wrong.is_none() && finding.unknown.is_none(),
        "{finding:?}"
    );
    let provider = answering(status("400 Bad Request")).await;
    let finding = taken(&provider).await;
    assert!(
        finding
            .wrong
            .as_deref()
            .is_some_and(|wrong| wrong.contains("refuses")),
        "{finding:?}"
    );
}

#[tokio::test]
async fn a_login_provider_that_cannot_be_reached_has_refused_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let provider = format!("http://{address}").parse().expect("a URL");
    let finding = taken(&provider).await;
    assert!(finding.wrong.is_none() && finding.mend.is_none(), "{finding:?}");
    let unknown = finding.unknown.unwrap_or_default();
    assert!(unknown.contains("cannot be asked from here"), "{unknown}");
}
