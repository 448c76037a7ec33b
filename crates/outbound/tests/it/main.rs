//! The client against servers and name servers that misbehave.

mod guard;
mod limits;
mod request;
mod server;
