//! Programs other people wrote, pointed here by environment variables alone.

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
