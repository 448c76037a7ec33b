//! The blocking side: one session with one token.

use countersign_crypto::{ExposeSecret as _, KeyProviderError, SecretBytes, SharedRandom, random_bytes};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use super::{Operation, Pkcs11Config, unavailable};

/// First byte of a wrapped key; then the nonce, then ciphertext and tag.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BITS: std::ffi::c_ulong = 128;
const TAG_BYTES: usize = 16;

/// A session with the token, and what it takes to begin another.
pub(super) struct Token {
    module: Pkcs11,
    config: Pkcs11Config,
    random: SharedRandom,
    session: Option<(Session, ObjectHandle)>,
    /// The token refused the PIN: it is not offered again.
    pin_refused: bool,
}

impl Token {
    pub(super) fn open(config: Pkcs11Config, random: SharedRandom) -> Result<Self, KeyProviderError> {
        let place = config.module.display().to_string();
        let module = Pkcs11::new(&config.module).map_err(|error| unavailable(format!("{place}: {error}")))?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another provider of this process uses the same module; it stays initialised for both.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(unavailable(format!("{place}: {error}"))),
        }
        let mut token = Self {
            module,
            config,
            random,
            session: None,
            pin_refused: false,
        };
        token.session = Some(token.begin()?);
        Ok(token)
    }

    /// One operation; a session that the token has lost is begun again, once.
    pub(super) fn call(
        &mut self,
        operation: Operation,
        bytes: &SecretBytes,
        associated: &[u8],
    ) -> Result<SecretBytes, KeyProviderError> {
        for _ in 0..2 {
            let (session, key) = match self.session.take() {
                Some(session) => session,
                None => self.begin()?,
            };
            match perform(
                &session,
                key,
                operation,
                bytes.expose_secret(),
                associated,
                &self.random,
            ) {
                Err(Failure::Token(error)) if is_lost(&error) => {
                    tracing::warn!(%error, "the PKCS#11 session is lost");
                }
                result => {
                    self.session = Some((session, key));
                    return result.map_err(|failure| failure.into_error(operation));
                }
            }
        }
        Err(unavailable("the token loses its sessions"))
    }

    fn begin(&mut self) -> Result<(Session, ObjectHandle), KeyProviderError> {
        if self.pin_refused {
            return Err(unavailable(
                "the token has refused the PIN; correct it and start again",
            ));
        }
        let failed = |error: Error| unavailable(error.to_string());
        let session = self.module.open_ro_session(self.slot()?).map_err(failed)?;
        let pin = AuthPin::from(self.config.pin.expose_secret().to_owned());
        match session.login(UserType::User, Some(&pin)) {
            // The login belongs to the process, so another session may have done it.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => {
                self.pin_refused = is_pin(&error);
                return Err(failed(error));
            }
        }
        let key = self.key(&session)?;
        Ok((session, key))
    }

    fn slot(&self) -> Result<cryptoki::slot::Slot, KeyProviderError> {
        let failed = |error: Error| unavailable(error.to_string());
        let slots = self.module.get_slots_with_initialized_token().map_err(failed)?;
        let named = |slot: &cryptoki::slot::Slot| {
            self.module
                .get_token_info(*slot)
                .is_ok_and(|info| info.label().trim_end() == self.config.token_label)
        };
        match slots.into_iter().filter(named).collect::<Vec<_>>()[..] {
            [slot] => Ok(slot),
            [] => Err(unavailable(format!(
                "no token is labelled {:?}",
                self.config.token_label
            ))),
            _ => Err(unavailable(format!(
                "several tokens are labelled {:?}",
                self.config.token_label
            ))),
        }
    }

    fn key(&self, session: &Session) -> Result<ObjectHandle, KeyProviderError> {
        let label = &self.config.key_label;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let failed = |error: Error| unavailable(error.to_string());
        let key = match session.find_objects(&template).map_err(failed)?[..] {
            [key] => key,
            [] => {
                return Err(unavailable(format!(
                    "the token has no AES key labelled {label:?}"
                )));
            }
            _ => {
                return Err(unavailable(format!(
                    "the token has several AES keys labelled {label:?}"
                )));
            }
        };
        let wanted = [AttributeType::Sensitive, AttributeType::Extractable];
        let attributes = session.get_attributes(key, &wanted).map_err(failed)?;
        let stays = attributes.contains(&Attribute::Sensitive(true))
            && attributes.contains(&Attribute::Extractable(false));
        if !stays {
            return Err(unavailable(format!(
                "AES key {label:?} could be read out of the token; use one that is sensitive and not extractable"
            )));
        }
        Ok(key)
    }
}

enum Failure {
    Token(Error),
    Malformed,
}

impl Failure {
    /// A token that works and does not decrypt says in one way or another (the codes vary by vendor) that
    /// nonce, ciphertext or context are not those of a wrap under this key.
    fn into_error(self, operation: Operation) -> KeyProviderError {
        match (self, operation) {
            (Self::Malformed, _) => {
                KeyProviderError::Refused("not a key wrapped by a PKCS#11 token".to_owned())
            }
            (Self::Token(error), Operation::Unwrap) => KeyProviderError::Refused(error.to_string()),
            (Self::Token(error), Operation::Wrap) => unavailable(error.to_string()),
        }
    }
}

fn perform(
    session: &Session,
    key: ObjectHandle,
    operation: Operation,
    bytes: &[u8],
    associated: &[u8],
    random: &SharedRandom,
) -> Result<SecretBytes, Failure> {
    match operation {
        Operation::Wrap => {
            let mut nonce: [u8; NONCE_BYTES] = random_bytes(random.as_ref());
            let parameters =
                GcmParams::new(&mut nonce, associated, TAG_BITS.into()).map_err(Failure::Token)?;
            let mechanism = Mechanism::AesGcm(parameters);
            let ciphertext = session.encrypt(&mechanism, key, bytes).map_err(Failure::Token)?;
            // Read after the call: a token in FIPS mode replaces the nonce by one of its own.
            let Mechanism::AesGcm(mut parameters) = mechanism else {
                return Err(Failure::Malformed);
            };
            Ok([&[VERSION], parameters.iv() as &[u8], &ciphertext]
                .concat()
                .into())
        }
        Operation::Unwrap => {
            let (nonce, ciphertext) = match bytes.split_first() {
                Some((&VERSION, rest)) if rest.len() >= NONCE_BYTES + TAG_BYTES => rest.split_at(NONCE_BYTES),
                _ => return Err(Failure::Malformed),
            };
            let mut nonce = nonce.to_vec();
            let parameters =
                GcmParams::new(&mut nonce, associated, TAG_BITS.into()).map_err(Failure::Token)?;
            let plaintext = session.decrypt(&Mechanism::AesGcm(parameters), key, ciphertext);
            Ok(plaintext.map_err(Failure::Token)?.into())
        }
    }
}

/// Whether the session is gone and another may do: the token was reset or failed over, or came back.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::TokenNotPresent
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::UserNotLoggedIn,
            _
        )
    )
}

fn is_pin(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::PinIncorrect | RvError::PinLocked | RvError::PinExpired,
            _
        )
    )
}
