//! An address that stays while the server behind it changes, as a virtual IP address or a TCP load balancer gives it.

use std::{net::TcpListener as StdListener, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A running switch; ends with the process.
pub struct Switch {
    /// Where it listens on loopback.
    pub port: u16,
    target: Arc<watch::Sender<u16>>,
}

impl Switch {
    /// Leads to loopback `target`.
    #[must_use]
    pub fn start(target: u16) -> Self {
        let listener = StdListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let target = Arc::new(watch::channel(target).0);
        let switched = Arc::clone(&target);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                loop {
                    let Ok((mut client, _)) = listener.accept().await else {
                        continue;
                    };
                    let mut target = switched.subscribe();
                    tokio::spawn(async move {
                        let port = *target.borrow_and_update();
                        let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else {
                            return;
                        };
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                            // Connections to the old server are cut off.
                            _ = target.changed() => {}
                        }
                    });
                }
            });
        });
        Self { port, target }
    }

    /// Leads to another server from now on.
    pub fn to(&self, target: u16) {
        self.target.send_replace(target);
    }
}
