//! What every listener of this product has in common: serving and drain, limits, page layout, security
//! headers, Origin and CSRF checks, and the [`Person`] extractor.
//!
//! This crate holds no state that outlives the process, knows no route and decides nothing about who may
//! do what; it refuses requests only for their form (Host, size, Origin, identity header).

mod beside;
pub mod bind;
pub mod cookie;
pub mod csrf;
pub mod drain;
pub mod edge;
pub mod form;
pub mod page;
pub mod person;
pub mod request_scanner;
pub mod requests;
pub mod security_headers;
pub mod serve;
pub mod tls;
pub mod transport;
pub mod workers;

pub use bind::bind_localhost;
pub use drain::{Drain, DrainSignal};
pub use edge::{Edge, ErrorFormat, HostAllowList, RequestId, Routine};
pub use person::{Inbound, Person, PersonError, PersonVerifier};
pub use requests::Requests;
pub use serve::{Connected, InUse, Peer, Respond, ServeOptions, serve};
pub use transport::{Accepted, ByteStream, Socket, Transport};
pub use workers::Workers;
