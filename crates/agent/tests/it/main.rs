//! The real router on a real socket. The gateway's keys, the identity API and Ledgerline are stand-ins that
//! answer as told and remember what they were asked; the whole with its real parts is tested in `tests/e2e`.

mod alb;
mod attacks;
mod consent;
mod conversations;
mod harness;
mod interruptions;
mod model_server;
mod models;
mod openapi;
mod page;
mod s3;
#[cfg(feature = "small-model-test")]
mod small_model;
mod steps;
mod vendor_model;
