//! The address policy, range by range, at both edges.

use std::net::IpAddr;

use leasectl_remote::{Locality, is_public};

fn address(text: &str) -> IpAddr {
    text.parse().expect("the test writes addresses correctly")
}

#[test]
fn public_addresses_are_public() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "140.82.112.3",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.1",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2001:db7::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
        "3fff:1000::1",
        "64:ff9b::8.8.8.8",
        "2a00:1::5efe:8.8.8.8",
    ] {
        assert!(is_public(address(text)), "{text}");
        assert!(Locality::PublicOnly.permits(address(text)), "{text}");
        assert!(Locality::AllowLocal.permits(address(text)), "{text}");
    }
}

#[test]
fn loopback_and_private_addresses_need_permission() {
    for text in [
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "::1",
        "fc00::1",
        "fdff:ffff::1",
        "fec0::1",
        "feff::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::127.0.0.1",
    ] {
        assert!(!is_public(address(text)), "{text}");
        assert!(!Locality::PublicOnly.permits(address(text)), "{text}");
        assert!(Locality::AllowLocal.permits(address(text)), "{text}");
    }
}

#[test]
fn metadata_reserved_and_disguised_addresses_are_never_permitted() {
    for text in [
        "0.0.0.0",
        "0.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.0",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.51.100.255",
        "203.0.113.0",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.255",
        "::",
        "::2",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:8.8.8.8",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b::1:8.8.8.8",
        "100::1",
        "1fff:ffff::1",
        "2001::1",
        "2001:1ff::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:808:808::1",
        "2002:7f00:1::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fbff::1",
        "fe00::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "2a00:1::5efe:10.0.0.1",
        "2a00:1::200:5efe:169.254.169.254",
    ] {
        assert!(!is_public(address(text)), "{text}");
        assert!(!Locality::PublicOnly.permits(address(text)), "{text}");
        assert!(!Locality::AllowLocal.permits(address(text)), "{text}");
    }
}
