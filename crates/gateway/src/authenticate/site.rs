//! A site: one origin where one login counts, with the cookies it has there. Independent applications on
//! one gateway are sites of their own, even on the same host.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::SharedClock;
use http::header::Entry;
use http::{HeaderMap, HeaderValue, Request, Uri, header};

use super::provider::Provider;
use crate::config::{self, AuthenticateOidc, Config, ConfigError, SessionLimits};
use crate::cookie::CookieNames;
use crate::headers::cookie_name;
use crate::listener::{ListenerName, host};
use crate::origin::Origin;

/// A login as it is configured: a provider, our client there, and how long it lasts.
pub(crate) struct Application {
    /// Empty for the login that the app and account origins share.
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) limits: SessionLimits,
    /// How long claims serve that cannot be refreshed because the provider does not answer.
    pub(crate) refresh_grace: Duration,
    pub(crate) backchannel_logout: bool,
    /// Whether that stops the person at the identity service too.
    pub(crate) logout_stops_user: bool,
    /// Begins the ticket cookie's name; `None`: our own name.
    cookie_name: Option<String>,
}

impl Application {
    /// The login of the app and account origins.
    pub(crate) fn shared(config: &Config, clock: &SharedClock) -> Result<Self, ConfigError> {
        let oidc = &config.authenticate_oidc;
        Ok(Self {
            name: String::new(),
            provider: Provider::new("authenticate_oidc", oidc, &config.outbound_allow, clock)?,
            limits: oidc.session.unwrap_or(config.session),
            refresh_grace: Duration::from_secs(oidc.refresh_grace_seconds),
            backchannel_logout: true,
            logout_stops_user: oidc.backchannel_logout_stops_user,
            cookie_name: oidc.session_cookie_name.clone(),
        })
    }

    /// One of `applications`.
    pub(crate) fn named(
        name: &str,
        oidc: &AuthenticateOidc,
        config: &Config,
        clock: &SharedClock,
    ) -> Result<Self, ConfigError> {
        let place = format!("applications.{name}");
        Ok(Self {
            name: name.to_owned(),
            provider: Provider::new(&place, oidc, &config.outbound_allow, clock)?,
            limits: oidc.session.unwrap_or(SessionLimits::ALB),
            refresh_grace: Duration::from_secs(oidc.refresh_grace_seconds),
            backchannel_logout: oidc.backchannel_logout,
            logout_stops_user: oidc.backchannel_logout_stops_user,
            cookie_name: Some(oidc.application_cookie_name().to_owned()),
        })
    }
}

/// All logins of a gateway.
pub(crate) struct Applications {
    /// That of the app and account origins.
    pub(crate) shared: Arc<Application>,
    named: HashMap<String, Arc<Application>>,
}

impl Applications {
    pub(crate) fn new(config: &Config, clock: &SharedClock) -> Result<Self, ConfigError> {
        let named = config.applications.iter().map(|(name, oidc)| {
            let application = Application::named(name, oidc, config, clock)?;
            Ok((name.clone(), Arc::new(application)))
        });
        Ok(Self {
            shared: Arc::new(Application::shared(config, clock)?),
            named: named.collect::<Result<_, ConfigError>>()?,
        })
    }
}

/// See the module.
pub(crate) struct Site {
    pub(crate) origin: Origin,
    pub(crate) cookies: CookieNames,
    pub(crate) application: Arc<Application>,
    /// What a ticket is sealed for: this origin, this application.
    pub(crate) scope: String,
    /// Whether the login happens on the account origin, which hands it over.
    pub(crate) handed_over: bool,
}

impl Site {
    /// Where the provider sends the browser back to.
    pub(crate) fn redirect_uri(&self) -> String {
        self.origin.at("/oauth2/idpresponse")
    }
}

/// The sites of all listeners whose tickets targets know by name, by host name: cookies know no ports (RFC 6265 section
/// 8.5), so that a browser brings the tickets of one listener to every other one of that host.
#[derive(Default)]
pub(crate) struct SitesByHost(HashMap<String, Vec<Arc<Site>>>);

impl SitesByHost {
    pub(crate) fn of<'a>(all: impl Iterator<Item = (&'a config::Listener, &'a Sites)>) -> Arc<Self> {
        let mut by_host: HashMap<String, Vec<Arc<Site>>> = HashMap::new();
        let mut add = |host: &str, site: &Arc<Site>| {
            if site.cookies.foreign_ticket_name().is_some() {
                let of_host = by_host.entry(host.to_ascii_lowercase()).or_default();
                of_host.push(site.clone());
            }
        };
        for (listener, sites) in all {
            if let Some(own) = &sites.own {
                // One for all its hosts.
                let hosts: BTreeSet<String> = listener.names().into_iter().collect();
                for host in &hosts {
                    add(host, own);
                }
            }
            for site in sites.applications.values().flatten() {
                add(site.origin.host(), site);
            }
        }
        Arc::new(Self(by_host))
    }

    fn at(&self, host: &str) -> &[Arc<Site>] {
        if self.0.is_empty() {
            return &[];
        }
        let sites = self.0.get(host);
        let sites = sites.or_else(|| self.0.get(&host.to_ascii_lowercase()));
        sites.map_or(&[], Vec::as_slice)
    }
}

/// The sites of one listener.
pub(crate) struct Sites {
    /// Of the app or account origin.
    own: Option<Arc<Site>>,
    /// By authority, as in a `Host` header.
    applications: HashMap<String, Vec<Arc<Site>>>,
    /// Of this listener and of those beside it.
    ticketed: Arc<SitesByHost>,
}

impl Sites {
    /// The sites that a listener's rules can lead to, on every host it answers to.
    pub(crate) fn new(
        listener: &ListenerName,
        config: &config::Listener,
        suffix: &str,
        all: &Applications,
    ) -> Self {
        let own = matches!(listener, ListenerName::App | ListenerName::Account).then(|| {
            Arc::new(Site {
                cookies: CookieNames::new(
                    listener.as_str(),
                    &config.origin,
                    suffix,
                    all.shared.cookie_name.as_deref(),
                ),
                scope: config.origin.to_string(),
                origin: config.origin.clone(),
                application: all.shared.clone(),
                handed_over: matches!(listener, ListenerName::App),
            })
        });
        let named: Vec<&Arc<Application>> = all
            .named
            .values()
            .filter(|application| names(config, &application.name))
            .collect();
        let hosts = config.hosts.iter().cloned().chain([config.origin.authority()]);
        let applications = hosts
            .filter_map(|host| {
                // A host that is no host was refused with the configuration.
                let origin: Origin = format!("{}://{host}", config.origin.scheme()).parse().ok()?;
                let sites = named.iter().map(|application| {
                    Arc::new(Site {
                        cookies: CookieNames::new(
                            &application.name,
                            &origin,
                            suffix,
                            application.cookie_name.as_deref(),
                        ),
                        scope: format!("{origin} {}", application.name),
                        origin: origin.clone(),
                        application: Arc::clone(application),
                        handed_over: false,
                    })
                });
                Some((host.to_ascii_lowercase(), sites.collect()))
            })
            .collect();
        Self {
            own,
            applications,
            ticketed: Arc::default(),
        }
    }

    /// The same, told of all listeners' sites.
    pub(crate) fn beside(self, ticketed: Arc<SitesByHost>) -> Self {
        Self { ticketed, ..self }
    }

    /// The site of a rule's `application` on the host a request was sent to.
    pub(crate) fn of(&self, application: Option<&str>, uri: &Uri, headers: &HeaderMap) -> Option<&Arc<Site>> {
        match application {
            None => self.own.as_ref(),
            Some(name) => self
                .at(uri, headers)
                .iter()
                .find(|site| site.application.name == name),
        }
    }

    /// Of the app or account origin.
    pub(crate) fn own(&self) -> Option<&Arc<Site>> {
        self.own.as_ref()
    }

    /// All sites on the host a request was sent to.
    pub(crate) fn all<'a>(&'a self, uri: &Uri, headers: &HeaderMap) -> impl Iterator<Item = &'a Arc<Site>> {
        self.own.iter().chain(self.at(uri, headers))
    }

    /// Any site of each application.
    pub(crate) fn each_application(&self) -> impl Iterator<Item = &Arc<Application>> {
        let named = self.applications.values().take(1).flatten();
        self.own.iter().chain(named).map(|site| &site.application)
    }

    fn at(&self, uri: &Uri, headers: &HeaderMap) -> &[Arc<Site>] {
        let header = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = header.or_else(|| uri.authority().map(http::uri::Authority::as_str));
        let Some(authority) = authority.filter(|_| !self.applications.is_empty()) else {
            return &[];
        };
        let sites = self.applications.get(authority);
        let sites = sites.or_else(|| self.applications.get(&authority.to_ascii_lowercase()));
        sites.map_or(&[], Vec::as_slice)
    }

    /// Hides all tickets from a target, those of other listeners on this host too; answers what was hidden. It learns that
    /// there is a ticket, under its name: applications look for the names that they then expire.
    pub(crate) fn withhold_tickets<B>(&self, request: &mut Request<B>) -> Presented<'_> {
        let sites = self.ticketed.at(host(request.headers(), request.uri()));
        let mut cookies = HeaderMap::new();
        let headers = request.headers_mut();
        if !sites.is_empty()
            && let Entry::Occupied(entry) = headers.entry(header::COOKIE)
        {
            for value in entry.remove_entry_mult().1 {
                cookies.append(header::COOKIE, value);
            }
        }
        if !cookies.is_empty() {
            let names = sites.iter().filter_map(|site| site.cookies.foreign_ticket_name());
            let names: Vec<&str> = names.collect();
            for value in cookies.get_all(header::COOKIE) {
                if let Ok(withheld) = HeaderValue::from_bytes(&withhold(value.as_bytes(), &names)) {
                    headers.append(header::COOKIE, withheld);
                }
            }
        }
        Presented { sites, cookies }
    }
}

/// What a request brought of the tickets that targets know by name.
pub(crate) struct Presented<'a> {
    /// All that have such a ticket on the host it was sent to, brought or not.
    pub(crate) sites: &'a [Arc<Site>],
    /// Its `Cookie` headers as they came.
    pub(crate) cookies: HeaderMap,
}

/// Byte by byte: what is no text passes as it is.
fn withhold(cookies: &[u8], names: &[&str]) -> Vec<u8> {
    let pairs = cookies.split(|&byte| byte == b';').map(|pair| {
        let name = std::str::from_utf8(cookie_name(pair)).unwrap_or_default();
        if names.contains(&name) {
            format!("{name}=withheld").into_bytes()
        } else {
            pair.trim_ascii().to_vec()
        }
    });
    pairs.collect::<Vec<_>>().join(&b"; "[..])
}

fn names(listener: &config::Listener, application: &str) -> bool {
    let in_rules = listener.rules.iter().flat_map(|rule| &rule.actions);
    in_rules.chain(&listener.default_actions).any(|action| {
        matches!(action, config::Action::AuthenticateOidc { application: Some(name), .. } if name == application)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_sees_the_name_of_a_ticket_and_nothing_else() {
        assert_eq!(
            withhold(
                b"a=1; AWSELBAuthSessionCookie-0=secret; b=2; AWSELBAuthSessionCookie-1=x;caf\xe9=1",
                &["AWSELBAuthSessionCookie-0"]
            ),
            b"a=1; AWSELBAuthSessionCookie-0=withheld; b=2; AWSELBAuthSessionCookie-1=x; caf\xe9=1"
        );
    }
}
