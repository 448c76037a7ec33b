//! How many requests a listener has answered, and how long they took, for metrics.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

const TOTAL: &str = "countersign_requests_total";
const SECONDS: &str = "countersign_request_seconds";
/// Values of the label `status`.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The requests of one listener by route. Labels must have few values, so a route is a pattern of the program or a name
/// of the configuration, never what was asked for.
pub struct Requests {
    listener: &'static str,
    routes: RwLock<HashMap<Box<str>, Meters>>,
}

struct Meters {
    /// One for each of [`CLASSES`].
    answered: [Counter; CLASSES.len()],
    seconds: Histogram,
}

impl Requests {
    /// What is asked where no route is.
    pub const UNMATCHED: &'static str = "unmatched";

    /// Of this listener, as the access log names it.
    #[must_use]
    pub fn new(listener: &'static str) -> Self {
        metrics::describe_counter!(
            TOTAL,
            "Requests answered, by listener, route and class of the status."
        );
        metrics::describe_histogram!(SECONDS, "Seconds until the head of the answer.");
        Self {
            listener,
            routes: RwLock::default(),
        }
    }

    /// A request of `route` was answered after `took`, as far as the head of the answer.
    pub fn answered(&self, route: &str, status: StatusCode, took: Duration) {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(meters) = routes.get(route) {
            return meters.count(status, took);
        }
        drop(routes);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let meters = routes
            .entry(route.into())
            .or_insert_with(|| Meters::of(self.listener, route));
        meters.count(status, took);
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Meters {
    fn of(listener: &'static str, route: &str) -> Self {
        let answered = CLASSES.map(|status| {
            metrics::counter!(TOTAL, "listener" => listener, "route" => route.to_owned(), "status" => status)
        });
        Self {
            answered,
            seconds: metrics::histogram!(SECONDS, "listener" => listener, "route" => route.to_owned()),
        }
    }

    fn count(&self, status: StatusCode, took: Duration) {
        // A target may answer with a status of no class (RFC 9110 section 15 has five).
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.answered[class].increment(1);
        self.seconds.record(took);
    }
}
