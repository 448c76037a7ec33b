//! A login under way: a sealed cookie of one browser, one origin and one `state`.

use countersign_crypto::{Aad, ExposeSecret, SecretString, Timestamp, constant_time_eq};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cookie::LOGIN_LIFETIME;
use crate::listener::Listener;
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
    pub(crate) fn cookie(&self, listener: &Listener) -> HeaderValue {
        let contents = Contents {
            state: self.state.clone(),
            started_at: listener.gateway.clock.now().as_secs(),
            return_path: self.return_path.clone(),
            nonce: self.openid.as_ref().map(|openid| openid.nonce.clone()),
            code_verifier: self
                .openid
                .as_ref()
                .map(|openid| openid.code_verifier.expose_secret().to_owned()),
        };
        let plaintext = Zeroizing::new(serde_json::to_vec(&contents).expect("text and numbers serialise"));
        let random = &*listener.gateway.random;
        let sealed = listener
            .gateway
            .sessions
            .keyring()
            .seal_token(random, &aad(listener), &plaintext);
        listener.cookies.set_transaction(&self.state, &sealed)
    }

    /// The transaction of `state` that this browser began on this origin.
    pub(crate) fn open(listener: &Listener, headers: &HeaderMap, state: &str) -> Result<Self, Reason> {
        let cookie = match listener.cookies.transaction(headers, state) {
            Ok(Some(cookie)) => cookie,
            Ok(None) if listener.cookies.has_transaction(headers) => {
                return Err(Reason::AuthInvalidStateParam);
            }
            Ok(None) => return Err(Reason::AuthMissingNonce),
            Err(_) => return Err(Reason::AuthInvalidNonce),
        };
        let plaintext = listener
            .gateway
            .sessions
            .keyring()
            .open_token(&aad(listener), &cookie);
        let contents: Contents = plaintext
            .ok()
            .and_then(|plaintext| serde_json::from_slice(plaintext.expose_secret()).ok())
            .ok_or(Reason::AuthInvalidNonce)?;
        if !constant_time_eq(contents.state.as_bytes(), state.as_bytes()) {
            return Err(Reason::AuthInvalidStateParam);
        }
        let age = listener
            .gateway
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

fn aad(listener: &Listener) -> Aad {
    Aad::new(
        &listener.gateway.account,
        "login",
        "cookie",
        &listener.origin.to_string(),
    )
}
