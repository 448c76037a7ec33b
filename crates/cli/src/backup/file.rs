//! The file of a backup: one line of JSON that says how to open the rest, then sealed frames.
//!
//! A frame is its length (4 bytes, big-endian) and an AES-256-GCM sealed text of JSON lines. Each is bound to the first
//! line, to its number and to whether it is the last one, so that a file that was cut, joined or put in another order
//! does not open.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use countersign_crypto::{Aad, ExposeSecret as _, SharedRandom, open_under, seal_under, sha256_parts};
use countersign_db::ColumnType;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key::KeyHeader;

/// What this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Longest first line.
const MAX_HEADER: u64 = 16 * 1024;
/// Text of a frame, about.
const FRAME: usize = 256 * 1024;
/// Longest frame that is read.
const MAX_FRAME: usize = 64 << 20;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    /// Always `backup`.
    pub(super) countersign: String,
    /// [`FORMAT`].
    pub(super) format: u32,
    /// The program that wrote it.
    pub(super) program: String,
    /// When, RFC 3339.
    pub(super) created_at: String,
    /// What opens it.
    pub(super) key: KeyHeader,
}

impl Header {
    pub(super) fn new(created_at: String, key: KeyHeader) -> Self {
        Self {
            countersign: "backup".to_owned(),
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            created_at,
            key,
        }
    }
}

/// A line of the sealed text. It may be a key: no `Debug`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Line {
    /// Tables of this database follow.
    Database(Database),
    /// Rows of this table follow.
    Table(Table),
    /// A row.
    Row(Vec<serde_json::Value>),
    /// The root key file of a role.
    KeyFile {
        /// `identity` or `gateway`.
        role: String,
        /// The file, in hexadecimal.
        content: Zeroizing<String>,
    },
}

/// A database of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Database {
    /// `identity` or `gateway`.
    pub(super) role: String,
    /// Its own id.
    pub(super) id: String,
    /// How often a backup was restored into it.
    pub(super) restore_epoch: i64,
    /// Whether `countersign dev` made it.
    pub(super) dev: bool,
    /// Whether nothing is written to it any more: then nothing in the world is newer than this.
    #[serde(default)]
    pub(super) handed_over: bool,
    /// Newest migration of each owner.
    pub(super) schema: BTreeMap<String, i64>,
}

/// A table of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// Name and type of each column.
    pub(super) columns: Vec<(String, Kind)>,
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Text,
    Int,
    Bytes,
}

impl From<ColumnType> for Kind {
    fn from(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Text => Self::Text,
            ColumnType::Int => Self::Int,
            ColumnType::Bytes => Self::Bytes,
        }
    }
}

/// Writes a backup beside its name, and gives it the name when it is whole.
pub(super) struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    partial: PathBuf,
    frames: Frames,
    text: Zeroizing<Vec<u8>>,
    random: SharedRandom,
}

/// What every frame is bound to.
struct Frames {
    key: Zeroizing<[u8; 32]>,
    header: String,
    next: u64,
}

impl Frames {
    fn new(key: Zeroizing<[u8; 32]>, header: &[u8]) -> Self {
        Self {
            key,
            header: hex::encode(sha256_parts(&[header])),
            next: 0,
        }
    }

    fn place(&self, last: bool) -> Aad {
        let kind = if last { "last" } else { "frame" };
        Aad::new(&self.header, "backup", &self.next.to_string(), kind)
    }
}

impl Writer {
    pub(super) fn create(
        path: &Path,
        header: &Header,
        key: Zeroizing<[u8; 32]>,
        random: &SharedRandom,
    ) -> anyhow::Result<Self> {
        ensure!(
            !path.exists(),
            "{} exists; a backup replaces no file",
            path.display()
        );
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .with_context(|| format!("cannot write {}", partial.display()))?;
        let mut out = BufWriter::new(file);
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        out.write_all(&line)?;
        Ok(Self {
            out,
            path: path.to_owned(),
            partial,
            frames: Frames::new(key, &line),
            text: Zeroizing::new(Vec::with_capacity(FRAME * 2)),
            random: Arc::clone(random),
        })
    }

    pub(super) fn put(&mut self, line: &Line) -> anyhow::Result<()> {
        serde_json::to_writer(&mut *self.text, line)?;
        self.text.push(b'\n');
        if self.text.len() >= FRAME {
            self.frame(false)?;
        }
        Ok(())
    }

    fn frame(&mut self, last: bool) -> anyhow::Result<()> {
        let place = self.frames.place(last);
        let sealed = seal_under(&self.frames.key, &*self.random, &place, &self.text);
        let length = u32::try_from(sealed.len()).context("a row is too large for a backup")?;
        let written = self.out.write_all(&length.to_be_bytes());
        written
            .and_then(|()| self.out.write_all(&sealed))
            .with_context(|| format!("cannot write {}", self.partial.display()))?;
        self.frames.next += 1;
        self.text.clear();
        Ok(())
    }

    /// On disk under its name, and its length in bytes.
    pub(super) fn finish(mut self) -> anyhow::Result<u64> {
        self.frame(true)?;
        let file = self
            .out
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let length = file.metadata()?.len();
        std::fs::rename(&self.partial, &self.path)?;
        Ok(length)
    }
}

/// Reads a backup from its beginning to its end.
pub(super) struct Reader {
    input: BufReader<File>,
    pub(super) header: Header,
    line: Vec<u8>,
}

/// The sealed part of a backup.
pub(super) struct Lines {
    input: BufReader<File>,
    frames: Frames,
    read: VecDeque<Line>,
    ended: bool,
}

impl Reader {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut input = BufReader::new(file);
        let mut line = Vec::new();
        input.by_ref().take(MAX_HEADER).read_until(b'\n', &mut line)?;
        let header: Header = serde_json::from_slice(&line)
            .ok()
            .filter(|header: &Header| header.countersign == "backup" && line.ends_with(b"\n"))
            .with_context(|| format!("{} is no backup of countersign", path.display()))?;
        ensure!(
            header.format <= FORMAT,
            "{} has format {}, and this program reads up to {FORMAT}: use the version that wrote it ({})",
            path.display(),
            header.format,
            header.program
        );
        Ok(Self { input, header, line })
    }

    pub(super) fn unlock(self, key: Zeroizing<[u8; 32]>) -> Lines {
        Lines {
            input: self.input,
            frames: Frames::new(key, &self.line),
            read: VecDeque::new(),
            ended: false,
        }
    }
}

impl Lines {
    /// The next line; `None` behind the last.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        while self.read.is_empty() {
            if self.ended {
                return Ok(None);
            }
            self.frame()?;
        }
        Ok(self.read.pop_front())
    }

    fn frame(&mut self) -> anyhow::Result<()> {
        let number = self.frames.next;
        let cut = || format!("the backup ends in the middle (frame {number})");
        let mut length = [0; 4];
        self.input.read_exact(&mut length).with_context(cut)?;
        let length = u32::from_be_bytes(length) as usize;
        ensure!(length <= MAX_FRAME, "frame {number} of the backup is damaged");
        let mut sealed = vec![0; length];
        self.input.read_exact(&mut sealed).with_context(cut)?;
        let open = |last| open_under(&self.frames.key, &self.frames.place(last), &sealed);
        let (text, last) = match (open(false), open(true)) {
            (Ok(text), _) => (text, false),
            (_, Ok(text)) => (text, true),
            _ if number == 0 => {
                bail!("the backup does not open: another passphrase or key, or a changed file")
            }
            _ => bail!("frame {number} of the backup is damaged or not from here"),
        };
        for line in text.expose_secret().split(|byte| *byte == b'\n') {
            if !line.is_empty() {
                let line = serde_json::from_slice(line);
                // The error would quote the line.
                let Ok(line) = line else {
                    bail!("frame {number} of the backup has a line that this program does not know");
                };
                self.read.push_back(line);
            }
        }
        self.frames.next += 1;
        self.ended = last;
        if last {
            let rest = self.input.fill_buf()?;
            ensure!(rest.is_empty(), "unexpected data after the end of the backup");
        }
        Ok(())
    }
}
