//! `[network]` and `[registries.HOST]`: where requests may go.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use windlass_core::Origin;
use windlass_core::settings::NetworkSettings;

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
