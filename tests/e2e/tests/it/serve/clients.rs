//! More clients than anybody has.

use e2e::{
    oidc_provider::free_port,
    python,
    served::{Served, gateway_config},
};
use serde_json::Value;

/// Ten thousand connections at once and a hundred thousand in all with `./test --full`, a tenth of that otherwise.
#[test]
fn ten_thousand_connections_come_and_go_in_bounded_memory() {
    let full = std::env::var("COUNTERSIGN_TEST_FULL").is_ok_and(|full| full == "1");
    let (total, at_once) = if full { (100_000, 10_000) } else { (10_000, 2_000) };
    let port = free_port();
    let config = gateway_config()
        + format!(
            "[gateway.listeners.many]\nlisten = '127.0.0.1:{port}'\norigin = 'http://localhost'\nrules = []\n\
             default_actions = [{{ type = 'fixed-response', status_code = 200, message_body = 'many' }}]\n\
             [gateway.target_groups]\n"
        )
        .as_str();
    // With the soft limit of an ordinary shell: the program raises it itself.
    let served = Served::start_in(
        tempfile::tempdir().expect("a directory"),
        "gateway",
        &config,
        &["bash", "-c", "ulimit -Sn 1024; exec \"$0\" \"$@\""],
    );
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = [port.into(), served.pid(), total, at_once].map(|number: u32| number.to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = python::command("many_connections.py", &arguments, directory.path())
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        served.log_text()
    );
    let measured: Value = serde_json::from_str(&said).expect("JSON");
    let bytes = |value: &Value| value.as_u64().expect("a number");
    let grown = bytes(&measured["most"]).saturating_sub(bytes(&measured["before"]));
    assert!(grown < u64::from(at_once) * 64_000, "{measured}");
    // What one round leaves behind the next one uses again.
    let after: Vec<u64> = measured["after"]
        .as_array()
        .expect("rounds")
        .iter()
        .map(bytes)
        .collect();
    let (first, last) = (after[0], after[after.len() - 1]);
    assert!(last < first + first / 4 + (8 << 20), "{measured}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let port = free_port();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a socket");
    let config = gateway_config()
        + format!(
            "[gateway.listeners.mine]\nlisten = '127.0.0.1:{port}'\norigin = 'http://localhost'\nrules = []\n\
             [gateway.target_groups]\n"
        )
        .as_str();
    let (code, said) = Served::refused("gateway", &config);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&format!("port {port} is already in use")) && said.contains("`mine`"),
        "{said}"
    );
}
