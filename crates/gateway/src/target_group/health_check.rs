//! Active health checks: a target is asked from time to time, and several answers of one kind in a row
//! change what is thought of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode, Uri, header, uri};

use crate::config::{self, ConfigError};
use crate::forward::RequestBody;

use super::TargetGroup;
use super::pool::Sender;
use super::target::Target;

const USER_AGENT: &str = concat!("Countersign-HealthChecker/", env!("CARGO_PKG_VERSION"));

/// How one group is checked.
#[derive(Debug)]
struct Check {
    path: uri::PathAndQuery,
    interval: Duration,
    timeout: Duration,
    healthy_threshold: u32,
    unhealthy_threshold: u32,
    statuses: Vec<(u16, u16)>,
}

/// Checks the targets of a group until the group is gone.
pub(super) fn start(group: &Arc<TargetGroup>, config: &config::HealthCheck) -> Result<(), ConfigError> {
    let refuse =
        |key, fault| ConfigError::new(format!("target_groups.{}.health_check.{key}", group.name), fault);
    let check = Arc::new(Check {
        path: config.path.parse().map_err(|_| refuse("path", "a path"))?,
        interval: Duration::from_secs(config.interval_seconds.into()),
        timeout: Duration::from_secs(config.timeout_seconds.into()),
        healthy_threshold: config.healthy_threshold,
        unhealthy_threshold: config.unhealthy_threshold,
        statuses: config
            .statuses()
            .ok_or_else(|| refuse("matcher", "status codes"))?,
    });
    for target in &group.targets {
        tokio::spawn(watch(
            Arc::downgrade(group),
            Arc::clone(target),
            Arc::clone(&check),
        ));
    }
    Ok(())
}

async fn watch(group: Weak<TargetGroup>, target: Arc<Target>, check: Arc<Check>) {
    let mut verdict = Verdict::default();
    loop {
        {
            let Some(group) = group.upgrade() else { return };
            let outcome = tokio::time::timeout(check.timeout, ask(&group, &target, &check)).await;
            let fault = outcome
                .unwrap_or_else(|_| Err("no answer in time".to_owned()))
                .err();
            if let Some(healthy) = verdict.after(fault.is_none(), target.is_healthy(), &check) {
                target.set_healthy(healthy);
                let fault = fault.unwrap_or_default();
                tracing::info!(target_group.name = %group.name, target = %target.name, healthy, fault, "target health");
            }
        }
        tokio::time::sleep(check.interval).await;
    }
}

/// What the last answers were.
#[derive(Debug, Default)]
struct Verdict {
    known: bool,
    /// Successes or failures in a row.
    row: u32,
    succeeded: bool,
}

impl Verdict {
    /// Whether the target changes after this answer, and into what. A new target is healthy after its first
    /// success.
    fn after(&mut self, succeeded: bool, healthy: bool, check: &Check) -> Option<bool> {
        self.row = if succeeded == self.succeeded {
            self.row + 1
        } else {
            1
        };
        self.succeeded = succeeded;
        let needed = match (succeeded, self.known) {
            (true, false) => 1,
            (true, true) => check.healthy_threshold,
            (false, _) => check.unhealthy_threshold,
        };
        if self.row < needed {
            return None;
        }
        self.known = true;
        (succeeded != healthy).then_some(succeeded)
    }
}

/// One check, on a connection of its own.
async fn ask(group: &TargetGroup, target: &Target, check: &Check) -> Result<(), String> {
    let sender = group
        .connector
        .connect(target)
        .await
        .map_err(|error| error.to_string())?;
    let uri = Uri::builder().path_and_query(check.path.clone());
    let (uri, host) = match &sender {
        Sender::Http1(_) => (uri, Some(&target.host)),
        Sender::Http2(_) => (
            uri.scheme(target.scheme.clone())
                .authority(target.authority.clone()),
            None,
        ),
    };
    let mut request = Request::new(RequestBody::new(Body::empty(), check.timeout, 0));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri.build().map_err(|error| error.to_string())?;
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host.clone());
    }
    request
        .headers_mut()
        .insert(header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT));
    let answer = match sender {
        Sender::Http1(mut sender) => sender.send_request(request).await,
        Sender::Http2(mut sender) => sender.send_request(request).await,
    };
    let status = answer.map_err(|error| error.to_string())?.status();
    if check.accepts(status) {
        Ok(())
    } else {
        Err(format!("status {status}"))
    }
}

impl Check {
    fn accepts(&self, status: StatusCode) -> bool {
        let status = status.as_u16();
        self.statuses
            .iter()
            .any(|&(from, to)| (from..=to).contains(&status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let check = Check {
            path: uri::PathAndQuery::from_static("/"),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_threshold: 3,
            unhealthy_threshold: 2,
            statuses: vec![(200, 200), (301, 302)],
        };
        assert!(check.accepts(StatusCode::FOUND) && !check.accepts(StatusCode::NO_CONTENT));
        let mut verdict = Verdict::default();
        let mut healthy = false;
        let mut history = Vec::new();
        for succeeded in [
            false, true, false, true, false, false, true, true, false, true, true, true,
        ] {
            if let Some(changed) = verdict.after(succeeded, healthy, &check) {
                healthy = changed;
            }
            history.push(healthy);
        }
        let expected = [
            false, true, true, true, true, false, false, false, false, false, false, true,
        ];
        assert_eq!(history, expected);
    }
}
