//! `[identity.console]`.

use serde::Deserialize;

/// The groups, as the login provider names them, whose members may open the console. Whoever is in several has the
/// greatest of their roles; nobody has one by default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// May look at everything that is no secret.
    #[serde(default)]
    pub viewers: Vec<String>,
    /// May also stop, start and revoke.
    #[serde(default)]
    pub responders: Vec<String>,
    /// May also rotate keys and disable access keys.
    #[serde(default)]
    pub admins: Vec<String>,
}
