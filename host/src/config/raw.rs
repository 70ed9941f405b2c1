//! The first stage: what `windlass.toml` may say, field by field, with the range of each.

use crate::config::LogFormat;
use crate::config::kinds::{Count, Share, Size, Span, Stands, kib, mib, ms, secs};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use windlass_core::PolicyChoice;
use windlass_core::settings::{
    ApiSettings, ControlSettings, DiscoverySettings, EngineSettings, HttpGrant, NamedPolicy, PolicyLimits,
    PolicyOrigin, PolicySettings,
};
use windlass_core::text::nearest;

/// One section of the file: fields with a range, which become the fields of the same name of a settings
/// type, and `more` that [`crate::config::check`] deals with.
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
        #[expect(missing_docs, reason = "the fields are documented where they are used: `model::settings`")]
        pub struct $raw {
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $other: Option<$type>,)*
            $(#[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)*
        }

        impl $raw {
            /// Puts what was said over the defaults; notes what is out of its range.
            pub(super) fn apply(&self, name: &str, settings: &mut $settings, problems: &mut Vec<String>) {
                $(if let Some(value) = self.$field
                    && is_within(&format!("{name}.{}", stringify!($field)), value, &$range, problems)
                {
                    settings.$field = Stands::setting(value);
                })*
            }

            /// Says every setting.
            pub(super) fn showing(settings: &$settings) -> Self {
                Self {
                    $($other: None,)*
                    $($field: Some(Stands::showing(&settings.$field)),)*
                }
            }
        }
    };
}

section! {
    /// `[api]`: how the API is served.
    RawApi for ApiSettings {
        body_bytes: Size [kib(1)..=mib(64)],
        header_timeout: Span [ms(100)..=secs(300)],
        concurrent_requests: Count [Count(1)..=Count(65_536)],
        connections: Count [Count(1)..=Count(65_536)],
        shutdown_grace: Span [ms(0)..=secs(3_600)],
    }
    more { listen: SocketAddr, token_file: PathBuf, insecure: bool, }
}

section! {
    /// `[engine]`: how the engine is reached and treated.
    RawEngine for EngineSettings {
        call_timeout: Span [secs(1)..=secs(600)],
        pull_timeout: Span [secs(1)..=secs(86_400)],
        concurrent_actions: Count [Count(1)..=Count(256)],
        sample_interval: Span [secs(1)..=secs(300)],
    }
    more { instance: String, host: String, }
}

section! {
    /// `[control]`: guardrails and pace of the control loop.
    RawControl for ControlSettings {
        interval: Span [secs(1)..=secs(3_600)],
        stop_grace: Span [ms(0)..=secs(3_600)],
        backoff_base: Span [ms(0)..=secs(3_600)],
        backoff_max: Span [ms(0)..=secs(86_400)],
        backoff_reset: Span [secs(1)..=secs(86_400)],
        restart_limit: Count [Count(0)..=Count(1_000)],
        heal_share: Share [Share(0.001)..=Share(1.0)],
        // Thresholds of `liveness` are at most 10 results in a row, which must be there.
        probes_kept: Count [Count(10)..=Count(1_000)],
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
    /// `[policies.NAME.http]`: outgoing HTTP that one policy is granted.
    RawHttp for HttpGrant {
        time: Span [ms(10)..=secs(10)],
        requests: Count [Count(1)..=Count(64)],
        request_bytes: Size [Size(0)..=mib(1)],
        response_bytes: Size [Size(1)..=mib(8)],
    }
    more { hosts: Vec<String>, }
}

/// The two sections that limit policies: fields that both have, and those that are for all policies alike because the
/// engine is built with them: what one store of its pool can hold, its stack, and how many there are.
macro_rules! policy_sections {
    (both { $($both:tt)* } all { $($all:tt)* }) => {
        section! {
            /// `[policy]`: limits of one policy call, and of compiling a policy.
            RawPolicy for PolicyLimits { $($both)* $($all)* }
            more { folder: PathBuf, }
        }

        section! {
            /// `[policies.NAME]`: where one policy comes from, and its own limits over those of `[policy]`.
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
    }
}

section! {
    /// `[discovery]`: who is told where the replicas are.
    RawDiscovery for DiscoverySettings {
        command_timeout: Span [ms(100)..=secs(300)],
        webhook_timeout: Span [ms(10)..=secs(60)],
        leave_timeout: Span [ms(0)..=secs(60)],
    }
    more {
        address: String,
        file: PathBuf,
        template: PathBuf,
        command: Vec<String>,
        webhook: String,
    }
}

/// `[store]`: where things are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawStore {
    /// The data directory.
    pub data_dir: Option<PathBuf>,
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// Levels by module.
    pub filter: Option<String>,
    /// `auto`, `human` or `json`.
    pub format: Option<LogFormat>,
}

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// How the API is served.
    pub api: RawApi,
    /// How the engine is reached and treated.
    pub engine: RawEngine,
    /// Guardrails and pace of the control loop.
    pub control: RawControl,
    /// Limits of policy calls.
    pub policy: RawPolicy,
    /// Policies by their names.
    pub policies: BTreeMap<String, RawNamedPolicy>,
    /// Who is told where the replicas are.
    pub discovery: RawDiscovery,
    /// Where things are kept.
    pub store: RawStore,
    /// What is logged, and how.
    pub log: RawLog,
}

impl RawNamedPolicy {
    /// What is said of the policy `name`, over the limits of all.
    fn checked(&self, name: &str, limits: &PolicyLimits, problems: &mut Vec<String>) -> NamedPolicy {
        let place = format!("policies.{}", name.escape_debug());
        if !PolicyChoice::is_name(name) {
            problems.push(format!("`{place}`: a policy's name is 1 to 63 lower-case letters, digits and hyphens"));
        }
        let mut named = NamedPolicy { limits: limits.clone(), ..NamedPolicy::default() };
        self.apply(&place, &mut named.limits, problems);
        named.limits.http = self.http.as_ref().map(|http| http.checked(&format!("{place}.http"), problems));
        named.source = self.source.as_deref().and_then(|source| match source.split_once("://") {
            None if !source.is_empty() => Some(PolicyOrigin::File(source.into())),
            Some(("oci", reference)) if is_reference(reference) => Some(PolicyOrigin::Oci(reference.to_owned())),
            _ => {
                problems.push(format!(
                    "`{place}.source` is `{}`; expected the path of a component, or `oci://host/repository:tag`",
                    source.escape_debug()
                ));
                None
            }
        });
        named
    }
}

impl RawHttp {
    /// What is granted.
    fn checked(&self, place: &str, problems: &mut Vec<String>) -> HttpGrant {
        let mut grant = HttpGrant::default();
        self.apply(place, &mut grant, problems);
        for (index, host) in self.hosts.iter().flatten().enumerate() {
            match host.parse() {
                Ok(origin) => grant.hosts.push(origin),
                Err(why) => problems.push(format!("`{place}.hosts[{index}]` is `{}`; {why}", host.escape_debug())),
            }
        }
        if self.hosts.as_ref().is_none_or(Vec::is_empty) {
            problems.push(format!("`{place}.hosts` names nobody; expected the hosts it may ask: `[\"https://host\"]`"));
        }
        grant
    }
}

/// Whether it is an `http` or `https` address with a host.
fn is_web_address(text: &str) -> bool {
    let uri: Option<http::Uri> = text.parse().ok();
    uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Whether it can be a reference into a registry; the rest of its form is looked at where it is fetched.
fn is_reference(text: &str) -> bool {
    let parts = text.split_once('/').filter(|(host, repository)| !host.is_empty() && !repository.is_empty());
    parts.is_some() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What the sections with ranges came to.
pub(super) struct Settings {
    pub(super) api: ApiSettings,
    pub(super) engine: EngineSettings,
    pub(super) control: ControlSettings,
    pub(super) policy: PolicySettings,
}

impl RawConfig {
    /// Defaults with what the file says over them; notes what is out of its range.
    pub(super) fn settings(&self, problems: &mut Vec<String>) -> Settings {
        let mut settings = Settings {
            api: ApiSettings::default(),
            engine: EngineSettings::default(),
            control: ControlSettings::default(),
            policy: PolicySettings::default(),
        };
        self.api.apply("api", &mut settings.api, problems);
        self.engine.apply("engine", &mut settings.engine, problems);
        self.control.apply("control", &mut settings.control, problems);
        self.policy.apply("policy", &mut settings.policy.limits, problems);
        for (name, raw) in &self.policies {
            let named = raw.checked(name, &settings.policy.limits, problems);
            settings.policy.named.insert(name.clone(), named);
        }
        let control = &mut settings.control;
        control.alert_url.clone_from(&self.control.alert_url);
        if self.control.alert_url.as_deref().is_some_and(|url| !is_web_address(url)) {
            // What it is may be a secret: it is not repeated.
            problems.push(
                "`control.alert_url` is no address; expected one such as `https://example.org/alerts`".to_owned(),
            );
        }
        for (name, table, config) in [
            ("control.scaling_config", &self.control.scaling_config, &mut control.scaling_config),
            ("control.health_config", &self.control.health_config, &mut control.health_config),
        ] {
            match table.as_ref().map(|table| json(&toml::Value::Table(table.clone()))) {
                Some(Some(value)) => *config = value.to_string(),
                Some(None) => problems.push(format!("`{name}` has a date or a number that JSON has no form for")),
                None => {}
            }
        }
        settings
    }
}

/// Sets the interval as the file's own field would.
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

/// A TOML value as JSON; none when it has no such form.
fn json(value: &toml::Value) -> Option<serde_json::Value> {
    Some(match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(elements) => elements.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let entries: Option<serde_json::Map<_, _>> =
                table.iter().map(|(name, value)| Some((name.clone(), json(value)?))).collect();
            entries?.into()
        }
    })
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads the text of a file.
pub(super) fn parse(text: &str) -> Result<RawConfig, Malformed> {
    let deserializer = toml::Deserializer::parse(text).map_err(|error| malformed(text, "", &error))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        malformed(text, path.trim_matches('.'), error.inner())
    })
}

fn malformed(text: &str, path: &str, error: &toml::de::Error) -> Malformed {
    let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or(text));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Malformed { line, column, message: message(path, error.message().trim()) }
}

/// The library's message with the field it is about, and the nearest right name of an unknown one.
fn message(path: &str, said: &str) -> String {
    let said =
        &said.replace("invalid socket address syntax", "expected an address and a port such as `127.0.0.1:8000`");
    let Some((wrong, expected)) = said.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) else {
        return if path.is_empty() { said.to_owned() } else { format!("`{path}`: {said}") };
    };
    // The path of an unknown field ends with its name or with its section, as the library likes.
    let section = path.strip_suffix(wrong).unwrap_or(path).trim_end_matches('.');
    let key = if section.is_empty() { wrong.to_owned() } else { format!("{section}.{wrong}") };
    // Known names stand between backticks: every second piece.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    match nearest(wrong, &known) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; expected {}", known.join(", ")),
    }
}
