//! TLS on the listeners of every role (design D18), with curl as the client.

use std::{
    net::{IpAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use e2e::{
    cli::countersign,
    oidc_provider::free_port,
    served::{Served, gateway_config},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Writes `ca.pem`, and `identity.pem` and `identity.key` for `identity.internal`, into a directory.
fn issue(directory: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "test authority");
    let authority =
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["identity.internal".to_owned()])
        .and_then(|params| params.signed_by(&key, &authority))
        .expect("a certificate");
    for (file, text) in [
        ("ca.pem", authority.pem()),
        ("identity.pem", certificate.pem()),
        ("identity.key", key.serialize_pem()),
    ] {
        let path = directory.join(file);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }
}

fn identity_config(api: u16, front_channel: u16, operations: u16) -> String {
    format!(
        r#"
[keys]
identity = "@DIRECTORY@/identity.key-file"
[operations]
listen = "0.0.0.0:{operations}"
tls = "self-signed"
[identity]
account = "000000000000"
listen_api = "0.0.0.0:{api}"
api_hosts = ["identity.internal"]
api_tls = {{ certificates = [{{ certificate = "@DIRECTORY@/identity.pem", private_key = "@DIRECTORY@/identity.key" }}] }}
listen_front_channel = "0.0.0.0:{front_channel}"
front_channel_hosts = ["identity.internal"]
front_channel_url = "https://account.example.com"
[identity.database]
url = "sqlite:@DIRECTORY@/identity.sqlite"
"#
    )
}

fn without_api_tls(config: &str) -> String {
    let lines: Vec<&str> = config
        .lines()
        .filter(|line| !line.starts_with("api_tls"))
        .collect();
    lines.join("\n")
}

/// Status and errors of a request.
fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "10",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ])
        .args(arguments)
        .output()
        .expect("curl runs");
    [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat()
}

/// An address of this machine that is not loopback. `None` on a machine without a network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent; the kernel says which address it would send from.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

#[test]
fn every_role_speaks_tls_and_plain_http_is_for_those_who_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let (api, front_channel, operations) = (free_port(), free_port(), free_port());
    let config = identity_config(api, front_channel, operations);
    let served = Served::start_in(directory, "identity", &config, &[]);
    let ca = served.directory.path().join("ca.pem").display().to_string();
    let to = |port: u16| format!("identity.internal:443:127.0.0.1:{port}");
    let checked = curl(&[
        "--cacert",
        &ca,
        "--connect-to",
        &to(api),
        "https://identity.internal/",
    ]);
    assert!(
        checked.starts_with("400 2"),
        "an empty request of the query protocol: {checked}"
    );
    let stranger = curl(&["--connect-to", &to(api), "https://identity.internal/"]);
    assert!(
        stranger.starts_with("000"),
        "an authority that nobody trusts: {stranger}"
    );
    let plain = curl(&[
        "-H",
        "Host: identity.internal",
        &format!("http://127.0.0.1:{api}/"),
    ]);
    assert!(
        plain.starts_with("000"),
        "no plain HTTP beside TLS, from loopback neither: {plain}"
    );
    let old = curl(&[
        "--cacert",
        &ca,
        "--tls-max",
        "1.1",
        "--connect-to",
        &to(api),
        "https://identity.internal/",
    ]);
    assert!(old.starts_with("000"), "{old}");
    let operations = curl(&["-k", &format!("https://127.0.0.1:{operations}/readyz")]);
    assert!(operations.starts_with("200"), "{operations}");

    // Without TLS: loopback may come, others are disconnected unless they are named.
    let plain = format!("http://127.0.0.1:{front_channel}/");
    let loopback = curl(&["-H", "Host: identity.internal", &plain]);
    assert!(!loopback.starts_with("000"), "{loopback}");
    if let Some(address) = own_address() {
        let url = format!("http://{address}:{front_channel}/");
        let outside = curl(&["-H", "Host: identity.internal", &url]);
        assert!(outside.starts_with("000"), "{outside}");
        drop(served);
        let directory = tempfile::tempdir().expect("a directory");
        issue(directory.path());
        let named = config.replace(
            "front_channel_url",
            &format!("front_channel_plaintext_from = ['{address}/32']\nfront_channel_url"),
        );
        let _served = Served::start_in(directory, "identity", &named, &[]);
        let inside = curl(&["-H", "Host: identity.internal", &url]);
        assert!(!inside.starts_with("000"), "{inside}");
    }
}

#[test]
fn the_identity_api_does_not_start_where_it_would_be_plain_for_others() {
    let config = identity_config(free_port(), free_port(), free_port());
    let without = without_api_tls(&config);
    let (code, said) = Served::refused("identity", &without);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("identity.listen_api") && said.contains("identity.api_tls"),
        "{said}"
    );
    let exception = without.replace("api_hosts", "api_plaintext_from = ['10.0.0.0/8']\napi_hosts");
    let (code, said) = Served::refused("identity", &exception);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("unknown field"),
        "there is no such exception: {said}"
    );
    // Nobody has put the files there.
    let (code, said) = Served::refused("identity", &config);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("identity.api_tls") && said.contains("identity.key: cannot be read"),
        "{said}"
    );
}

#[test]
fn doctor_and_config_check_say_who_could_listen_in() {
    let directory = tempfile::tempdir().expect("a directory");
    issue(directory.path());
    let path = directory.path().join("countersign.toml");
    let file = path.display().to_string();
    let write = |config: &str| {
        let config = config.replace("@DIRECTORY@", &directory.path().display().to_string());
        std::fs::write(&path, config).expect("a file");
    };
    let none: [(&String, &String); 0] = [];
    let doctor = || countersign(&["doctor", "--config", &file], none);
    let check = || countersign(&["config", "check", "--config", &file], none);

    let identity = identity_config(1, 2, 3).replace(
        "front_channel_url",
        "front_channel_plaintext_from = ['10.0.0.0/8']\nfront_channel_url",
    );
    write(&identity);
    assert_eq!(check().code, 0, "{}", check().stderr);
    let said = doctor().stdout;
    for expected in [
        "warning: operations.tls: shows a certificate that nobody can check",
        "warning: identity.listen_front_channel: 0.0.0.0:2 takes plain HTTP from 10.0.0.0/8",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(!said.contains("identity.listen_api"), "{said}");

    write(&without_api_tls(&identity));
    let checked = check();
    assert!(
        checked.code == 1 && checked.stderr.contains("identity.api_tls"),
        "{}",
        checked.stderr
    );
    let told = doctor();
    assert!(
        told.code == 1 && told.stdout.contains("error: identity.listen_api"),
        "{}",
        told.stdout
    );

    write(&identity.replace("10.0.0.0/8", "0.0.0.0/0"));
    assert!(doctor().stdout.contains("plaintext_from is the whole internet"));

    write(&identity.replace("identity.key\"", "missing.key\""));
    let checked = check();
    assert!(
        checked.code == 1 && checked.stderr.contains("missing.key"),
        "{}",
        checked.stderr
    );

    let open = gateway_config()
        + "[gateway.listeners.mine]\nlisten = '0.0.0.0:80'\norigin = 'http://mine.example'\nrules = []\n[gateway.target_groups]\n";
    write(&open);
    let said = doctor().stdout;
    assert!(
        said.contains("warning: gateway.listeners.mine: 0.0.0.0:80 has no TLS"),
        "{said}"
    );
    write(&open.replace("rules = []\n[gateway.target_groups]", "rules = []\ndefault_actions = [{ type = 'forward', target_group = 'nobody' }]\n[gateway.target_groups]"));
    let checked = check();
    assert!(
        checked.code == 1 && checked.stderr.contains("nobody"),
        "{}",
        checked.stderr
    );
}
