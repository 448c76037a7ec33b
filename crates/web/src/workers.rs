//! Worker threads that share nothing on the path of a request: each has a runtime of one thread, and sockets
//! of its own to accept from (design D26). The kernel spreads connections over them.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Connections that wait to be accepted, at most; the kernel's own limit (`net.core.somaxconn`) also holds.
const BACKLOG: u32 = 4_096;

/// Running workers. They end when this is dropped, with whatever they still do; so drain before.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers; `None` is one for each core this process may use.
    pub fn start(name: &str, count: Option<NonZeroUsize>) -> io::Result<Self> {
        let count = count.map_or_else(std::thread::available_parallelism, Ok)?.get();
        let mut workers = Self {
            workers: Vec::new(),
            stop: CancellationToken::new(),
        };
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let stop = workers.stop.clone();
            let thread = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    runtime.block_on(stop.cancelled());
                    // A name lookup that hangs must not hold up the end of the process.
                    runtime.shutdown_background();
                })?;
            workers.workers.push(Worker {
                runtime: handle,
                thread: Some(thread),
            });
        }
        Ok(workers)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// The runtime of each worker, to spawn on.
    pub fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.runtime)
    }

    /// Listens on `address` once for each worker. The sockets do not belong to a runtime yet: take them
    /// into one with [`TcpListener::from_std`] there.
    ///
    /// The error of a taken port names address and port.
    pub async fn bind(&self, address: SocketAddr) -> io::Result<Vec<std::net::TcpListener>> {
        // Sockets that share a port also share it with a second copy of this program. So first one that does
        // not share: it finds out whether the port is taken.
        let probe = crate::bind::bind(address).await?;
        let address = probe.local_addr()?;
        drop(probe);
        (0..self.count()).map(|_| shared(address)?.into_std()).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take()
                && thread.join().is_err()
            {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

fn shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
