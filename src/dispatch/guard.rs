//! Which addresses a postback may reach: public ones, and what `egress.allow` names (SPEC section 13).
//!
//! Refuses: resolving names (`resolve` does, and asks here about each address) and trusting spellings. The host of a URL is
//! judged as parsed, and an IPv4 address inside an IPv6 one as the IPv4 address it leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

/// No address that the host stands for may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address is not public and not in egress.allow")]
pub struct Denied;

/// The networks allowed besides the public ones.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
}

impl Guard {
    pub fn new(allow: Vec<IpNet>) -> Self {
        Self { allow }
    }

    /// Whether this address may be dialled.
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.allows(address) {
            return true;
        }
        match address {
            IpAddr::V4(v4) => is_public_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                Inner::Leads(to) => self.permits(IpAddr::V4(to)),
                Inner::Both(a, b) => self.permits(IpAddr::V4(a)) && self.permits(IpAddr::V4(b)),
                Inner::None => is_public_v6(v6),
            },
        }
    }

    /// Checks a URL whose host is an address; a name is checked once it is resolved, since only then is it known.
    ///
    /// # Errors
    /// The host is an address that may not be dialled.
    pub fn check(&self, url: &Url) -> Result<(), Denied> {
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(Denied),
        };
        if self.permits(address) { Ok(()) } else { Err(Denied) }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&address))
    }
}

/// The IANA registry of special-purpose IPv4 addresses, and multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127, ..] => true,
        [100, b, ..] => b & 0b1100_0000 == 64,
        [169, 254, ..] | [192, 168, ..] => true,
        [172, b, ..] => b & 0b1111_0000 == 16,
        // Protocol assignments, documentation, and the 6to4 relay that no longer is one.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] => true,
        [198, 18 | 19, ..] => true,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !special
}

/// An IPv4 address inside an IPv6 one.
enum Inner {
    None,
    Leads(Ipv4Addr),
    Both(Ipv4Addr, Ipv4Addr),
}

fn embedded(address: Ipv6Addr) -> Inner {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Inner::None,
        // Mapped (::ffff:a.b.c.d), compatible (::a.b.c.d), translated (::ffff:0:a.b.c.d).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Inner::Leads(v4(high, low)),
        // NAT64, RFC 6052.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Inner::Leads(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Inner::Leads(v4(high, low)),
        // Teredo: the server as it is, the client with its bits turned over.
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            Inner::Both(v4(high, low), v4(!client_high, !client_low))
        }
        // ISATAP.
        [a, _, _, _, 0 | 0x200, 0x5efe, high, low] if is_global_unicast(a) => Inner::Leads(v4(high, low)),
        _ => Inner::None,
    }
}

fn is_global_unicast(first: u16) -> bool {
    first & 0xe000 == 0x2000
}

/// Global unicast is 2000::/3; all else (loopback, local, unique local, link-local, multicast, discard, local NAT64) is
/// not reached over the public network. Of it, protocol assignments and documentation are not either.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    is_global_unicast(s[0])
        && !(s[0] == 0x2001 && s[1] < 0x200)
        && !(s[0] == 0x2001 && s[1] == 0xdb8)
        && !(s[0] == 0x3fff && s[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &Guard, host: &str) -> bool {
        let url = Url::parse(&format!("http://{host}/x?y=z")).unwrap_or_else(|e| panic!("{host}: {e}"));
        guard.check(&url).is_ok()
    }

    const PRIVATE: &[&str] = &[
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.255.255.254",
        "１２７.0.0.1",
        "127。0。0。1",
        "%31%32%37.0.0.1",
        "user@127.0.0.1",
        "127.0.0.1.",
        "127.0.0.1:8080",
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "0xa.1",
        "100.64.0.1",
        "100.127.255.255",
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "3232235521",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[::a00:1]",
        "[::ffff:0:10.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[64:ff9b:1::8.8.8.8]",
        "[2002:7f00:1::]",
        "[2002:c0a8:1::1]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:a00:1:0:0:f7f7:f7f7]",
        "[2001:0:808:808:0:0:80ff:fffe]",
        "[2001:db8::1]",
        "[2001:20::1]",
        "[2001:2::1]",
        "[3fff::1]",
        "[2620:1::5efe:10.0.0.1]",
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[ff0e::1]",
        "[100::1]",
        "[5f00::1]",
        "[4000::1]",
    ];

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        for host in PRIVATE {
            assert!(!verdict(&Guard::default(), host), "{host}");
        }
    }

    #[test]
    fn public_addresses_and_names_pass() {
        for host in [
            "1.1.1.1",
            "8.8.8.8",
            "134744072",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "[2606:4700::1111]",
            "[2a00:1450::1]",
            "[2001:4860:4860::8888]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
            "[2002:808:808::1]",
            "network.example",
            "localhost",
        ] {
            assert!(verdict(&Guard::default(), host), "{host}");
        }
    }

    #[test]
    fn what_is_allowed_passes_in_every_form() {
        let allow = ["10.1.0.0/16", "fd00::/8", "127.0.0.1/32"].map(|net| net.parse().unwrap());
        let guard = Guard::new(allow.to_vec());
        for host in ["10.1.2.3", "[::ffff:10.1.2.3]", "[64:ff9b::10.1.2.3]", "[fd00::7]", "127.1", "8.8.8.8"] {
            assert!(verdict(&guard, host), "{host}");
        }
        for host in ["10.2.0.1", "127.0.0.2", "[::1]", "[fc00::1]", "[::ffff:10.2.0.1]"] {
            assert!(!verdict(&guard, host), "{host}");
        }
    }
}
