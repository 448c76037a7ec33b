//! Reading back what anchors keep, for `audit verify --against`.

use std::collections::HashSet;
use std::path::Path;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::TargetError;
use crate::checkpoint::Checkpoint;

/// What begins a checkpoint line, wherever it stands in a message.
const MARK: &str = r#"{"checkpoint":"#;
/// Objects that are read at a time: a year of them is some millions.
const AT_A_TIME: usize = 64;

/// The text of checkpoint lines, from wherever they were kept.
#[derive(Debug, Clone, Default)]
pub struct Kept(pub String);

impl Kept {
    /// The lines about `role`'s trail that no other line names as the one before it, usually the newest alone, and what is
    /// no checkpoint: whoever compares these has compared the others, which they name by hash. For comparing through an
    /// API, whose requests are no place for a year of checkpoints.
    #[must_use]
    pub fn unfollowed(&self, role: &str) -> Vec<&str> {
        let read = |line: &str| {
            let checkpoint = Checkpoint::parse(line).ok()?;
            let statement = checkpoint.read().ok()?;
            Some((checkpoint.hash(), statement.role == role, statement.previous))
        };
        let lines: Vec<_> = self.0.lines().map(|line| (line, read(line))).collect();
        let followed: HashSet<&str> = lines
            .iter()
            .filter_map(|(_, read)| read.as_ref())
            .map(|(_, _, previous)| previous.as_str())
            .collect();
        let wanted = lines.iter().filter(|(_, read)| match read {
            Some((hash, of_role, _)) => *of_role && !followed.contains(hash.as_str()),
            None => true,
        });
        wanted.map(|(line, _)| *line).collect()
    }

    /// From a file: a checkpoint file, or the messages of syslog or the journal, of which everything but the
    /// checkpoints is left out. From a directory: from all files in it and below it.
    pub fn read(path: &Path) -> Result<Self, TargetError> {
        let mut kept = String::new();
        let place = path.display().to_string();
        if path.is_dir() {
            let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let mut paths: Vec<_> = entries
                .map_err(TargetError::io(place))?
                .into_iter()
                .map(|entry| entry.path())
                .collect();
            paths.sort();
            for path in paths {
                kept.push_str(&Self::read(&path)?.0);
            }
        } else {
            let text = std::fs::read_to_string(path).map_err(TargetError::io(place))?;
            kept.push_str(&lines(&text));
        }
        Ok(Self(kept))
    }
}

/// The checkpoint lines in a text; the text itself when it is none of messages, so that what is wrong with it is seen.
fn lines(text: &str) -> String {
    let text = acknowledged(text);
    let messages = text.lines().any(|line| line.find(MARK).is_some_and(|at| at > 0));
    if !messages {
        let end = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        return format!("{text}{end}");
    }
    let mut found = String::new();
    for line in text.lines() {
        if let Some(at) = line.find(MARK) {
            found.push_str(&line[at..]);
            found.push('\n');
        }
    }
    found
}

/// Without a last line that a crash cut before its newline, where there are others.
fn acknowledged(text: &str) -> &str {
    let Some((before, last)) = text.rsplit_once('\n') else {
        return text;
    };
    let line = last.find(MARK).map_or(last, |at| &last[at..]);
    if Checkpoint::parse(line).is_ok() {
        text
    } else {
        &text[..=before.len()]
    }
}

/// From `s3://BUCKET/PREFIX`, with region, endpoint and credentials as AWS SDKs find them.
pub async fn kept_in_s3(bucket: &str, prefix: &str) -> Result<Kept, TargetError> {
    let unusable =
        |error: object_store::Error| TargetError::Unusable(format!("s3://{bucket}/{prefix}: {error}"));
    let store = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .build()
        .map_err(unusable)?;
    let prefix_path = object_store::path::Path::from(prefix);
    let mut objects: Vec<_> = store
        .list(Some(&prefix_path))
        .try_collect()
        .await
        .map_err(unusable)?;
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    // Exports of records may be in the same bucket.
    objects.retain(|object| object.location.extension() == Some("json"));
    let texts: Vec<String> = stream::iter(&objects)
        .map(|object| async {
            let bytes = store.get(&object.location).await?.bytes().await?;
            Ok(lines(&String::from_utf8_lossy(&bytes)))
        })
        .buffered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(unusable)?;
    Ok(Kept(texts.concat()))
}

#[cfg(test)]
mod tests {
    use super::{Kept, lines};
    use crate::checkpoint::{Checkpoint, Statement, VERSION};

    #[test]
    fn what_is_named_by_hash_need_not_be_compared() {
        let checkpoint = |role: &str, number: i64, previous: &str| {
            let statement = Statement {
                version: VERSION,
                database: format!("database of {role}"),
                restore_epoch: 0,
                role: role.to_owned(),
                number,
                at: number,
                previous: previous.to_owned(),
                writers: 0,
                root: "00".to_owned(),
                complete: true,
                heads: Vec::new(),
                kid: "k".to_owned(),
            };
            let statement = serde_json::to_string(&statement).expect("JSON");
            let signature = "x".to_owned();
            Checkpoint { statement, signature }
        };
        let first = checkpoint("identity", 1, "00");
        let second = checkpoint("identity", 2, &first.hash());
        let third = checkpoint("identity", 3, &second.hash());
        // Of another history, which must be noticed.
        let forked = checkpoint("identity", 2, "11");
        let other = checkpoint("gateway", 1, "00");
        let all = [&third, &first, &forked, &second, &other].map(Checkpoint::line);
        let kept = Kept(format!("{}\nnone\n", all.join("\n")));
        assert_eq!(
            kept.unfollowed("identity"),
            [&*third.line(), &*forked.line(), "none"]
        );
        assert_eq!(kept.unfollowed("gateway"), [&*other.line(), "none"]);
    }

    #[test]
    fn checkpoints_are_found_among_messages() {
        let line = r#"{"checkpoint":{"number":1},"signature":"x"}"#;
        assert_eq!(lines(&format!("{line}\n")), format!("{line}\n"));
        let messages = format!("<109>1 x countersign - Checkpoint [a] {line}\nsshd: hello\n<109>1 y {line}");
        assert_eq!(lines(&messages), format!("{line}\n{line}\n"));
        assert_eq!(lines("not a checkpoint"), "not a checkpoint\n", "and is a fault");
        let cut = &line[..20];
        assert_eq!(lines(&format!("{line}\n{cut}")), format!("{line}\n"));
        assert_eq!(lines(&format!("{messages}\n<109>1 z {cut}")), lines(&messages));
        assert_eq!(
            lines(&format!("{cut}\n{line}")),
            format!("{cut}\n{line}\n"),
            "a fault"
        );
    }
}
