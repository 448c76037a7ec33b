//! What a record looks like to those who collect them.
//!
//! Each form is one JSON object a line in which nothing moves a reader's cursor, ends its line or turns its text
//! around: what outsiders said is a value in it, and never more.

mod cloudtrail;
mod ocsf;

use serde::Deserialize;
use serde_json::Value;

use crate::Record;

/// The form of exported records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As `countersign audit tail --output json` prints them.
    #[default]
    Record,
    /// Open Cybersecurity Schema Framework 1.5.0: API Activity, Authentication, Account Change.
    Ocsf,
    /// The members of AWS CloudTrail's records.
    Cloudtrail,
}

impl Format {
    /// A record in this form. `repeated` marks one that the receiver may have had before.
    #[must_use]
    pub fn value(self, record: &Record, repeated: bool) -> Value {
        match self {
            Self::Record => {
                let mut value = serde_json::to_value(record).unwrap_or_default();
                if repeated {
                    value["repeated"] = true.into();
                }
                value
            }
            Self::Ocsf => ocsf::event(record, repeated),
            Self::Cloudtrail => cloudtrail::event(record, repeated),
        }
    }

    /// The same as a line, without its newline.
    #[must_use]
    pub fn line(self, record: &Record, repeated: bool) -> String {
        escaped(&self.value(record, repeated).to_string())
    }
}

/// JSON in which characters that terminals and viewers act upon are written as escapes. They occur in strings alone.
pub(crate) fn escaped(json: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) {
            // Everything that acts is in the basic plane but the tags, which take two units.
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// Control characters, line separators, and what turns the direction of text around or hides in it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A recorded value must not move the reader's cursor, nor turn the text around.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if acts(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_acts_is_escaped_and_reads_back() {
        let hostile = "a\u{7f}\u{85}\u{9b}31m\u{2028}\u{202e}\u{2066}\u{feff}\u{e0041}b\n\r\u{1b}[2J\"é漢";
        let json = serde_json::Value::from(hostile).to_string();
        let line = escaped(&json);
        assert!(line.chars().all(|c| !super::acts(c)), "{line}");
        assert_eq!(
            serde_json::from_str::<String>(&line).expect("still JSON"),
            hostile,
            "and says the same"
        );
    }
}
