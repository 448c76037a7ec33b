//! The playground from outside: everything goes through the routers, as HTTP.

mod browser;
mod ledgerline;
mod openid_provider;
mod world;
