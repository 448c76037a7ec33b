//! The system from outside: the built binary, people with browsers, programs with keys.
//!
//! A test reads as who does what: `let alice = Person::new(&system, "alice"); alice.logs_in().await; …`. Nothing here
//! reaches into the product; only its command line, its ports and its stable page hooks are used.

#![expect(
    clippy::missing_panics_doc,
    reason = "a harness panics when the system under test is not as expected"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read their environment and keep their own HTTP client and clock"
)]

pub mod accessibility;
pub mod chaos;
pub mod chromium;
pub mod cli;
pub mod hostile_page;
pub mod http_browser;
pub mod model_server;
pub mod oidc_provider;
pub mod person;
pub mod postgres;
pub mod python;
pub mod replicas;
pub mod served;
pub mod sse;
pub mod switch;
pub mod system;

pub use http_browser::{HttpBrowser, Page};
pub use person::Person;
pub use system::System;

/// The root of the repository that is being tested. Asked for at run time: clones share their build directory, and what
/// the compiler saw may have been another one.
#[must_use]
pub fn repository() -> std::path::PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(manifest) => std::path::Path::new(&manifest).join("../.."),
        // Not run by cargo: `./bench` starts its program in the root.
        None => std::env::current_dir().expect("a current directory"),
    }
}
