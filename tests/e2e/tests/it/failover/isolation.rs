//! Who may connect to the database, and what they see there.

use std::path::Path;

use e2e::{cli::countersign, postgres::Postgres};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A certificate authority, and a server certificate for `localhost` alone.
struct Authority {
    ca: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = CertifiedIssuer::self_signed(params, key).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &ca).expect("signed");
        Self {
            ca: ca.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// `countersign migrate` of an identity database.
fn migrate(directory: &Path, url: &str) -> Result<(), String> {
    let config = directory.join("identity.toml");
    let text = format!(
        r#"
[keys]
identity = "{key}"
[operations]
listen = "localhost:8409"
[identity]
account = "000000000000"
api_hosts = ["localhost:8401"]
front_channel_url = "http://localhost:8408"
[identity.database]
url = "{url}"
"#,
        key = directory.join("identity.key").display()
    );
    std::fs::write(&config, text).expect("written");
    let ran = countersign(&["migrate", "--config", config.to_str().expect("text")], []);
    if ran.code == 0 { Ok(()) } else { Err(ran.stderr) }
}

#[test]
fn the_server_is_known_by_its_certificate() {
    let server = Postgres::start("");
    let directory = tempfile::tempdir().expect("a directory");
    let (ours, other) = (Authority::new(), Authority::new());
    server.give("server.crt", &ours.certificate);
    server.give("server.key", &ours.key);
    let hba = "local all all trust\nhostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n";
    server.reconfigure(hba, "ssl = on\n");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (known, unknown) = (file("ca.pem", &ours.ca), file("other.pem", &other.ca));
    let url =
        |host: &str, rest: &str| format!("postgres://countersign@{host}:{}/postgres{rest}", server.port);
    let try_it = |host: &str, rest: &str| migrate(directory.path(), &url(host, rest));
    let verified = |ca: &str| format!("?sslmode=verify-full&sslrootcert={ca}");

    try_it("localhost", &verified(&known)).expect("the right name and authority");
    try_it("localhost", &verified(&unknown)).expect_err("another authority");
    try_it("localhost", "?sslmode=verify-full").expect_err("no public authority vouches for it");
    try_it("127.0.0.1", &verified(&known)).expect_err("another name");
    try_it("localhost", "?sslmode=disable").expect_err("the server wants encryption");
    let refused = try_it("localhost", "?sslmode=prefer").expect_err("protects from nobody");
    assert!(refused.contains("sslmode"), "{refused}");
    let ssl = server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'identity'");
    assert_eq!(ssl, "1", "and the schema is there");
}

#[test]
fn the_gateways_role_cannot_read_the_vault_nor_the_identity_role_the_sessions() {
    let server = Postgres::start("");
    let _ = server.sql(
        "CREATE ROLE identity LOGIN; CREATE ROLE gateway LOGIN; \
         CREATE SCHEMA identity AUTHORIZATION identity; CREATE SCHEMA gateway AUTHORIZATION gateway; \
         REVOKE ALL ON SCHEMA public FROM PUBLIC",
    );
    let directory = tempfile::tempdir().expect("a directory");
    let printed = countersign(&["config", "default"], []);
    let config = directory.path().join("countersign.toml");
    let text = printed
        .stdout
        .replace("/var/lib/countersign", directory.path().to_str().expect("text"));
    std::fs::write(&config, text).expect("written");
    let url = |role: &str| format!("postgres://{role}@127.0.0.1:{}/postgres", server.port);
    let text = |text: &str| text.to_owned();
    let environment = [
        (text("COUNTERSIGN__IDENTITY__DATABASE__URL"), url("identity")),
        (text("COUNTERSIGN__GATEWAY__DATABASE__URL"), url("gateway")),
    ];
    let secrets: Vec<(String, String)> = printed
        .stdout
        .split('"')
        .filter_map(|quoted| quoted.strip_prefix("env:"))
        .map(|name| {
            (
                name.to_owned(),
                text("a secret of at least thirty-two characters"),
            )
        })
        .collect();
    let variables = environment
        .iter()
        .chain(&secrets)
        .map(|(name, value)| (name, value));
    let ran = countersign(
        &["migrate", "--config", config.to_str().expect("text")],
        variables,
    );
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);

    for (owner, table, stranger) in [
        ("identity", "oauth2_grant", "gateway"),
        ("identity", "audit_record", "gateway"),
        ("gateway", "session", "identity"),
    ] {
        let query = format!("SELECT count(*) FROM {owner}.{table}");
        assert_eq!(server.sql_as(owner, &query).as_deref(), Ok("0"), "{query}");
        let refused = server.sql_as(stranger, &query).expect_err("another's table");
        assert!(refused.contains("permission denied"), "{stranger}: {refused}");
        let write = format!("DELETE FROM {owner}.{table}");
        let refused = server.sql_as(stranger, &write).expect_err("another's table");
        assert!(refused.contains("permission denied"), "{stranger}: {refused}");
    }
}
