//! A vault whose customer closes it, by disabling the key that wraps its own, while refreshes and consents are due or
//! under way: no grant is lost by that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::{
    BoxFuture, EncryptionContext, FileKeyProvider, KeyProvider, KeyProviderError, SecretBytes,
};
use http::StatusCode;
use serde_json::json;

use super::vendor::Next;
use super::{Ask, System};

const CUSTOMERS: &str = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012";
/// Longer than `customer_key_check_seconds`, so that the vault closes in between.
const LONG: Duration = Duration::from_millis(2500);

/// A key file as root key, and one as the key of a customer, which refuses while the file `closed` is there.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) file: Arc<FileKeyProvider>,
    pub(super) closed: PathBuf,
    pub(super) customers: bool,
}

impl Keys {
    fn ready(&self) -> Result<(), KeyProviderError> {
        if self.customers && self.closed.exists() {
            return Err(KeyProviderError::Refused("disabled".to_owned()));
        }
        Ok(())
    }
}

impl KeyProvider for Keys {
    fn key_id(&self) -> String {
        if self.customers {
            CUSTOMERS.to_owned()
        } else {
            self.file.key_id()
        }
    }

    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        Box::pin(async move {
            self.ready()?;
            self.file.wrap(key, context).await
        })
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        Box::pin(async move {
            self.ready()?;
            self.file.unwrap(wrapped, context).await
        })
    }

    fn customer_key<'a>(
        &'a self,
        _: &'a str,
        key_id: &'a str,
    ) -> Option<BoxFuture<'a, Result<Arc<dyn KeyProvider>, KeyProviderError>>> {
        let customers = Self {
            customers: true,
            ..self.clone()
        };
        (key_id == CUSTOMERS)
            .then(|| Box::pin(async move { Ok(Arc::new(customers) as Arc<dyn KeyProvider>) }) as BoxFuture<_>)
    }
}

impl System {
    /// A vault under the customer's key, at a vendor that nobody can ask what became of a refresh token.
    async fn with_customers_key() -> Self {
        let system = Self::start_with(json!({"customer_key_check_seconds": 1})).await;
        system.vendor.memory.lock().expect("not poisoned").introspects = false;
        let configuration = json!({"keyType": "CustomerManagedKey", "kmsKeyArn": CUSTOMERS});
        let body = json!({"tokenVaultId": "default", "kmsConfiguration": configuration});
        let set = system
            .call(&system.admin, "/identities/set-token-vault-cmk", &body)
            .await;
        assert_eq!(set.status, StatusCode::OK, "{set:?}");
        system
    }

    fn disable_key(&self) {
        std::fs::write(self.directory.path().join("closed"), "").expect("written");
        // The key is asked again by the clock of the role.
        self.clock.advance(Duration::from_secs(2));
    }

    fn enable_key(&self) {
        std::fs::remove_file(self.directory.path().join("closed")).expect("removed");
    }

    /// Asks until the answer has this status.
    async fn answers(&self, wat: &str, status: StatusCode) {
        let agent = self.workload("agent");
        for _ in 0..100 {
            if agent.asks(wat, &Ask::default()).await.status == status {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never {status}");
    }
}

#[tokio::test]
async fn a_refresh_that_finds_the_vault_closed_has_presented_nothing() {
    let system = System::with_customers_key().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let ask = Ask::default();
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let wat = agent.wat(&alice).await;
    system.disable_key();
    system.answers(&wat, StatusCode::SERVICE_UNAVAILABLE).await;
    system.clock.advance(Duration::from_mins(61));
    let wat = agent.wat(&alice).await;
    assert_eq!(
        agent.asks(&wat, &ask).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    // Longer than any lease.
    system.clock.advance(Duration::from_mins(2));
    system.enable_key();
    system.answers(&wat, StatusCode::OK).await;
    let answer = agent.asks(&wat, &ask).await;
    assert!(answer.token().is_some(), "{answer:?}");
    assert_eq!(system.vendor.token_requests(), 2, "one exchange, one refresh");
}

#[tokio::test]
async fn what_a_vendor_gives_while_the_vault_closes_is_kept() {
    let system = System::with_customers_key().await;
    let (alice, bob, agent) = (
        system.person("alice"),
        system.person("bob"),
        system.workload("agent"),
    );
    let ask = Ask::default();
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    system.clock.advance(Duration::from_mins(61));
    let wat = agent.wat(&alice).await;
    let handle = bob.consents(agent.asks_for_token(&bob).await.link()).await;
    system.vendor.will(Next::Slow(LONG));
    // While one is refreshed and the other's code is exchanged.
    let close = async {
        tokio::time::sleep(LONG / 10).await;
        system.disable_key();
    };
    let (_, completed, ()) = futures_util::join!(agent.asks(&wat, &ask), bob.completes(&handle), close);
    assert_eq!(completed.status, StatusCode::OK, "{completed:?}");
    system.answers(&wat, StatusCode::SERVICE_UNAVAILABLE).await;
    system.enable_key();
    system.answers(&wat, StatusCode::OK).await;
    let bobs = agent.wat(&bob).await;
    for wat in [&wat, &bobs] {
        let answer = agent.asks(wat, &ask).await;
        assert!(answer.token().is_some(), "{answer:?}");
    }
    assert_eq!(system.vendor.token_requests(), 3, "two exchanges, one refresh");
}
