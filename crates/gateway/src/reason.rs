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
    /// The person, or the whole account, is stopped (design D23).
    AuthStopped,
    /// The list of stops cannot be read, so that nobody can be taken for not stopped.
    StopListUnavailable,
    /// A logout token of the provider is not valid.
    AuthInvalidLogoutToken,
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
    /// No `Authorization` header, where a token is required.
    JwtHeaderNotPresent,
    /// No bearer token, or no JWT signed with RS256.
    JwtRequestFormatInvalid,
    /// The token's signature is wrong, or its key unknown.
    JwtSignatureValidationError,
    /// A claim of the token is missing.
    JwtClaimNotPresent,
    /// A claim of the token has another value.
    JwtClaimValueInvalid,
    /// A claim of the token is written in another way.
    JwtClaimFormatInvalid,
    /// The issuer's keys cannot be had.
    JwksRequestFailed,
    /// The issuer's keys cannot be read, or are too many.
    JwksInvalidResponse,
    /// A rewrite of the rule made something that is no request.
    TransformFailed,
    /// The `Location` of a redirect would be too long.
    RedirectUrlTooLong,
    /// The request target is not a plain path.
    InvalidRequestTarget,
    /// The path and query are too long to be kept through a login.
    RequestTargetTooLong,
    /// No rule matched.
    NoRule,
    /// The request came in an HTTP version that the target group does not take.
    ProtocolVersionMismatch,
    /// More than 30 addresses in `X-Forwarded-For`.
    ForwardedForTooLong,
    /// The client did not go on with its request in time.
    ClientIdleTimeout,
    /// The client has gone before the head of an answer: nobody is told, and the access log has the line.
    ClientClosed,
    /// The client broke off its request, or its body is malformed.
    RequestBodyBroken,
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

/// The ALB's metric that counts a failed login.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AuthMetric {
    /// `ELBAuthFailure`: the answer of browser or provider was not acceptable.
    Failure,
    /// `ELBAuthError`: the provider could not be asked, or a fault of ours.
    Error,
    /// `ELBAuthUserClaimsSizeExceeded`.
    ClaimsSize,
}

impl Reason {
    /// Which of the ALB's authentication metrics counts this, by the split of its access log's reasons.
    #[must_use]
    pub(crate) const fn auth_metric(self) -> Option<AuthMetric> {
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
            | Self::AuthStopped => Some(AuthMetric::Failure),
            Self::AuthDiscoveryFailed
            | Self::AuthTokenEpRequestFailed
            | Self::AuthTokenEpRequestTimeout
            | Self::AuthUserinfoEpRequestFailed
            | Self::AuthUserinfoEpRequestTimeout
            | Self::AuthProviderError
            | Self::AuthUnhandledException => Some(AuthMetric::Error),
            Self::AuthUserinfoResponseSizeExceeded => Some(AuthMetric::ClaimsSize),
            _ => None,
        }
    }

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
            Self::AuthStopped => "AuthStopped",
            Self::StopListUnavailable => "StopListUnavailable",
            Self::AuthInvalidLogoutToken => "AuthInvalidLogoutToken",
            Self::AuthInvalidHandover => "AuthInvalidHandover",
            Self::AuthRequired => "AuthRequired",
            Self::CrossOriginRequest => "CrossOriginRequest",
            Self::ServiceWorkerScript => "ServiceWorkerScript",
            Self::InvalidCsrfToken => "InvalidCsrfToken",
            Self::JwtHeaderNotPresent => "JWTHeaderNotPresent",
            Self::JwtRequestFormatInvalid => "JWTRequestFormatInvalid",
            Self::JwtSignatureValidationError => "JWTSignatureValidationError",
            Self::JwtClaimNotPresent => "JWTClaimNotPresent",
            Self::JwtClaimValueInvalid => "JWTClaimValueInvalid",
            Self::JwtClaimFormatInvalid => "JWTClaimFormatInvalid",
            Self::JwksRequestFailed => "JWKSRequestFailed",
            Self::JwksInvalidResponse => "JWKSInvalidResponse",
            Self::TransformFailed => "TransformFailed",
            Self::RedirectUrlTooLong => "RedirectUrlTooLong",
            Self::InvalidRequestTarget => "InvalidRequestTarget",
            Self::RequestTargetTooLong => "RequestTargetTooLong",
            Self::NoRule => "NoRule",
            Self::ProtocolVersionMismatch => "ProtocolVersionMismatch",
            Self::ForwardedForTooLong => "ForwardedForTooLong",
            Self::ClientIdleTimeout => "ClientIdleTimeout",
            Self::ClientClosed => "ClientClosed",
            Self::RequestBodyBroken => "RequestBodyBroken",
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
            | Self::AuthRequired
            | Self::JwtHeaderNotPresent
            | Self::JwtRequestFormatInvalid
            | Self::JwtSignatureValidationError
            | Self::JwtClaimNotPresent
            | Self::JwtClaimValueInvalid
            | Self::JwtClaimFormatInvalid => StatusCode::UNAUTHORIZED,
            Self::RedirectUrlTooLong => StatusCode::INSUFFICIENT_STORAGE,
            Self::CrossOriginRequest
            | Self::ServiceWorkerScript
            | Self::InvalidCsrfToken
            | Self::AuthStopped => StatusCode::FORBIDDEN,
            Self::AuthInvalidLogoutToken | Self::InvalidRequestTarget | Self::RequestBodyBroken => {
                StatusCode::BAD_REQUEST
            }
            Self::RequestTargetTooLong => StatusCode::URI_TOO_LONG,
            Self::NoRule => StatusCode::NOT_FOUND,
            Self::MethodNotForwarded => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestBodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            // Codes of an ALB's own: ELB user guide, troubleshooting, HTTP 460, 463 and 464.
            Self::ClientClosed => StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ForwardedForTooLong => StatusCode::from_u16(463).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ProtocolVersionMismatch => StatusCode::from_u16(464).unwrap_or(StatusCode::BAD_REQUEST),
            Self::ClientIdleTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TargetConnectionError => StatusCode::BAD_GATEWAY,
            Self::TargetConnectTimeout | Self::TargetIdleTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::SessionStoreUnavailable | Self::AuditUnavailable | Self::StopListUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            // "The load balancer received an error code from the IdP when attempting to authenticate the
            // user": ELB user guide, troubleshooting, HTTP 561.
            Self::AuthProviderError => StatusCode::from_u16(561).unwrap_or(StatusCode::BAD_GATEWAY),
            Self::AuthUserinfoResponseSizeExceeded
            | Self::AuthDiscoveryFailed
            | Self::AuthTokenEpRequestFailed
            | Self::AuthTokenEpRequestTimeout
            | Self::AuthUserinfoEpRequestFailed
            | Self::AuthUserinfoEpRequestTimeout
            | Self::JwksRequestFailed
            | Self::JwksInvalidResponse
            | Self::TransformFailed
            | Self::AuthUnhandledException => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the refusal says something about who asks, so that the audit trail has it. The rest is the
    /// access log's.
    #[must_use]
    pub(crate) const fn is_about_identity(self) -> bool {
        matches!(
            self,
            Self::JwtHeaderNotPresent
                | Self::JwtRequestFormatInvalid
                | Self::JwtSignatureValidationError
                | Self::JwtClaimNotPresent
                | Self::JwtClaimValueInvalid
                | Self::JwtClaimFormatInvalid
                | Self::JwksRequestFailed
                | Self::JwksInvalidResponse
                | Self::AuthInvalidCookie
                | Self::AuthRequired
                | Self::CrossOriginRequest
                | Self::ServiceWorkerScript
                | Self::AuthStopped
                | Self::AuthDiscoveryFailed
                | Self::AuthUnhandledException
        )
    }

    /// Whether the asker is told to bring a bearer token (RFC 6750 section 3).
    #[must_use]
    pub(crate) const fn wants_bearer_token(self) -> bool {
        matches!(
            self,
            Self::JwtHeaderNotPresent
                | Self::JwtRequestFormatInvalid
                | Self::JwtSignatureValidationError
                | Self::JwtClaimNotPresent
                | Self::JwtClaimValueInvalid
                | Self::JwtClaimFormatInvalid
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
            Self::AuthStopped => (
                "You cannot sign in here",
                "Your access has been stopped. Ask the operator, with the request id.",
            ),
            Self::AuthRequired => ("Sign in first", "This request needs a signed-in person."),
            Self::JwtHeaderNotPresent
            | Self::JwtRequestFormatInvalid
            | Self::JwtSignatureValidationError
            | Self::JwtClaimNotPresent
            | Self::JwtClaimValueInvalid
            | Self::JwtClaimFormatInvalid => ("Not authorized", "This request needs a valid access token."),
            Self::JwksRequestFailed | Self::JwksInvalidResponse => (
                "Not checked",
                "The access token could not be checked. Tell the operator the request id.",
            ),
            Self::NoRule => ("Not found", "There is nothing at this address."),
            Self::CrossOriginRequest | Self::ServiceWorkerScript | Self::InvalidCsrfToken => {
                ("Refused", "This request did not come from one of our own pages.")
            }
            Self::SessionStoreUnavailable | Self::AuditUnavailable | Self::StopListUnavailable => (
                "Temporarily unavailable",
                "Nothing was changed. Try again in a moment.",
            ),
            Self::TargetConnectionError | Self::TargetConnectTimeout | Self::TargetIdleTimeout => (
                "No answer",
                "The application behind this address did not answer. Try again in a moment.",
            ),
            Self::AuthInvalidLogoutToken
            | Self::InvalidRequestTarget
            | Self::RequestTargetTooLong
            | Self::ProtocolVersionMismatch
            | Self::ForwardedForTooLong
            | Self::ClientIdleTimeout
            | Self::ClientClosed
            | Self::RequestBodyBroken
            | Self::MethodNotForwarded
            | Self::RequestBodyTooLarge => ("Bad request", "This request cannot be forwarded."),
            Self::AuthUnhandledException | Self::TransformFailed | Self::RedirectUrlTooLong => {
                ("Internal error", "Tell the operator the request id.")
            }
        }
    }
}
