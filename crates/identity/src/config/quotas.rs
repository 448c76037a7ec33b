//! How many resources an account may have.

use serde::Deserialize;

/// Quotas of an account; AWS's own where nothing is said. A request above one is answered with
/// `ServiceQuotaExceededException`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quotas {
    /// Workload identities.
    pub workload_identities: u32,
    /// OAuth2 credential providers.
    pub oauth2_credential_providers: u32,
    /// API-key credential providers.
    pub api_key_credential_providers: u32,
}

impl Default for Quotas {
    /// Per account and region, as AWS documents them.
    fn default() -> Self {
        Self {
            workload_identities: 11_000,
            oauth2_credential_providers: 50,
            api_key_credential_providers: 50,
        }
    }
}
