//! The checked settings of each part, with their defaults. The binary's `config` fills them from `windlass.toml`, flags
//! and environment.

mod api;
mod engine;
mod profile;
mod store;

pub use self::api::{ApiSettings, LocalAccess, TlsFiles};
pub use self::engine::{AgentSettings, EngineKind, EngineSettings};
pub use self::profile::Profile;
pub use self::store::{StoreLimits, StoreSettings};

use crate::{ContainerId, GrantedTarget};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Limits of one policy call, and of compiling a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Wall time of one decision or evaluation. Default 250 ms; up to 5 s.
    pub decision_time: Duration,
    /// Wall time of `describe` and `configure` together. Default 1 s; up to 10 s.
    pub manifest_time: Duration,
    /// Linear memory in bytes, summed over the store of one call. Default 64 MiB; up to 256 MiB.
    pub memory_bytes: u64,
    /// Linear memories in one store. Default 4.
    pub memories: u32,
    /// Core instances in one store. Default 64.
    pub core_instances: u32,
    /// Tables in one store. Default 20.
    pub tables: u32,
    /// Elements of one table. Default 100 000.
    pub table_elements: u32,
    /// Bytes the host may allocate for a component's data in one call. Default 1 MiB; up to 8 MiB.
    pub hostcall_bytes: u64,
    /// Resource handles alive at once. Default 1 000.
    pub handles: u32,
    /// Stack of the guest in bytes. Default 512 KiB.
    pub stack_bytes: u64,
    /// Random bytes provided in one call. Default 64 KiB.
    pub random_bytes: u64,
    /// Log lines kept of one call. Default 32.
    pub log_lines: u32,
    /// Bytes kept of one log line. Default 1 KiB.
    pub log_line_bytes: u64,
    /// Bytes kept of stdout and stderr together. Default 16 KiB.
    pub output_bytes: u64,
    /// Bytes of memory a policy may return. Default 64 KiB.
    pub returned_memory_bytes: u64,
    /// Bytes of one reason. Default 1 KiB.
    pub reason_bytes: u64,
    /// Size of a component in bytes. Default 40 MiB.
    pub component_bytes: u64,
    /// Calls in flight at once; at most half of them for one policy. Further calls wait. Default 8.
    pub concurrent_calls: u32,
    /// Wall time of compiling one component. Default 30 s.
    pub compile_time: Duration,
    /// Address space of the compiling process in bytes. Default 2 GiB.
    pub compile_memory_bytes: u64,
    /// Revisions kept of a pushed policy. Default 10.
    pub revisions_kept: u32,
    /// Calls in a new revision's probation. Default 20.
    pub trial_calls: u32,
    /// Failed calls during probation that roll the revision back. Default 3.
    pub trial_failures: u32,
    /// Failed calls in a row for a workload, after which another policy takes the policy's place there. Default 5.
    pub failures_in_row: u32,
    /// Pushed policies. Default 100.
    pub policies: u32,
    /// Bytes of machine code of all pushed policies in memory. Default 512 MiB.
    pub loaded_bytes: u64,
    /// Bytes of the components of all pushed policies, and of all machine code, on disk. Default 2 GiB.
    pub stored_bytes: u64,
    /// Network access during a decision. Default `None`: no access. It is only granted to a policy by name, never to
    /// all.
    pub http: Option<HttpGrant>,
}

/// Outgoing HTTP that a policy was granted. Each limit applies to one decision or evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Allowed targets; never empty.
    pub hosts: Vec<GrantedTarget>,
    /// Wall time from the first request to the end of the last response, in addition to the policy's own time. Default
    /// 1 s.
    pub time: Duration,
    /// Requests. Default 4.
    pub requests: u32,
    /// Bytes of one request's body. Default 64 KiB.
    pub request_bytes: u64,
    /// Bytes of one response's body. Default 256 KiB.
    pub response_bytes: u64,
}

impl Default for HttpGrant {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            time: Duration::from_secs(1),
            requests: 4,
            request_bytes: 64 << 10,
            response_bytes: 256 << 10,
        }
    }
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self {
            decision_time: Duration::from_millis(250),
            manifest_time: Duration::from_secs(1),
            memory_bytes: 64 << 20,
            memories: 4,
            core_instances: 64,
            tables: 20,
            table_elements: 100_000,
            hostcall_bytes: 1 << 20,
            handles: 1_000,
            stack_bytes: 512 << 10,
            random_bytes: 64 << 10,
            log_lines: 32,
            log_line_bytes: 1 << 10,
            output_bytes: 16 << 10,
            returned_memory_bytes: 64 << 10,
            reason_bytes: 1 << 10,
            component_bytes: 40 << 20,
            concurrent_calls: 8,
            compile_time: Duration::from_secs(30),
            compile_memory_bytes: 2 << 30,
            revisions_kept: 10,
            trial_calls: 20,
            trial_failures: 3,
            failures_in_row: 5,
            policies: 100,
            loaded_bytes: 512 << 20,
            stored_bytes: 2 << 30,
            http: None,
        }
    }
}

/// Settings of policies: for all of them, and for some by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySettings {
    /// The limits of policies without their own.
    pub limits: PolicyLimits,
    /// `[policies.NAME]`.
    pub named: BTreeMap<String, NamedPolicy>,
    /// A folder whose components are policies. `None` if there is none.
    pub folder: Option<PathBuf>,
}

impl PolicySettings {
    /// The limits of one policy.
    pub fn limits_of(&self, name: &str) -> &PolicyLimits {
        self.named.get(name).map_or(&self.limits, |named| &named.limits)
    }

    /// The highest limit of any policy for memory, table elements and component size; the other limits are the general
    /// ones.
    pub fn widest(&self) -> PolicyLimits {
        let mut widest = self.limits.clone();
        for named in self.named.values() {
            widest.memory_bytes = widest.memory_bytes.max(named.limits.memory_bytes);
            widest.table_elements = widest.table_elements.max(named.limits.table_elements);
            widest.component_bytes = widest.component_bytes.max(named.limits.component_bytes);
        }
        widest
    }
}

/// The same limits for every policy.
impl From<PolicyLimits> for PolicySettings {
    fn from(limits: PolicyLimits) -> Self {
        Self { limits, ..Self::default() }
    }
}

/// Settings of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamedPolicy {
    /// The source of its component. `None` if it is pushed through the API.
    pub source: Option<PolicyOrigin>,
    /// Its own limits, which take precedence over the general ones.
    pub limits: PolicyLimits,
}

/// The source of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// A file that is checked for changes at intervals.
    File(PathBuf),
    /// An OCI registry: `host/repository:tag` or `host/repository@sha256:…`.
    Oci(String),
}

impl PolicyOrigin {
    /// The prefix of a registry reference.
    pub const OCI: &str = "oci://";
}

impl std::fmt::Display for PolicyOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Oci(reference) => write!(f, "{}{reference}", Self::OCI),
        }
    }
}

/// Intervals and limits of the control loop.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlSettings {
    /// Time between two passes of a workload if nothing wakes it. Jitter shortens it by up to a tenth, at most 2 s, so
    /// that passes spread out. Default 15 s.
    pub interval: Duration,
    /// Time a replica's process has to end before it is killed. Default 10 s.
    pub stop_grace: Duration,
    /// Delay before the second consecutive restart of a slot; the first is immediate. Default 10 s.
    pub backoff_base: Duration,
    /// The delay doubles up to this. Default 5 min.
    pub backoff_max: Duration,
    /// Time a slot must be healthy to reset its backoff. Default 10 min.
    pub backoff_reset: Duration,
    /// Consecutive restarts and replacements after which a slot is given up; 0 for never. Default 12, which take about
    /// 35 min: few dependencies of a replica are down for longer.
    pub restart_limit: u32,
    /// URL that alerts are posted to. `None` if alerts are not sent.
    pub alert_url: Option<String>,
    /// Share of a workload's replicas repaired at once, at least one replica. Default a third; above 0, at most 1.
    pub heal_share: f64,
    /// Probe results kept of a replica. Default 10.
    pub probes_kept: usize,
    /// Passes of a workload in one hour that its scaling policy may cause by `evaluate-after`. Default 720.
    pub early_passes: u32,
    /// Decisions kept of a workload. Default 1 000.
    pub decisions_kept: u32,
    /// Whether a workload may use the network of the engine's host, equal to `engine.host_network`. Default false.
    pub host_network: bool,
    /// The scaling policy of workloads that name none. `None` for the built-in one.
    pub scaling_policy: Option<String>,
    /// Its configuration, JSON text. Default `{}`.
    pub scaling_config: String,
    /// The health policy of workloads that name none. `None` for the built-in one.
    pub health_policy: Option<String>,
    /// Its configuration, JSON text. Default `{}`.
    pub health_config: String,
    /// `[profiles.NAME]`: settings that labels of services name.
    pub profiles: BTreeMap<String, Profile>,
    /// The container in which this Windlass runs: its identifier, or the beginning of it. Its service is never adopted.
    /// `None` if Windlass runs in no container.
    pub own_container: Option<ContainerId>,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            stop_grace: Duration::from_secs(10),
            backoff_base: Duration::from_secs(10),
            backoff_max: Duration::from_secs(300),
            backoff_reset: Duration::from_secs(600),
            restart_limit: 12,
            alert_url: None,
            heal_share: 1.0 / 3.0,
            probes_kept: 10,
            early_passes: 720,
            decisions_kept: 1_000,
            host_network: false,
            scaling_policy: None,
            scaling_config: "{}".to_owned(),
            health_policy: None,
            health_config: "{}".to_owned(),
            profiles: BTreeMap::new(),
            own_container: None,
        }
    }
}

/// Settings of service discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Host or address under which clients reach published ports. Default `None`: the addresses at which this machine
    /// reaches the replicas.
    pub address: Option<String>,
    /// File written when the ready targets change. `None` for no file.
    pub file: Option<PathBuf>,
    /// Template of the file. `None` for the format of Prometheus service discovery from files.
    pub template: Option<PathBuf>,
    /// Program and arguments that check a new file before it replaces the good one; `{}` stands for the path of the new
    /// file. Default: empty, no check.
    pub check: Vec<String>,
    /// Program and arguments, run after the file was written. Default: empty, no command.
    pub command: Vec<String>,
    /// Time that the check and the command each have before they are killed. Default 10 s.
    pub command_timeout: Duration,
    /// URL that the ready targets are posted to when they change. `None` for no webhook.
    pub webhook: Option<String>,
    /// Time limit of the webhook's response. Default 5 s.
    pub webhook_timeout: Duration,
    /// The longest time a replica is kept running before a stop, so that discovery can be updated first. Default 5 s.
    pub leave_timeout: Duration,
}

impl Default for DiscoverySettings {
    fn default() -> Self {
        Self {
            address: None,
            file: None,
            template: None,
            check: Vec::new(),
            command: Vec::new(),
            command_timeout: Duration::from_secs(10),
            webhook: None,
            webhook_timeout: Duration::from_secs(5),
            leave_timeout: Duration::from_secs(5),
        }
    }
}

/// The addresses that outgoing requests may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Whether callbacks, alerts, the webhook, sources of metrics, registries and granted requests may reach private
    /// addresses: the loopback and private networks. Probes and stop hooks always reach replicas. Default true.
    pub private_addresses: bool,
    /// Networks that requests may reach although their addresses are private. Default: none.
    pub allowed_networks: Vec<IpNet>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self { private_addresses: true, allowed_networks: Vec::new() }
    }
}
