//! Scopes in plain words, as far as their names tell; for every page and card that names one, so that a person reads
//! the same of it everywhere. The scope itself always stands beside them: words are ours, the scope is what the service
//! goes by. What an agent says of a scope is not among them: on our pages it could call `repo` "read your profile".

/// Scopes whose names do not say what they mean.
const KNOWN: &[(&str, &str)] = &[
    ("openid", "Know who you are there"),
    ("profile", "See your name and picture"),
    ("email", "See your e-mail address"),
    ("address", "See your postal address"),
    ("phone", "See your phone number"),
    ("offline_access", "Keep access while you are away"),
    ("refresh_token", "Keep access while you are away"),
    ("repo", "Read and change your repositories, private ones too"),
    ("public_repo", "Read and change your public repositories"),
    ("read:user", "Read your profile"),
    ("user:email", "See your e-mail addresses"),
    ("gist", "Create gists"),
    ("read:org", "See your organisations and teams"),
    ("workflow", "Change your workflows"),
    (
        "https://www.googleapis.com/auth/drive",
        "Read and change all your files",
    ),
    (
        "https://www.googleapis.com/auth/drive.readonly",
        "Read all your files",
    ),
    (
        "https://www.googleapis.com/auth/drive.file",
        "Use the files you open with it",
    ),
    (
        "https://www.googleapis.com/auth/calendar",
        "Read and change your calendars",
    ),
    (
        "https://www.googleapis.com/auth/calendar.readonly",
        "Read your calendars",
    ),
    ("https://www.googleapis.com/auth/gmail.readonly", "Read your mail"),
    (
        "https://www.googleapis.com/auth/gmail.send",
        "Send mail in your name",
    ),
    ("https://mail.google.com/", "Read, send and delete your mail"),
    ("User.Read", "Read your profile"),
    ("Mail.Read", "Read your mail"),
    ("Mail.Send", "Send mail in your name"),
    ("Calendars.Read", "Read your calendars"),
    ("Calendars.ReadWrite", "Read and change your calendars"),
    ("Files.Read", "Read your files"),
    ("Files.ReadWrite", "Read and change your files"),
];

/// What a scope (RFC 6749 section 3.3) lets an agent do, to be read after "to": `Read your issues`; `None` where its name
/// does not tell.
#[must_use]
pub fn scope_words(scope: &str) -> Option<String> {
    if let Some((_, words)) = KNOWN.iter().find(|(known, _)| *known == scope) {
        return Some((*words).to_owned());
    }
    let (left, right) = scope.split_once(':')?;
    let (what, verb) = match (verb(left), verb(right)) {
        (None, Some(verb)) => (left, verb),
        (Some(verb), None) => (right, verb),
        _ => return None,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (!what.is_empty() && what.bytes().all(plain))
        .then(|| format!("{verb} your {}", what.replace(['_', '-', '.'], " ")))
}

fn verb(text: &str) -> Option<&'static str> {
    Some(match text {
        "read" | "view" | "list" => "Read",
        "write" | "edit" | "update" => "Create and change",
        "create" => "Create",
        "delete" => "Delete",
        "admin" | "manage" => "Manage",
        "send" => "Send",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tell_are_put_into_words_and_others_are_not() {
        for (scope, said) in [
            ("issues:read", Some("Read your issues")),
            ("issues:write", Some("Create and change your issues")),
            ("read:jira-work", Some("Read your jira work")),
            (
                "repo",
                Some("Read and change your repositories, private ones too"),
            ),
            ("identify", None),
            ("a:b", None),
            ("read:", None),
            ("read:<b>", None),
            ("read:write", None),
        ] {
            assert_eq!(scope_words(scope).as_deref(), said, "{scope}");
        }
    }
}
