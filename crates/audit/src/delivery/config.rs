//! Where an operator wants the evidence to go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use countersign_crypto::SecretString;
use serde::Deserialize;
use url::Url;

use crate::format::Format;

/// The `evidence` table of a role. Unknown keys are refused.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvidenceConfig {
    /// Where checkpoints go, so that nobody who can write to the database can rewrite the trail unseen.
    pub anchors: Vec<AnchorConfig>,
    /// Where records go.
    pub exports: Vec<ExportConfig>,
    /// The details of persons of whom nothing has been recorded for so many days, 1 to 36500, are made unreadable for
    /// ever. Absent: only `user forget` does.
    pub forget_inactive_persons_after_days: Option<u32>,
}

/// A place that keeps checkpoints.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorConfig {
    /// Told apart by this in the database, in metrics and by `doctor`: 1 to 64 letters, digits, `-` and `_`.
    pub name: String,
    /// The place.
    pub to: AnchorPlace,
}

/// Places that keep checkpoints.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnchorPlace {
    /// A file to append to, such as one on another machine's disk.
    File(PathBuf),
    /// An object a checkpoint, never overwritten.
    S3(S3Config),
    /// A message a checkpoint.
    Syslog(SyslogConfig),
    /// A message a checkpoint, to this machine's journal.
    Journald(JournaldConfig),
}

/// A receiver of records.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportConfig {
    /// As [`AnchorConfig::name`].
    pub name: String,
    /// What a record looks like there.
    #[serde(default)]
    pub format: Format,
    /// Most records that are handed over at a time, 1 to 1000.
    #[serde(default = "default_batch")]
    pub batch: u16,
    /// The receiver.
    pub to: ExportPlace,
}

const fn default_batch() -> u16 {
    500
}

/// Receivers of records.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportPlace {
    /// A file a batch.
    Directory(PathBuf),
    /// An object a batch.
    S3(S3Config),
    /// A message a record.
    Syslog(SyslogConfig),
    /// A request a batch.
    Webhook(WebhookConfig),
}

/// A bucket of Amazon S3, or of what speaks its protocol.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// Its name: 3 to 63 lower-case letters, digits, `.` and `-`.
    pub bucket: String,
    /// What the names of objects begin with: letters, digits, `/`, `_`, `.` and `-`.
    #[serde(default)]
    pub prefix: String,
    /// Its region.
    pub region: String,
    /// Where it is, when not at AWS. May be an internal address, and plain HTTP.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// Absent: as AWS SDKs find them (variables, web identity, the container's or the instance's role).
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Its secret.
    #[serde(default)]
    pub secret_access_key: Option<SecretString>,
    /// Asks the bucket to keep each object; it must have Object Lock.
    #[serde(default)]
    pub lock: Option<LockConfig>,
}

/// S3 Object Lock.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockConfig {
    /// Who may lift it.
    pub mode: LockMode,
    /// For so many days, 1 to 36500.
    pub days: u32,
}

/// Who may lift a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Nobody, not even the account's root.
    Compliance,
    /// Who has `s3:BypassGovernanceRetention`.
    Governance,
}

impl LockMode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }
}

/// A receiver of RFC 5424 messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// `udp://HOST:PORT` (RFC 5426), `tcp://HOST:PORT` (RFC 6587, octets counted) or `unix:PATH`. It has no
    /// encryption of its own: across a network, put a relay on this machine.
    pub address: String,
    /// The name of this machine in messages.
    #[serde(default = "default_hostname")]
    pub hostname: String,
    /// The facility, 0 to 23; by default 13, log audit.
    #[serde(default = "default_facility")]
    pub facility: u8,
}

fn default_hostname() -> String {
    "-".to_owned()
}

const fn default_facility() -> u8 {
    13
}

/// The journal of systemd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournaldConfig {
    /// Its socket.
    #[serde(default = "default_journal")]
    pub socket: PathBuf,
}

fn default_journal() -> PathBuf {
    PathBuf::from("/run/systemd/journal/socket")
}

/// A receiver of signed HTTPS requests (Standard Webhooks).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where; plain HTTP and internal addresses are the operator's choice.
    pub url: Url,
    /// `whsec_` and base64 of 24 to 64 bytes.
    pub secret: SecretString,
    /// The one before, while the receiver changes to the new one: requests carry both signatures.
    #[serde(default)]
    pub previous_secret: Option<SecretString>,
    /// The value of the `Authorization` header, for receivers that want one.
    #[serde(default)]
    pub authorization: Option<SecretString>,
    /// A PEM file of authorities that are believed beside the system's.
    #[serde(default)]
    pub trust_root: Option<PathBuf>,
}

/// A configuration that cannot be used: the key, and the rule.
#[derive(Debug, thiserror::Error)]
#[error("evidence.{key}: {rule}")]
pub struct EvidenceConfigError {
    key: String,
    rule: &'static str,
}

impl EvidenceConfig {
    /// Every secret of it, for whoever has to know whether one has changed: none is seen in `Debug`.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let anchors = self.anchors.iter().map(|anchor| match &anchor.to {
            AnchorPlace::S3(s3) => [s3.secret_access_key.as_ref(), None, None],
            AnchorPlace::File(_) | AnchorPlace::Syslog(_) | AnchorPlace::Journald(_) => [None; 3],
        });
        let exports = self.exports.iter().map(|export| match &export.to {
            ExportPlace::S3(s3) => [s3.secret_access_key.as_ref(), None, None],
            ExportPlace::Webhook(webhook) => [
                Some(&webhook.secret),
                webhook.previous_secret.as_ref(),
                webhook.authorization.as_ref(),
            ],
            ExportPlace::Directory(_) | ExportPlace::Syslog(_) => [None; 3],
        });
        anchors.chain(exports).flatten().flatten()
    }

    /// Refuses what cannot be used.
    pub fn check(&self) -> Result<(), EvidenceConfigError> {
        let days = self.forget_inactive_persons_after_days;
        let key = || "forget_inactive_persons_after_days".to_owned();
        let kept = days.is_none_or(|days| (1..=36_500).contains(&days));
        require(kept, key, "must be 1 to 36500")?;
        let mut names = BTreeSet::new();
        for (index, anchor) in self.anchors.iter().enumerate() {
            let key = format!("anchors[{index}]");
            name(&key, &anchor.name, &mut names)?;
            match &anchor.to {
                AnchorPlace::S3(s3) => s3.check(&format!("{key}.to.s3"))?,
                AnchorPlace::Syslog(syslog) => syslog.check(&format!("{key}.to.syslog"))?,
                AnchorPlace::File(_) | AnchorPlace::Journald(_) => {}
            }
        }
        // Anchors may share a place: the same line twice says no more than once.
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for (index, export) in self.exports.iter().enumerate() {
            let key = format!("exports[{index}]");
            name(&key, &export.name, &mut names)?;
            let batch = (1..=1000).contains(&export.batch);
            require(batch, || format!("{key}.batch"), "must be 1 to 1000")?;
            match &export.to {
                ExportPlace::S3(s3) => s3.check(&format!("{key}.to.s3"))?,
                ExportPlace::Syslog(syslog) => syslog.check(&format!("{key}.to.syslog"))?,
                ExportPlace::Webhook(webhook) => webhook.check(&format!("{key}.to.webhook"))?,
                ExportPlace::Directory(_) => {}
            }
            // A batch whose name is there counts as taken: each would have holes where the other was first.
            if let Some((member, place)) = export.to.names() {
                let rule = "is another export's place: give it a directory or prefix of its own";
                require(places.insert(place), || format!("{key}.to.{member}"), rule)?;
            }
        }
        Ok(())
    }
}

impl ExportPlace {
    /// Where the names of its batches must be no other export's, if they have names.
    fn names(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Directory(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                // Joined again, it has no `.`, no doubled slashes and none at its end.
                let path: PathBuf = path.components().collect();
                Some(("directory", path.display().to_string()))
            }
            Self::S3(s3) => Some(("s3", s3.names())),
            Self::Syslog(_) | Self::Webhook(_) => None,
        }
    }
}

impl S3Config {
    /// Not by region: a bucket's name is unique at AWS, and an endpoint is asked whatever the region.
    fn names(&self) -> String {
        let endpoint = self.endpoint.as_ref().map_or("", Url::as_str);
        // As URLs drop them.
        let parts = self.prefix.split_inclusive('/').filter(|part| *part != "./");
        format!("{endpoint} {} {}", self.bucket, parts.collect::<String>())
    }

    fn check(&self, key: &str) -> Result<(), EvidenceConfigError> {
        let bucket = (3..=63).contains(&self.bucket.len())
            && self
                .bucket
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        let rule = "must be 3 to 63 lower-case letters, digits, `.` and `-`";
        require(bucket, || format!("{key}.bucket"), rule)?;
        let prefix = self.prefix.len() <= 512
            && self
                .prefix
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'.' | b'-'))
            && !self.prefix.starts_with('/')
            && !self.prefix.contains("//")
            && !self.prefix.contains("..");
        let rule = "must be letters, digits, `/`, `_`, `.` and `-`, and not begin with `/`";
        require(prefix, || format!("{key}.prefix"), rule)?;
        let region = (1..=32).contains(&self.region.len())
            && self
                .region
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        require(region, || format!("{key}.region"), "must be the name of a region")?;
        let both = self.access_key_id.is_some() == self.secret_access_key.is_some();
        let rule = "needs access_key_id and secret_access_key, or neither";
        require(both, || key.to_owned(), rule)?;
        if let Some(endpoint) = &self.endpoint {
            let usable = matches!(endpoint.scheme(), "https" | "http")
                && endpoint.path() == "/"
                && endpoint.query().is_none();
            let rule = "must be a URL of a host alone";
            require(usable, || format!("{key}.endpoint"), rule)?;
        }
        let days = self.lock.is_none_or(|lock| (1..=36_500).contains(&lock.days));
        require(days, || format!("{key}.lock.days"), "must be 1 to 36500")
    }
}

impl SyslogConfig {
    fn check(&self, key: &str) -> Result<(), EvidenceConfigError> {
        let rule = "must be udp://HOST:PORT, tcp://HOST:PORT or unix:PATH";
        let known = super::target::syslog::Address::parse(&self.address).is_some();
        require(known, || format!("{key}.address"), rule)?;
        let hostname =
            (1..=255).contains(&self.hostname.len()) && self.hostname.bytes().all(|b| b.is_ascii_graphic());
        let rule = "must be 1 to 255 printable ASCII characters without spaces";
        require(hostname, || format!("{key}.hostname"), rule)?;
        require(
            self.facility < 24,
            || format!("{key}.facility"),
            "must be 0 to 23",
        )
    }
}

impl WebhookConfig {
    fn check(&self, key: &str) -> Result<(), EvidenceConfigError> {
        let usable = matches!(self.url.scheme(), "https" | "http")
            && self.url.host_str().is_some()
            && self.url.username().is_empty()
            && self.url.password().is_none();
        let rule = "must be an http or https URL without user and password";
        require(usable, || format!("{key}.url"), rule)?;
        let rule = "must be whsec_ and base64 of 24 to 64 bytes";
        for (member, secret) in [
            ("secret", Some(&self.secret)),
            ("previous_secret", self.previous_secret.as_ref()),
        ] {
            let readable = secret.is_none_or(|secret| super::target::webhook::key(secret).is_some());
            require(readable, || format!("{key}.{member}"), rule)?;
        }
        Ok(())
    }
}

fn name(key: &str, name: &str, names: &mut BTreeSet<String>) -> Result<(), EvidenceConfigError> {
    let usable = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let rule = "must be 1 to 64 letters, digits, `-` and `_`";
    require(usable, || format!("{key}.name"), rule)?;
    let rule = "must not be another's name";
    require(names.insert(name.to_owned()), || format!("{key}.name"), rule)
}

fn require(kept: bool, key: impl FnOnce() -> String, rule: &'static str) -> Result<(), EvidenceConfigError> {
    if kept {
        Ok(())
    } else {
        Err(EvidenceConfigError { key: key(), rule })
    }
}
