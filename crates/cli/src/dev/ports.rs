//! The ten ports of `dev`, and the URLs that follow from them.

/// The first port; the others follow it (design chapter 6).
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) struct Ports(pub(super) u16);

impl Ports {
    pub(super) const fn app(self) -> u16 {
        self.0
    }
    pub(super) const fn identity_api(self) -> u16 {
        self.0 + 1
    }
    pub(super) const fn gateway_keys(self) -> u16 {
        self.0 + 2
    }
    pub(super) const fn openid_provider(self) -> u16 {
        self.0 + 3
    }
    pub(super) const fn ledgerline(self) -> u16 {
        self.0 + 4
    }
    pub(super) const fn agent(self) -> u16 {
        self.0 + 5
    }
    pub(super) const fn binding(self) -> u16 {
        self.0 + 6
    }
    pub(super) const fn account(self) -> u16 {
        self.0 + 7
    }
    pub(super) const fn front_channel(self) -> u16 {
        self.0 + 8
    }
    pub(super) const fn operations(self) -> u16 {
        self.0 + 9
    }
}

/// A URL of ours on `localhost`.
pub(super) fn ours(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// A URL of the playground: another host, so that browsers take it for another site.
pub(super) fn playground(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
