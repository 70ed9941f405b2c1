//! Shows a configuration as a `windlass.toml` that says everything, but for the token.

use super::Config;
use super::raw::{RawApi, RawConfig, RawControl, RawEngine, RawLog, RawPolicy, RawStore};

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
                scaling_config: table(&self.control.scaling_config),
                health_config: table(&self.control.health_config),
                ..RawControl::showing(&self.control)
            },
            policy: RawPolicy { folder: self.policy_folder.clone(), ..RawPolicy::showing(&self.policy) },
            store: RawStore { data_dir: Some(self.store.data_dir.clone()) },
            log: RawLog { filter: Some(self.log.filter.clone()), format: Some(self.log.format) },
        };
        toml::to_string(&raw).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }
}
