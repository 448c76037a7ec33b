//! The `keys` of a configuration: what wraps each role's keys (design D27).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
#[cfg(not(all(feature = "kms", feature = "pkcs11")))]
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use countersign_crypto::{FileKeyProvider, KeyProvider, SecretString, SharedRandom};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// One root key for each owner of secrets, so that the gateway cannot open the vault (design chapter 2).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// The identity role's.
    pub(crate) identity: Option<RootKey>,
    /// The gateway role's.
    pub(crate) gateway: Option<RootKey>,
    /// The agent role's.
    pub(crate) agent: Option<RootKey>,
    /// What wrapped the keys before.
    #[serde(default)]
    pub(crate) previous: PreviousKeys,
    /// KMS keys that accounts may wrap their token vaults under (`SetTokenVaultCMK`); every other one is refused
    /// (design D22).
    #[serde(default)]
    pub(crate) customer_managed: Vec<CustomerManaged>,
}

/// The customer managed keys of an account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomerManaged {
    /// The account, 12 digits.
    account: String,
    /// Exact ARNs, as of a root key.
    key_arns: Vec<String>,
}

/// Root keys that are being replaced: at the next start each key that they wrap is wrapped anew.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousKeys {
    /// The identity role's.
    pub(crate) identity: Option<RootKey>,
    /// The gateway role's.
    pub(crate) gateway: Option<RootKey>,
    /// The agent role's.
    pub(crate) agent: Option<RootKey>,
}

/// A root key: a text is the path of a key file.
#[derive(Debug, Clone)]
pub(crate) enum RootKey {
    /// A file of this machine.
    File(PathBuf),
    /// A key of AWS KMS.
    Kms(Kms),
    /// A key of a PKCS#11 token.
    Pkcs11(Pkcs11),
    /// One of them, and keys by account that customers manage.
    WithCustomerKeys(Box<RootKey>, BTreeMap<String, BTreeSet<String>>),
}

/// `{ kms = { key_arn = "…" } }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kms {
    /// `arn:PARTITION:kms:REGION:ACCOUNT:key/ID` of a symmetric key of one region. No alias.
    key_arn: String,
}

/// `{ pkcs11 = { … } }`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "pkcs11"),
    expect(dead_code, reason = "what reads them is not built in")
)]
pub(crate) struct Pkcs11 {
    /// The token vendor's module, a shared library.
    module: PathBuf,
    /// `CKA_LABEL` of the token.
    token_label: String,
    /// `CKA_LABEL` of the AES key.
    key_label: String,
    /// PIN of the normal user; a secret reference.
    pin: SecretString,
}

/// The forms of a table.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Table {
    Kms(Kms),
    Pkcs11(Pkcs11),
}

impl<'de> Deserialize<'de> for RootKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = RootKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a key file, or a table with `kms` or `pkcs11`")
            }

            fn visit_str<E>(self, path: &str) -> Result<RootKey, E> {
                Ok(RootKey::File(PathBuf::from(path)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RootKey, A::Error> {
                Ok(match Table::deserialize(MapAccessDeserializer::new(map))? {
                    Table::Kms(kms) => RootKey::Kms(kms),
                    Table::Pkcs11(pkcs11) => RootKey::Pkcs11(pkcs11),
                })
            }
        }

        deserializer.deserialize_any(Forms)
    }
}

/// What a role's keys are wrapped by.
#[derive(Debug)]
pub(crate) struct RoleKeys {
    /// From now on.
    pub(crate) root: RootKey,
    /// Before.
    pub(crate) previous: Option<RootKey>,
}

#[cfg(feature = "playground")]
impl RoleKeys {
    /// A key file that replaces nothing.
    pub(crate) fn of_file(path: PathBuf) -> Self {
        Self {
            root: RootKey::File(path),
            previous: None,
        }
    }
}

impl Keys {
    /// The identity role's.
    pub(crate) fn identity(&self) -> anyhow::Result<RoleKeys> {
        let root = self
            .identity
            .clone()
            .context("keys.identity names the root key")?;
        let mut customer: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let own = [
            &self.identity,
            &self.gateway,
            &self.previous.identity,
            &self.previous.gateway,
        ];
        for allowed in &self.customer_managed {
            let account = &allowed.account;
            for arn in &allowed.key_arns {
                // A tenant could have our keys opened with our credentials otherwise.
                let is_own = own
                    .iter()
                    .any(|root| root.as_ref().is_some_and(|root| root.name() == *arn));
                ensure!(
                    !is_own,
                    "keys.customer_managed: {arn} is a root key of this installation"
                );
                customer.entry(account.clone()).or_default().insert(arn.clone());
            }
        }
        Ok(RoleKeys {
            root: if customer.is_empty() {
                root
            } else {
                RootKey::WithCustomerKeys(Box::new(root), customer)
            },
            previous: self.previous.identity.clone(),
        })
    }

    /// The gateway role's.
    pub(crate) fn gateway(&self) -> anyhow::Result<RoleKeys> {
        Ok(RoleKeys {
            root: self.gateway.clone().context("keys.gateway names the root key")?,
            previous: self.previous.gateway.clone(),
        })
    }

    /// The agent role's.
    pub(crate) fn agent(&self) -> anyhow::Result<RoleKeys> {
        Ok(RoleKeys {
            root: self
                .agent
                .clone()
                .context("keys.agent names the root key that conversations are sealed under")?,
            previous: self.previous.agent.clone(),
        })
    }
}

impl RootKey {
    /// What tells it from others; no secret.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Kms(kms) => kms.key_arn.clone(),
            Self::Pkcs11(pkcs11) => format!("{}/{}", pkcs11.token_label, pkcs11.key_label),
            Self::WithCustomerKeys(root, _) => root.name(),
        }
    }

    /// The file that it is, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::WithCustomerKeys(root, _) => root.file(),
            Self::Kms(_) | Self::Pkcs11(_) => None,
        }
    }

    /// `root`, and the customers' keys that go with this one.
    pub(crate) fn with_customer_keys_for(&self, root: &Self) -> Self {
        match (self, root) {
            (Self::WithCustomerKeys(_, customer), Self::File(_) | Self::Kms(_) | Self::Pkcs11(_)) => {
                Self::WithCustomerKeys(Box::new(root.clone()), customer.clone())
            }
            _ => root.clone(),
        }
    }

    /// Opens it; a key file that does not exist is made.
    pub(crate) async fn open_or_create(&self, random: SharedRandom) -> anyhow::Result<Arc<dyn KeyProvider>> {
        match self {
            Self::File(path) => Ok(Arc::new(FileKeyProvider::open_or_create(path, random)?)),
            Self::WithCustomerKeys(root, customer) => {
                with_customer_keys(Box::pin(root.open_or_create(random)).await?, customer)
            }
            _ => self.open(random).await,
        }
    }

    /// Opens what exists.
    pub(crate) async fn open(&self, random: SharedRandom) -> anyhow::Result<Arc<dyn KeyProvider>> {
        match self {
            Self::File(path) => Ok(Arc::new(FileKeyProvider::open(path, random)?)),
            // Its future is large.
            Self::Kms(kms) => Box::pin(open_kms(kms)).await.with_context(|| self.name()),
            Self::Pkcs11(pkcs11) => open_pkcs11(pkcs11, random).await.with_context(|| self.name()),
            Self::WithCustomerKeys(root, customer) => {
                with_customer_keys(Box::pin(root.open(random)).await?, customer)
            }
        }
    }
}

#[cfg(feature = "kms")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn with_customer_keys(
    root: Arc<dyn KeyProvider>,
    customer: &BTreeMap<String, BTreeSet<String>>,
) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(countersign_keys::WithCustomerKeys::new(
        root,
        customer.clone(),
    )))
}

#[cfg(not(feature = "kms"))]
fn with_customer_keys(
    _: Arc<dyn KeyProvider>,
    _: &BTreeMap<String, BTreeSet<String>>,
) -> anyhow::Result<Arc<dyn KeyProvider>> {
    anyhow::bail!(
        "keys.customer_managed: this binary was built without AWS KMS: build it with `--features kms`"
    )
}

#[cfg(feature = "kms")]
async fn open_kms(kms: &Kms) -> anyhow::Result<Arc<dyn KeyProvider>> {
    Ok(Arc::new(
        countersign_keys::KmsKeyProvider::open(&kms.key_arn).await?,
    ))
}

#[cfg(not(feature = "kms"))]
fn open_kms(_: &Kms) -> Ready<anyhow::Result<Arc<dyn KeyProvider>>> {
    let rule = "this binary was built without AWS KMS: build it with `--features kms`";
    ready(Err(anyhow::Error::msg(rule)))
}

#[cfg(feature = "pkcs11")]
async fn open_pkcs11(pkcs11: &Pkcs11, random: SharedRandom) -> anyhow::Result<Arc<dyn KeyProvider>> {
    let config = countersign_keys::Pkcs11Config {
        module: pkcs11.module.clone(),
        token_label: pkcs11.token_label.clone(),
        key_label: pkcs11.key_label.clone(),
        pin: pkcs11.pin.clone(),
    };
    Ok(Arc::new(
        countersign_keys::Pkcs11KeyProvider::open(config, random).await?,
    ))
}

#[cfg(not(feature = "pkcs11"))]
fn open_pkcs11(_: &Pkcs11, _: SharedRandom) -> Ready<anyhow::Result<Arc<dyn KeyProvider>>> {
    let rule = "this binary was built without PKCS#11: build it with `--features pkcs11`";
    ready(Err(anyhow::Error::msg(rule)))
}
