//! A report for spreadsheets: RFC 4180, with what would be read as a formula made text.

use super::{Account, Release, Report, Validity};

const COLUMNS: &str = "at,action,flow,workload,provider,person,principal,sid,session,grant,scopes,account,account_name,\
                       validity,valid_until,revocation,revocation_outcome,revocation_reason,revoked_at,record";

impl Report {
    /// One line a release under a line of names. The order of columns is kept; new ones come at the end.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = String::from(COLUMNS);
        text.push_str("\r\n");
        for release in &self.releases {
            let cells: Vec<String> = cells(release).iter().map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

fn cells(release: &Release) -> [String; 20] {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let (account, account_name) = match &release.account {
        Account::Known { id, name } => (id.clone(), name.clone().unwrap_or_default()),
        Account::Sealed => ("(sealed)".to_owned(), String::new()),
        Account::Forgotten => ("(forgotten)".to_owned(), String::new()),
        Account::Unknown => (String::new(), String::new()),
    };
    let (validity, until) = release.validity.words();
    let revocation = release.revocation.as_ref();
    let of = |part: fn(&super::Revocation) -> String| revocation.map(part).unwrap_or_default();
    [
        release.at.to_rfc3339(),
        release.action.clone(),
        optional(&release.flow),
        optional(&release.workload),
        optional(&release.provider),
        optional(&release.person),
        optional(&release.principal),
        optional(&release.sid),
        optional(&release.session),
        optional(&release.grant),
        release.scopes.join(" "),
        account,
        account_name,
        validity.to_owned(),
        until,
        of(|revocation| revocation.action.clone()),
        of(|revocation| revocation.outcome.clone()),
        of(|revocation| revocation.reason.clone().unwrap_or_default()),
        of(|revocation| revocation.at.to_rfc3339()),
        release.record.clone(),
    ]
}

impl Validity {
    /// The word for it, and the time that goes with it.
    pub(super) fn words(self) -> (&'static str, String) {
        match self {
            Self::Ended { at } => ("ended", at.to_rfc3339()),
            Self::Valid { until } => ("valid", until.to_rfc3339()),
            Self::Revoked { at } => ("revoked", at.to_rfc3339()),
            Self::Unknown => ("unknown", String::new()),
        }
    }
}

/// In quotes where needed. What begins like a formula gets an apostrophe (OWASP, CSV Injection), and what moves cursors
/// is replaced.
fn quoted(cell: &str) -> String {
    let mut text = crate::format::printable(cell);
    if text.starts_with(['=', '+', '-', '@']) {
        text.insert(0, '\'');
    }
    if text.contains([',', '"', '\'', ' ', ';']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn no_cell_is_a_formula_or_ends_its_line() {
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted("@SUM(A1)"), "\"'@SUM(A1)\"");
        assert_eq!(quoted("a\r\n=b"), "a\u{fffd}\u{fffd}=b");
        assert_eq!(quoted("say \"hi\", all"), "\"say \"\"hi\"\", all\"");
        assert_eq!(quoted("issues:read"), "issues:read");
    }
}
