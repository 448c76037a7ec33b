//! The whole system from outside. `./test flow clients browser evidence` runs these with what they need.

#![expect(clippy::disallowed_methods, reason = "tests read their environment")]

mod alb;
mod backup;
mod bad_input;
mod beside_aws;
mod browser;
mod canary;
mod clients;
mod command_line;
mod connections;
mod console;
mod disk;
mod evidence;
mod failover;
mod flow;
mod gateway_edge;
mod monitoring;
mod nevers;
mod oauth_clients;
mod refresh;
mod refresh_ledger;
mod root_key;
mod serve;
mod sessions;
mod simulate;
mod traces;
