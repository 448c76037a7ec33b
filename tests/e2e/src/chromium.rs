//! Headless Chromium through its own driver.

use std::{
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use thirtyfour::{error::WebDriverErrorInner, prelude::*};

use crate::oidc_provider::free_port;

/// How long an element may take to appear on a busy machine.
const WAIT: Duration = Duration::from_secs(30);

/// A browser window with an empty profile. Dropped, driver and browser end.
pub struct Chromium {
    /// The window.
    pub driver: WebDriver,
    process: Child,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// Opens one. `javascript` off shows what people see who have turned it off.
    pub async fn open(javascript: bool) -> Self {
        Self::open_with(javascript, &[]).await
    }

    /// Opens one that sends everything, loopback included, through the proxy on this port.
    pub async fn open_behind(proxy: u16) -> Self {
        let arguments = [
            format!("--proxy-server=127.0.0.1:{proxy}"),
            "--proxy-bypass-list=<-loopback>".to_owned(),
            // Not Chromium's own newest defence is under test but ours, which older browsers rest on.
            "--disable-features=LocalNetworkAccessChecks".to_owned(),
        ];
        Self::open_with(true, &arguments).await
    }

    async fn open_with(javascript: bool, arguments: &[String]) -> Self {
        let port = free_port();
        let process = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={port}"))
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: run `./test browser`, which installs it");
        let deadline = Instant::now() + WAIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "chromedriver does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let profile = tempfile::tempdir().expect("a profile directory");
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities
            .set_binary("/usr/bin/chromium")
            .expect("a capability");
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
        ] {
            capabilities.add_arg(argument).expect("a capability");
        }
        for argument in arguments {
            capabilities.add_arg(argument).expect("a capability");
        }
        capabilities
            .add_arg(&format!("--user-data-dir={}", profile.path().display()))
            .expect("a capability");
        if !javascript {
            capabilities
                .add_experimental_option(
                    "prefs",
                    serde_json::json!({ "profile.managed_default_content_settings.javascript": 2 }),
                )
                .expect("a capability");
        }
        let driver = WebDriver::new(&format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .expect("Chromium starts");
        Self {
            driver,
            process,
            _profile: profile,
        }
    }

    /// Waits for an element that is shown.
    pub async fn find(&self, selector: &str) -> WebElement {
        match self
            .driver
            .query(By::Css(selector))
            .wait(WAIT, Duration::from_millis(100))
            .first()
            .await
        {
            Ok(element) => element,
            Err(error) => {
                let url = self
                    .driver
                    .current_url()
                    .await
                    .map(String::from)
                    .unwrap_or_default();
                let source = self.driver.source().await.unwrap_or_default();
                panic!("no `{selector}` on {url}: {error}\n{source}")
            }
        }
    }

    /// Clicks it once it is there.
    pub async fn click(&self, selector: &str) {
        loop {
            match self.find(selector).await.click().await {
                Err(error) if is_of_another_page(&error) => {}
                clicked => return clicked.expect("it can be clicked"),
            }
        }
    }

    /// Types into it.
    pub async fn types(&self, selector: &str, text: &str) {
        loop {
            match self.find(selector).await.send_keys(text).await {
                Err(error) if is_of_another_page(&error) => {}
                typed => return typed.expect("it takes text"),
            }
        }
    }

    /// The page's visible text.
    pub async fn text(&self) -> String {
        // Between finding the body and reading it, the browser may have gone on to another page.
        for _ in 0..5 {
            if let Ok(text) = self.find("body").await.text().await {
                return text;
            }
        }
        self.find("body").await.text().await.expect("the body has text")
    }

    /// Waits until the page's visible text has this in it.
    pub async fn shows(&self, text: &str) {
        let deadline = Instant::now() + WAIT;
        loop {
            let shown = self.text().await;
            if shown.contains(text) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the page does not show {text:?}:\n{shown}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the page has so many of these.
    pub async fn counts(&self, selector: &str, number: usize) {
        let deadline = Instant::now() + WAIT;
        loop {
            let found = self.driver.find_all(By::Css(selector)).await.expect("a list");
            if found.len() == number {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} of `{selector}`, not {number}:\n{}",
                found.len(),
                self.text().await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Saves a picture of the window when `COUNTERSIGN_SCREENSHOTS` names a directory.
    pub async fn picture(&self, name: &str) {
        if let Ok(directory) = std::env::var("COUNTERSIGN_SCREENSHOTS") {
            let path = Path::new(&directory).join(format!("{name}.png"));
            self.driver.screenshot(&path).await.expect("a picture");
        }
    }
}

/// The page went away between the finding and the use, which has not happened then.
fn is_of_another_page(error: &WebDriverError) -> bool {
    matches!(error.as_inner(), WebDriverErrorInner::StaleElementReference(_))
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Both end at once, as a group; asking the driver to quit after that would only wait for an answer.
        let _ = self.driver.clone().leak();
        let _ = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", self.process.id())])
            .status();
        let _ = self.process.wait();
    }
}
