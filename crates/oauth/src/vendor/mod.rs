//! Vendors: in what each departs from the standard, one file a vendor. Data where data will do.

mod custom;

use std::collections::BTreeSet;
use std::time::Duration;

use countersign_crypto::SecretString;
use countersign_outbound::Client;

use crate::id_token::IdTokenClaims;
use crate::metadata::ServerMetadata;

/// What is known about a vendor, named as `credentialProviderVendor` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vendor {
    /// The name.
    pub name: &'static str,
    /// How long its authorization codes live; `None` when that is not known.
    pub code_lifetime: Option<Duration>,
    /// Scopes that it grants without naming them in `scope`.
    pub never_echoed_scopes: &'static [&'static str],
    /// Pairs of a scope as it is requested and as the vendor names it in `scope`.
    pub scope_aliases: &'static [(&'static str, &'static str)],
    /// How to find out which account consented.
    pub identity: IdentityRecipe,
}

/// How a vendor tells whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityRecipe {
    /// ID token, else `UserInfo`.
    OpenId,
}

/// All vendors there are templates for.
const VENDORS: [&Vendor; 1] = [&custom::VENDOR];

/// The vendor of this name.
#[must_use]
pub fn vendor(name: &str) -> Option<&'static Vendor> {
    VENDORS.into_iter().find(|vendor| vendor.name == name)
}

impl Vendor {
    /// The scopes of a grant (design D13): those granted (when the vendor does not say: those requested),
    /// those requested that it never names, and those requested under another name.
    #[must_use]
    pub fn effective_scopes(&self, requested: &[String], granted: Option<&[String]>) -> BTreeSet<String> {
        let Some(granted) = granted else {
            return requested.iter().cloned().collect();
        };
        let aliased = |scope: &str| {
            self.scope_aliases
                .iter()
                .any(|(asked, named)| *asked == scope && granted.iter().any(|granted| granted == named))
        };
        let implied = requested
            .iter()
            .filter(|scope| self.never_echoed_scopes.contains(&scope.as_str()) || aliased(scope));
        granted.iter().chain(implied).cloned().collect()
    }
}

/// The account at the vendor that consented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountIdentity {
    /// The vendor's own, stable id of the account.
    pub id: String,
    /// How the vendor calls it, for display.
    pub name: Option<String>,
}

/// Finds out which account consented. `None` when the vendor does not say: never an error, since the
/// consent itself stands.
pub async fn account_identity(
    vendor: &Vendor,
    client: &Client,
    server: &ServerMetadata,
    id_token: Option<&IdTokenClaims>,
    access_token: &SecretString,
) -> Option<AccountIdentity> {
    match vendor.identity {
        IdentityRecipe::OpenId => custom::account_identity(client, server, id_token, access_token).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_scopes_count_what_was_asked_for_and_not_named() {
        let scopes = |list: &[&str]| list.iter().map(|&scope| scope.to_owned()).collect::<Vec<_>>();
        let set = |list: &[&str]| {
            list.iter()
                .map(|&scope| scope.to_owned())
                .collect::<BTreeSet<_>>()
        };
        let vendor = Vendor {
            scope_aliases: &[("email", "https://v.example/email")],
            ..custom::VENDOR
        };
        let requested = scopes(&["issues:read", "issues:write", "offline_access", "email"]);
        assert_eq!(
            vendor.effective_scopes(&requested, None),
            set(&["issues:read", "issues:write", "offline_access", "email"])
        );
        assert_eq!(
            vendor.effective_scopes(
                &requested,
                Some(&scopes(&["issues:read", "https://v.example/email"]))
            ),
            set(&[
                "issues:read",
                "https://v.example/email",
                "email",
                "offline_access"
            ])
        );
        // Not asked for, not granted.
        assert_eq!(vendor.effective_scopes(&scopes(&["a"]), Some(&[])), set(&[]));
    }
}
