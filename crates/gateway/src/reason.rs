//! Why the gateway itself answered: a closed list, which is the audit reason, the metric label and the
//! choice of status code. Names are those of the ALB access log where it knows the cause.

use http::StatusCode;

/// Why a request was answered by the gateway instead of a target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Reason {
    /// The identity provider's answer has no `state`.
    AuthMissingStateParam,
    /// `state` is not the one of the login transaction.
    AuthInvalidStateParam,
    /// The identity provider's answer has no `code`, or is not a valid query.
    AuthMissingCodeParam,
    /// No login transaction cookie: another browser started this login, or nobody did.
    AuthMissingNonce,
    /// The login transaction cookie is not ours, not of this origin, twice there, or the nonce differs.
    AuthInvalidNonce,
    /// The login took longer than 15 minutes.
    AuthLoginExpired,
    /// The ticket cookie is twice there.
    AuthInvalidCookie,
    /// The provider refused the authorization code.
    AuthInvalidGrantError,
    /// The ID token is missing claims, expired, for somebody else or not signed by the provider.
    AuthInvalidIdToken,
    /// The `iss` of the authorization response is another provider's (RFC 9207).
    AuthInvalidIssuer,
    /// The token response has no ID token or cannot be read.
    AuthInvalidTokenResponse,
    /// The userinfo response cannot be read, or is about somebody else.
    AuthInvalidUserinfoResponse,
    /// The claims are larger than 11 KB.
    AuthUserinfoResponseSizeExceeded,
    /// The provider's metadata or keys cannot be had.
    AuthDiscoveryFailed,
    /// The token endpoint cannot be reached or failed.
    AuthTokenEpRequestFailed,
    /// The token endpoint did not answer in time.
    AuthTokenEpRequestTimeout,
    /// The userinfo endpoint cannot be reached.
    AuthUserinfoEpRequestFailed,
    /// The userinfo endpoint did not answer in time.
    AuthUserinfoEpRequestTimeout,
    /// The person, or the provider for them, declined the login.
    AuthProviderDenied,
    /// The provider answered with an error.
    AuthProviderError,
    /// The hand-over code is unknown, used, expired, or for another origin or state.
    AuthInvalidHandover,
    /// No session, and the rule does not begin a login for such a request.
    AuthRequired,
    /// A request from another origin that is not a navigation.
    CrossOriginRequest,
    /// A service worker script was asked for.
    ServiceWorkerScript,
    /// A form of ours was posted without its token.
    InvalidCsrfToken,
    /// The request target is not a plain path.
    InvalidRequestTarget,
    /// The path and query are too long to be kept through a login.
    RequestTargetTooLong,
    /// No rule matched.
    NoRule,
    /// A protocol upgrade was asked for.
    UpgradeNotSupported,
    /// A method that is never forwarded.
    MethodNotForwarded,
    /// The request body is larger than the target group accepts.
    RequestBodyTooLarge,
    /// The target refused the connection, reset it or answered no HTTP.
    TargetConnectionError,
    /// The target did not accept the connection in time.
    TargetConnectTimeout,
    /// The target did not begin its answer in time.
    TargetIdleTimeout,
    /// Sessions cannot be read or written now.
    SessionStoreUnavailable,
    /// The audit record could not be written; without it nothing is handed out.
    AuditUnavailable,
    /// A fault of ours.
    AuthUnhandledException,
}

impl Reason {
    /// The name in audit records, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthMissingStateParam => "AuthMissingStateParam",
            Self::AuthInvalidStateParam => "AuthInvalidStateParam",
            Self::AuthMissingCodeParam => "AuthMissingCodeParam",
            // The ALB names its transaction cookie in these two; ours plays the same part.
            Self::AuthMissingNonce => "AuthMissingAWSALBAuthNonce",
            Self::AuthInvalidNonce => "AuthInvalidAWSALBAuthNonce",
            Self::AuthLoginExpired => "AuthLoginExpired",
            Self::AuthInvalidCookie => "AuthInvalidCookie",
            Self::AuthInvalidGrantError => "AuthInvalidGrantError",
            Self::AuthInvalidIdToken => "AuthInvalidIdToken",
            Self::AuthInvalidIssuer => "AuthInvalidIssuer",
            Self::AuthInvalidTokenResponse => "AuthInvalidTokenResponse",
            Self::AuthInvalidUserinfoResponse => "AuthInvalidUserinfoResponse",
            Self::AuthUserinfoResponseSizeExceeded => "AuthUserinfoResponseSizeExceeded",
            Self::AuthDiscoveryFailed => "AuthDiscoveryFailed",
            Self::AuthTokenEpRequestFailed => "AuthTokenEpRequestFailed",
            Self::AuthTokenEpRequestTimeout => "AuthTokenEpRequestTimeout",
            Self::AuthUserinfoEpRequestFailed => "AuthUserinfoEpRequestFailed",
            Self::AuthUserinfoEpRequestTimeout => "AuthUserinfoEpRequestTimeout",
            Self::AuthProviderDenied => "AuthProviderDenied",
            Self::AuthProviderError => "AuthProviderError",
            Self::AuthInvalidHandover => "AuthInvalidHandover",
            Self::AuthRequired => "AuthRequired",
            Self::CrossOriginRequest => "CrossOriginRequest",
            Self::ServiceWorkerScript => "ServiceWorkerScript",
            Self::InvalidCsrfToken => "InvalidCsrfToken",
            Self::InvalidRequestTarget => "InvalidRequestTarget",
            Self::RequestTargetTooLong => "RequestTargetTooLong",
            Self::NoRule => "NoRule",
            Self::UpgradeNotSupported => "UpgradeNotSupported",
            Self::MethodNotForwarded => "MethodNotForwarded",
            Self::RequestBodyTooLarge => "RequestBodyTooLarge",
            Self::TargetConnectionError => "TargetConnectionError",
            Self::TargetConnectTimeout => "TargetConnectTimeout",
            Self::TargetIdleTimeout => "TargetIdleTimeout",
            Self::SessionStoreUnavailable => "SessionStoreUnavailable",
            Self::AuditUnavailable => "AuditUnavailable",
            Self::AuthUnhandledException => "AuthUnhandledException",
        }
    }

    /// The status an ALB answers with for this cause, where it has one.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::AuthMissingStateParam
            | Self::AuthInvalidStateParam
            | Self::AuthMissingCodeParam
            | Self::AuthMissingNonce
            | Self::AuthInvalidNonce
            | Self::AuthLoginExpired
            | Self::AuthInvalidCookie
            | Self::AuthInvalidGrantError
            | Self::AuthInvalidIdToken
            | Self::AuthInvalidIssuer
            | Self::AuthInvalidTokenResponse
            | Self::AuthInvalidUserinfoResponse
            | Self::AuthProviderDenied
            | Self::AuthInvalidHandover
            | Self::AuthRequired => StatusCode::UNAUTHORIZED,
            Self::CrossOriginRequest | Self::ServiceWorkerScript | Self::InvalidCsrfToken => {
                StatusCode::FORBIDDEN
            }
            Self::InvalidRequestTarget => StatusCode::BAD_REQUEST,
            Self::RequestTargetTooLong => StatusCode::URI_TOO_LONG,
            Self::NoRule => StatusCode::NOT_FOUND,
            Self::MethodNotForwarded => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestBodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UpgradeNotSupported => StatusCode::NOT_IMPLEMENTED,
            Self::TargetConnectionError => StatusCode::BAD_GATEWAY,
            Self::TargetConnectTimeout | Self::TargetIdleTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::SessionStoreUnavailable | Self::AuditUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            // "The load balancer received an error code from the IdP when attempting to authenticate the
            // user": ELB user guide, troubleshooting, HTTP 561.
            Self::AuthProviderError => StatusCode::from_u16(561).unwrap_or(StatusCode::BAD_GATEWAY),
            Self::AuthUserinfoResponseSizeExceeded
            | Self::AuthDiscoveryFailed
            | Self::AuthTokenEpRequestFailed
            | Self::AuthTokenEpRequestTimeout
            | Self::AuthUserinfoEpRequestFailed
            | Self::AuthUserinfoEpRequestTimeout
            | Self::AuthUnhandledException => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the refusal says something about who asks, so that the audit trail has it. The rest is the
    /// access log's.
    #[must_use]
    pub(crate) const fn is_about_identity(self) -> bool {
        matches!(
            self,
            Self::AuthInvalidCookie
                | Self::AuthRequired
                | Self::CrossOriginRequest
                | Self::ServiceWorkerScript
                | Self::AuthDiscoveryFailed
                | Self::AuthUnhandledException
        )
    }

    /// What the person is told: what to do next, never what exactly was wrong.
    #[must_use]
    pub(crate) const fn advice(self) -> (&'static str, &'static str) {
        match self {
            Self::AuthLoginExpired
            | Self::AuthMissingNonce
            | Self::AuthInvalidNonce
            | Self::AuthInvalidHandover
            | Self::AuthInvalidStateParam
            | Self::AuthMissingStateParam => (
                "This sign-in cannot be completed",
                "It was started in another browser, took too long or was already used. Open the page you wanted again.",
            ),
            Self::AuthProviderDenied => (
                "You are not signed in",
                "The sign-in was declined. Open the page you wanted to try again.",
            ),
            Self::AuthMissingCodeParam
            | Self::AuthInvalidCookie
            | Self::AuthInvalidGrantError
            | Self::AuthInvalidIdToken
            | Self::AuthInvalidIssuer
            | Self::AuthInvalidTokenResponse
            | Self::AuthInvalidUserinfoResponse
            | Self::AuthUserinfoResponseSizeExceeded
            | Self::AuthDiscoveryFailed
            | Self::AuthTokenEpRequestFailed
            | Self::AuthTokenEpRequestTimeout
            | Self::AuthUserinfoEpRequestFailed
            | Self::AuthUserinfoEpRequestTimeout
            | Self::AuthProviderError => (
                "Signing in failed",
                "The identity provider's answer could not be used. Try again; if it happens again, tell the operator the request id.",
            ),
            Self::AuthRequired => ("Sign in first", "This request needs a signed-in person."),
            Self::NoRule => ("Not found", "There is nothing at this address."),
            Self::CrossOriginRequest | Self::ServiceWorkerScript | Self::InvalidCsrfToken => {
                ("Refused", "This request did not come from one of our own pages.")
            }
            Self::SessionStoreUnavailable | Self::AuditUnavailable => (
                "Temporarily unavailable",
                "Nothing was changed. Try again in a moment.",
            ),
            Self::TargetConnectionError | Self::TargetConnectTimeout | Self::TargetIdleTimeout => (
                "No answer",
                "The application behind this address did not answer. Try again in a moment.",
            ),
            Self::InvalidRequestTarget
            | Self::RequestTargetTooLong
            | Self::UpgradeNotSupported
            | Self::MethodNotForwarded
            | Self::RequestBodyTooLarge => ("Bad request", "This request cannot be forwarded."),
            Self::AuthUnhandledException => ("Internal error", "Tell the operator the request id."),
        }
    }
}
