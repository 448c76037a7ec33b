//! What an IP address is, as far as the guard cares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The guard's three kinds of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressClass {
    /// Globally reachable.
    Public,
    /// Loopback, private, shared or reserved address space: reachable only by an operator's exception.
    Internal,
    /// Link-local, cloud metadata, multicast, unspecified and broadcast: never reachable.
    Forbidden,
}

impl AddressClass {
    /// The class of `address`; an IPv6 address that carries an IPv4 address has the class of the stricter.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

/// Metadata services outside the link-local range: Alibaba Cloud, Azure's wire server, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// IANA IPv4 Special-Purpose Address Registry (RFC 6890 and updates).
#[expect(clippy::unnested_or_patterns, reason = "one block of the registry a line")]
fn of_v4(address: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&address) {
        return AddressClass::Forbidden;
    }
    match address.octets() {
        // "This network" (0.0.0.0 connects to loopback on Linux), link-local, multicast, reserved + broadcast.
        [0, ..] | [169, 254, ..] | [224..=255, ..] => AddressClass::Forbidden,
        [10 | 127, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [192, 168, ..]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => AddressClass::Internal,
        _ => AddressClass::Public,
    }
}

/// IANA IPv6 Special-Purpose Address Registry; the metadata addresses of AWS and Google Cloud.
#[expect(
    clippy::unnested_or_patterns,
    clippy::match_same_arms,
    reason = "one block of the registry a line"
)]
fn of_v6(address: Ipv6Addr) -> AddressClass {
    let segments = address.segments();
    if address.is_loopback() {
        return AddressClass::Internal;
    }
    match segments {
        // Unspecified; link-local fe80::/10; multicast ff00::/8.
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xfe80..=0xfebf, ..] | [0xff00..=0xffff, ..] => AddressClass::Forbidden,
        // AWS keeps its instance services in fd00:ec2::/32, Google Cloud its metadata server at fd20:ce::254.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => AddressClass::Forbidden,
        // IPv4-compatible (RFC 4291 2.5.5.1), IPv4-mapped, NAT64 64:ff9b::/96 (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => {
            of_v4(embedded(high, low))
        }
        // Locally used NAT64 prefix 64:ff9b:1::/48 (RFC 8215): internal whatever it carries in its last 32 bits.
        [0x0064, 0xff9b, 1, _, _, _, high, low] => at_least_internal(of_v4(embedded(high, low))),
        // 6to4 2002::/16 (RFC 3056).
        [0x2002, high, low, ..] => of_v4(embedded(high, low)),
        // Teredo 2001::/32 (RFC 4380) hides the client's IPv4 address by inverting it.
        [0x2001, 0, _, _, _, _, high, low] => at_least_internal(of_v4(embedded(!high, !low))),
        // IETF protocol assignments 2001::/23 and documentation 2001:db8::/32, 3fff::/20; discard-only 100::/64;
        // unique local fc00::/7 and the old site-local fec0::/10.
        [0x2001, 0..=0x01ff, ..]
        | [0x2001, 0x0db8, ..]
        | [0x3fff, 0..=0x0fff, ..]
        | [0x0100, 0, 0, 0, ..]
        | [0xfc00..=0xfdff, ..]
        | [0xfec0..=0xfeff, ..] => AddressClass::Internal,
        // Only 2000::/3 is allocated as global unicast.
        [0x2000..=0x3fff, ..] => AddressClass::Public,
        _ => AddressClass::Internal,
    }
}

fn at_least_internal(class: AddressClass) -> AddressClass {
    match class {
        AddressClass::Public => AddressClass::Internal,
        other => other,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().expect("an address"))
    }

    #[test]
    fn public_addresses() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert_eq!(class(text), AddressClass::Public, "{text}");
        }
    }

    #[test]
    fn internal_addresses() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:10.1.2.3",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2002:a00:1::",
            "2002:7f00:1::1",
            "2001::f5ff:fffe",
            "2001:db8::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "100::1",
            "4000::1",
        ] {
            assert_eq!(class(text), AddressClass::Internal, "{text}");
        }
    }

    #[test]
    fn forbidden_addresses() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::",
        ] {
            assert_eq!(class(text), AddressClass::Forbidden, "{text}");
        }
    }
}
