//! What a person has granted, as far as an answer tells (design D13).

use std::collections::BTreeSet;

use super::Vendor;

impl Vendor {
    /// The scopes of a grant: those granted (when the vendor does not say: those requested), those requested
    /// that it never names, and those requested that it names otherwise or that another one includes.
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
        let prefixed = |scope: &str| {
            self.scope_prefix.is_some_and(|prefix| {
                let bare = |text: &str| text.strip_prefix(prefix).unwrap_or(text).to_ascii_lowercase();
                granted.iter().any(|granted| bare(granted) == bare(scope))
            })
        };
        let implied = requested.iter().filter(|scope| {
            self.never_echoed_scopes.contains(&scope.as_str()) || aliased(scope) || prefixed(scope)
        });
        granted.iter().chain(implied).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::{OPENID, vendor};

    fn scopes(list: &str) -> Vec<String> {
        list.split_whitespace().map(str::to_owned).collect()
    }

    fn effective(vendor: &Vendor, requested: &str, granted: Option<&str>) -> String {
        let granted = granted.map(scopes);
        let effective = vendor.effective_scopes(&scopes(requested), granted.as_deref());
        effective.into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn effective_scopes_count_what_was_asked_for_and_not_named() {
        let with_alias = Vendor {
            scope_aliases: &[("email", "https://v.example/email")],
            ..OPENID
        };
        let requested = "issues:read issues:write offline_access email";
        assert_eq!(
            effective(&with_alias, requested, None),
            "email issues:read issues:write offline_access"
        );
        assert_eq!(
            effective(
                &with_alias,
                requested,
                Some("issues:read https://v.example/email")
            ),
            "email https://v.example/email issues:read offline_access"
        );
        // Not asked for, not granted.
        assert_eq!(effective(&with_alias, "a", Some("")), "");
    }

    #[test]
    fn vendors_name_scopes_their_own_way() {
        let named = |name: &str, requested: &str, granted: &str| {
            effective(vendor(name).expect("a vendor"), requested, Some(granted))
        };
        // Google spells short names out.
        let email = "https://www.googleapis.com/auth/userinfo.email";
        assert!(named("GoogleOauth2", "openid email", &format!("openid {email}")).contains("email "));
        // GitHub leaves out what another scope includes, and a declined scope stays declined.
        assert_eq!(
            named("GithubOauth2", "user user:email repo", "user"),
            "user user:email"
        );
        // Microsoft puts the resource before, and changes case.
        let graph = "https://graph.microsoft.com/mail.read";
        assert_eq!(
            named("MicrosoftOauth2", "Mail.Read Mail.Send offline_access", graph),
            format!("Mail.Read {graph} offline_access")
        );
        // Salesforce has two names for one.
        assert_eq!(
            named("SalesforceOauth2", "api refresh_token", "api offline_access"),
            "api offline_access refresh_token"
        );
    }
}
