//! The real router on a real socket. The gateway's keys, the identity API and Ledgerline are stand-ins that
//! answer as told and remember what they were asked; the whole with its real parts is tested in `tests/e2e`.

mod attacks;
mod consent;
mod conversations;
mod harness;
mod interruptions;
mod page;
mod vendor_model;
