//! `countersign serve` as a deployment runs it: signals, many clients, TLS on every listener.

mod clients;
mod doctor;
mod signals;
mod tls;
