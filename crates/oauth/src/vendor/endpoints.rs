//! Where a vendor's endpoints are: the same for everybody, or each customer's own.

use url::{Host, Url};

use super::Vendor;
use crate::discovery::openid_configuration_url;
use crate::metadata::ServerMetadata;

/// Where a vendor's endpoints are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    /// From the registration alone (`CustomOauth2`).
    Registration,
    /// The same for every customer, up to a tenant.
    Fixed(FixedEndpoints),
    /// On a host of the customer's.
    Customer(CustomerEndpoints),
}

/// Endpoints of a vendor. `{tenant}` stands for the registration's tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedEndpoints {
    /// The issuer; `{tenantid}` in it is filled from an ID token's `tid`.
    pub issuer: &'static str,
    /// Authorization endpoint.
    pub authorization: &'static str,
    /// Token endpoint.
    pub token: &'static str,
    /// Keys of ID tokens; `None` where there are none, or their ID tokens cannot be validated.
    pub jwks: Option<&'static str>,
    /// What the [`IdentityRecipe`](super::IdentityRecipe) calls.
    pub account: Option<&'static str>,
    /// What the [`Revocation`](crate::revoke::Revocation) calls.
    pub revocation: Option<&'static str>,
    /// The discovery document, for showing; it is not fetched.
    pub discovery: Option<&'static str>,
    /// A registration may name other endpoints at these hosts and below them, and nowhere else: what is called
    /// by a vendor's name must be that vendor.
    pub hosts: &'static [&'static str],
    /// Where there are tenants: the one of a registration that names none.
    pub default_tenant: Option<&'static str>,
}

impl FixedEndpoints {
    /// Nothing but what has to be said.
    pub(super) const fn new(
        issuer: &'static str,
        authorization: &'static str,
        token: &'static str,
        hosts: &'static [&'static str],
    ) -> Self {
        Self {
            issuer,
            authorization,
            token,
            jwks: None,
            account: None,
            revocation: None,
            discovery: None,
            hosts,
            default_tenant: None,
        }
    }
}

/// How the endpoints of a vendor whose customers have hosts of their own lie to each other: the ends of their
/// paths. Only used where a registration names endpoints; otherwise the discovery document says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomerEndpoints {
    /// Token endpoint.
    pub token: &'static str,
    /// `UserInfo`.
    pub account: Option<&'static str>,
    /// RFC 7009.
    pub revocation: Option<&'static str>,
}

/// What a registration says about where the vendor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings<'a> {
    /// `tenantId`.
    pub tenant_id: Option<&'a str>,
    /// `issuer`.
    pub issuer: Option<&'a str>,
    /// `authorizationEndpoint`.
    pub authorization_endpoint: Option<&'a str>,
    /// `tokenEndpoint`.
    pub token_endpoint: Option<&'a str>,
}

/// A registration does not say where the vendor is, or says something that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{member} {rule}")]
pub struct InvalidSettings {
    /// The member of the wire's configuration.
    pub member: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

/// Where a vendor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Where its discovery document says.
    Discovery(Url),
    /// Here.
    Endpoints {
        /// The endpoints.
        server: Box<ServerMetadata>,
        /// A discovery document that says the same, for showing.
        discovery: Option<Url>,
    },
}

impl Vendor {
    /// Where this vendor is for a registration. Nothing is fetched; whether URLs may be reached is the outbound
    /// guard's to say. `CustomOauth2` is not located by these settings, but by its discovery.
    pub fn locate(&self, settings: &Settings<'_>) -> Result<Location, InvalidSettings> {
        match &self.endpoints {
            Endpoints::Registration => Err(InvalidSettings {
                member: "oauthDiscovery",
                rule: "is required",
            }),
            Endpoints::Fixed(fixed) => fixed.locate(settings),
            Endpoints::Customer(customer) => customer.locate(settings),
        }
    }
}

impl FixedEndpoints {
    fn locate(&self, settings: &Settings<'_>) -> Result<Location, InvalidSettings> {
        let tenant = self.tenant(settings)?;
        let template = |text: &str| Url::parse(&text.replace("{tenant}", tenant));
        let built_in = |text: &str| {
            template(text).map_err(|_| InvalidSettings {
                member: "tenantId",
                rule: "must be a tenant's id or domain name",
            })
        };
        let optional = |text: Option<&str>| text.map(built_in).transpose();
        let here = |member, given: Option<&str>, text: &str| match given {
            Some(given) => self.at_vendor(member, given),
            None => built_in(text),
        };
        let authorization = here(
            "authorizationEndpoint",
            settings.authorization_endpoint,
            self.authorization,
        )?;
        let token = here("tokenEndpoint", settings.token_endpoint, self.token)?;
        if let Some(issuer) = settings.issuer {
            self.at_vendor("issuer", issuer)?;
        }
        let issuer = settings
            .issuer
            .map_or_else(|| self.issuer_of(tenant), str::to_owned);
        let mut server = ServerMetadata::new(issuer, authorization, token);
        server.jwks_uri = optional(self.jwks)?;
        server.userinfo_endpoint = optional(self.account)?;
        server.revocation_endpoint = optional(self.revocation)?;
        Ok(Location::Endpoints {
            server: Box::new(server),
            discovery: optional(self.discovery)?,
        })
    }

    /// The tenant, checked to be nothing but a label of host names.
    fn tenant<'a>(&self, settings: &Settings<'a>) -> Result<&'a str, InvalidSettings> {
        let tenant = match (settings.tenant_id, self.default_tenant) {
            (Some(tenant), Some(_)) => tenant,
            (None, Some(default)) => default,
            (_, None) => "",
        };
        let plain = tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if !plain || tenant.len() > 253 || tenant.starts_with('.') || tenant.contains("..") {
            return Err(InvalidSettings {
                member: "tenantId",
                rule: "must be a tenant's id or domain name",
            });
        }
        Ok(tenant)
    }

    /// A tenant's id stands in its issuer; for names and for several tenants at once (`common`), only a token
    /// says which it is.
    fn issuer_of(&self, tenant: &str) -> String {
        let id = match tenant {
            // The one tenant of all personal accounts.
            "consumers" => "9188040d-6c67-4c5b-b112-36a304b66dad",
            id if is_uuid(id) => id,
            _ => return self.issuer.to_owned(),
        };
        self.issuer.replace("{tenantid}", &id.to_ascii_lowercase())
    }

    fn at_vendor(&self, member: &'static str, text: &str) -> Result<Url, InvalidSettings> {
        let url = parse(member, text)?;
        let ours = matches!(url.host(), Some(Host::Domain(host)) if self.hosts.iter().any(|ours| {
            host == *ours || host.strip_suffix(ours).is_some_and(|below| below.ends_with('.'))
        }));
        if ours && url.scheme() == "https" && url.port().is_none() {
            Ok(url)
        } else {
            Err(InvalidSettings {
                member,
                rule: "must be an https URL of this vendor's; use CustomOauth2 for other servers",
            })
        }
    }
}

impl CustomerEndpoints {
    fn locate(&self, settings: &Settings<'_>) -> Result<Location, InvalidSettings> {
        let (authorization, token) = match (settings.authorization_endpoint, settings.token_endpoint) {
            (Some(authorization), Some(token)) => (
                parse("authorizationEndpoint", authorization)?,
                parse("tokenEndpoint", token)?,
            ),
            (None, None) => return discovered(settings.issuer),
            (Some(_), None) => return Err(together("tokenEndpoint")),
            (None, Some(_)) => return Err(together("authorizationEndpoint")),
        };
        let beside = |path: Option<&str>| {
            let base = token.path().strip_suffix(self.token)?;
            let mut url = token.clone();
            url.set_query(None);
            url.set_path(&format!("{base}{}", path?));
            Some(url)
        };
        let account = beside(self.account);
        let revocation = beside(self.revocation);
        let issuer = match settings.issuer {
            Some(issuer) => {
                parse("issuer", issuer)?;
                issuer.to_owned()
            }
            None => token.origin().ascii_serialization(),
        };
        let mut server = ServerMetadata::new(issuer, authorization, token);
        server.userinfo_endpoint = account;
        server.revocation_endpoint = revocation;
        Ok(Location::Endpoints {
            server: Box::new(server),
            discovery: None,
        })
    }
}

fn discovered(issuer: Option<&str>) -> Result<Location, InvalidSettings> {
    let issuer = issuer.ok_or(InvalidSettings {
        member: "issuer",
        rule: "is required, or authorizationEndpoint and tokenEndpoint are",
    })?;
    let rule = "must be an absolute https URL";
    let url = parse("issuer", issuer)?;
    if url.query().is_some() {
        return Err(InvalidSettings {
            member: "issuer",
            rule,
        });
    }
    openid_configuration_url(issuer)
        .map(Location::Discovery)
        .map_err(|_| InvalidSettings {
            member: "issuer",
            rule,
        })
}

fn together(member: &'static str) -> InvalidSettings {
    InvalidSettings {
        member,
        rule: "is required where the other endpoint is given",
    }
}

fn parse(member: &'static str, text: &str) -> Result<Url, InvalidSettings> {
    Url::parse(text)
        .ok()
        .filter(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.fragment().is_none()
        })
        .ok_or(InvalidSettings {
            member,
            rule: "must be an absolute https URL without user information and fragment",
        })
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl Location {
    /// The same endpoints at a simulator of the vendor under `base`: `https://HOST/PATH` becomes
    /// `base/HOST/PATH`, so that a simulator can tell whether the right host was asked. What is under `base`
    /// already stays.
    #[must_use]
    pub fn simulated(self, base: &Url) -> Self {
        let text = |url: &str| {
            url.strip_prefix("https://").map_or_else(
                || url.to_owned(),
                |rest| format!("{}/{rest}", base.as_str().trim_end_matches('/')),
            )
        };
        let moved = |url: Url| Url::parse(&text(url.as_str())).unwrap_or(url);
        match self {
            Self::Discovery(url) => Self::Discovery(moved(url)),
            Self::Endpoints { server, discovery } => {
                let mut server = *server;
                server.issuer = text(&server.issuer);
                server.authorization_endpoint = moved(server.authorization_endpoint);
                server.token_endpoint = moved(server.token_endpoint);
                server.jwks_uri = server.jwks_uri.map(moved);
                server.userinfo_endpoint = server.userinfo_endpoint.map(moved);
                server.revocation_endpoint = server.revocation_endpoint.map(moved);
                Self::Endpoints {
                    server: Box::new(server),
                    discovery: discovery.map(moved),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::{VENDORS, vendor};

    fn locate(name: &str, settings: &Settings<'_>) -> Result<Location, InvalidSettings> {
        vendor(name).expect("a vendor").locate(settings)
    }

    fn server(location: Location) -> ServerMetadata {
        match location {
            Location::Endpoints { server, .. } => *server,
            Location::Discovery(url) => panic!("{url}"),
        }
    }

    #[test]
    fn every_vendor_is_located_or_says_what_is_missing() {
        for vendor in VENDORS {
            let location = vendor.locate(&Settings::default());
            match vendor.endpoints {
                Endpoints::Fixed(_) => {
                    let server = server(location.expect(vendor.name));
                    for url in [&server.authorization_endpoint, &server.token_endpoint] {
                        assert!(url.scheme() == "https" && !url.path().contains("%7B"), "{url}");
                    }
                }
                Endpoints::Customer(_) => {
                    assert_eq!(location.expect_err(vendor.name).member, "issuer");
                }
                Endpoints::Registration => {
                    assert_eq!(location.expect_err(vendor.name).member, "oauthDiscovery");
                }
            }
        }
    }

    #[test]
    fn a_customers_endpoints_come_from_the_issuer_or_are_registered() {
        let by_issuer = Settings {
            issuer: Some("https://acme.auth0.com/"),
            ..Settings::default()
        };
        let url = Url::parse("https://acme.auth0.com/.well-known/openid-configuration").expect("a URL");
        assert_eq!(locate("Auth0Oauth2", &by_issuer), Ok(Location::Discovery(url)));

        let registered = Settings {
            issuer: Some("https://acme.okta.com/oauth2/default"),
            authorization_endpoint: Some("https://acme.okta.com/oauth2/default/v1/authorize"),
            token_endpoint: Some("https://acme.okta.com/oauth2/default/v1/token"),
            ..Settings::default()
        };
        let okta = server(locate("OktaOauth2", &registered).expect("endpoints"));
        let base = "https://acme.okta.com/oauth2/default/v1";
        assert_eq!(okta.issuer, "https://acme.okta.com/oauth2/default");
        let beside =
            [okta.revocation_endpoint, okta.userinfo_endpoint].map(|url| url.expect("there").to_string());
        assert_eq!(beside, [format!("{base}/revoke"), format!("{base}/userinfo")]);

        // Where the token endpoint is somewhere else, nothing is guessed.
        let elsewhere = Settings {
            token_endpoint: Some("https://acme.okta.com/t"),
            ..registered
        };
        let okta = server(locate("OktaOauth2", &elsewhere).expect("endpoints"));
        assert_eq!((okta.revocation_endpoint, okta.userinfo_endpoint), (None, None));

        let half = Settings {
            token_endpoint: None,
            ..registered
        };
        assert_eq!(
            locate("OktaOauth2", &half).expect_err("half").member,
            "tokenEndpoint"
        );
    }

    #[test]
    fn a_fixed_vendors_registration_stays_at_the_vendor() {
        let with = |token_endpoint| Settings {
            token_endpoint: Some(token_endpoint),
            ..Settings::default()
        };
        assert!(locate("YandexOauth2", &with("https://oauth.yandex.ru/token")).is_ok());
        for evil in [
            "https://oauth.yandex.ru.evil.example/token",
            "https://evilyandex.ru/token",
            "http://oauth.yandex.ru/token",
            "https://oauth.yandex.ru:8443/token",
            "https://oauth.yandex.ru@evil.example/token",
            "https://127.0.0.1/token",
        ] {
            let refused = locate("YandexOauth2", &with(evil)).expect_err(evil);
            assert_eq!(refused.member, "tokenEndpoint", "{evil}");
        }
    }

    #[test]
    fn a_tenant_is_a_part_of_a_path_and_nothing_else() {
        let microsoft = |tenant_id| {
            locate(
                "MicrosoftOauth2",
                &Settings {
                    tenant_id,
                    ..Settings::default()
                },
            )
        };
        let common = server(microsoft(None).expect("common"));
        assert_eq!(
            common.token_endpoint.as_str(),
            "https://login.microsoftonline.com/common/oauth2/v2.0/token"
        );
        assert_eq!(common.issuer, "https://login.microsoftonline.com/{tenantid}/v2.0");
        let id = "72F988BF-86F1-41AF-91AB-2D7CD011DB47";
        let one = server(microsoft(Some(id)).expect("a tenant"));
        assert_eq!(
            one.issuer,
            "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"
        );
        let named = server(microsoft(Some("contoso.onmicrosoft.com")).expect("a tenant"));
        assert!(named.issuer.contains("{tenantid}"));
        for evil in ["../x", "a/b", "a?b", "a#b", "..", ".", "a%2fb", "ä"] {
            assert!(microsoft(Some(evil)).is_err(), "{evil}");
        }
    }

    #[test]
    fn a_simulator_stands_for_every_host() {
        let base = Url::parse("http://127.0.0.1:9000").expect("a URL");
        let github = server(
            locate("GithubOauth2", &Settings::default())
                .expect("fixed")
                .simulated(&base),
        );
        assert_eq!(github.issuer, "http://127.0.0.1:9000/github.com/login/oauth");
        assert_eq!(
            github.userinfo_endpoint.expect("there").as_str(),
            "http://127.0.0.1:9000/api.github.com/user"
        );
        let issuer = Settings {
            issuer: Some("https://acme.okta.com"),
            ..Settings::default()
        };
        let okta = locate("OktaOauth2", &issuer).expect("an issuer").simulated(&base);
        let url = "http://127.0.0.1:9000/acme.okta.com/.well-known/openid-configuration";
        assert_eq!(okta, Location::Discovery(Url::parse(url).expect("a URL")));
        assert_eq!(okta.clone().simulated(&base), okta, "once");
    }
}
