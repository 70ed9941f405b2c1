//! The checked settings of each part, with their defaults. The binary's `config` fills them from `windlass.toml`, flags
//! and environment.

use crate::{Listen, Origin};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
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
    pub hosts: Vec<Origin>,
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

/// The address of the engine, and limits of its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// Name of this Windlass on the engine: only containers with this name in their label are changed. Default
    /// `default`.
    pub instance: String,
    /// The engine's address: a socket path or a `unix://`, `tcp://`, `http://`, `https://` address. `None`:
    /// `DOCKER_HOST`, else the default socket.
    pub host: Option<String>,
    /// Time limit of a short call (list, inspect, create). Default 30 s.
    pub call_timeout: Duration,
    /// Time limit of pulling an image. Default 10 min.
    pub pull_timeout: Duration,
    /// Creates, starts and stops in flight at once. Default 4: an engine starts about four containers a second,
    /// regardless of the number of requests.
    pub concurrent_actions: u32,
    /// Time between two samples of resource use. Default 5 s.
    pub sample_interval: Duration,
    /// The address of the engine's host on which ports are published that name none. `None`: the engine's default, which
    /// is every address.
    pub publish_address: Option<IpAddr>,
    /// Whether a workload may use the network of the engine's host. Default false.
    pub host_network: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            instance: "default".to_owned(),
            host: None,
            call_timeout: Duration::from_secs(30),
            pull_timeout: Duration::from_secs(600),
            concurrent_actions: 4,
            sample_interval: Duration::from_secs(5),
            publish_address: None,
            host_network: false,
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
            decisions_kept: 1_000,
            host_network: false,
            scaling_policy: None,
            scaling_config: "{}".to_owned(),
            health_policy: None,
            health_config: "{}".to_owned(),
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

/// The rights of callers on the loopback that send no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalAccess {
    /// Every request.
    Full,
    /// Requests that change nothing.
    ReadOnly,
    /// Only what is public, such as `GET /health`.
    Off,
}

/// Settings of the API server.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The address and the Unix socket that the server listens on. Default `127.0.0.1:8000`.
    pub listen: Listen,
    /// The group of the Unix socket, by name or number. `None` for the group of the process.
    pub socket_group: Option<String>,
    /// The token that callers must send. `None` if anyone may call. Callers of the Unix socket need none.
    pub token: Option<String>,
    /// The rights of callers on the loopback without a token. `None` for [`Self::local_access`]'s default.
    pub local: Option<LocalAccess>,
    /// Size of a request's body in bytes. Default 1 MiB.
    pub body_bytes: usize,
    /// Size of an uploaded component in bytes, equal to `policy.component_bytes`. Default 40 MiB.
    pub upload_bytes: usize,
    /// Time limit for receiving the headers of a request. Default 10 s.
    pub header_timeout: Duration,
    /// Requests served at once, without those whose body is still arriving; more are answered with 503. Default 256.
    pub concurrent_requests: usize,
    /// Requests of one peer address in progress, with those whose body is still arriving; more are answered with 503.
    /// Default 128.
    pub requests_per_peer: usize,
    /// Connections open at once. A further one closes the one that is idle for the longest time; if none is idle, only its
    /// `GET /health` is served. Default 1 024.
    pub connections: usize,
    /// Connections of one peer address open at once; a further one closes an idle one of the same peer. Default 512.
    pub connections_per_peer: usize,
    /// Time that requests in progress have to end at shutdown. Default 30 s.
    pub shutdown_grace: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)).into(),
            socket_group: None,
            token: None,
            local: None,
            body_bytes: 1 << 20,
            upload_bytes: 40 << 20,
            header_timeout: Duration::from_secs(10),
            concurrent_requests: 256,
            requests_per_peer: 128,
            connections: 1_024,
            connections_per_peer: 512,
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

impl ApiSettings {
    /// The rights of callers on the loopback that send no token. Default: full if there is no token, else off.
    pub fn local_access(&self) -> LocalAccess {
        let default = if self.token.is_some() { LocalAccess::Off } else { LocalAccess::Full };
        self.local.unwrap_or(default)
    }

    /// Whether every caller of the TCP address needs the token to change something.
    pub fn needs_token(&self) -> bool {
        let is_closed = self.token.is_some() || self.listen.is_local();
        self.listen.tcp.is_none() || (is_closed && self.local_access() != LocalAccess::Full)
    }

    /// The people and programs that can change everything, one text for each way.
    pub fn administrators(&self) -> Vec<String> {
        let mut administrators = Vec::new();
        if let Some(address) = self.listen.tcp {
            if self.token.is_none() && !self.listen.is_local() {
                administrators.push(format!("anyone who can connect to {address}, without a token"));
            } else if self.local_access() == LocalAccess::Full {
                administrators.push(format!(
                    "anyone on this machine and every container on the host network, through {address} without a token"
                ));
            }
            if self.token.is_some() {
                administrators.push(format!("anyone who sends the token to {address}"));
            }
        }
        if let Some(path) = &self.listen.socket {
            let group =
                self.socket_group.as_ref().map_or("its group".to_owned(), |group| format!("the group `{group}`"));
            administrators.push(format!("root, the owner of the Unix socket {} and {group}", path.display()));
        }
        administrators
    }
}

impl std::fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("ApiSettings").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The data directory with the database and compiled policies. Created with mode 0700 if it is missing.
    pub data_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_are_those_that_the_settings_let_in() {
        let of = |listen: &str, token: Option<&str>, local: Option<LocalAccess>| {
            let listen = listen.parse().expect("a place");
            let settings = ApiSettings { listen, token: token.map(str::to_owned), local, ..ApiSettings::default() };
            (settings.needs_token(), settings.administrators().join("; "))
        };
        let anyone =
            "anyone on this machine and every container on the host network, through 127.0.0.1:80 without a token";
        assert_eq!(of("127.0.0.1:80", None, None), (false, anyone.to_owned()));
        let (needs_token, text) = of("127.0.0.1:80,unix:/run/a", None, Some(LocalAccess::ReadOnly));
        assert_eq!((needs_token, text.as_str()), (true, "root, the owner of the Unix socket /run/a and its group"));
        assert_eq!(
            of("127.0.0.1:80", Some("x"), None),
            (true, "anyone who sends the token to 127.0.0.1:80".to_owned())
        );
        let (needs_token, text) = of("127.0.0.1:80", Some("x"), Some(LocalAccess::Full));
        assert!(
            !needs_token && text.starts_with(anyone) && text.ends_with("anyone who sends the token to 127.0.0.1:80")
        );
        assert_eq!(
            of("0.0.0.0:80", None, None),
            (false, "anyone who can connect to 0.0.0.0:80, without a token".to_owned())
        );
    }
}
