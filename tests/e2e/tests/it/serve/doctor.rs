//! What `countersign doctor` finds in a running installation.

use e2e::{cli::countersign, oidc_provider::free_port, served::Served};

/// The first administrator may do everything, which nobody should do every day.
#[test]
fn doctor_names_who_may_both_ask_and_complete() {
    let config = format!(
        r#"
[keys]
identity = "@DIRECTORY@/identity.key"
[operations]
listen = "127.0.0.1:{}"
[identity]
account = "000000000000"
listen_api = "127.0.0.1:{api}"
listen_front_channel = "127.0.0.1:{}"
api_hosts = ["127.0.0.1:{api}"]
front_channel_url = "http://localhost:1"
[identity.database]
url = "sqlite:@DIRECTORY@/identity.sqlite"
[identity.initial_admin]
access_key_id = "AKIAINITIALADMIN0000"
secret_access_key = "a secret of the first caller, long enough"
"#,
        free_port(),
        free_port(),
        api = free_port(),
    );
    let served = Served::start("identity", &config);
    let file = served
        .directory
        .path()
        .join("countersign.toml")
        .display()
        .to_string();
    let none: [(&String, &String); 0] = [];
    let told = countersign(&["doctor", "--config", &file], none);
    let expected = "warning: principal admin of account 000000000000: is break-glass";
    assert!(told.stdout.contains(expected), "{}{}", told.stdout, told.stderr);
    assert_eq!(told.code, 0, "a warning is no error: {}", told.stdout);
}
