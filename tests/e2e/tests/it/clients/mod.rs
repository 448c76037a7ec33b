//! Programs other people wrote, pointed here by environment variables alone.

mod examples;
mod web_identity;

use std::process::Command;

use e2e::{
    System,
    oidc_provider::{Client, OidcProvider, free_port},
    python,
};

#[test]
fn boto3_walks_the_api_flow() {
    let system = System::start();
    assert_eq!(python::run(&system, "boto3_flow.py", &[]).trim(), "done");
}

#[test]
fn every_identity_operation_of_botocores_models_keeps_its_contract() {
    let system = System::start();
    let printed = python::run(&system, "contract.py", &[]);
    assert_eq!(printed.trim().lines().last(), Some("done"), "{printed}");
}

#[test]
fn the_aws_cli_creates_gets_lists_updates_and_deletes() {
    let system = System::start();
    assert_eq!(python::run(&system, "programs.py", &["aws"]).trim(), "done");
}

#[test]
fn the_starter_toolkit_makes_identities_and_providers() {
    let system = System::start();
    assert_eq!(python::run(&system, "programs.py", &["toolkit"]).trim(), "done");
}

#[test]
fn the_aws_sdk_for_javascript_parses_every_answer() {
    let system = System::start();
    let modules = std::env::var("COUNTERSIGN_TEST_NODE_MODULES")
        .expect("COUNTERSIGN_TEST_NODE_MODULES: run `./test clients`, which installs the npm packages");
    let script = e2e::repository().join("tests/node/aws_sdk.mjs");
    let mut node = Command::new("node");
    node.arg(script).env("COUNTERSIGN_TEST_NODE_MODULES", modules);
    assert_eq!(done(&system, node), "done");
}

#[test]
fn the_aws_sdk_for_rust_parses_every_answer() {
    let system = System::start();
    let program = std::env::var("COUNTERSIGN_TEST_AWS_SDK")
        .expect("COUNTERSIGN_TEST_AWS_SDK: run `./test clients`, which builds tests/aws-sdk");
    assert_eq!(done(&system, Command::new(program)), "done");
}

/// Runs a program with the variables of `--env-file` and gives what it printed.
fn done(system: &System, mut program: Command) -> String {
    let output = program
        .envs(system.environment())
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{}\nserver:\n{}",
        String::from_utf8_lossy(&output.stderr),
        system.log_text()
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn requires_access_token_gets_its_token_within_its_own_polling() {
    let system = System::start();
    let printed = python::run(&system, "sdk_decorator.py", &[]);
    assert_eq!(printed.trim().lines().last(), Some("done"), "{printed}");
}

#[test]
fn oidc_provider_registered_by_boto3_is_a_service_like_any_other() {
    let port = free_port();
    let system = System::start_with(e2e::system::Options {
        arguments: vec!["--allow-outbound".to_owned(), format!("127.0.0.1:{port}")],
        ..Default::default()
    });
    // The callback URL is known only after the registration, and the registration reads the discovery document:
    // the provider starts once without and once with the redirect URI.
    let callback = {
        let provider = OidcProvider::start(port, &[]);
        let url = provider.discovery_url();
        python::run(
            &system,
            "custom_provider.py",
            &["register", "other", &url, "client", "the client's secret"],
        )
        .trim()
        .to_owned()
    };
    let redirect_uris = [callback];
    let _provider = OidcProvider::start(
        port,
        &[Client {
            id: "client",
            secret: "the client's secret",
            redirect_uris: &redirect_uris,
        }],
    );
    assert_eq!(
        python::run(&system, "custom_provider.py", &["flow", "other"]).trim(),
        "done"
    );
}
