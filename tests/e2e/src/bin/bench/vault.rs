//! Tokens read from a vault of ten thousand grants and from one of a million: what a read costs must not grow with them.
//!
//! Some thousand people have a grant by a consent of their own, and are asked for by chance, without a cache before the
//! database. The grants around them are copies under other keys, which nobody can ask for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use e2e::{
    oidc_provider::{OidcProvider, free_port},
    replicas::Caller,
    served::Served,
};
use serde_json::Value;

use super::{Sample, process, wrk};

const KEY_ID: &str = "AKIAVAULTBENCH000000";
const SECRET: &str = "a secret of the first caller, long enough";
/// Grants of the smaller vault.
const FEW: u64 = 10_000;
/// People who are asked for: enough that their rows do not lie in one another's pages.
const PEOPLE: usize = 2000;

/// Makes copies of a grant, until there are so many. SQLite alone may write, and no server runs.
const FILL: &str = r#"
import os, sqlite3, sys, uuid
path, wanted = sys.argv[1], int(sys.argv[2])
db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = -1000000")
# Ten millions in one transaction would be a log several times as large; and indexes are made in order afterwards.
db.execute("PRAGMA journal_mode = OFF")
indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE tbl_name = 'oauth2_grant' AND type = 'index' AND sql NOT NULL").fetchall()
for name, _ in indexes:
    db.execute(f"DROP INDEX {name}")
columns = [row[1] for row in db.execute("PRAGMA table_info(oauth2_grant)")]
row = dict(zip(columns, db.execute("SELECT * FROM oauth2_grant LIMIT 1").fetchone()))
there = db.execute("SELECT count(*) FROM oauth2_grant").fetchone()[0]
sql = "INSERT INTO oauth2_grant VALUES (%s)" % ", ".join("?" * len(columns))
def rows():
    for n in range(wanted - there):
        # In the order of time, as the service makes them.
        row.update(id=str(uuid.UUID(int=(n << 80) | (7 << 76) | (2 << 62))), user_key=os.urandom(32), vault_key=os.urandom(32), session_id=str(uuid.uuid4()))
        yield list(row.values())
db.execute("BEGIN")
db.executemany(sql, rows())
db.execute("COMMIT")
for _, sql in indexes:
    db.execute(sql)
db.execute("PRAGMA journal_mode = WAL")
print(db.execute("SELECT count(*) FROM oauth2_grant").fetchone()[0])
"#;

/// A server over a vault of its own.
struct Case {
    name: &'static str,
    url: String,
    /// Signed anew before each round.
    bodies: Vec<String>,
    caller: Caller,
    served: Served,
    samples: Vec<Sample>,
}

/// Runs the cases in turn, `rounds` times, on vaults of 10,000 and of `grants` grants.
pub(crate) async fn run(rounds: usize, grants: u64) -> anyhow::Result<Vec<(&'static str, Vec<Sample>)>> {
    let many: &'static str = match grants {
        1_000_000 => "read_1m",
        10_000_000 => "read_10m",
        _ => format!("read_{grants}").leak(),
    };
    let directory = tempfile::tempdir()?;
    let small = vault(&directory.path().join("small")).await?;
    let large = copy(&small, &directory.path().join("large"))?;
    let mut cases = Vec::new();
    for (name, place, size) in [("read_10k", small, FEW), (many, large, grants)] {
        cases.push(place.fill(name, size)?);
    }
    for _ in 0..rounds {
        for case in &mut cases {
            let requests = case
                .bodies
                .iter()
                .map(|body| {
                    (
                        case.caller.signed(0, "/identities/oauth2/token", body),
                        body.clone(),
                    )
                })
                .collect::<Vec<_>>();
            case.samples
                .push(wrk::run_mixed(case.served.pid(), &case.url, &requests)?);
        }
    }
    for case in &cases {
        note(&format!(
            "{}: resident memory in the end {} kB",
            case.name,
            process::rss_kb(case.served.pid())?
        ));
    }
    Ok(cases.into_iter().map(|case| (case.name, case.samples)).collect())
}

/// A vault that nobody serves now.
struct Place {
    directory: PathBuf,
    api: u16,
    bodies: Vec<String>,
}

fn config(directory: &Path, api: u16, provider: u16) -> String {
    format!(
        r#"
[keys]
identity = "{directory}/identity.key"
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{api}"]
front_channel_url = "http://localhost:{front}"
outbound_allow = ["127.0.0.1:{provider}"]
# What is measured is the database.
grant_cache_mib = 0
[identity.database]
url = "sqlite:{directory}/identity.sqlite"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
"#,
        directory = directory.display(),
        operations = free_port(),
        front = free_port(),
    )
}

/// Makes a vault with a grant of each person.
async fn vault(directory: &Path) -> anyhow::Result<Place> {
    std::fs::create_dir(directory)?;
    let (api, provider) = (free_port(), free_port());
    let issuer = format!("http://127.0.0.1:{provider}");
    // Nothing expires while it is measured.
    let _provider = OidcProvider::start_rotating(provider, &issuer, 86_400);
    let mut served = Served::start("identity", &config(directory, api, provider));
    let caller = Caller::of(vec![api], KEY_ID, SECRET);
    caller.registers(&issuer).await;
    let mut bodies = Vec::new();
    for index in 0..PEOPLE {
        let person = format!("person-{index}");
        let wat: Value = caller.wat(&person).await;
        caller.connects(&person, &wat).await;
        bodies.push(Caller::token_request(&wat).to_string());
        if index % 500 == 499 {
            note(&format!("{} people have consented", index + 1));
        }
    }
    served.signal("-TERM");
    ensure!(served.wait().success(), "the server ends");
    Ok(Place {
        directory: directory.to_owned(),
        api,
        bodies,
    })
}

fn copy(place: &Place, directory: &Path) -> anyhow::Result<Place> {
    std::fs::create_dir(directory)?;
    for file in ["identity.key", "identity.sqlite"] {
        std::fs::copy(place.directory.join(file), directory.join(file))?;
    }
    Ok(Place {
        directory: directory.to_owned(),
        api: free_port(),
        bodies: place.bodies.clone(),
    })
}

impl Place {
    /// Brings the vault to `size` grants, and serves it.
    fn fill(self, name: &'static str, size: u64) -> anyhow::Result<Case> {
        let began = std::time::Instant::now();
        let filled = Command::new("python3")
            .args(["-c", FILL])
            .arg(self.directory.join("identity.sqlite"))
            .arg(size.to_string())
            .stderr(Stdio::inherit())
            .output()
            .context("python3 runs")?;
        let there: u64 = String::from_utf8_lossy(&filled.stdout).trim().parse()?;
        ensure!(there == size, "{there} grants instead of {size}");
        let bytes = std::fs::metadata(self.directory.join("identity.sqlite"))?.len();
        note(&format!(
            "{name}: {} MB, filled in {:?}",
            bytes >> 20,
            began.elapsed()
        ));
        let served = Served::start("identity", &config(&self.directory, self.api, free_port()));
        Ok(Case {
            name,
            url: format!("http://localhost:{}/identities/oauth2/token", self.api),
            caller: Caller::of(vec![self.api], KEY_ID, SECRET),
            bodies: self.bodies,
            served,
            samples: Vec::new(),
        })
    }
}

#[expect(clippy::print_stderr, reason = "a benchmark says how far it is")]
fn note(text: &str) {
    eprintln!("{text}");
}
