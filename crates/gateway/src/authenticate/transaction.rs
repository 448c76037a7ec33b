//! A login under way: a sealed cookie of one browser, one origin and one `state`.

use countersign_crypto::{Aad, ExposeSecret, SecretString, Timestamp, constant_time_eq};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::site::Site;
use crate::cookie::LOGIN_LIFETIME;
use crate::gateway::Shared;
use crate::origin::ReturnPath;
use crate::reason::Reason;

/// What the browser brings back with the answer to a login.
pub(crate) struct Transaction {
    pub(crate) state: String,
    /// Where the person wanted to go, kept as it was.
    pub(crate) return_path: ReturnPath,
    /// At the identity provider; absent in a hand-over from the account origin.
    pub(crate) openid: Option<OpenId>,
}

/// The secrets of an OpenID Connect login.
pub(crate) struct OpenId {
    pub(crate) nonce: String,
    /// PKCE (RFC 7636).
    pub(crate) code_verifier: SecretString,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    state: String,
    started_at: i64,
    return_path: ReturnPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_verifier: Option<String>,
}

impl Transaction {
    /// The cookie that carries this transaction.
    pub(crate) fn cookie(&self, gateway: &Shared, site: &Site) -> HeaderValue {
        let contents = Contents {
            state: self.state.clone(),
            started_at: gateway.clock.now().as_secs(),
            return_path: self.return_path.clone(),
            nonce: self.openid.as_ref().map(|openid| openid.nonce.clone()),
            code_verifier: self
                .openid
                .as_ref()
                .map(|openid| openid.code_verifier.expose_secret().to_owned()),
        };
        let plaintext = Zeroizing::new(serde_json::to_vec(&contents).expect("text and numbers serialise"));
        let keys = gateway.keys.current();
        let sealed = keys
            .session
            .seal_token(&*gateway.random, &aad(gateway, site), &plaintext);
        site.cookies.set_transaction(&self.state, &sealed)
    }

    /// The transaction of `state` that this browser began on this origin.
    pub(crate) fn open(
        gateway: &Shared,
        site: &Site,
        headers: &HeaderMap,
        state: &str,
    ) -> Result<Self, Reason> {
        let cookie = match site.cookies.transaction(headers, state) {
            Ok(Some(cookie)) => cookie,
            Ok(None) if site.cookies.has_transaction(headers) => {
                return Err(Reason::AuthInvalidStateParam);
            }
            Ok(None) => return Err(Reason::AuthMissingNonce),
            Err(_) => return Err(Reason::AuthInvalidNonce),
        };
        let keys = gateway.keys.current();
        let plaintext = keys.session.open_token(&aad(gateway, site), &cookie);
        let contents: Contents = plaintext
            .ok()
            .and_then(|plaintext| serde_json::from_slice(plaintext.expose_secret()).ok())
            .ok_or(Reason::AuthInvalidNonce)?;
        if !constant_time_eq(contents.state.as_bytes(), state.as_bytes()) {
            return Err(Reason::AuthInvalidStateParam);
        }
        let age = gateway
            .clock
            .now()
            .since(Timestamp::from_secs(contents.started_at));
        if age >= LOGIN_LIFETIME {
            return Err(Reason::AuthLoginExpired);
        }
        let openid = contents.nonce.zip(contents.code_verifier);
        Ok(Self {
            state: contents.state,
            return_path: contents.return_path,
            openid: openid.map(|(nonce, verifier)| OpenId {
                nonce,
                code_verifier: verifier.into(),
            }),
        })
    }
}

fn aad(gateway: &Shared, site: &Site) -> Aad {
    Aad::new(&gateway.account, "login", "cookie", &site.scope)
}
