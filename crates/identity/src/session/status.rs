//! The states of design chapter 5: `created → started → code_held → exchanging → completed`, with
//! `confirming` before the end where another account than before was connected (design D12).

/// Where an authorization session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Asked for by a workload; no browser has gone on.
    Created,
    /// A browser was sent to the authorization server.
    Started,
    /// The authorization server answered with a code, which waits for the person.
    CodeHeld,
    /// The person was accepted; the one exchange of the code is under way.
    Exchanging,
    /// A grant of another account than before exists, which nobody gets until the person has confirmed it.
    Confirming,
    /// A grant exists.
    Completed,
    /// The person said no.
    Denied,
    /// The authorization server or the exchange failed.
    Failed,
    /// Out of time.
    Expired,
    /// Someone else tried to complete it.
    Rejected,
    /// A newer request took its place.
    Superseded,
}

impl Status {
    const ALL: [Self; 11] = [
        Self::Created,
        Self::Started,
        Self::CodeHeld,
        Self::Exchanging,
        Self::Confirming,
        Self::Completed,
        Self::Denied,
        Self::Failed,
        Self::Expired,
        Self::Rejected,
        Self::Superseded,
    ];

    /// Its stored spelling.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::CodeHeld => "code_held",
            Self::Exchanging => "exchanging",
            Self::Confirming => "confirming",
            Self::Completed => "completed",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }

    /// Reads [`Self::as_str`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether time can still run out on it. An exchange has its own deadline and ends as `failed`.
    pub(crate) const fn awaits_the_person(self) -> bool {
        matches!(
            self,
            Self::Created | Self::Started | Self::CodeHeld | Self::Confirming
        )
    }

    /// Whether it may still become `completed`.
    pub(crate) const fn is_live(self) -> bool {
        self.awaits_the_person() || matches!(self, Self::Exchanging)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_spellings_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!(Status::parse("COMPLETED"), None);
    }
}
