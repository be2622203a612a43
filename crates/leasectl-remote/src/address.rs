//! Which network addresses a remote may live at.
//!
//! The policy is a pure function of the address, so the same rule judges a literal in a URL at
//! registration and every address that a name resolves to at the time of use.
//!
//! **Invariant:** anything not known to be globally reachable unicast is not public. New special
//! ranges are therefore refused until somebody allows them, not the other way round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far outside its own network a program may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locality {
    /// Only `https` and `ssh` remotes on public addresses.
    PublicOnly,
    /// Also local paths, `file://`, `http://`, and loopback and private addresses
    /// (`LEASECTL_ALLOW_LOCAL=1`). Link-local and metadata addresses stay refused.
    AllowLocal,
}

impl Locality {
    /// Says whether a remote may be contacted at `address`.
    ///
    /// Ask this for every address a host name resolves to, and connect to exactly the address
    /// that was asked about.
    #[must_use]
    pub fn permits(self, address: IpAddr) -> bool {
        match (self, Reach::of(address)) {
            (_, Reach::Public) | (Self::AllowLocal, Reach::Local) => true,
            (Self::PublicOnly, Reach::Local) | (_, Reach::Never) => false,
        }
    }
}

/// Says whether `address` is a globally reachable unicast address of the public internet.
///
/// False for private, shared, loopback, link-local, cloud metadata, documentation, benchmarking,
/// multicast, broadcast and reserved ranges, and for IPv6 addresses that carry an IPv4 address
/// (mapped, compatible, 6to4, Teredo). The well-known NAT64 prefix is what resolvers of
/// IPv6-only networks answer with, so it is judged by the IPv4 address inside it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    Reach::of(address) == Reach::Public
}

/// What kind of network an address belongs to, as far as the policy cares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Globally reachable unicast.
    Public,
    /// Loopback or private: reachable when local remotes are allowed.
    Local,
    /// Link-local, metadata, multicast, reserved, or a disguise for another address.
    Never,
}

impl Reach {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        if METADATA_V4.contains(&address) {
            return Self::Never;
        }
        match address.octets() {
            // Loopback, the three private blocks, carrier-grade NAT, benchmarking networks.
            [127 | 10, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [100, 64..=127, ..]
            | [198, 18 | 19, ..] => Self::Local,
            // "This network", link-local, IETF protocol assignments, documentation, the retired
            // 6to4 relay, multicast, reserved and broadcast.
            [0 | 224..=255, ..]
            | [169, 254, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 51, 100, _]
            | [203, 0, 113, _] => Self::Never,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.contains(&address) {
            return Self::Never;
        }
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 1] => Self::Local,
            // Unique local, and the retired site-local block.
            [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Self::Local,
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Self::of_v4(embedded_v4(high, low)),
            // Protocol assignments (Teredo and others), documentation, 6to4.
            [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => {
                Self::Never
            }
            // ISATAP carries an IPv4 address in the interface identifier.
            [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => {
                match Self::of_v4(embedded_v4(high, low)) {
                    Self::Public => Self::Public,
                    Self::Local | Self::Never => Self::Never,
                }
            }
            [0x2000..=0x3fff, ..] => Self::Public,
            _ => Self::Never,
        }
    }
}

/// Metadata and host services of clouds that lie in otherwise permitted IPv4 ranges.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud, inside carrier-grade NAT
    Ipv4Addr::new(168, 63, 129, 16),   // Azure host services, inside public space
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];

/// Metadata services of clouds that lie in unique local IPv6 ranges.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
];

fn embedded_v4(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}
