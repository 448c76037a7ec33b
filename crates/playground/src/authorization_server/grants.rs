//! What was granted, and the codes and tokens that stand for it. They are kept as hashes only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use countersign_crypto::{Random, Timestamp, b64url, constant_time_eq, sha256, token, uuid_v4};
use serde::{Deserialize, Serialize};

use crate::authorization_server::visits::{Interaction, Session};

/// A used or expired code is remembered for so long, to tell a second use from nonsense.
const CODE_MEMORY: Duration = Duration::from_hours(1);

/// A person's yes to one client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) granted_at: Timestamp,
    pub(super) authenticated_at: Timestamp,
    /// Whether a refresh token was asked for, where that has to be.
    #[serde(default = "always")]
    pub(crate) offline: bool,
    /// Whether the authorization request had the rules' mark.
    #[serde(default)]
    pub(crate) marked: bool,
}

const fn always() -> bool {
    true
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Code {
    grant: String,
    redirect_uri: String,
    challenge: Option<String>,
    nonce: Option<String>,
    expires_at: Timestamp,
    used: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RefreshToken {
    grant: String,
    used: bool,
    expires_at: Timestamp,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct AccessToken {
    grant: String,
    scopes: Vec<String>,
    expires_at: Timestamp,
}

/// All grants of one server, by id; their codes and tokens, by hash. Ending a grant is removing it: what
/// still names it is dead.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Grants {
    by_id: BTreeMap<String, Grant>,
    codes: BTreeMap<String, Code>,
    refresh_tokens: BTreeMap<String, RefreshToken>,
    access_tokens: BTreeMap<String, AccessToken>,
}

/// What a code or refresh token was good for.
#[derive(Debug, Clone)]
pub(crate) struct Redeemed {
    pub(super) grant_id: String,
    pub(crate) grant: Grant,
    pub(crate) scopes: Vec<String>,
    pub(crate) nonce: Option<String>,
}

/// Fresh tokens.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) refresh_token: Option<String>,
}

/// What a valid access token allows.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) username: String,
    pub(crate) scopes: Vec<String>,
}

/// Why a code or refresh token is no good. The client is told less (RFC 6749 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantError {
    Unknown,
    OtherClient,
    Expired,
    Reused,
    RedirectUri,
    CodeVerifier,
    Scope,
}

impl GrantError {
    /// For the journal of token requests.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::OtherClient => "other_client",
            Self::Expired => "expired",
            Self::Reused => "reused",
            Self::RedirectUri => "redirect_uri_mismatch",
            Self::CodeVerifier => "code_verifier_mismatch",
            Self::Scope => "invalid_scope",
        }
    }
}

impl Grants {
    pub(super) fn issue_code(
        &mut self,
        random: &dyn Random,
        now: Timestamp,
        interaction: &Interaction,
        session: &Session,
        lifetime: Duration,
    ) -> String {
        self.prune(now);
        let grant_id = uuid_v4(random).to_string();
        let grant = Grant {
            client_id: interaction.client_id.clone(),
            username: session.username.clone(),
            scopes: interaction.scopes.clone(),
            granted_at: now,
            authenticated_at: session.authenticated_at,
            offline: interaction.offline,
            marked: interaction.marked,
        };
        self.by_id.insert(grant_id.clone(), grant);
        let text = token(random);
        let code = Code {
            grant: grant_id,
            redirect_uri: interaction.redirect_uri.clone(),
            challenge: interaction.code_challenge.clone(),
            nonce: interaction.nonce.clone(),
            expires_at: now.plus(lifetime),
            used: false,
        };
        self.codes.insert(hash(&text), code);
        text
    }

    /// A code is used up by its first presentation by its client, right or wrong. A second one ends the
    /// grant: whoever came first may have been the thief (RFC 9700 section 4.5).
    pub(crate) fn redeem_code(
        &mut self,
        text: &str,
        client_id: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        now: Timestamp,
    ) -> Result<Redeemed, GrantError> {
        let code = self.codes.get_mut(&hash(text)).ok_or(GrantError::Unknown)?;
        let grant = self.by_id.get(&code.grant).ok_or(GrantError::Reused)?;
        if grant.client_id != client_id {
            return Err(GrantError::OtherClient);
        }
        if std::mem::replace(&mut code.used, true) {
            self.by_id.remove(&code.grant);
            return Err(GrantError::Reused);
        }
        if now >= code.expires_at {
            return Err(GrantError::Expired);
        }
        if code.redirect_uri != redirect_uri {
            return Err(GrantError::RedirectUri);
        }
        let proven = match (&code.challenge, verifier) {
            (Some(challenge), Some(verifier)) => {
                let hash = b64url(&sha256(verifier.as_bytes()));
                constant_time_eq(challenge.as_bytes(), hash.as_bytes())
            }
            // A verifier without a challenge: the challenge was taken away (RFC 9700 section 2.1.1).
            (challenge, verifier) => challenge.is_none() && verifier.is_none(),
        };
        if !proven {
            return Err(GrantError::CodeVerifier);
        }
        Ok(Redeemed {
            grant_id: code.grant.clone(),
            grant: grant.clone(),
            scopes: grant.scopes.clone(),
            nonce: code.nonce.clone(),
        })
    }

    /// Uses a refresh token, up if it is good for one use. One that was used before ends the grant, and with it every token of the
    /// family (RFC 9700 section 4.14.2).
    pub(crate) fn redeem_refresh_token(
        &mut self,
        text: &str,
        client_id: &str,
        scopes: Option<Vec<String>>,
        single_use: bool,
        now: Timestamp,
    ) -> Result<Redeemed, GrantError> {
        let refresh_token = self
            .refresh_tokens
            .get_mut(&hash(text))
            .ok_or(GrantError::Unknown)?;
        let grant = self.by_id.get(&refresh_token.grant).ok_or(GrantError::Unknown)?;
        if grant.client_id != client_id {
            return Err(GrantError::OtherClient);
        }
        if refresh_token.used {
            self.by_id.remove(&refresh_token.grant);
            return Err(GrantError::Reused);
        }
        if now >= refresh_token.expires_at {
            return Err(GrantError::Expired);
        }
        let scopes = scopes.unwrap_or_else(|| grant.scopes.clone());
        if !scopes.iter().all(|scope| grant.scopes.contains(scope)) {
            return Err(GrantError::Scope);
        }
        refresh_token.used = single_use;
        Ok(Redeemed {
            grant_id: refresh_token.grant.clone(),
            grant: grant.clone(),
            scopes,
            nonce: None,
        })
    }

    pub(crate) fn issue_tokens(
        &mut self,
        random: &dyn Random,
        now: Timestamp,
        redeemed: &Redeemed,
        lifetime: Duration,
        refresh_token_lifetime: Option<Duration>,
    ) -> Issued {
        self.prune(now);
        let access_token = token(random);
        let access = AccessToken {
            grant: redeemed.grant_id.clone(),
            scopes: redeemed.scopes.clone(),
            expires_at: now.plus(lifetime),
        };
        self.access_tokens.insert(hash(&access_token), access);
        let refresh_token = refresh_token_lifetime.map(|lifetime| {
            let text = token(random);
            let refresh = RefreshToken {
                grant: redeemed.grant_id.clone(),
                used: false,
                expires_at: now.plus(lifetime),
            };
            self.refresh_tokens.insert(hash(&text), refresh);
            text
        });
        Issued {
            access_token,
            refresh_token,
        }
    }

    pub(crate) fn access(&self, text: &str, now: Timestamp) -> Option<Access> {
        let access_token = self
            .access_tokens
            .get(&hash(text))
            .filter(|token| now < token.expires_at)?;
        let grant = self.by_id.get(&access_token.grant)?;
        Some(Access {
            username: grant.username.clone(),
            scopes: access_token.scopes.clone(),
        })
    }

    /// RFC 7009 section 2.1: a refresh token takes its grant with it, an access token only itself. Tokens of
    /// other clients and unknown ones stay as they are.
    pub(super) fn revoke(&mut self, text: &str, client_id: &str) {
        let hash = hash(text);
        let owner = |grant: &str| {
            self.by_id
                .get(grant)
                .is_some_and(|grant| grant.client_id == client_id)
        };
        if let Some(refresh_token) = self.refresh_tokens.get(&hash).filter(|token| owner(&token.grant)) {
            self.by_id.remove(&refresh_token.grant);
        } else if self
            .access_tokens
            .get(&hash)
            .is_some_and(|token| owner(&token.grant))
        {
            self.access_tokens.remove(&hash);
        }
    }

    /// What a live access token of a client stands for.
    pub(crate) fn redeem_access_token(
        &self,
        text: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Redeemed, GrantError> {
        let token = self.access_tokens.get(&hash(text)).ok_or(GrantError::Unknown)?;
        let grant = self.by_id.get(&token.grant).ok_or(GrantError::Unknown)?;
        if grant.client_id != client_id {
            return Err(GrantError::OtherClient);
        }
        if now >= token.expires_at {
            return Err(GrantError::Expired);
        }
        Ok(Redeemed {
            grant_id: token.grant.clone(),
            grant: grant.clone(),
            scopes: token.scopes.clone(),
            nonce: None,
        })
    }

    /// Ends the grant that a token of either kind stands for; `None` when there is none such.
    pub(crate) fn end(&mut self, text: &str) -> Option<Grant> {
        let hash = hash(text);
        let access = self.access_tokens.get(&hash).map(|token| &token.grant);
        let refresh = self.refresh_tokens.get(&hash).map(|token| &token.grant);
        let id = access.or(refresh)?.clone();
        self.by_id.remove(&id)
    }

    /// Whether the grant of a token has the rules' mark; `None` when there is no such grant.
    pub(crate) fn is_marked(&self, text: &str) -> Option<bool> {
        let hash = hash(text);
        let access = self.access_tokens.get(&hash).map(|token| &token.grant);
        let refresh = self.refresh_tokens.get(&hash).map(|token| &token.grant);
        Some(self.by_id.get(access.or(refresh)?)?.marked)
    }

    /// Whether this is a refresh token, of a grant that lives.
    pub(crate) fn is_refresh_token(&self, text: &str) -> bool {
        let token = self.refresh_tokens.get(&hash(text));
        token.is_some_and(|token| self.by_id.contains_key(&token.grant))
    }

    pub(super) fn of(&self, username: &str) -> Vec<(String, Grant)> {
        let own = self.by_id.iter().filter(|(_, grant)| grant.username == username);
        own.map(|(id, grant)| (id.clone(), grant.clone())).collect()
    }

    pub(super) fn disconnect(&mut self, username: &str, grant: &str) {
        if self
            .by_id
            .get(grant)
            .is_some_and(|grant| grant.username == username)
        {
            self.by_id.remove(grant);
        }
    }

    /// Forgets what can no longer matter: expired codes and tokens, tokens of ended grants, and grants that
    /// have neither code nor token left. Used refresh tokens stay while their grant lives, to be recognised.
    fn prune(&mut self, now: Timestamp) {
        self.codes
            .retain(|_, code| now.since(code.expires_at) < CODE_MEMORY);
        self.access_tokens
            .retain(|_, token| now < token.expires_at && self.by_id.contains_key(&token.grant));
        self.refresh_tokens
            .retain(|_, token| now < token.expires_at && self.by_id.contains_key(&token.grant));
        let live: BTreeSet<&String> = (self.codes.values().map(|code| &code.grant))
            .chain(self.access_tokens.values().map(|token| &token.grant))
            .chain(self.refresh_tokens.values().map(|token| &token.grant))
            .collect();
        self.by_id.retain(|id, _| live.contains(id));
    }
}

fn hash(text: &str) -> String {
    b64url(&sha256(text.as_bytes()))
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
