//! Counters under the names of an ALB's `CloudWatch` metrics, so that dashboards and alarms carry over.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html>

use std::time::Duration;

use crate::reason::{AuthMetric, Reason};

/// Series that alerts are made of begin at nothing: what is not there yet cannot be seen to increase.
pub(crate) fn begin() {
    metrics::counter!("ELBAuthSuccess").increment(0);
    metrics::counter!("ELBAuthFailure", "reason" => Reason::AuthInvalidStateParam.as_str()).increment(0);
    for reason in [
        Reason::AuthDiscoveryFailed,
        Reason::AuthTokenEpRequestFailed,
        Reason::AuthTokenEpRequestTimeout,
        Reason::AuthUserinfoEpRequestFailed,
        Reason::AuthUserinfoEpRequestTimeout,
        Reason::AuthProviderError,
    ] {
        metrics::counter!("ELBAuthError", "reason" => reason.as_str()).increment(0);
    }
}

/// A login that has become a session.
pub(crate) fn logged_in() {
    metrics::counter!("ELBAuthSuccess").increment(1);
}

/// How long the provider's endpoints took altogether for a login.
pub(crate) fn provider_answered(latency: Duration) {
    // Milliseconds, as the ALB counts it.
    metrics::histogram!("ELBAuthLatency").record(latency.as_secs_f64() * 1_000.0);
}

/// Claims that were refreshed.
pub(crate) fn refreshed() {
    metrics::counter!("ELBAuthRefreshTokenSuccess").increment(1);
}

/// A login or refresh that failed.
pub(crate) fn refused(reason: Reason) {
    let label = reason.as_str();
    match reason.auth_metric() {
        Some(AuthMetric::Failure) => metrics::counter!("ELBAuthFailure", "reason" => label).increment(1),
        Some(AuthMetric::Error) => metrics::counter!("ELBAuthError", "reason" => label).increment(1),
        Some(AuthMetric::ClaimsSize) => metrics::counter!("ELBAuthUserClaimsSizeExceeded").increment(1),
        None => {}
    }
}
