//! The first stage: the sections and fields of `windlass.toml`, with the range of each field.

use crate::config::agents::RawAgents;
use crate::config::listen::RawListen;
use crate::config::network::{RawNetwork, RawRegistry, RawTarget};
use crate::config::sources::RawSource;
use crate::config::toml_json::json;
use crate::config::types::LogFormat;
use crate::config::values::{ConfigValue, Count, Share, Size, Span, kib, mib, ms, secs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use windlass_core::PolicyChoice;
use windlass_core::settings::{
    ApiSettings, ControlSettings, DiscoverySettings, EngineKind, EngineSettings, HttpGrant, LocalAccess, NamedPolicy,
    PolicyLimits, PolicyOrigin, PolicySettings, StoreLimits,
};

/// Declares one section of the file. A field with a range sets the field of the same name in the settings type. The
/// fields in `more` are checked elsewhere.
macro_rules! section {
    (
        $(#[$doc:meta])*
        $raw:ident for $settings:ty {
            $($field:ident: $kind:ty [$range:expr],)*
        }
        more { $($other:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $raw {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $other: Option<$type>,)*
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }

        impl $raw {
            /// Sets the fields that the file contains; adds a problem for each value out of range.
            pub(super) fn apply(&self, name: &str, settings: &mut $settings, problems: &mut Vec<String>) {
                $(if let Some(value) = self.$field
                    && is_within(&format!("{name}.{}", stringify!($field)), value, &$range, problems)
                {
                    settings.$field = ConfigValue::into_setting(value);
                })*
            }

            /// The section with every setting.
            pub(super) fn from_settings(settings: &$settings) -> Self {
                Self {
                    $($other: None,)*
                    $($field: Some(ConfigValue::from_setting(&settings.$field)),)*
                }
            }
        }
    };
}

section! {
    /// `[api]`: the API server.
    RawApi for ApiSettings {
        body_bytes: Size [kib(1)..=mib(64)],
        header_timeout: Span [ms(100)..=secs(300)],
        write_timeout: Span [ms(100)..=secs(300)],
        concurrent_requests: Count [Count(1)..=Count(65_536)],
        requests_per_peer: Count [Count(1)..=Count(65_536)],
        connections: Count [Count(1)..=Count(65_536)],
        connections_per_peer: Count [Count(1)..=Count(65_536)],
        streams: Count [Count(1)..=Count(65_536)],
        streams_per_peer: Count [Count(1)..=Count(65_536)],
        shutdown_grace: Span [ms(0)..=secs(3_600)],
    }
    more {
        listen: RawListen,
        socket_group: String,
        local: LocalAccess,
        token_file: PathBuf,
        insecure: bool,
        tls_certificate: PathBuf,
        tls_key: PathBuf,
    }
}

section! {
    /// `[engine]`: address and limits of the container engine.
    RawEngine for EngineSettings {
        call_timeout: Span [secs(1)..=secs(600)],
        pull_timeout: Span [secs(1)..=secs(86_400)],
        concurrent_actions: Count [Count(1)..=Count(256)],
        sample_interval: Span [secs(1)..=secs(300)],
    }
    more {
        kind: EngineKind,
        instance: String,
        host: String,
        publish_address: IpAddr,
        host_network: bool,
        agents: RawAgents,
    }
}

section! {
    /// `[control]`: guardrails and timing of the control loop.
    RawControl for ControlSettings {
        interval: Span [secs(1)..=secs(3_600)],
        stop_grace: Span [ms(0)..=secs(3_600)],
        backoff_base: Span [ms(0)..=secs(3_600)],
        backoff_max: Span [ms(0)..=secs(86_400)],
        backoff_reset: Span [secs(1)..=secs(86_400)],
        restart_limit: Count [Count(0)..=Count(1_000)],
        heal_share: Share [Share(0.001)..=Share(1.0)],
        // The thresholds of `liveness` are at most 10 results in a row, so 10 must be kept.
        probes_kept: Count [Count(10)..=Count(1_000)],
        early_passes: Count [Count(0)..=Count(3_600)],
        decisions_kept: Count [Count(1)..=Count(1_000_000)],
    }
    more {
        scaling_policy: String,
        scaling_config: toml::Table,
        health_policy: String,
        health_config: toml::Table,
        alert_url: String,
    }
}

section! {
    /// `[policies.NAME.http]`: grants one policy outgoing HTTP.
    RawHttp for HttpGrant {
        time: Span [ms(10)..=secs(10)],
        requests: Count [Count(1)..=Count(64)],
        request_bytes: Size [Size(0)..=mib(1)],
        response_bytes: Size [Size(1)..=mib(8)],
    }
    more { hosts: Vec<RawTarget>, }
}

/// The two sections that limit policies. The fields in `both` can be set for one policy. The fields in `all` apply to all
/// policies, because the WebAssembly engine is built with them: size of a pool entry, stack, and number of entries.
macro_rules! policy_sections {
    (both { $($both:tt)* } all { $($all:tt)* }) => {
        section! {
            /// `[policy]`: limits of a policy call, and of compiling a policy.
            RawPolicy for PolicyLimits { $($both)* $($all)* }
            more { folder: PathBuf, }
        }

        section! {
            /// `[policies.NAME]`: source of one policy, and limits that override `[policy]`.
            RawNamedPolicy for PolicyLimits { $($both)* }
            more { source: String, http: RawHttp, }
        }
    };
}

policy_sections! {
    both {
        decision_time: Span [ms(1)..=secs(5)],
        manifest_time: Span [ms(1)..=secs(10)],
        memory_bytes: Size [mib(1)..=mib(256)],
        table_elements: Count [Count(1)..=Count(10_000_000)],
        hostcall_bytes: Size [kib(4)..=mib(8)],
        handles: Count [Count(1)..=Count(1_000_000)],
        random_bytes: Size [Size(1)..=mib(16)],
        log_lines: Count [Count(0)..=Count(10_000)],
        log_line_bytes: Size [Size(1)..=kib(64)],
        output_bytes: Size [Size(1)..=mib(1)],
        returned_memory_bytes: Size [Size(1)..=mib(4)],
        reason_bytes: Size [Size(16)..=kib(64)],
        revisions_kept: Count [Count(2)..=Count(1_000)],
        trial_calls: Count [Count(1)..=Count(10_000)],
        trial_failures: Count [Count(1)..=Count(10_000)],
        failures_in_row: Count [Count(1)..=Count(10_000)],
        component_bytes: Size [kib(4)..=mib(256)],
        compile_time: Span [secs(1)..=secs(600)],
        compile_memory_bytes: Size [mib(256)..=mib(64 << 10)],
    }
    all {
        memories: Count [Count(1)..=Count(64)],
        core_instances: Count [Count(1)..=Count(1_000)],
        tables: Count [Count(1)..=Count(1_000)],
        stack_bytes: Size [kib(64)..=mib(1)],
        concurrent_calls: Count [Count(2)..=Count(1_000)],
        policies: Count [Count(1)..=Count(10_000)],
        loaded_bytes: Size [mib(1)..=mib(64 << 10)],
        stored_bytes: Size [mib(1)..=mib(1 << 20)],
    }
}

section! {
    /// `[discovery]`: subscribers to the list of replicas.
    RawDiscovery for DiscoverySettings {
        command_timeout: Span [ms(100)..=secs(300)],
        webhook_timeout: Span [ms(10)..=secs(60)],
        leave_timeout: Span [ms(0)..=secs(60)],
    }
    more {
        address: String,
        file: PathBuf,
        template: PathBuf,
        check: Vec<String>,
        command: Vec<String>,
        webhook: String,
    }
}

section! {
    /// `[store]`: location of the data, and budgets of what is stored.
    RawStore for StoreLimits {
        max_bytes: Size [mib(16)..=mib(1 << 20)],
        decision_bytes: Size [kib(16)..=mib(64)],
        workload_bytes: Size [mib(1)..=mib(64 << 10)],
        daily_bytes: Size [mib(1)..=mib(1 << 20)],
        audit_kept: Count [Count(100)..=Count(1_000_000)],
        audit_age: Span [secs(86_400)..=secs(3_650 * 86_400)],
    }
    more { data_dir: PathBuf, }
}

/// `[log]`: levels and format of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// Levels by module.
    pub filter: Option<String>,
    /// `auto`, `human` or `json`.
    pub format: Option<LogFormat>,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    /// The API server.
    pub api: RawApi,
    /// The container engine.
    pub engine: RawEngine,
    /// The control loop.
    pub control: RawControl,
    /// Limits of policy calls.
    pub policy: RawPolicy,
    /// Single policies, by name.
    pub policies: BTreeMap<String, RawNamedPolicy>,
    /// Settings that labels of services name, by the name of the profile.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, toml::Table>,
    /// Subscribers to the list of replicas.
    pub discovery: RawDiscovery,
    /// Access to the sources of metrics, by any name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metric_sources: BTreeMap<String, RawSource>,
    /// The addresses that requests may reach.
    pub network: RawNetwork,
    /// Other hosts that registries may name, by the host of the registry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub registries: BTreeMap<String, RawRegistry>,
    /// Location of the data.
    pub store: RawStore,
    /// The log.
    pub log: RawLog,
}

impl RawNamedPolicy {
    /// Checks the section of the policy `name`; `limits` are those of `[policy]`.
    fn check(&self, name: &str, limits: &PolicyLimits, problems: &mut Vec<String>) -> NamedPolicy {
        let section = format!("policies.{}", name.escape_debug());
        if !PolicyChoice::is_name(name) {
            problems.push(format!(
                "`{section}`: the name of a policy must be 1 to 63 lower-case letters, digits and hyphens"
            ));
        }
        let mut named = NamedPolicy { limits: limits.clone(), ..NamedPolicy::default() };
        self.apply(&section, &mut named.limits, problems);
        named.limits.http = self.http.as_ref().map(|http| http.check(&format!("{section}.http"), problems));
        named.source = self.source.as_deref().and_then(|source| match source.split_once("://") {
            None if !source.is_empty() => Some(PolicyOrigin::File(source.into())),
            Some(("oci", reference)) if is_reference(reference) => Some(PolicyOrigin::Oci(reference.to_owned())),
            _ => {
                problems.push(format!(
                    "`{section}.source` is `{}`; expected the path of a component, or `oci://host/repository:tag`",
                    source.escape_debug()
                ));
                None
            }
        });
        named
    }
}

impl RawHttp {
    /// Checks the grant.
    fn check(&self, section: &str, problems: &mut Vec<String>) -> HttpGrant {
        let mut grant = HttpGrant::default();
        self.apply(section, &mut grant, problems);
        for (index, target) in self.hosts.iter().flatten().enumerate() {
            grant.hosts.extend(target.check(&format!("{section}.hosts[{index}]"), problems));
        }
        if self.hosts.as_ref().is_none_or(Vec::is_empty) {
            problems.push(format!(
                "`{section}.hosts` is empty; list the hosts that the policy may send requests to: `[\"https://host\"]`"
            ));
        }
        grant
    }
}

/// Whether the text is an `http` or `https` address with a host.
fn is_web_address(text: &str) -> bool {
    let uri: Option<http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Whether the text looks like a registry reference. Fetching checks the rest of its form.
fn is_reference(text: &str) -> bool {
    let parts = text.split_once('/').filter(|(host, repository)| !host.is_empty() && !repository.is_empty());
    parts.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The settings of the sections that have ranges.
pub(super) struct Settings {
    pub(super) api: ApiSettings,
    pub(super) engine: EngineSettings,
    pub(super) control: ControlSettings,
    pub(super) policy: PolicySettings,
    pub(super) store: StoreLimits,
}

impl RawConfig {
    /// The defaults, overridden by the file; adds a problem for each value out of range.
    pub(super) fn settings(&self, problems: &mut Vec<String>) -> Settings {
        let mut settings = Settings {
            api: ApiSettings::default(),
            engine: EngineSettings::default(),
            control: ControlSettings::default(),
            policy: PolicySettings::default(),
            store: StoreLimits::default(),
        };
        self.api.apply("api", &mut settings.api, problems);
        self.engine.apply("engine", &mut settings.engine, problems);
        self.control.apply("control", &mut settings.control, problems);
        self.policy.apply("policy", &mut settings.policy.limits, problems);
        self.store.apply("store", &mut settings.store, problems);
        for (name, raw) in &self.policies {
            let named = raw.check(name, &settings.policy.limits, problems);
            settings.policy.named.insert(name.clone(), named);
        }
        let control = &mut settings.control;
        control.alert_url.clone_from(&self.control.alert_url);
        if self.control.alert_url.as_deref().is_some_and(|url| !is_web_address(url)) {
            // The address may contain a secret, so the message does not repeat it.
            problems.push(
                "`control.alert_url` is not an address; expected one such as `https://example.org/alerts`".to_owned(),
            );
        }
        for (name, table, config) in [
            ("control.scaling_config", &self.control.scaling_config, &mut control.scaling_config),
            ("control.health_config", &self.control.health_config, &mut control.health_config),
        ] {
            match table.as_ref().map(|table| json(&toml::Value::Table(table.clone()))) {
                Some(Some(value)) => *config = value.to_string(),
                Some(None) => problems
                    .push(format!("`{name}` has a date or a number that JSON cannot express; write a date as text")),
                None => {}
            }
        }
        settings
    }
}

/// Sets `control.interval` and checks its range.
pub(super) fn set_interval(interval: Duration, control: &mut ControlSettings, problems: &mut Vec<String>) {
    RawControl { interval: Some(Span(interval)), ..RawControl::default() }.apply("control", control, problems);
}

fn is_within<T: PartialOrd + Display + Copy>(
    name: &str,
    value: T,
    range: &RangeInclusive<T>,
    problems: &mut Vec<String>,
) -> bool {
    let within = range.contains(&value);
    if !within {
        problems.push(format!("`{name}` is {value}; expected {} to {}", range.start(), range.end()));
    }
    within
}
