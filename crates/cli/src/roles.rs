//! What every way of running roles shares: sockets, serving, and the end in the right order.

use std::{net::ToSocketAddrs as _, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use axum::Router;
use countersign_outbound::{Client, HostPort, Policy};
use countersign_web::{Drain, DrainSignal, Respond, ServeOptions, Transport, Workers, bind_localhost};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use url::Url;

/// How long answers under way may take after an interrupt.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds `localhost:PORT` (IPv4 and IPv6 loopback) or `ADDRESS:PORT`.
///
/// # Errors
/// Names the address and what it is for.
pub(crate) async fn bind(address: &str, purpose: &str) -> anyhow::Result<Vec<TcpListener>> {
    let bound = async {
        if let Some(port) = address.strip_prefix("localhost:") {
            let port = port
                .parse()
                .map_err(|_| anyhow!("`{address}` is not host:port"))?;
            return Ok(bind_localhost(port).await?);
        }
        let mut listeners = vec![];
        for address in address
            .to_socket_addrs()
            .with_context(|| format!("`{address}` is not host:port"))?
        {
            listeners.push(countersign_web::bind::bind(address).await?);
        }
        anyhow::Ok(listeners)
    };
    bound
        .await
        .with_context(|| format!("cannot listen for {purpose}"))
}

/// Sockets of one listener: for each address, one for each worker.
pub(crate) struct WorkerSockets(Vec<Vec<std::net::TcpListener>>);

/// As [`bind`], once for each worker.
///
/// # Errors
/// Names the address and what it is for.
pub(crate) async fn bind_on(
    workers: &Workers,
    address: &str,
    purpose: &str,
) -> anyhow::Result<WorkerSockets> {
    let mut sockets = vec![];
    // Each address is bound alone first: that finds a taken port, and the free one of port 0.
    for listener in bind(address, purpose).await? {
        let address = listener.local_addr()?;
        drop(listener);
        let bound = workers.bind(address).await;
        sockets.push(bound.with_context(|| format!("cannot listen for {purpose}"))?);
    }
    Ok(WorkerSockets(sockets))
}

/// A client that may reach exactly these places, which the operator named.
pub(crate) fn operator_client(places: &[Url]) -> anyhow::Result<Client> {
    let policy = Policy {
        allow: places.iter().filter_map(HostPort::of).collect(),
        ..Policy::default()
    };
    Client::new(policy).context("cannot make an HTTP client")
}

/// SIGINT and SIGTERM, of a process that does not reload.
#[cfg(feature = "playground")]
pub(crate) fn ending() -> std::io::Result<[Signal; 2]> {
    Ok([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?])
}

/// The signals of a process that reloads. From the moment this is made none of them ends it by itself, and none is
/// lost while another is being followed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// Listeners that are being served.
pub(crate) struct Serving {
    tasks: JoinSet<anyhow::Result<()>>,
    signal: DrainSignal,
    drain: Drain,
}

impl Serving {
    pub(crate) fn new() -> Self {
        let (signal, drain) = Drain::new();
        Self {
            tasks: JoinSet::new(),
            signal,
            drain,
        }
    }

    /// Serves a router on its sockets until the drain, in plain HTTP: on loopback.
    #[cfg(feature = "playground")]
    pub(crate) fn add(&mut self, purpose: &'static str, listeners: Vec<TcpListener>, router: Router) {
        self.add_behind(purpose, listeners, router, None);
    }

    /// As [`Self::add`], with what comes before HTTP.
    pub(crate) fn add_behind(
        &mut self,
        purpose: &'static str,
        listeners: Vec<TcpListener>,
        router: Router,
        transport: Option<Arc<dyn Transport>>,
    ) {
        let drain = self.drain.clone();
        let options = ServeOptions {
            drain_timeout: DRAIN_TIMEOUT,
            transport,
            ..ServeOptions::default()
        };
        self.tasks.spawn(async move {
            countersign_web::serve(listeners, router, drain, options)
                .await
                .with_context(|| format!("serving {purpose} failed"))
        });
    }

    /// As [`Self::add`], by workers.
    pub(crate) fn add_on(
        &mut self,
        workers: &Workers,
        purpose: &str,
        sockets: WorkerSockets,
        responder: &impl Respond,
        options: &ServeOptions,
    ) {
        let mut of_workers: Vec<Vec<std::net::TcpListener>> = vec![];
        of_workers.resize_with(workers.count(), Vec::new);
        for of_address in sockets.0 {
            for (of_worker, socket) in of_workers.iter_mut().zip(of_address) {
                of_worker.push(socket);
            }
        }
        for (runtime, sockets) in workers.runtimes().zip(of_workers) {
            let (responder, drain, options) = (responder.clone(), self.drain.clone(), options.clone());
            let serving = async move {
                let listeners = sockets.into_iter().map(TcpListener::from_std);
                let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
                countersign_web::serve(listeners, responder, drain, options).await
            };
            let serving = runtime.spawn(serving);
            let purpose = purpose.to_owned();
            self.tasks.spawn(async move {
                serving
                    .await?
                    .with_context(|| format!("serving {purpose} failed"))
            });
        }
    }

    /// For work that must end when the drain begins.
    pub(crate) fn drained(&self) -> Drain {
        self.drain.clone()
    }

    /// Waits for SIGINT or SIGTERM, or for a listener that fails. At each SIGHUP `reload` is awaited.
    pub(crate) async fn until_interrupted_reloading(
        &mut self,
        mut signals: Signals,
        reload: impl AsyncFn(),
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.terminate.recv() => return Ok(()),
                Some(ended) = self.tasks.join_next() => return ended?,
                _ = signals.hangup.recv() => reload().await,
            }
        }
    }

    /// Waits for SIGINT or SIGTERM, or for a listener that fails. `signals` were made before anybody was told that the
    /// process is ready: one that comes between the two is not lost, also where SIGINT was ignored by whoever started it.
    #[cfg(feature = "playground")]
    pub(crate) async fn until_interrupted(
        &mut self,
        [mut interrupt, mut terminate]: [Signal; 2],
    ) -> anyhow::Result<()> {
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            Some(ended) = self.tasks.join_next() => ended?,
        }
    }

    /// Stops accepting, lets answers under way finish, and returns when they have.
    pub(crate) async fn drain_and_wait(mut self) -> anyhow::Result<()> {
        self.signal.drain();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
