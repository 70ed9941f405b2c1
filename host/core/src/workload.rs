//! What the user asked for: the desired state of one workload.

use crate::quantity::{Cpu, Memory};
use crate::{Guardrails, ImageRef, Invalid, Metric, Overrides, Probe};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a workload is addressed by: its image reference, or the name its body gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkloadKey(String);

impl WorkloadKey {
    /// The key of a workload that was given a name.
    ///
    /// # Errors
    /// When `name` is not 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a
    /// letter or digit.
    pub fn named(name: &str) -> Result<Self, Invalid> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let valid = name.len() <= 63
            && edge(name.chars().next())
            && edge(name.chars().last())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(Invalid::new(format!(
                "`{}` is not a workload name; expected 1 to 63 lower-case letters, digits and hyphens, \
                 beginning and ending with a letter or digit",
                name.escape_debug()
            )))
        }
    }

    /// A key read back from where it was stored, or taken from a path to be looked up: unchecked.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&ImageRef> for WorkloadKey {
    fn from(image: &ImageRef) -> Self {
        Self(image.as_str().to_owned())
    }
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many replicas a workload may have. `min` ≤ `max`, `max` ≥ 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    min: u32,
    max: u32,
}

impl Bounds {
    /// The most replicas a workload may ask for: one engine has held 500; a bridge network ends at about 1 000.
    pub const LIMIT: u32 = 1_000;

    /// Checked bounds.
    ///
    /// # Errors
    /// When `max` is 0 or above [`Bounds::LIMIT`], or `min` above `max`; the message names the field.
    pub fn new(min: u32, max: u32) -> Result<Self, Invalid> {
        if max == 0 || max > Self::LIMIT {
            return Err(Invalid::new(format!("`max_replicas` is {max}; expected 1 to {}", Self::LIMIT)));
        }
        if min > max {
            return Err(Invalid::new(format!("`min_replicas` ({min}) is above `max_replicas` ({max})")));
        }
        Ok(Self { min, max })
    }

    /// The fewest replicas.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The most replicas.
    pub fn max(self) -> u32 {
        self.max
    }

    /// The replica count of a workload that no pass has decided about: the minimum, at least 1.
    pub fn initial(self) -> u32 {
        self.min.max(1)
    }

    /// `count`, moved into the bounds.
    pub fn clamp(self, count: u32) -> u32 {
        count.clamp(self.min, self.max)
    }
}

/// The transport of a port.
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

/// A port inside a replica, written `80/tcp`; a bare `80` is TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerPort {
    /// 1 to 65535.
    pub number: u16,
    /// Its transport.
    pub protocol: Protocol,
}

impl FromStr for ContainerPort {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Some(Protocol::Tcp),
            "udp" => Some(Protocol::Udp),
            "sctp" => Some(Protocol::Sctp),
            _ => None,
        };
        let plain = number.bytes().all(|b| b.is_ascii_digit());
        match (number.parse::<u16>(), protocol) {
            (Ok(number), Some(protocol)) if number > 0 && plain => Ok(Self { number, protocol }),
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
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        write!(f, "{}/{protocol}", self.number)
    }
}

/// Whether a workload is meant to run at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredStatus {
    /// Keep the wanted number of replicas alive.
    #[default]
    Running,
    /// Keep one replica, created and never started, until an operator starts it.
    Stopped,
}

/// What each replica may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Share of processors.
    pub cpu: Cpu,
    /// Memory limit.
    pub memory: Memory,
    /// Whether the workload runs.
    pub status: DesiredStatus,
}

/// What a replica is told before it is stopped, so that it can finish what it is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHook {
    /// How.
    pub call: HookCall,
    /// How long it is waited for; the replica is stopped then, whatever came of it. 10 ms to 1 min.
    pub timeout: Duration,
}

impl StopHook {
    /// The time where none is said.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

/// How a replica is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookCall {
    /// `POST path` on this port; a status of 200 to 299 is good.
    Http {
        /// Port inside the replica.
        port: u16,
        /// Begins with `/`.
        path: String,
    },
    /// A command in the replica; it is over when the command is.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// A policy, and what it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChoice {
    /// Name it is registered under.
    pub name: String,
    /// Its configuration, JSON text.
    pub config: String,
}

impl PolicyChoice {
    /// Whether a policy may be registered under this name, or give it to itself.
    pub fn is_name(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(plain)
    }
}

/// What becomes of what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is done.
    #[default]
    Act,
    /// It is written down, and nothing is done.
    Recommend,
}

/// The policies of a workload; none: the host's default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyChoices {
    /// Say how many: the highest of what they want; at most [`PolicyChoices::MOST_SCALING`].
    #[serde(default, deserialize_with = "one_or_many")]
    pub scaling: Vec<PolicyChoice>,
    /// Says who is well.
    pub health: Option<PolicyChoice>,
    /// Asked beside them, and only written down; at most [`PolicyChoices::MOST_SHADOWS`].
    #[serde(default)]
    pub shadows: Vec<PolicyChoice>,
    /// Whether what they decide is done; none: it is.
    pub mode: Option<Mode>,
}

impl PolicyChoices {
    /// The most shadows of one workload.
    pub const MOST_SHADOWS: usize = 4;
    /// The most scaling policies of one workload.
    pub const MOST_SCALING: usize = 8;
}

/// Before there could be several, one was stored, or null.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PolicyChoice>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Many(Vec<PolicyChoice>),
        One(Option<PolicyChoice>),
    }
    Ok(match Stored::deserialize(deserializer)? {
        Stored::Many(choices) => choices,
        Stored::One(choice) => choice.into_iter().collect(),
    })
}

/// The desired state of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// What it is addressed by.
    pub key: WorkloadKey,
    /// What its replicas run.
    pub image: ImageRef,
    /// How many replicas it may have.
    pub bounds: Bounds,
    /// Environment of each replica.
    pub env: BTreeMap<String, String>,
    /// Port inside → port on the engine's host, 0 for any free one.
    pub ports: BTreeMap<ContainerPort, u16>,
    /// What each replica may use.
    pub resources: Resources,
    /// The user's labels, put on each replica and shown to policies.
    pub labels: BTreeMap<String, String>,
    /// Networks each replica joins, the first at creation; empty: the engine's default.
    pub networks: Vec<String>,
    /// How it is asked whether a replica answers; none: by the image's own HEALTHCHECK, if it has one.
    pub probe: Option<Probe>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Who decides about it.
    #[serde(default)]
    pub policies: PolicyChoices,
    /// What is measured of it, by name, besides what every workload has.
    #[serde(default)]
    pub metrics: BTreeMap<String, Metric>,
    /// How fast its count may follow what is proposed; none: as [`Guardrails::default`] says.
    #[serde(default)]
    pub guardrails: Option<Guardrails>,
    /// What an operator says over its policy.
    #[serde(default)]
    pub overrides: Overrides,
    /// What a replica is told before it is stopped; none: nothing.
    #[serde(default)]
    pub stop_hook: Option<StopHook>,
    /// Workloads that must be up for this one to be of use: while one is down nothing of this one is created, healed or
    /// scaled, and when it is back what ran without it is restarted. None of them depends on this one, however far.
    #[serde(default)]
    pub depends_on: BTreeSet<WorkloadKey>,
}

impl Workload {
    /// The label by which a replica is protected from a policy that wants fewer: `true`, or `false` as without it. It is
    /// read off each container.
    pub const PROTECTION: &str = "windlass.scale-in-protection";
    /// The most workloads one may depend on.
    pub const MOST_DEPENDENCIES: usize = 16;

    /// A workload named after its image, with only the required parts.
    #[must_use]
    pub fn new(image: ImageRef, bounds: Bounds, resources: Resources) -> Self {
        Self {
            key: WorkloadKey::from(&image),
            image,
            bounds,
            env: BTreeMap::new(),
            ports: BTreeMap::new(),
            resources,
            labels: BTreeMap::new(),
            networks: Vec::new(),
            probe: None,
            command: None,
            policies: PolicyChoices::default(),
            metrics: BTreeMap::new(),
            guardrails: None,
            overrides: Overrides::default(),
            stop_hook: None,
            depends_on: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_contradict_themselves_are_refused() {
        assert!(Bounds::new(0, 1).is_ok());
        assert!(Bounds::new(3, 3).is_ok());
        for (min, max) in [(2, 1), (0, 0), (0, Bounds::LIMIT + 1), (1, u32::MAX)] {
            assert!(Bounds::new(min, max).is_err(), "{min} {max}");
        }
    }

    #[test]
    fn ports_are_written_with_their_protocol() {
        assert_eq!("80".parse::<ContainerPort>().map(|port| port.to_string()), Ok("80/tcp".to_owned()));
        assert_eq!("53/udp".parse::<ContainerPort>().map(|port| port.to_string()), Ok("53/udp".to_owned()));
        for wrong in ["", "0/tcp", "65536/tcp", "80/http", "+80/tcp", "80/tcp/", "/tcp"] {
            assert!(wrong.parse::<ContainerPort>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn choices_stored_when_there_was_one_at_most_are_read() {
        let stored = |scaling: &str| {
            let choices: PolicyChoices = serde_json::from_str(&format!(r#"{{"scaling": {scaling}, "health": null}}"#))?;
            Ok::<_, serde_json::Error>(choices.scaling.iter().map(|choice| choice.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(stored("null").ok(), Some(Vec::new()));
        assert_eq!(stored(r#"{"name": "a", "config": "{}"}"#).ok(), Some(vec!["a".to_owned()]));
        assert_eq!(stored(r#"[{"name": "a", "config": "{}"}]"#).ok(), Some(vec!["a".to_owned()]));
    }

    #[test]
    fn names_are_fit_for_container_names_and_labels() {
        assert!(WorkloadKey::named("web-2").is_ok());
        for wrong in ["", "-a", "a-", "A", "a/b", "a b", &"a".repeat(64)] {
            assert!(WorkloadKey::named(wrong).is_err(), "{wrong:?}");
        }
    }
}
