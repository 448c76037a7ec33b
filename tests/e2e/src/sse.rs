//! Reads the event stream of `/invocations`.

use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `message`, `tool`, `consent`, `error`, `done`.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// An open stream.
pub struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    /// Over an answer with `text/event-stream`.
    #[must_use]
    pub fn new(response: reqwest::Response) -> Self {
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        assert!(
            kind.starts_with("text/event-stream"),
            "{}: {kind}",
            response.status()
        );
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next event; `None` at the end of the stream. Comments are skipped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&block) {
                    return Some(event);
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("the stream is not cut")?;
            self.buffer
                .push_str(&String::from_utf8_lossy(&chunk).replace("\r\n", "\n"));
        }
    }

    /// Reads until an event of this name and gives it; panics if the stream ends first.
    pub async fn until(&mut self, name: &str) -> Event {
        let mut seen = vec![];
        while let Some(event) = self.next().await {
            if event.name == name {
                return event;
            }
            seen.push(event);
        }
        panic!("the stream ended without `{name}`: {seen:?}");
    }

    /// All text said until the end.
    pub async fn answer(&mut self) -> String {
        let mut text = String::new();
        while let Some(event) = self.next().await {
            if event.name == "message" {
                text.push_str(event.data["text"].as_str().unwrap_or_default());
            }
        }
        text
    }
}

fn parse(block: &str) -> Option<Event> {
    let mut name = "message".to_owned();
    let mut data = String::new();
    for line in block.lines() {
        if let Some(value) = line.strip_prefix("event:") {
            value.trim().clone_into(&mut name);
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push_str(value.trim_start());
        }
    }
    (!data.is_empty()).then(|| Event {
        name,
        data: serde_json::from_str(&data).expect("data is JSON"),
    })
}
