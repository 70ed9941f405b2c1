//! The ports of the engine's host on which a port of a replica is published, and their forms in text.

use crate::Invalid;
use crate::port::{ContainerPort, Protocol};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A port of the host, a range of which the engine chooses a free one, or any free port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPorts {
    /// 0 for any free port.
    first: u16,
    /// At least `first`.
    last: u16,
}

impl HostPorts {
    /// Any free port.
    pub const ANY: Self = Self { first: 0, last: 0 };

    /// One port; 0 for any free one.
    pub fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The first port; 0 for any free one.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The last port; 0 for any free one.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether any free port is meant.
    pub fn is_any(self) -> bool {
        self.first == 0
    }

    /// The number of replicas that can have one of these ports at once. `None` if it is unlimited.
    pub fn capacity(self) -> Option<u32> {
        (!self.is_any()).then(|| u32::from(self.last - self.first) + 1)
    }

    fn overlaps(self, other: Self) -> bool {
        !self.is_any() && !other.is_any() && self.first <= other.last && other.first <= self.last
    }
}

impl FromStr for HostPorts {
    type Err = Invalid;

    /// Parses `8080`, `8000-8010`, or `0` for any free port. The ends of a range may be in either order.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(format!(
                "`{}` is not a port of the host; expected 1 to 65535, a range such as `8000-8010`, or 0 for any free port",
                text.escape_debug()
            ))
        };
        match text.split_once('-') {
            None => number(text).map(Self::one).ok_or_else(invalid),
            Some((first, last)) => match (number(first), number(last)) {
                (Some(first @ 1..), Some(last @ 1..)) => Ok(Self { first: first.min(last), last: first.max(last) }),
                _ => Err(invalid()),
            },
        }
    }
}

impl fmt::Display for HostPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// A decimal port number, without a sign.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Where a port of a replica is published on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publication {
    /// The address of the host. `None` for the default of this Windlass
    /// ([`crate::settings::EngineSettings::publish_address`]).
    pub host_ip: Option<IpAddr>,
    /// The port of the host.
    pub host_ports: HostPorts,
}

impl Publication {
    /// Whether both need the same port of the host at the same address.
    pub fn overlaps(&self, other: &Self) -> bool {
        let is_same_address = match (self.host_ip, other.host_ip) {
            // Both families are bound separately.
            (Some(one), Some(other)) => {
                one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
            }
            // The default may be every address.
            _ => true,
        };
        is_same_address && self.host_ports.overlaps(other.host_ports)
    }
}

impl FromStr for Publication {
    type Err = Invalid;

    /// Parses `[address:]ports`: `8080`, `127.0.0.1:8080`, `[::1]:8000-8010`, and `127.0.0.1:` for any free port.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (host_ip, ports) = match text.rsplit_once(':') {
            Some((ip, ports)) => (Some(address(ip)?), ports),
            None => (None, text),
        };
        let host_ports = if ports.is_empty() && host_ip.is_some() { HostPorts::ANY } else { ports.parse()? };
        Ok(Self { host_ip, host_ports })
    }
}

impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            None => write!(f, "{}", self.host_ports),
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.host_ports),
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.host_ports),
        }
    }
}

/// Parses an address of the host: `127.0.0.1`, `[::1]`, or `::1`.
///
/// # Errors
/// If the text is not an IP address.
pub fn address(text: &str) -> Result<IpAddr, Invalid> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let parsed = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| {
        Invalid::new(format!(
            "`{}` is not an address of the host; expected an IP address such as `127.0.0.1` or `[::1]`",
            text.escape_debug()
        ))
    })
}

/// All publications of one port of a replica; never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publications(Vec<Publication>);

impl Publications {
    /// The publications, or `None` if there are none.
    pub fn new(publications: Vec<Publication>) -> Option<Self> {
        (!publications.is_empty()).then_some(Self(publications))
    }

    /// The publications.
    pub fn iter(&self) -> impl Iterator<Item = &Publication> {
        self.0.iter()
    }

    /// Adds one.
    pub fn push(&mut self, publication: Publication) {
        self.0.push(publication);
    }
}

/// One publication.
impl From<Publication> for Publications {
    fn from(publication: Publication) -> Self {
        Self(vec![publication])
    }
}

/// A port of the host at the default address; 0 for any free one.
impl From<u16> for Publications {
    fn from(port: u16) -> Self {
        Publication { host_ip: None, host_ports: HostPorts::one(port) }.into()
    }
}

/// The number of replicas that can have their ports of the host at once. `None` if it is unlimited.
pub fn capacity(ports: &BTreeMap<ContainerPort, Publications>) -> Option<u32> {
    tightest(ports).map(|(_, _, capacity)| capacity)
}

/// The publication with the fewest ports of the host, and their number. `None` if every port of the host is any free one.
pub fn tightest(ports: &BTreeMap<ContainerPort, Publications>) -> Option<(ContainerPort, Publication, u32)> {
    let all =
        ports.iter().flat_map(|(port, publications)| publications.iter().map(|publication| (*port, *publication)));
    let limited = all.filter_map(|(port, publication)| Some((port, publication, publication.host_ports.capacity()?)));
    limited.min_by_key(|(_, _, capacity)| *capacity)
}

/// Parses the short form of Compose: `[[address:]host ports:]container ports[/protocol]`.
///
/// # Errors
/// If the text has another form, or the ranges of the host and of the container have different lengths.
pub fn short_form(text: &str) -> Result<Vec<(ContainerPort, Publication)>, Invalid> {
    let invalid = |why: &str| {
        Invalid::new(format!(
            "`{}` is not a port: {why}; expected `[[address:]host port:]port[/protocol]`, such as \
             `127.0.0.1:8080:80/tcp`, `8000-8010:80` or `80`",
            text.escape_debug()
        ))
    };
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol: Protocol = protocol.parse().map_err(|why: Invalid| invalid(&why.0))?;
    let (host, inside) = match numbers.rsplit_once(':') {
        None => (None, numbers),
        Some((host, inside)) => (Some(host), inside),
    };
    let inside: HostPorts = inside
        .parse()
        .ok()
        .filter(|ports: &HostPorts| !ports.is_any())
        .ok_or_else(|| invalid("the port inside the replica is 1 to 65535, or a range of such ports"))?;
    let outside = match host {
        // An empty port of the host is any free one, as in Compose.
        None | Some("") => Publication { host_ip: None, host_ports: HostPorts::ANY },
        Some(host) => host.parse::<Publication>().map_err(|why| invalid(&why.0))?,
    };
    let wanted = (u32::from(inside.last - inside.first) + 1, outside.host_ports.capacity());
    let ports = (inside.first..=inside.last).zip(0u16..).map(|(number, offset)| {
        let host_ports = match wanted {
            // One port inside gets one of the range; a range inside gets one port each.
            (1, _) | (_, None) => outside.host_ports,
            _ => HostPorts::one(outside.host_ports.first + offset),
        };
        (ContainerPort { number, protocol }, Publication { host_ports, ..outside })
    });
    match wanted {
        (1, _) | (_, None) => Ok(ports.collect()),
        (inside, Some(outside)) if inside == outside => Ok(ports.collect()),
        (inside, Some(outside)) => {
            Err(invalid(&format!("it has {outside} ports of the host for {inside} ports inside the replica")))
        }
    }
}

/// A number if the publication has no address and no range, else text.
impl Serialize for Publication {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self { host_ip: None, host_ports } if host_ports.first == host_ports.last => {
                serializer.serialize_u16(host_ports.first)
            }
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Publication {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            Port(u16),
            Text(String),
        }
        match Stored::deserialize(deserializer)? {
            Stored::Port(port) => Ok(Self { host_ip: None, host_ports: HostPorts::one(port) }),
            Stored::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// One publication as it is, several as a list.
impl Serialize for Publications {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Publications {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            One(Publication),
            Several(Vec<Publication>),
        }
        match Stored::deserialize(deserializer)? {
            Stored::One(one) => Ok(one.into()),
            Stored::Several(several) => {
                Self::new(several).ok_or_else(|| serde::de::Error::custom("a port is published at least once"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let ports = short_form(text).map_err(|why| why.0)?;
        Ok(ports.iter().map(|(port, publication)| format!("{port} at {publication}")).collect())
    }

    #[test]
    fn the_short_form_is_read_as_compose_reads_it() {
        for (text, expected) in [
            ("80", vec!["80/tcp at 0"]),
            ("8080:80", vec!["80/tcp at 8080"]),
            ("127.0.0.1:8080:80/tcp", vec!["80/tcp at 127.0.0.1:8080"]),
            ("127.0.0.1::80", vec!["80/tcp at 127.0.0.1:0"]),
            ("[::1]:6001:6001/udp", vec!["6001/udp at [::1]:6001"]),
            ("::1:6001:6001", vec!["6001/tcp at [::1]:6001"]),
            ("8000-8010:80", vec!["80/tcp at 8000-8010"]),
            ("3000-3001", vec!["3000/tcp at 0", "3001/tcp at 0"]),
            ("127.0.0.1:9090-9091:80-81", vec!["80/tcp at 127.0.0.1:9090", "81/tcp at 127.0.0.1:9091"]),
            ("6060:53/udp", vec!["53/udp at 6060"]),
            ("0:80", vec!["80/tcp at 0"]),
        ] {
            assert_eq!(shown(text), Ok(expected.into_iter().map(str::to_owned).collect()), "{text}");
        }
        let every = short_form("1-65535:1-65535").map(|ports| ports.len());
        assert_eq!(every, Ok(65_535));
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, why) in [
            ("", "the port inside"),
            ("http", "the port inside"),
            ("0", "the port inside"),
            ("80/http", "protocol"),
            ("80/tcp/udp", "protocol"),
            ("localhost:8080:80", "`localhost` is not an address of the host"),
            ("127.0.0.1:80", "`127.0.0.1` is not a port of the host"),
            ("8000-8002:80-81", "3 ports of the host for 2 ports inside"),
            ("0-5:80", "`0-5` is not a port of the host"),
            ("+80:80", "`+80` is not a port of the host"),
            ("70000:80", "`70000` is not a port of the host"),
        ] {
            let refused = shown(text).expect_err(text);
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn publications_are_read_as_they_are_stored_and_as_earlier_versions_stored_them() {
        for stored in ["0", "8080", r#""8000-8010""#, r#""127.0.0.1:0""#, r#"["127.0.0.1:80","[fd00::1]:80-90"]"#] {
            let read: Publications = serde_json::from_str(stored).expect(stored);
            assert_eq!(serde_json::to_string(&read).expect("it is text or a number"), stored);
        }
        for wrong in ["-1", "70000", r#""x""#, "[]", "null"] {
            assert!(serde_json::from_str::<Publications>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_narrowest_range_limits_the_replicas() {
        let ports = |texts: &[&str]| {
            let mut ports: BTreeMap<ContainerPort, Publications> = BTreeMap::new();
            for (port, publication) in texts.iter().flat_map(|text| short_form(text).expect(text)) {
                ports.entry(port).and_modify(|all| all.push(publication)).or_insert(publication.into());
            }
            capacity(&ports)
        };
        assert_eq!(ports(&[]), None);
        assert_eq!(ports(&["80", "127.0.0.1::81"]), None);
        assert_eq!(ports(&["8000-8010:80", "9000-9002:81", "82"]), Some(3));
        assert_eq!(ports(&["8000-8010:80", "127.0.0.1:70:80"]), Some(1));
    }

    #[test]
    fn the_same_port_of_the_host_is_needed_at_the_same_address_only() {
        let overlap = |one: &str, other: &str| {
            let parse = |text: &str| text.parse::<Publication>().expect("a publication");
            (parse(one).overlaps(&parse(other)), parse(other).overlaps(&parse(one)))
        };
        for (one, other, expected) in [
            ("80", "80", true),
            ("80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80-90", "127.0.0.1:85", true),
            ("80-90", "91", false),
            ("0", "0", false),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", false),
        ] {
            assert_eq!(overlap(one, other), (expected, expected), "{one} and {other}");
        }
    }
}
