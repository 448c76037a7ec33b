//! How a page looks to different people, and what axe-core says of it.

use std::{fs, path::PathBuf, sync::OnceLock};

use serde_json::{Value, json};

use crate::chromium::Chromium;

/// The four ways in which each page is looked at: width, and whether it is dark.
const LOOKS: [(u32, bool); 4] = [(1280, false), (1280, true), (375, false), (375, true)];
/// A screen. Pictures show the page to its end where it is longer.
const HEIGHT: u32 = 812;

/// Tells what axe-core finds, and where.
const RUN: &str = "
const done = arguments[arguments.length - 1];
axe.run(document, { resultTypes: ['violations'] }).then(
  ({ violations }) => done(violations.flatMap(({ id, help, nodes }) => nodes.map((node) =>
    `${id}: ${help}: ${node.target.join(' ')}: ${node.any.concat(node.all, node.none).map((it) => it.message).join('; ')}`))),
  (error) => done([`axe-core failed: ${error}`]));
";
const HEIGHT_OF_PAGE: &str = "return document.documentElement.scrollHeight";
const SIDEWAYS: &str = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";

impl Chromium {
    /// Shows the page as wide as this, dark or light, without movement.
    pub async fn looks(&self, width: u32, dark: bool) {
        self.sized(width, HEIGHT).await;
        let features = json!([
            { "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features }))
            .await;
    }

    async fn sized(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// A picture of the page down to its end.
    async fn whole_picture(&self, name: &str, width: u32) {
        let height = self.driver.execute(HEIGHT_OF_PAGE, Vec::new()).await;
        let height = height.expect("a number").json().as_u64();
        let height = height
            .and_then(|height| u32::try_from(height).ok())
            .unwrap_or(HEIGHT);
        self.sized(width, height.max(HEIGHT)).await;
        self.picture(name).await;
    }

    /// Lets the scripts of pages run, or not: what people see who have turned them off. Pages loaded before stay as they
    /// are.
    pub async fn scripts(&self, run: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": !run }))
            .await;
    }

    async fn cdp(&self, method: &str, parameters: Value) {
        let sent = self.driver.cdp().send_raw(method, parameters).await;
        sent.unwrap_or_else(|error| panic!("{method}: {error}"));
    }

    /// Requires that nobody is shut out of the page, at any width and in either colour scheme, and that nothing has to
    /// be scrolled sideways. Keeps a picture for desktop and phone.
    pub async fn is_accessible(&self, page: &str) {
        self.driver
            .execute(axe(), Vec::new())
            .await
            .expect("axe-core loads");
        let mut found = Vec::new();
        for (width, dark) in LOOKS {
            self.looks(width, dark).await;
            let said = self
                .driver
                .execute_async(RUN, Vec::new())
                .await
                .expect("axe-core runs");
            for violation in said.json().as_array().expect("a list") {
                found.push(format!("{width} px, dark: {dark}: {violation}"));
            }
            let sideways = self.driver.execute(SIDEWAYS, Vec::new()).await.expect("a number");
            if sideways.json() != 0 {
                found.push(format!(
                    "{width} px: {} px have to be scrolled sideways",
                    sideways.json()
                ));
            }
            let name = match (width, dark) {
                (1280, false) => page.to_owned(),
                (375, false) => format!("{page}-phone"),
                (375, true) => format!("{page}-phone-dark"),
                _ => format!("{page}-dark"),
            };
            self.whole_picture(&name, width).await;
        }
        self.looks(1280, false).await;
        assert!(found.is_empty(), "{page}:\n{}", found.join("\n"));
    }
}

/// The text of axe-core, as npm has it.
fn axe() -> &'static str {
    static AXE: OnceLock<String> = OnceLock::new();
    AXE.get_or_init(|| {
        let modules = std::env::var_os("COUNTERSIGN_TEST_NODE_MODULES");
        let modules = PathBuf::from(modules.expect("COUNTERSIGN_TEST_NODE_MODULES: run `./test browser`"));
        fs::read_to_string(modules.join("axe-core/axe.min.js")).expect("axe-core is installed")
    })
}
