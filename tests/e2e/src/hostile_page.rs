//! A page of an attacker's on any origin: a forward proxy between Chromium and the system answers `/hostile` of every
//! host itself, without any security header, and passes everything else on unread.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

/// Longest request head that is read.
const HEAD_LIMIT: usize = 64 * 1024;

/// The running proxy. Dropped, it takes no more connections.
pub struct HostilePage {
    /// Its port on 127.0.0.1.
    pub port: u16,
    task: JoinHandle<()>,
}

impl HostilePage {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Self { port, task }
    }
}

impl Drop for HostilePage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection. `None` when either side hangs up, as browsers do.
async fn answer(mut browser: TcpStream) -> Option<()> {
    let mut read = vec![];
    let end = loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD_LIMIT || browser.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut request = lines.next()?.split(' ');
    let (method, url) = (request.next()?, Url::parse(request.next()?).ok()?);
    if url.path() == "/hostile" {
        let page = "<!doctype html><title>Hostile</title>";
        let length = page.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
        );
        return browser.write_all(answer.as_bytes()).await.ok();
    }
    let mut server = TcpStream::connect((url.host_str()?, url.port_or_known_default()?))
        .await
        .ok()?;
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let mut passed = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\n");
    for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("proxy-connection:")) {
        passed.push_str(line);
        passed.push_str("\r\n");
    }
    passed.push_str("\r\n");
    server.write_all(passed.as_bytes()).await.ok()?;
    server.write_all(&read[end + 4..]).await.ok()?;
    copy_bidirectional(&mut browser, &mut server).await.ok()?;
    Some(())
}
