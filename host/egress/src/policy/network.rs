//! The addresses that a name may resolve to.
//!
//! The owner of a name decides on its addresses, and could point the host at
//! services of this machine or at a cloud's metadata address. An IP address in
//! the configuration was chosen by the operator and is not checked here.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

use hoth_platform::loopback::is_loopback_name;

/// A range of addresses in CIDR notation: `10.0.0.0/8`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The error of a text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a network such as `10.0.0.0/8`")]
pub struct BadNetwork(String);

/// The error of a name that has only private addresses, none of them allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` resolves to {address}, which is private and not in `private_networks`")]
pub struct PrivateAddress {
    name: String,
    address: IpAddr,
}

/// Returns the addresses that a name may have: for `localhost` those of
/// loopback, for other names the public ones and those in `allowed`.
pub fn admit(
    name: &str,
    resolved: impl IntoIterator<Item = SocketAddr>,
    allowed: &[Network],
) -> Result<Vec<SocketAddr>, PrivateAddress> {
    let local = is_loopback_name(&name.to_ascii_lowercase());
    let is_allowed = |address: IpAddr| {
        if local {
            address.is_loopback()
        } else {
            is_public(address) || allowed.iter().any(|network| network.contains(address))
        }
    };
    // Canonical, so that an IPv4 address written as `::ffff:a.b.c.d` is checked
    // as the IPv4 address to which the connection would go.
    let (admitted, refused): (Vec<_>, Vec<_>) =
        resolved.into_iter().partition(|resolved| is_allowed(resolved.ip().to_canonical()));
    match refused.first() {
        Some(address) if admitted.is_empty() => {
            Err(PrivateAddress { name: name.to_owned(), address: address.ip() })
        }
        Some(_) | None => Ok(admitted),
    }
}

/// Returns true if an address belongs to the public Internet, by the IANA
/// registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            let embedded = match v6.segments() {
                // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to an IPv4 address.
                [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(v4_at(v6, 12)),
                [0x2002, ..] => Some(v4_at(v6, 2)),
                _ => None,
            };
            embedded.map_or_else(|| is_global_v6(v6), is_public_v4)
        }
    }
}

fn is_global_v6(v6: Ipv6Addr) -> bool {
    let [a, b, ..] = v6.segments();
    // Global unicast is 2000::/3 so far. Loopback, unique local, link-local,
    // multicast and other embedded IPv4 addresses all lie outside.
    let unicast = a & 0xe000 == 0x2000;
    // Teredo (RFC 4380), benchmarks (RFC 5180), ORCHID (RFC 7343).
    let protocol = a == 0x2001 && b & 0xfe00 == 0;
    let documentation = a == 0x2001 && b == 0x0db8 || a == 0x3fff && b & 0xf000 == 0;
    unicast && !protocol && !documentation
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let protocol = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && b & 0xfe == 18;
    let former_relay = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 224
        || v4.is_loopback()
        || v4.is_private()
        || v4.is_link_local()
        || shared
        || v4.is_documentation()
        || protocol
        || former_relay
        || benchmark)
}

fn v4_at(v6: Ipv6Addr, start: usize) -> Ipv4Addr {
    let octets = v6.octets();
    Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3])
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                let differing = mine.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let differing = mine.to_bits() ^ other.to_bits();
                differing.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        // The parser would also accept a leading `+`.
        let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the addresses, in one string, that a name may have.
    #[track_caller]
    fn check(name: &str, resolved: &str, allowed: &[&str], expected: Option<&str>) {
        let resolved = resolved.split(' ').map(|ip| SocketAddr::new(ip.parse().unwrap(), 0));
        let allowed: Vec<Network> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        let admitted = admit(name, resolved, &allowed).ok().map(|addresses| {
            let text: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
            text.join(" ")
        });
        assert_eq!(admitted.as_deref(), expected);
    }

    #[test]
    fn a_network_has_an_address_and_a_prefix_without_a_sign() {
        for good in ["10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::1/128"] {
            assert_eq!(good.parse::<Network>().unwrap().to_string(), good);
        }
        for bad in ["10.0.0.0", "10.0.0.0/+8", "10.0.0.0/-8", "10.0.0.0/", "10.0.0.0/33", "h/8"] {
            assert_eq!(bad.parse::<Network>(), Err(BadNetwork(bad.to_owned())));
        }
    }

    #[test]
    fn a_name_may_have_public_addresses() {
        for public in ["93.184.216.34", "100.128.0.1", "172.32.0.1", "192.169.0.1", "2606:2800::1"]
        {
            check("h", public, &[], Some(public));
        }
        for public in ["64:ff9b::5db8:d822", "2002:5db8:d822::1", "2001:4860::1", "2a00::1"] {
            check("h", public, &[], Some(public));
        }
    }

    #[test]
    fn a_name_may_not_have_private_addresses() {
        for private in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "::ffff:0:10.0.0.1",
            "::ffff:a9fe:a9fe",
            "64:ff9b::a00:1",
            "64:ff9b:1::5db8:d822",
            "100::1",
            "2001::1",
            "2001:0:a00:1::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check("h", private, &[], None);
        }
    }

    #[test]
    fn allowed_private_networks_are_reachable_and_others_are_not() {
        let allowed = ["10.0.0.0/8", "fd00::/8"];
        check("h", "10.255.0.1", &allowed, Some("10.255.0.1"));
        check("h", "::ffff:10.0.0.1", &allowed, Some("::ffff:10.0.0.1"));
        check("h", "fdff::1", &allowed, Some("fdff::1"));
        check("h", "11.0.0.1", &["11.0.0.0/32"], Some("11.0.0.1"));
        check("h", "192.168.0.1", &allowed, None);
        check("h", "fc00::1", &allowed, None);
        check("h", "192.168.0.1", &["0.0.0.0/0"], Some("192.168.0.1"));
        check("h", "192.168.0.2", &["192.168.0.1/32"], None);
    }

    #[test]
    fn refused_addresses_of_a_name_are_dropped() {
        check("h", "10.0.0.1 93.184.216.34 ::1", &[], Some("93.184.216.34"));
    }

    #[test]
    fn localhost_resolves_to_loopback_only() {
        for name in ["localhost", "LOCALHOST.", "a.localhost"] {
            check(
                name,
                "127.0.0.1 ::1 93.184.216.34 10.0.0.1",
                &["10.0.0.0/8"],
                Some("127.0.0.1 ::1"),
            );
            check(name, "93.184.216.34", &[], None);
        }
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "fd00::/8", "::/128"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for text in
            ["", "10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/-1", "h/8", "/8"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_error_names_the_setting_that_allows_a_network() {
        let error = admit("h", [SocketAddr::from(([10, 0, 0, 1], 0))], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`h` resolves to 10.0.0.1, which is private and not in `private_networks`"
        );
    }
}
