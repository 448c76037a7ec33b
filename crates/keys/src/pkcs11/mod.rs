//! A root key in a PKCS#11 token (OASIS PKCS #11 version 2.40 and later): keys are encrypted inside the
//! token with AES-GCM under a secret key that never leaves it, the encryption context being additional
//! authenticated data. Token and key are found by their labels.
//!
//! It refuses a root key that could be read out of the token, and never tries a PIN a second time after the
//! token has refused it: a few wrong ones lock a token for good.

mod token;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use countersign_crypto::{
    BoxFuture, EncryptionContext, KeyProvider, KeyProviderError, SecretBytes, SecretString, SharedRandom,
};
use tokio::sync::{mpsc, oneshot};

use self::token::Token;

/// Waiting requests; more are turned away at once.
const QUEUE: usize = 64;
/// How long a token may take. A network HSM that fails over needs some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which key of which token.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The module, a shared library of the token's vendor.
    pub module: PathBuf,
    /// `CKA_LABEL` of the token.
    pub token_label: String,
    /// `CKA_LABEL` of the AES key, of which the token must have exactly one.
    pub key_label: String,
    /// PIN of the normal user.
    pub pin: SecretString,
}

/// Wraps keys inside a PKCS#11 token. The module is called from a thread of its own: its calls block, and
/// many modules want all calls of a session from one thread. The thread ends with the provider.
pub struct Pkcs11KeyProvider {
    /// Present until the provider ends.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
    key_id: String,
}

impl Drop for Pkcs11KeyProvider {
    /// Waits for the thread: a module must not be called while the process takes it down.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was its callers' error already.
            drop(thread.join());
        }
    }
}

/// One call of the token.
struct Request {
    operation: Operation,
    bytes: SecretBytes,
    associated: Vec<u8>,
    answer: oneshot::Sender<Result<SecretBytes, KeyProviderError>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Wrap,
    Unwrap,
}

impl Pkcs11KeyProvider {
    /// Loads the module, logs in and finds the key.
    pub async fn open(config: Pkcs11Config, random: SharedRandom) -> Result<Self, KeyProviderError> {
        let key_id = format!(
            "pkcs11:token={};object={}",
            uri(&config.token_label),
            uri(&config.key_label)
        );
        let (requests, mut waiting) = mpsc::channel::<Request>(QUEUE);
        let (opened, open) = oneshot::channel();
        let serve = move || {
            let mut token = match Token::open(config, random) {
                Ok(token) => token,
                // Nobody waits any more when the send fails.
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_err() {
                return;
            }
            while let Some(request) = waiting.blocking_recv() {
                // Whoever gave up waiting does not keep the token busy.
                if !request.answer.is_closed() {
                    let result = token.call(request.operation, &request.bytes, &request.associated);
                    drop(request.answer.send(result));
                }
            }
        };
        let started = thread::Builder::new().name("pkcs11".to_owned()).spawn(serve);
        let thread = started.map_err(|error| unavailable(format!("no thread for the module: {error}")))?;
        patiently(open).await??;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
            key_id,
        })
    }

    async fn call(
        &self,
        operation: Operation,
        bytes: &[u8],
        context: &EncryptionContext,
    ) -> Result<SecretBytes, KeyProviderError> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            operation,
            bytes: bytes.to_vec().into(),
            associated: context.to_bytes(),
            answer,
        };
        self.requests
            .as_ref()
            .ok_or_else(|| unavailable("the provider has ended"))?
            .try_send(request)
            .map_err(|_| unavailable("the token is too slow for the requests"))?;
        patiently(answered).await?
    }
}

impl KeyProvider for Pkcs11KeyProvider {
    /// A PKCS#11 URI (RFC 7512).
    fn key_id(&self) -> String {
        self.key_id.clone()
    }

    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        use countersign_crypto::ExposeSecret as _;
        Box::pin(async move {
            Ok(self
                .call(Operation::Wrap, key, context)
                .await?
                .expose_secret()
                .to_vec())
        })
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        Box::pin(self.call(Operation::Unwrap, wrapped, context))
    }
}

async fn patiently<T>(answer: oneshot::Receiver<T>) -> Result<T, KeyProviderError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(unavailable("the module's thread has ended")),
        Err(_) => Err(unavailable("the token does not answer")),
    }
}

fn unavailable(text: impl Into<String>) -> KeyProviderError {
    KeyProviderError::Unavailable(text.into())
}

/// Percent-encodes what RFC 7512 section 2.3 does not allow in a path attribute.
fn uri(label: &str) -> String {
    use std::fmt::Write as _;
    label.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
