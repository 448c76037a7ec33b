//! A report as a page to print or keep: one file, no script, nothing fetched.

use askama::Template;

use super::{Account, Release, Report};
use crate::format::printable;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    asked: Vec<(&'static str, String)>,
    report: &'a Report,
    rows: Vec<Row<'a>>,
}

struct Row<'a> {
    release: &'a Release,
    workload: String,
    provider: String,
    person: String,
    account: String,
    scopes: String,
    validity: &'static str,
    until: String,
    revocation: String,
}

impl Report {
    /// The page, as UTF-8 HTML.
    pub fn html(&self) -> Result<String, askama::Error> {
        let query = &self.query;
        let mut asked = vec![("From", query.from.to_rfc3339()), ("To", query.to.to_rfc3339())];
        for (name, value) in [
            ("Agent", &query.workload),
            ("Service", &query.provider),
            ("Grant", &query.grant),
            ("Person", &query.user),
        ] {
            if let Some(value) = value {
                asked.push((name, printable(value)));
            }
        }
        Page {
            asked,
            report: self,
            rows: self.releases.iter().map(row).collect(),
        }
        .render()
    }
}

fn row(release: &Release) -> Row<'_> {
    let (validity, until) = release.validity.words();
    Row {
        release,
        workload: release.workload.as_deref().map_or_else(dash, printable),
        provider: release.provider.as_deref().map_or_else(dash, printable),
        person: release
            .person
            .as_deref()
            .map_or_else(dash, |person| person.get(..12).unwrap_or(person).to_owned()),
        account: match &release.account {
            Account::Known { id, name: Some(name) } => printable(&format!("{name} ({id})")),
            Account::Known { id, name: None } => printable(id),
            Account::Sealed => "sealed".to_owned(),
            Account::Forgotten => "forgotten".to_owned(),
            Account::Unknown => dash(),
        },
        scopes: printable(&release.scopes.join(" ")),
        validity,
        until,
        revocation: release.revocation.as_ref().map_or_else(dash, |revocation| {
            let reason = revocation.reason.as_deref().map(|reason| format!(" ({reason})"));
            let (action, outcome, at) = (&revocation.action, &revocation.outcome, revocation.at);
            format!("{action}: {outcome}{} {at}", reason.unwrap_or_default())
        }),
    }
}

/// For what is not known.
fn dash() -> String {
    "–".to_owned()
}
