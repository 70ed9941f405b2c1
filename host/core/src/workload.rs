//! The desired state of one workload: the user's request.

use crate::contract::Limits;
use crate::publication::Publications;
use crate::quantity::{Cpu, Memory};
use crate::{Declaration, Generation, Guardrails, ImageRef, Invalid, Metric, Overrides, Probe, Rollout};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use crate::port::{ContainerPort, Protocol};
pub use crate::workload_key::WorkloadKey;

/// The minimum and maximum number of replicas. `min` ≤ `max`, `max` ≥ 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    min: u32,
    max: u32,
}

impl Bounds {
    /// The highest allowed maximum: one engine has held 500 replicas; a bridge network ends at about 1 000.
    pub const LIMIT: u32 = 1_000;

    /// Checked bounds.
    ///
    /// # Errors
    /// If `max` is 0 or above [`Bounds::LIMIT`], or `min` is above `max`; the message names the field.
    pub fn new(min: u32, max: u32) -> Result<Self, Invalid> {
        if max == 0 || max > Self::LIMIT {
            return Err(Invalid::new(format!("`max_replicas` is {max}; expected 1 to {}", Self::LIMIT)));
        }
        if min > max {
            return Err(Invalid::new(format!("`min_replicas` ({min}) is above `max_replicas` ({max})")));
        }
        Ok(Self { min, max })
    }

    /// The minimum number of replicas.
    pub fn min(self) -> u32 {
        self.min
    }

    /// The maximum number of replicas.
    pub fn max(self) -> u32 {
        self.max
    }

    /// The replica count of a workload before its first pass: the minimum, at least 1.
    pub fn initial(self) -> u32 {
        self.min.max(1)
    }

    /// `count`, limited to the bounds.
    pub fn clamp(self, count: u32) -> u32 {
        count.clamp(self.min, self.max)
    }
}

/// Whether a workload should run at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredStatus {
    /// Keep the target number of replicas running.
    #[default]
    Running,
    /// Keep one replica, created but not started, until an operator starts it.
    Stopped,
}

/// Resource limits of each replica, and the workload's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU limit.
    pub cpu: Cpu,
    /// Memory limit.
    pub memory: Memory,
    /// Whether the workload runs.
    pub status: DesiredStatus,
}

/// A notification to a replica before it is stopped, so that it can finish its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopHook {
    /// The kind of notification.
    pub call: HookCall,
    /// Time limit, 10 ms to 1 min. Afterwards the replica is stopped, whatever the outcome.
    pub timeout: Duration,
}

impl StopHook {
    /// The default timeout.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

/// The kind of a stop hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookCall {
    /// `POST path` on this port; a status of 200 to 299 is success.
    Http {
        /// Port inside the replica.
        port: u16,
        /// Begins with `/`.
        path: String,
    },
    /// A command in the replica; the hook ends with the command.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// A policy and its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChoice {
    /// Name it is registered under.
    pub name: String,
    /// Its configuration, JSON text.
    pub config: String,
}

impl PolicyChoice {
    /// Whether a policy may be registered under this name, or describe itself with it.
    pub fn is_name(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len()) && name.bytes().all(plain)
    }
}

/// Whether decisions are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Decisions are carried out.
    #[default]
    Act,
    /// Decisions are recorded and not carried out.
    Recommend,
}

/// The policies of a workload. Where none is chosen, the host's default applies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyChoices {
    /// The scaling policies; the highest of their counts applies. At most [`PolicyChoices::MOST_SCALING`].
    #[serde(default, deserialize_with = "one_or_many")]
    pub scaling: Vec<PolicyChoice>,
    /// The health policy.
    pub health: Option<PolicyChoice>,
    /// Shadow policies, whose results are only recorded; at most [`PolicyChoices::MOST_SHADOWS`].
    #[serde(default)]
    pub shadows: Vec<PolicyChoice>,
    /// Whether decisions are carried out. `None` means that they are.
    pub mode: Option<Mode>,
}

impl PolicyChoices {
    /// The most shadow policies of one workload.
    pub const MOST_SHADOWS: usize = 4;
    /// The most scaling policies of one workload.
    pub const MOST_SCALING: usize = 8;
}

/// Also reads the form of earlier versions: one policy, or null.
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

/// Port inside the replica → where it is published on the engine's host.
pub type Ports = BTreeMap<ContainerPort, Publications>;

/// The part of a desired state that containers are made from. A change of any other part needs no new container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specification {
    /// The image.
    pub image: ImageRef,
    /// The engine's identifier of the image to use while the engine has it. `None`: the image that the reference leads to.
    pub image_id: Option<String>,
    /// How many new images under the same reference were requested before.
    pub pulls: u32,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Ports, as in [`Workload::ports`].
    pub ports: Ports,
    /// CPU limit.
    pub cpu: Cpu,
    /// Memory limit.
    pub memory: Memory,
    /// Networks.
    pub networks: Vec<String>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
}

/// The desired state of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its key.
    pub key: WorkloadKey,
    /// The place where it is declared.
    #[serde(default)]
    pub declaration: Declaration,
    /// The image of its replicas.
    pub image: ImageRef,
    /// Its minimum and maximum number of replicas.
    pub bounds: Bounds,
    /// Environment of each replica.
    pub env: BTreeMap<String, String>,
    /// Port inside the replica → where it is published on the engine's host.
    pub ports: Ports,
    /// Resource limits of each replica.
    pub resources: Resources,
    /// The user's labels, added to each replica and included in the policies' input.
    pub labels: BTreeMap<String, String>,
    /// Networks that each replica joins, the first at creation; empty for the engine's default.
    pub networks: Vec<String>,
    /// The probe of its replicas. `None`: the image's own HEALTHCHECK, if it has one.
    pub probe: Option<Probe>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Its policies.
    #[serde(default)]
    pub policies: PolicyChoices,
    /// Its metrics by name, in addition to the built-in ones.
    #[serde(default)]
    pub metrics: BTreeMap<String, Metric>,
    /// Its guardrails. `None` for [`Guardrails::default`].
    #[serde(default)]
    pub guardrails: Option<Guardrails>,
    /// An operator's overrides of its policies.
    #[serde(default)]
    pub overrides: Overrides,
    /// A notification before a replica is stopped. `None` for no notification.
    #[serde(default)]
    pub stop_hook: Option<StopHook>,
    /// Workloads that must be up for this one. While one is down, nothing of this workload is created, repaired or
    /// scaled. When it is back, replicas that ran without it are restarted. No dependency may depend on this workload,
    /// directly or indirectly.
    #[serde(default)]
    pub depends_on: BTreeSet<WorkloadKey>,
    /// How a changed specification reaches the replicas.
    #[serde(default)]
    pub rollout: Rollout,
    /// The engine's identifier of the image to use while the engine has it. `None`: the image that `image` leads to.
    #[serde(default)]
    pub image_id: Option<String>,
    /// How many new images under the same reference were requested.
    #[serde(default)]
    pub pulls: u32,
    /// The specification of the generation before. `None` if there is none.
    #[serde(default)]
    pub previous: Option<Box<Specification>>,
    /// The generation of replicas whose container has no label about it, because an earlier version created it. `None`:
    /// they are up to date.
    #[serde(default)]
    pub unlabelled: Option<Generation>,
}

impl Workload {
    /// The label that protects a replica from scale-in by a policy: `true`, or `false` (as without it). It is read from
    /// each container.
    pub const PROTECTION: &str = "windlass.scale-in-protection";
    /// The most workloads that one may depend on.
    pub const MOST_DEPENDENCIES: usize = 16;

    /// Whether it is addressed by a name instead of its image.
    pub fn is_named(&self) -> bool {
        self.declaration.is_adopted() || self.key.as_str() != self.image.as_str()
    }

    /// The resource limits with which its replicas are created. Those of an adopted workload are known only from its
    /// containers.
    pub fn limits(&self) -> Limits {
        if self.declaration.is_adopted() {
            return Limits::default();
        }
        Limits { cpu_cores: Some(self.resources.cpu.cores()), memory_bytes: Some(self.resources.memory.bytes()) }
    }

    /// A workload named after its image, with only the required fields.
    #[must_use]
    pub fn new(image: ImageRef, bounds: Bounds, resources: Resources) -> Self {
        Self {
            key: WorkloadKey::from(&image),
            declaration: Declaration::Api,
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
            rollout: Rollout::default(),
            image_id: None,
            pulls: 0,
            previous: None,
            unlabelled: None,
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
    fn choices_stored_when_there_was_one_at_most_are_read() {
        let stored = |scaling: &str| {
            let choices: PolicyChoices = serde_json::from_str(&format!(r#"{{"scaling": {scaling}, "health": null}}"#))?;
            Ok::<_, serde_json::Error>(choices.scaling.iter().map(|choice| choice.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(stored("null").ok(), Some(Vec::new()));
        assert_eq!(stored(r#"{"name": "a", "config": "{}"}"#).ok(), Some(vec!["a".to_owned()]));
        assert_eq!(stored(r#"[{"name": "a", "config": "{}"}]"#).ok(), Some(vec!["a".to_owned()]));
    }
}
