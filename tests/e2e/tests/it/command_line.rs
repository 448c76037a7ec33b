//! Exit codes and messages of the command line.

use std::net::TcpListener;

use e2e::{System, cli::countersign, system::free_port_base};

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let ran = countersign(&["audit", "verifi"], []);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("verify"), "{}", ran.stderr);
}

#[test]
fn help_names_every_command() {
    let ran = countersign(&["--help"], []);
    assert_eq!(ran.code, 0);
    for command in [
        "dev",
        "serve",
        "health",
        "config",
        "doctor",
        "migrate",
        "workload",
        "provider",
        "principal",
        "grant",
        "audit",
    ] {
        assert!(ran.stdout.contains(command), "{command}:\n{}", ran.stdout);
    }
}

#[test]
fn a_taken_port_is_named_with_the_way_out() {
    let base = free_port_base();
    let _taken = TcpListener::bind(("127.0.0.1", base + 4)).expect("free a moment ago");
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let ran = countersign(
        &[
            "dev",
            "--data",
            data.to_str().expect("text"),
            "--port-base",
            &base.to_string(),
        ],
        [],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&(base + 4).to_string()), "{}", ran.stderr);
    assert!(ran.stderr.contains("--port-base"), "{}", ran.stderr);
}

#[test]
fn another_port_base_on_existing_data_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let mut system = System::start_with(e2e::system::Options {
        data: Some(data.clone()),
        ..Default::default()
    });
    let port_base = system.port_base;
    system.interrupt();
    let other = free_port_base().to_string();
    let ran = countersign(
        &[
            "dev",
            "--data",
            data.to_str().expect("text"),
            "--port-base",
            &other,
        ],
        [],
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains(&format!("--port-base {port_base}")),
        "{}",
        ran.stderr
    );
}

#[test]
fn health_tells_a_server_from_none() {
    let system = System::start();
    let url = system.url(9, "/readyz");
    assert_eq!(countersign(&["health", "--url", url.as_str()], []).code, 0);
    assert_eq!(
        countersign(&["health", "--url", "http://localhost:1/readyz"], []).code,
        1
    );
}

#[test]
fn administration_reaches_the_server_through_the_env_file() {
    let system = System::start();
    let run = |arguments: &[&str]| countersign(arguments, system.environment());
    let made = run(&[
        "workload",
        "create",
        "mailer",
        "--return-url",
        "https://app.example/cb",
        "--output",
        "json",
    ]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("the response unchanged");
    assert_eq!(made["name"], "mailer");
    let list = run(&["workload", "list"]);
    assert!(
        list.stdout.contains("mailer") && list.stdout.contains("dev-agent"),
        "{}",
        list.stdout
    );
    let wrong = run(&["workload", "create", "x"]);
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.stderr.contains("name"),
        "the error names the member: {}",
        wrong.stderr
    );
    let without = countersign(&["workload", "list"], []);
    assert_eq!(without.code, 1);
    assert!(without.stderr.contains("--env-file"), "{}", without.stderr);
}

#[test]
fn the_default_configuration_is_loadable() {
    let directory = tempfile::tempdir().expect("a directory");
    let shown = countersign(&["config", "default"], []);
    assert_eq!(shown.code, 0);
    let path = directory.path().join("countersign.toml");
    std::fs::write(&path, shown.stdout.replace("env:", "text-")).expect("written");
    let ran = countersign(&["config", "check", "--config", path.to_str().expect("text")], []);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    std::fs::write(
        &path,
        format!("{}\n[gatway]\n", shown.stdout.replace("env:", "text-")),
    )
    .expect("written");
    let ran = countersign(&["config", "check", "--config", path.to_str().expect("text")], []);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("gatway"),
        "an unknown key is named: {}",
        ran.stderr
    );
}
