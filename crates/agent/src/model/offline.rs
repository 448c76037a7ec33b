//! The offline model: a deterministic intent matcher, so that the whole pattern runs without a vendor, a key
//! or a network. It is no language model and the page says so. It reads tool results as any model would, from
//! the conversation.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::{Value, json};

use super::{Ask, Delta, ModelError};
use crate::conversation::{Entry, ToolCall};
use crate::tools::ToolSpec;

/// What can be said, and the tool that it needs.
const SAYINGS: [(&str, &str); 6] = [
    ("list_issues", "list my open issues"),
    ("list_issues", "list all issues"),
    ("read_issue", "show issue ALICE-1"),
    ("create_issue", "create issue: Printer on fire"),
    ("get_github_user", "who am I on GitHub"),
    ("list_github_repos", "list my repositories"),
];

/// What the matcher understood.
#[derive(Debug, PartialEq)]
enum Intent {
    List { state: &'static str },
    Read { key: String },
    CreateWithoutTitle,
    Create { title: String },
    GithubUser,
    GithubRepositories,
    Greeting,
    Help,
    Unknown,
}

pub(super) fn answer(ask: Ask<'_>) -> BoxStream<'_, Result<Delta, ModelError>> {
    let entries = ask.entries;
    let deltas = match entries.last() {
        Some(Entry::Tool { .. }) => text(&results(entries)),
        Some(Entry::User { text: message }) => respond(&intent(message), ask),
        Some(Entry::Assistant { .. }) | None => text(&help(ask.tools)),
    };
    stream::iter(deltas.into_iter().map(Ok)).boxed()
}

/// What it understands, of the tools that there are.
fn help(tools: &[ToolSpec]) -> String {
    let mut help =
        "I am the offline model: a small intent matcher, not a language model. You can say:".to_owned();
    let there = |tool: &str| tools.iter().any(|spec| spec.name == tool);
    for (_, saying) in SAYINGS.iter().filter(|(tool, _)| there(tool)) {
        help.push_str("\n• ");
        help.push_str(saying);
    }
    help.push_str("\n• help");
    help
}

/// The tool that an intent needs, if any.
fn tool(intent: &Intent) -> Option<&'static str> {
    Some(match intent {
        Intent::List { .. } => "list_issues",
        Intent::Read { .. } => "read_issue",
        Intent::Create { .. } | Intent::CreateWithoutTitle => "create_issue",
        Intent::GithubUser => "get_github_user",
        Intent::GithubRepositories => "list_github_repos",
        Intent::Greeting | Intent::Help | Intent::Unknown => return None,
    })
}

fn respond(intent: &Intent, ask: Ask<'_>) -> Vec<Delta> {
    let (entries, help) = (ask.entries, help(ask.tools));
    if let Some(tool) = tool(intent)
        && !ask.tools.iter().any(|spec| spec.name == tool)
    {
        return text(&format!("I have no tool for that here. {help}"));
    }
    match intent {
        Intent::List { state } => call(entries, "list_issues", json!({ "state": state })),
        Intent::Read { key } => call(entries, "read_issue", json!({ "key": key })),
        Intent::Create { title } => call(entries, "create_issue", json!({ "title": title })),
        Intent::GithubUser => call(entries, "get_github_user", json!({})),
        Intent::GithubRepositories => call(entries, "list_github_repos", json!({})),
        Intent::CreateWithoutTitle => text("What should the issue say? Try “create issue: Printer on fire”."),
        Intent::Greeting => text(&format!("Hello! {help}")),
        Intent::Help => text(&help),
        Intent::Unknown => text(&format!("I did not understand that. {help}")),
    }
}

fn call(entries: &[Entry], name: &str, arguments: Value) -> Vec<Delta> {
    // Unique in the conversation, and the same in every run.
    vec![Delta::ToolCall(ToolCall {
        id: format!("offline-{}", entries.len()),
        name: name.to_owned(),
        arguments,
        signatures: Vec::new(),
    })]
}

/// Word by word, as other models stream.
fn text(text: &str) -> Vec<Delta> {
    text.split_inclusive(char::is_whitespace)
        .map(|word| Delta::Text(word.to_owned()))
        .collect()
}

fn intent(message: &str) -> Intent {
    let message = message.trim();
    let lower = message.to_lowercase();
    let words: Vec<&str> = lower
        .split(|letter: char| !letter.is_alphanumeric() && letter != '-')
        .filter(|word| !word.is_empty())
        .collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let issues = has(&["issue", "issues", "ticket", "tickets"]);

    if asks_for_creation(&words) {
        return creation(message);
    }
    if let Some(key) = issue_key(message)
        && (words.len() == 1 || issues || has(&["show", "read", "get", "describe", "what", "about"]))
    {
        return Intent::Read { key };
    }
    if issues && has(&["list", "show", "what", "which", "my", "all"]) {
        let state = if has(&["all", "every"]) {
            "all"
        } else if has(&["closed", "done"]) {
            "closed"
        } else {
            "open"
        };
        return Intent::List { state };
    }
    if has(&["repository", "repositories", "repos"]) && has(&["list", "show", "what", "which", "my"]) {
        return Intent::GithubRepositories;
    }
    if has(&["github"]) && has(&["who", "profile", "account", "user"]) {
        return Intent::GithubUser;
    }
    if has(&["help"]) || lower == "?" || lower.contains("what can you do") {
        return Intent::Help;
    }
    if has(&["hello", "hi", "hey", "hallo", "morning", "evening"]) {
        return Intent::Greeting;
    }
    Intent::Unknown
}

/// A verb of making before the noun; `open` is one only where it leads, since issues are open, too.
fn asks_for_creation(words: &[&str]) -> bool {
    words
        .iter()
        .position(|word| ["issue", "ticket"].contains(word))
        .is_some_and(|noun| {
            let verbs = ["create", "file", "add", "new", "make"];
            words[0] == "open" || words[..noun].iter().any(|word| verbs.contains(word))
        })
}

/// `create issue: TITLE`, `create an issue called TITLE`, `new ticket TITLE`.
fn creation(message: &str) -> Intent {
    let lower = message.to_ascii_lowercase();
    let after = ["issue", "ticket"]
        .iter()
        .filter_map(|noun| lower.find(noun).map(|at| at + noun.len()))
        .min()
        .unwrap_or(message.len());
    let mut title = message
        .get(after..)
        .unwrap_or_default()
        .trim_start_matches([':', '-', ' ']);
    for lead in [
        "called ",
        "named ",
        "titled ",
        "with title ",
        "about ",
        "that says ",
    ] {
        if title
            .get(..lead.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(lead))
        {
            title = &title[lead.len()..];
        }
    }
    let title = title.trim().trim_matches(['"', '“', '”', '\'']).trim();
    if title.is_empty() {
        Intent::CreateWithoutTitle
    } else {
        Intent::Create {
            title: title.to_owned(),
        }
    }
}

/// The first word of the form `ALICE-1`.
fn issue_key(message: &str) -> Option<String> {
    message
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
        .find(|word| {
            word.split_once('-').is_some_and(|(project, number)| {
                !project.is_empty()
                    && project.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && !number.is_empty()
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
        .map(str::to_ascii_uppercase)
}

/// Puts the results of the latest tool calls into words.
fn results(entries: &[Entry]) -> String {
    let calls = entries
        .iter()
        .rposition(|entry| !matches!(entry, Entry::Tool { .. }))
        .map_or(0, |at| at + 1);
    let texts: Vec<String> = entries[calls..]
        .iter()
        .filter_map(|entry| match entry {
            Entry::Tool { name, content, .. } => Some(result(name, content)),
            _ => None,
        })
        .collect();
    texts.join("\n\n")
}

fn result(name: &str, content: &Value) -> String {
    if let Some(message) = content["message"]
        .as_str()
        .filter(|_| content.get("error").is_some())
    {
        return message.to_owned();
    }
    match name {
        "list_issues" => issue_list(content),
        "create_issue" => format!("Created {}.", issue_line(content)),
        "get_github_user" => format!("On GitHub you are {}.", content["login"].as_str().unwrap_or("?")),
        "list_github_repos" => repository_list(content),
        _ => {
            let description = content["description"].as_str().unwrap_or_default();
            let state = content["state"].as_str().unwrap_or("unknown");
            let line = format!("{} ({state})", issue_line(content));
            if description.is_empty() {
                line
            } else {
                format!("{line}\n{description}")
            }
        }
    }
}

fn issue_list(content: &Value) -> String {
    let issues = content["issues"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let state = match content["state"].as_str() {
        Some("open") => "open ",
        Some("closed") => "closed ",
        _ => "",
    };
    let noun = if issues.len() == 1 { "issue" } else { "issues" };
    if issues.is_empty() {
        return format!("You have no {state}issues.");
    }
    let lines: Vec<String> = issues.iter().map(issue_line).collect();
    let more = if content["more"] == Value::Bool(true) {
        "\n…and more."
    } else {
        ""
    };
    format!(
        "You have {} {state}{noun}:\n• {}{more}",
        issues.len(),
        lines.join("\n• ")
    )
}

fn repository_list(content: &Value) -> String {
    let repositories = content.as_array().map(Vec::as_slice).unwrap_or_default();
    if repositories.is_empty() {
        return "You have no repositories.".to_owned();
    }
    let name = |repository: &Value| repository["full_name"].as_str().unwrap_or("?").to_owned();
    let names: Vec<String> = repositories.iter().map(name).collect();
    format!("Your repositories:\n• {}", names.join("\n• "))
}

fn issue_line(issue: &Value) -> String {
    let key = issue["key"].as_str().unwrap_or("?");
    let title = issue["title"].as_str().unwrap_or_default();
    format!("{key}: {title}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intents_are_recognised() {
        let read = |key: &str| Intent::Read { key: key.to_owned() };
        let create = |title: &str| Intent::Create {
            title: title.to_owned(),
        };
        for (message, expected) in [
            ("list my open issues", Intent::List { state: "open" }),
            ("List my open issues.", Intent::List { state: "open" }),
            ("what issues do I have?", Intent::List { state: "open" }),
            ("show all issues", Intent::List { state: "all" }),
            ("list closed tickets", Intent::List { state: "closed" }),
            ("show issue ALICE-1", read("ALICE-1")),
            ("read alice-2 please", read("ALICE-2")),
            ("BOB-1", read("BOB-1")),
            ("create issue: Printer on fire", create("Printer on fire")),
            ("Create an issue called \"Zoë's bug\"", create("Zoë's bug")),
            (
                "open a new ticket about ALICE-1 regressing",
                create("ALICE-1 regressing"),
            ),
            ("create an issue", Intent::CreateWithoutTitle),
            ("who am I on GitHub?", Intent::GithubUser),
            ("list my repositories", Intent::GithubRepositories),
            ("Which repos are there?", Intent::GithubRepositories),
            ("Hello", Intent::Greeting),
            ("help", Intent::Help),
            ("What can you do?", Intent::Help),
            ("write me a poem", Intent::Unknown),
            ("", Intent::Unknown),
            ("İ issue create", Intent::Unknown),
            ("Do I have an open issue?", Intent::Unknown),
        ] {
            assert_eq!(intent(message), expected, "{message}");
        }
    }

    #[test]
    fn it_knows_the_tools_that_there_are() {
        let spec = |name: &str| ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            schema: json!({}),
            label: String::new(),
        };
        let tools = [spec("get_github_user"), spec("list_github_repos")];
        let said = help(&tools);
        assert!(
            said.ends_with("\n• who am I on GitHub\n• list my repositories\n• help"),
            "{said}"
        );
        assert!(!said.contains("issue"), "{said}");
        let ask = Ask {
            entries: &[],
            tools: &tools,
            output_tokens: 100,
        };
        let words = |deltas: Vec<Delta>| {
            let word = |delta| match delta {
                Delta::Text(word) => word,
                other => panic!("{other:?}"),
            };
            deltas.into_iter().map(word).collect::<String>()
        };
        let refused = words(respond(&Intent::List { state: "open" }, ask));
        assert!(refused.starts_with("I have no tool for that here."), "{refused}");
        let called = respond(&Intent::GithubUser, ask);
        assert!(matches!(&called[..], [Delta::ToolCall(call)] if call.name == "get_github_user"));
    }

    #[test]
    fn tool_results_are_put_into_words() {
        let list = json!({"state": "open", "issues": [
            {"key": "ALICE-1", "title": "One"}, {"key": "ALICE-2", "title": "Two"},
        ]});
        assert_eq!(
            result("list_issues", &list),
            "You have 2 open issues:\n• ALICE-1: One\n• ALICE-2: Two"
        );
        assert_eq!(
            result("get_github_user", &json!({"id": 1, "login": "alice"})),
            "On GitHub you are alice."
        );
        assert_eq!(
            result(
                "list_github_repos",
                &json!([{"full_name": "alice/one"}, {"full_name": "alice/two"}])
            ),
            "Your repositories:\n• alice/one\n• alice/two"
        );
        let refused = json!({"error": "consent_declined", "message": "You declined."});
        assert_eq!(result("list_issues", &refused), "You declined.");
        assert_eq!(
            result("list_issues", &json!({"state": "open", "issues": []})),
            "You have no open issues."
        );
    }
}
