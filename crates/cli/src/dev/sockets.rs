//! Every socket of `dev`, bound before anything else happens.

use anyhow::Context as _;
use tokio::net::TcpListener;

use super::ports::Ports;
use crate::{
    process::{GatewaySockets, IdentitySockets},
    roles,
};

/// One list a listener: IPv4 and IPv6 where it is ours, IPv4 for the playground.
pub(super) struct Sockets {
    pub(super) gateway: GatewaySockets,
    pub(super) identity: IdentitySockets,
    pub(super) openid_provider: Vec<TcpListener>,
    pub(super) ledgerline: Vec<TcpListener>,
    pub(super) agent: Vec<TcpListener>,
    pub(super) binding: Vec<TcpListener>,
    pub(super) operations: Vec<TcpListener>,
}

impl Sockets {
    /// Binds all ten ports; an error names the taken one and the way out.
    pub(super) async fn bind(ports: Ports) -> anyhow::Result<Self> {
        let bind = || async {
            anyhow::Ok(Self {
                gateway: GatewaySockets::bind(
                    None,
                    [
                        ("app", localhost(ports.app()).as_str()),
                        ("account", localhost(ports.account()).as_str()),
                        ("keys", localhost(ports.gateway_keys()).as_str()),
                    ],
                )
                .await?,
                identity: IdentitySockets::bind(
                    None,
                    &localhost(ports.identity_api()),
                    &localhost(ports.front_channel()),
                )
                .await?,
                openid_provider: playground(ports.openid_provider(), "the playground's OpenID provider")
                    .await?,
                ledgerline: playground(ports.ledgerline(), "Ledgerline").await?,
                agent: ours(ports.agent(), "the agent").await?,
                binding: ours(ports.binding(), "the session binding service").await?,
                operations: ours(ports.operations(), "operations").await?,
            })
        };
        bind().await.with_context(|| {
            format!(
                "dev needs the ports {} to {}; choose others with --port-base N",
                ports.app(),
                ports.operations()
            )
        })
    }
}

async fn ours(port: u16, purpose: &str) -> anyhow::Result<Vec<TcpListener>> {
    roles::bind(&localhost(port), purpose).await
}

fn localhost(port: u16) -> String {
    format!("localhost:{port}")
}

async fn playground(port: u16, purpose: &str) -> anyhow::Result<Vec<TcpListener>> {
    roles::bind(&format!("127.0.0.1:{port}"), purpose).await
}
