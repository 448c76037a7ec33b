//! The conformance suite of the store of OAuth2 providers: the same on both engines.

use std::collections::BTreeMap;

use countersign_api::control::CredentialProviderVendor;
use countersign_api::control::oauth2_provider_config::{
    AuthorizationServerMetadata, ClientAuthenticationMethod, Oauth2Discovery,
};

use super::oauth2_provider::{self, ProviderConfig, ProviderRow, ProviderUpdate};
use super::tests::{ACCOUNT, OTHER, at, databases, tx};

pub(super) fn provider(id: &str, account: &str, name: &str, callback_id: &str) -> ProviderRow {
    ProviderRow {
        id: id.to_owned(),
        account: account.to_owned(),
        name: name.to_owned(),
        vendor: CredentialProviderVendor::CustomOauth2,
        config_version: 1,
        config: ProviderConfig::custom(
            Oauth2Discovery::DiscoveryUrl("https://as.example/.well-known/openid-configuration".to_owned()),
            ClientAuthenticationMethod::ClientSecretBasic,
        ),
        client_id: "client".to_owned(),
        client_secret: b"sealed".to_vec(),
        callback_id: callback_id.to_owned(),
        tags: BTreeMap::new(),
        created_at: at(1),
        updated_at: at(1),
    }
}

#[tokio::test]
async fn providers() {
    for database in databases().await {
        let pool = &database.pool;
        let mut tx_ = tx(pool).await;
        assert!(
            oauth2_provider::insert(&mut tx_, &provider("p1", ACCOUNT, "hub", "c1"))
                .await
                .expect("stored")
        );
        assert!(
            oauth2_provider::insert(&mut tx_, &provider("p2", OTHER, "hub", "c2"))
                .await
                .expect("another account")
        );
        assert!(
            !oauth2_provider::insert(&mut tx_, &provider("p3", ACCOUNT, "hub", "c3"))
                .await
                .expect("taken")
        );
        tx_.commit().await.expect("committed");
        let found = oauth2_provider::find(pool, ACCOUNT, "hub")
            .await
            .expect("read")
            .expect("there");
        assert_eq!(
            (found.id.as_str(), found.config_version),
            ("p1", 1),
            "{}",
            database.name
        );
        assert_eq!(found.config, provider("p1", ACCOUNT, "hub", "c1").config);
        assert!(
            oauth2_provider::find_by_id(pool, OTHER, "p1")
                .await
                .expect("read")
                .is_none()
        );

        let config = ProviderConfig::custom(
            Oauth2Discovery::AuthorizationServerMetadata(AuthorizationServerMetadata {
                issuer: "https://as.example".to_owned(),
                authorization_endpoint: "https://as.example/authorize".to_owned(),
                token_endpoint: "https://as.example/token".to_owned(),
                response_types: None,
                token_endpoint_auth_methods: None,
            }),
            ClientAuthenticationMethod::ClientSecretPost,
        );
        let update = |id| ProviderUpdate {
            id,
            vendor: CredentialProviderVendor::CustomOauth2,
            config: &config,
            client_id: "other",
            client_secret: b"resealed".to_vec(),
        };
        let mut tx_ = tx(pool).await;
        let updated = oauth2_provider::update(&mut tx_, ACCOUNT, update("p1"), at(2))
            .await
            .expect("written");
        let updated = updated.expect("there");
        assert_eq!(
            (
                updated.config_version,
                &updated.config,
                updated.callback_id.as_str()
            ),
            (2, &config, "c1")
        );
        assert!(
            oauth2_provider::update(&mut tx_, OTHER, update("p1"), at(2))
                .await
                .expect("read")
                .is_none()
        );
        assert!(
            oauth2_provider::delete(&mut tx_, ACCOUNT, "hub")
                .await
                .expect("deleted")
                .is_some()
        );
        tx_.commit().await.expect("committed");
        assert!(
            oauth2_provider::find(pool, ACCOUNT, "hub")
                .await
                .expect("read")
                .is_none()
        );
        let names: Vec<_> = oauth2_provider::list(pool, OTHER, "", 10).await.expect("a page");
        assert_eq!(names.len(), 1);
    }
}
