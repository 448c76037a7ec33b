//! Servers and resolvers to play against.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_outbound::{Client, HostPort, Policy, Resolver};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A client that may reach `host_port` by `http`, with short times and a small limit.
pub(crate) fn client(host_port: &str) -> Client {
    Client::new(policy(&[host_port])).expect("a client")
}

pub(crate) fn policy(allow: &[&str]) -> Policy {
    let allow: Vec<HostPort> = allow
        .iter()
        .map(|text| text.parse().expect("host:port"))
        .collect();
    Policy {
        allow,
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_millis(500),
        max_response_bytes: 1000,
        ..Policy::default()
    }
}

/// Answers every connection with `pieces`, waiting `pause` before each, and closes it. Gives `host:port`.
pub(crate) async fn raw(pieces: Vec<&'static [u8]>, pause: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                for piece in pieces {
                    tokio::time::sleep(pause).await;
                    if stream.write_all(piece).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Answers look-ups from a list, the last answer again and again, and counts them.
pub(crate) struct Scripted {
    answers: Vec<Vec<IpAddr>>,
    pub(crate) lookups: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|answer| {
                answer
                    .iter()
                    .map(|text| text.parse().expect("an address"))
                    .collect()
            })
            .collect();
        Arc::new(Self {
            answers,
            lookups: AtomicUsize::new(0),
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

impl Resolver for Scripted {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let lookup = self.lookups.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers[lookup.min(self.answers.len() - 1)].clone();
        async move { Ok(answer) }.boxed()
    }
}
