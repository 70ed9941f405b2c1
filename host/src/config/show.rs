//! Shows a configuration as a `windlass.toml` that says everything, but for the token.

use crate::config::Config;
use crate::config::raw::{
    RawApi, RawConfig, RawControl, RawDiscovery, RawEngine, RawHttp, RawLog, RawNamedPolicy, RawPolicy, RawStore,
};
use windlass_core::settings::NamedPolicy;

impl Config {
    /// The effective configuration as TOML. The token itself is never shown.
    pub fn to_toml(&self) -> String {
        let table = |config: &str| serde_json::from_str(config).ok();
        let raw = RawConfig {
            api: RawApi {
                listen: Some(self.api.listen),
                token_file: self.token_file.clone(),
                insecure: Some(self.insecure),
                ..RawApi::showing(&self.api)
            },
            engine: RawEngine {
                instance: Some(self.engine.instance.clone()),
                host: self.engine.host.clone(),
                ..RawEngine::showing(&self.engine)
            },
            control: RawControl {
                scaling_policy: self.control.scaling_policy.clone(),
                health_policy: self.control.health_policy.clone(),
                scaling_config: table(&self.control.scaling_config),
                health_config: table(&self.control.health_config),
                alert_url: self.control.alert_url.clone(),
                ..RawControl::showing(&self.control)
            },
            policy: RawPolicy { folder: self.policy.folder.clone(), ..RawPolicy::showing(&self.policy.limits) },
            policies: self.policy.named.iter().map(|(name, named)| (name.clone(), shown(named))).collect(),
            discovery: RawDiscovery {
                address: self.discovery.address.clone(),
                file: self.discovery.file.clone(),
                template: self.discovery.template.clone(),
                command: Some(self.discovery.command.clone()).filter(|command| !command.is_empty()),
                webhook: self.discovery.webhook.clone(),
                ..RawDiscovery::showing(&self.discovery)
            },
            store: RawStore { data_dir: Some(self.store.data_dir.clone()) },
            log: RawLog { filter: Some(self.log.filter.clone()), format: Some(self.log.format) },
        };
        toml::to_string(&raw).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}

fn shown(named: &NamedPolicy) -> RawNamedPolicy {
    let http = named.limits.http.as_ref().map(|grant| RawHttp {
        hosts: Some(grant.hosts.iter().map(ToString::to_string).collect()),
        ..RawHttp::showing(grant)
    });
    let source = named.source.as_ref().map(ToString::to_string);
    RawNamedPolicy { source, http, ..RawNamedPolicy::showing(&named.limits) }
}
