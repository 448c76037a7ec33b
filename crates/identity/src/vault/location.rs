//! Where the authorization server of a registration is.

use countersign_api::control::oauth2_provider_config::Oauth2Discovery;
use countersign_oauth::vendor::{InvalidSettings, Location};
use countersign_oauth::{ServerMetadata, Vendor};
use url::Url;

use crate::state::Shared;
use crate::store::oauth2_provider::ProviderConfig;

/// Where it is: at the place of a `CustomOauth2` registration, at the vendor's, or at the simulator that the
/// operator put in the vendor's place. Nothing is fetched.
pub(crate) fn locate(
    state: &Shared,
    vendor: &'static Vendor,
    config: &ProviderConfig,
) -> Result<Location, InvalidSettings> {
    let location = match &config.discovery {
        Some(discovery) => custom(discovery)?,
        None => vendor.locate(&config.settings.as_settings())?,
    };
    Ok(match state.config.vendor_endpoints.get(vendor.name) {
        Some(base) => location.simulated(base),
        None => location,
    })
}

fn custom(discovery: &Oauth2Discovery) -> Result<Location, InvalidSettings> {
    let parse = |member, text: &str| {
        Url::parse(text).map_err(|_| InvalidSettings {
            member,
            rule: "must be an absolute https URL",
        })
    };
    Ok(match discovery {
        Oauth2Discovery::DiscoveryUrl(url) => Location::Discovery(parse("oauthDiscovery.discoveryUrl", url)?),
        Oauth2Discovery::AuthorizationServerMetadata(metadata) => {
            let authorization = parse(
                "oauthDiscovery.authorizationServerMetadata.authorizationEndpoint",
                &metadata.authorization_endpoint,
            )?;
            let token = parse(
                "oauthDiscovery.authorizationServerMetadata.tokenEndpoint",
                &metadata.token_endpoint,
            )?;
            let server = ServerMetadata::new(metadata.issuer.as_str(), authorization, token);
            Location::Endpoints {
                server: Box::new(server),
                discovery: None,
            }
        }
    })
}
