//! The real router on a real socket. The gateway's keys come from a stand-in; the identity API is one too,
//! which answers as told and counts what it is asked: what must never reach it is most of what is tested.

mod account_question;
mod agentcore;
mod attacks;
mod harness;
mod pages;
