//! Writes a configuration as a complete `windlass.toml`, without secrets.

use crate::config::agents::RawAgents;
use crate::config::listen::RawListen;
use crate::config::network::{RawNetwork, RawRegistry, RawTarget};
use crate::config::profiles::tables;
use crate::config::raw::{
    RawApi, RawConfig, RawControl, RawDiscovery, RawEngine, RawHttp, RawLog, RawNamedPolicy, RawPolicy, RawStore,
};
use crate::config::sources::RawSource;
use crate::config::toml_json::json;
use crate::config::types::Config;
use windlass_core::SourceUrl;
use windlass_core::settings::NamedPolicy;

impl Config {
    /// The effective configuration as TOML. It never contains the token, and has a mask in place of other secrets.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.raw()).unwrap_or_else(|error| format!("# cannot be written as TOML: {error}\n"))
    }

    /// As [`Config::to_toml`], as a JSON document.
    pub fn to_json(&self) -> serde_json::Value {
        let table = toml::Value::try_from(self.raw()).ok();
        table.as_ref().and_then(json).unwrap_or_default()
    }

    fn raw(&self) -> RawConfig {
        let table = |config: &str| serde_json::from_str(config).ok();
        RawConfig {
            api: RawApi {
                listen: Some(RawListen(self.api.listen.clone())),
                socket_group: self.api.socket_group.clone(),
                local: Some(self.api.local_access()),
                token_file: self.token_file.clone(),
                insecure: Some(self.insecure),
                tls_certificate: self.api.tls.as_ref().map(|tls| tls.certificate.clone()),
                tls_key: self.api.tls.as_ref().map(|tls| tls.key.clone()),
                ..RawApi::from_settings(&self.api)
            },
            engine: RawEngine {
                kind: Some(self.engine.kind),
                instance: Some(self.engine.instance.clone()),
                host: self.engine.host.clone(),
                publish_address: self.engine.publish_address,
                host_network: Some(self.engine.host_network),
                agents: self.engine.agents.as_ref().map(RawAgents::from),
                ..RawEngine::from_settings(&self.engine)
            },
            control: RawControl {
                scaling_policy: self.control.scaling_policy.clone(),
                health_policy: self.control.health_policy.clone(),
                scaling_config: table(&self.control.scaling_config),
                health_config: table(&self.control.health_config),
                alert_url: self.control.alert_url.as_deref().map(masked),
                ..RawControl::from_settings(&self.control)
            },
            policy: RawPolicy { folder: self.policy.folder.clone(), ..RawPolicy::from_settings(&self.policy.limits) },
            policies: self.policy.named.iter().map(|(name, named)| (name.clone(), raw_policy(named))).collect(),
            profiles: tables(&self.control.profiles),
            discovery: RawDiscovery {
                address: self.discovery.address.clone(),
                file: self.discovery.file.clone(),
                template: self.discovery.template.clone(),
                check: Some(self.discovery.check.clone()).filter(|check| !check.is_empty()),
                command: Some(self.discovery.command.clone()).filter(|command| !command.is_empty()),
                webhook: self.discovery.webhook.as_deref().map(masked),
                ..RawDiscovery::from_settings(&self.discovery)
            },
            metric_sources: (self.metric_sources.iter())
                .map(|(name, access)| (name.clone(), RawSource::masked(access)))
                .collect(),
            network: RawNetwork::from_settings(&self.network),
            registries: (self.registries.iter())
                .map(|(name, hosts)| (name.clone(), RawRegistry::from(hosts)))
                .collect(),
            store: RawStore {
                data_dir: Some(self.store.data_dir.clone()),
                ..RawStore::from_settings(&self.store.limits)
            },
            log: RawLog { filter: Some(self.log.filter.clone()), format: Some(self.log.format) },
        }
    }
}

/// An address without its secrets.
fn masked(url: &str) -> String {
    SourceUrl::new(url).masked()
}

fn raw_policy(named: &NamedPolicy) -> RawNamedPolicy {
    let http = named.limits.http.as_ref().map(|grant| RawHttp {
        hosts: Some(grant.hosts.iter().map(RawTarget::from).collect()),
        ..RawHttp::from_settings(grant)
    });
    let source = named.source.as_ref().map(ToString::to_string);
    RawNamedPolicy { source, http, ..RawNamedPolicy::from_settings(&named.limits) }
}
