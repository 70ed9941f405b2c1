//! `[network]`, `[registries.HOST]` and the targets of `[policies.NAME.http]`: where requests may go.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use windlass_core::settings::NetworkSettings;
use windlass_core::{GrantedTarget, Origin};

/// `[network]`: the addresses that requests may reach.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    /// Whether requests may reach private addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_addresses: Option<bool>,
    /// Networks that are reached although they are private.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_networks: Option<Vec<String>>,
}

impl RawNetwork {
    /// Checks the section.
    pub(super) fn check(&self, problems: &mut Vec<String>) -> NetworkSettings {
        let mut settings = NetworkSettings::default();
        if let Some(private_addresses) = self.private_addresses {
            settings.private_addresses = private_addresses;
        }
        for (index, text) in self.allowed_networks.iter().flatten().enumerate() {
            let one = || text.parse().map(IpAddr::into).ok();
            match text.parse().ok().or_else(one) {
                Some(network) => settings.allowed_networks.push(network),
                None => problems.push(format!(
                    "`network.allowed_networks[{index}]` is `{}`; expected a network such as `10.0.0.0/8`",
                    text.escape_debug()
                )),
            }
        }
        settings
    }

    /// The section with every setting.
    pub(super) fn from_settings(settings: &NetworkSettings) -> Self {
        Self {
            private_addresses: Some(settings.private_addresses),
            allowed_networks: Some(settings.allowed_networks.iter().map(ToString::to_string).collect()),
        }
    }
}

/// `[registries.HOST]`: other hosts that a registry may name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegistry {
    /// The hosts, `https://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
}

impl From<&Vec<Origin>> for RawRegistry {
    fn from(hosts: &Vec<Origin>) -> Self {
        Self { hosts: Some(hosts.iter().map(ToString::to_string).collect()) }
    }
}

/// Checks all sections of registries.
pub(super) fn registries(
    raw: &BTreeMap<String, RawRegistry>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, Vec<Origin>> {
    let mut registries = BTreeMap::new();
    for (name, registry) in raw {
        let section = format!("registries.\"{}\"", name.escape_debug());
        if format!("https://{name}").parse::<Origin>().is_err() {
            problems.push(format!("`{section}`: the name must be the host of a registry: `host` or `host:port`"));
        }
        let hosts = checked(&format!("{section}.hosts"), registry.hosts.as_deref().unwrap_or_default(), problems);
        if registry.hosts.as_ref().is_none_or(Vec::is_empty) {
            problems.push(format!(
                "`{section}.hosts` is empty; list the hosts that the registry may name: `[\"https://auth.example\"]`"
            ));
        }
        registries.insert(name.clone(), hosts);
    }
    registries
}

fn checked(name: &str, hosts: &[String], problems: &mut Vec<String>) -> Vec<Origin> {
    let mut origins = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        match host.parse() {
            Ok(origin) => origins.push(origin),
            Err(why) => problems.push(format!("`{name}[{index}]` is `{}`; {why}", host.escape_debug())),
        }
    }
    origins
}

/// A target of granted requests: `"https://host"`, or a table that also limits methods and paths.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum RawTarget {
    /// A host with every method and path.
    Host(String),
    /// A host with some methods and paths.
    Limited(RawLimitedTarget),
}

/// A host with some methods and paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimitedTarget {
    /// The host, `https://host:port`.
    host: String,
    /// The methods. Absent: every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    methods: Vec<String>,
    /// The prefixes of paths. Absent: every path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
}

/// By the type of the value, so that the errors name the wrong field.
impl<'de> Deserialize<'de> for RawTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Target;
        impl<'de> Visitor<'de> for Target {
            type Value = RawTarget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a host such as \"https://host\" or a table with `host`, `methods` and `paths`")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawTarget, E> {
                Ok(RawTarget::Host(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTarget, A::Error> {
                RawLimitedTarget::deserialize(MapAccessDeserializer::new(map)).map(RawTarget::Limited)
            }
        }
        deserializer.deserialize_any(Target)
    }
}

impl RawTarget {
    /// Checks a target. `None` if it is invalid.
    pub(super) fn check(&self, name: &str, problems: &mut Vec<String>) -> Option<GrantedTarget> {
        let (host, methods, paths, field) = match self {
            Self::Host(host) => (host, &Vec::new(), &Vec::new(), ""),
            Self::Limited(RawLimitedTarget { host, methods, paths }) => (host, methods, paths, ".host"),
        };
        let before = problems.len();
        for method in methods.iter().filter(|method| !GrantedTarget::is_method(method)) {
            let shown = method.escape_debug();
            problems.push(format!("`{name}.methods` has `{shown}`; expected a method in upper case such as `GET`"));
        }
        for path in paths.iter().filter(|path| !GrantedTarget::is_path(path)) {
            let shown = path.escape_debug();
            problems.push(format!(
                "`{name}.paths` has `{shown}`; expected the beginning of a path such as `/api/`, without `..`"
            ));
        }
        match host.parse::<Origin>() {
            Ok(host) if problems.len() == before => {
                Some(GrantedTarget { host, methods: methods.clone(), paths: paths.clone() })
            }
            Ok(_) => None,
            Err(why) => {
                problems.push(format!("`{name}{field}` is `{}`; {why}", host.escape_debug()));
                None
            }
        }
    }
}

impl From<&GrantedTarget> for RawTarget {
    fn from(target: &GrantedTarget) -> Self {
        let GrantedTarget { host, methods, paths } = target;
        if methods.is_empty() && paths.is_empty() {
            return Self::Host(host.to_string());
        }
        Self::Limited(RawLimitedTarget { host: host.to_string(), methods: methods.clone(), paths: paths.clone() })
    }
}
