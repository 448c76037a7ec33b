//! Counts in sentences.

use std::fmt;

/// So many of a thing whose plural ends with an s: `1 record`, `2 records`.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a>(pub u64, pub &'a str);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        let ending = if *count == 1 { "" } else { "s" };
        write!(f, "{count} {thing}{ending}")
    }
}
