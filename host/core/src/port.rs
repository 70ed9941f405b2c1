//! A port inside a replica, and its transport protocol.

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl FromStr for Protocol {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(Invalid::new(format!(
                "`{}` is not a protocol; expected `tcp`, `udp` or `sctp`",
                text.escape_debug()
            ))),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port inside a replica, written `80/tcp`; a bare `80` is TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerPort {
    /// 1 to 65535.
    pub number: u16,
    /// Its transport protocol.
    pub protocol: Protocol,
}

impl FromStr for ContainerPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        match (number.parse::<u16>(), protocol.parse()) {
            (Ok(number), Ok(protocol)) if number > 0 && plain => Ok(Self { number, protocol }),
            _ => Err(Invalid::new(format!(
                "`{}` is not a port; expected `80/tcp`: 1 to 65535, then `/tcp`, `/udp` or `/sctp`",
                text.escape_debug()
            ))),
        }
    }
}

impl TryFrom<String> for ContainerPort {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ContainerPort> for String {
    fn from(port: ContainerPort) -> Self {
        port.to_string()
    }
}

impl fmt::Display for ContainerPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_with_their_protocol() {
        assert_eq!("80".parse::<ContainerPort>().map(|port| port.to_string()), Ok("80/tcp".to_owned()));
        assert_eq!("53/udp".parse::<ContainerPort>().map(|port| port.to_string()), Ok("53/udp".to_owned()));
        for wrong in ["", "0/tcp", "65536/tcp", "80/http", "+80/tcp", "80/tcp/", "/tcp"] {
            assert!(wrong.parse::<ContainerPort>().is_err(), "{wrong:?}");
        }
    }
}
