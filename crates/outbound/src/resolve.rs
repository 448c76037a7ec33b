//! Name resolution under the guard.
//!
//! The check sits inside the connector's own resolver: the addresses it hands out are the ones that are
//! connected to, so there is no second look-up that could answer differently (DNS rebinding).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::address::AddressClass;
use crate::error::Refusal;

/// Looks up the addresses of a host name. Injected so that tests can play a hostile name server.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, in the order in which they should be tried.
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        }
        .boxed()
    }
}

/// Refuses `address` unless it is public, or internal and `excepted`.
pub(crate) fn check(host: &str, address: IpAddr, excepted: bool) -> Result<(), Refusal> {
    match AddressClass::of(address) {
        AddressClass::Public => Ok(()),
        AddressClass::Internal if excepted => Ok(()),
        AddressClass::Internal | AddressClass::Forbidden => Err(Refusal::Address {
            host: host.to_owned(),
            address,
        }),
    }
}

/// A resolver whose every answer has passed the guard. One bad address spoils the whole answer: a name
/// that is half public, half internal is an attack, not a configuration.
pub(crate) struct Guarded {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) excepted: bool,
}

impl reqwest::dns::Resolve for Guarded {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let host = name.as_str().to_owned();
        let excepted = self.excepted;
        let lookup = self.resolver.resolve(host.clone());
        Box::pin(async move {
            let addresses = lookup.await?;
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "name has no address").into());
            }
            for address in &addresses {
                check(&host, *address, excepted)?;
            }
            // Port 0 means "the port of the URL" to the connector.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}
