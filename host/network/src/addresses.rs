//! The addresses that outgoing requests may reach.

use crate::own_addresses;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use windlass_core::net::Reach;
use windlass_core::settings::NetworkSettings;

/// The metadata services of clouds outside of the link-local networks: AWS, Google Cloud, Alibaba Cloud, Oracle Cloud and
/// Azure.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// Why an address is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error("Windlass itself listens there")]
    OwnListener,
    #[error("it is no address of a single host")]
    NoHost,
    #[error("it is link-local")]
    LinkLocal,
    #[error("it is the metadata service of a cloud")]
    Metadata,
    #[error("it is private; allow its network in `network.allowed_networks`")]
    Private,
}

/// The rules for addresses.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    settings: NetworkSettings,
    /// The addresses at which this process listens.
    listeners: Vec<SocketAddr>,
}

impl Rules {
    pub(crate) fn new(settings: NetworkSettings, listeners: Vec<SocketAddr>) -> Self {
        Self { settings, listeners }
    }

    /// Whether a request may reach an address. Without a port, every port of a listener counts.
    pub(crate) fn check(&self, ip: IpAddr, port: Option<u16>, reach: Reach) -> Result<(), Denial> {
        // An IPv6 address can stand for an IPv4 address, which the kernel or a translator on the way connects to.
        let forms = [Some(ip.to_canonical()), translated(ip).map(IpAddr::V4)];
        for ip in forms.into_iter().flatten() {
            never(ip)?;
            if self.leads_here(ip, port) {
                return Err(Denial::OwnListener);
            }
            if is_private(ip) && !self.may_be_private(ip, reach) {
                return Err(Denial::Private);
            }
        }
        Ok(())
    }

    fn may_be_private(&self, ip: IpAddr, reach: Reach) -> bool {
        let by_rule = match reach {
            Reach::Replica => true,
            Reach::Configured => self.settings.private_addresses,
            Reach::Public => false,
        };
        by_rule || self.settings.allowed_networks.iter().any(|network| network.contains(&ip))
    }

    fn leads_here(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.listeners.iter().any(|listener| {
            let own = listener.ip().to_canonical();
            port.is_none_or(|port| port == listener.port())
                && (own == ip || (own.is_unspecified() && own_addresses::contain(ip)))
        })
    }
}

/// Rejects addresses that no setting allows.
fn never(ip: IpAddr) -> Result<(), Denial> {
    if METADATA.contains(&ip) {
        return Err(Denial::Metadata);
    }
    let (has_no_host, is_link_local) = match ip {
        // The kernel connects `0.0.0.0` to the loopback.
        IpAddr::V4(ip) => (ip.octets()[0] == 0 || ip.is_multicast() || ip.is_broadcast(), ip.is_link_local()),
        IpAddr::V6(ip) => (ip.is_unspecified() || ip.is_multicast(), ip.is_unicast_link_local()),
    };
    match (has_no_host, is_link_local) {
        (true, _) => Err(Denial::NoHost),
        (_, true) => Err(Denial::LinkLocal),
        (false, false) => Ok(()),
    }
}

/// Whether an address is not reachable from the whole internet: the loopback, private networks, and reserved ones.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, third, _] = ip.octets();
            ip.is_loopback()
                || ip.is_private()
                // Networks of providers, benchmarks and protocols, and reserved addresses.
                || (first == 100 && (64..128).contains(&second))
                || (first == 198 && (18..20).contains(&second))
                || (first == 192 && second == 0 && third == 0)
                || first >= 240
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.segments()[0] & 0xffc0 == 0xfec0,
    }
}

/// The IPv4 address inside of an address that is translated on the way: NAT64, 6to4, and the old compatible form.
fn translated(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let ipv4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(ipv4(high, low)),
        [0x2002, high, low, ..] => Some(ipv4(high, low)),
        // `::` and `::1` are no IPv4 addresses.
        [0, 0, 0, 0, 0, 0, high, low] if high > 0 => Some(ipv4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(private_addresses: bool, listeners: &[&str]) -> Rules {
        let settings =
            NetworkSettings { private_addresses, allowed_networks: vec!["10.7.0.0/16".parse().expect("a network")] };
        Rules::new(settings, listeners.iter().map(|text| text.parse().expect("an address")).collect())
    }

    fn checked(rules: &Rules, address: &str, reach: Reach) -> Option<Denial> {
        let address: SocketAddr = address.parse().expect("an address");
        rules.check(address.ip(), Some(address.port()), reach).err()
    }

    #[test]
    fn link_local_addresses_and_metadata_services_are_never_reached() {
        let rules = rules(true, &[]);
        for (address, denial) in [
            ("169.254.169.254:80", Denial::LinkLocal),
            ("[::ffff:169.254.169.254]:80", Denial::LinkLocal),
            ("[64:ff9b::a9fe:a9fe]:80", Denial::LinkLocal),
            ("[2002:a9fe:a9fe::1]:80", Denial::LinkLocal),
            ("[::169.254.169.254]:80", Denial::LinkLocal),
            ("[fe80::1]:80", Denial::LinkLocal),
            ("[fd00:ec2::254]:80", Denial::Metadata),
            ("100.100.100.200:80", Denial::Metadata),
            ("0.0.0.0:80", Denial::NoHost),
            ("0.1.2.3:80", Denial::NoHost),
            ("[::]:80", Denial::NoHost),
            ("[::ffff:0.0.0.0]:80", Denial::NoHost),
            ("224.0.0.1:80", Denial::NoHost),
            ("255.255.255.255:80", Denial::NoHost),
            ("[ff02::1]:80", Denial::NoHost),
        ] {
            for reach in [Reach::Replica, Reach::Configured, Reach::Public] {
                assert_eq!(checked(&rules, address, reach), Some(denial), "{address}");
            }
        }
    }

    #[test]
    fn private_addresses_are_reached_as_the_configuration_says() {
        for address in [
            "127.0.0.1:1",
            "10.0.0.1:1",
            "172.17.0.2:1",
            "192.168.1.1:1",
            "100.64.0.1:1",
            "240.0.0.1:1",
            "[::1]:1",
            "[fd12::1]:1",
            "[::ffff:10.0.0.1]:1",
            "[64:ff9b::a00:1]:1",
        ] {
            let allowed = rules(true, &[]);
            assert_eq!(checked(&allowed, address, Reach::Configured), None, "{address}");
            assert_eq!(checked(&allowed, address, Reach::Public), Some(Denial::Private), "{address}");
            let denied = rules(false, &[]);
            assert_eq!(checked(&denied, address, Reach::Replica), None, "{address}");
            assert_eq!(checked(&denied, address, Reach::Configured), Some(Denial::Private), "{address}");
        }
        for address in ["10.7.1.1:1", "1.1.1.1:1", "[2606:4700::1]:1", "[::ffff:10.7.1.1]:1"] {
            for reach in [Reach::Configured, Reach::Public] {
                assert_eq!(checked(&rules(false, &[]), address, reach), None, "{address}");
            }
        }
    }

    #[test]
    fn every_address_that_leads_to_an_own_listener_is_refused() {
        let one = rules(true, &["127.0.0.1:8000"]);
        let all = rules(true, &["0.0.0.0:8000"]);
        for address in ["127.0.0.1:8000", "[::ffff:127.0.0.1]:8000"] {
            for rules in [&one, &all] {
                assert_eq!(checked(rules, address, Reach::Replica), Some(Denial::OwnListener), "{address}");
            }
        }
        for address in ["127.0.0.2:8000", "[::1]:8000"] {
            assert_eq!(checked(&one, address, Reach::Replica), None, "nothing of Windlass listens at {address}");
            assert_eq!(checked(&all, address, Reach::Replica), Some(Denial::OwnListener), "{address}");
        }
        for address in ["127.0.0.1:8001", "192.0.2.1:8000"] {
            assert_eq!(checked(&all, address, Reach::Replica), None, "{address}");
        }
        // A name whose port is unknown leads to every port.
        assert_eq!(one.check(IpAddr::from([127, 0, 0, 1]), None, Reach::Configured), Err(Denial::OwnListener));
    }
}
