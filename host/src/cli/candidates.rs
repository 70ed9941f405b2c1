//! The policies that `windlass simulate` runs: built-in ones, components from files, or those of the workload.

use crate::cli::sandbox_args::{now, read_component, with_hints};
use anyhow::{anyhow, bail};
use std::path::Path;
use std::sync::Arc;
use windlass_builtin::BUILT_IN;
use windlass_core::policy::ScalingPolicy;
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyChoice, PolicyKind, Workload};
use windlass_policies::combined::Combined;
use windlass_policies::registry::DEFAULT_SCALING;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;

/// A policy to simulate.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) policy: Arc<dyn ScalingPolicy>,
    pub(super) config: String,
}

/// The named policies with their configurations; without names, the policies of the workload, which decide together.
pub(super) async fn candidates(
    policies: &[String],
    configs: &[String],
    workload: &Workload,
    limits: PolicyLimits,
) -> anyhow::Result<Vec<Candidate>> {
    if configs.len() > policies.len() {
        bail!(
            "there are {} `--config` but only {} `--policy`; pass one `--policy` for each `--config`",
            configs.len(),
            policies.len()
        );
    }
    // Simulated time has no hosts to ask.
    let limits = PolicyLimits { concurrent_calls: 1, http: None, ..limits };
    // A simulation makes thousands of calls, so the pool pays off.
    let engine = Arc::new(PolicyEngine::new(limits.clone())?);
    let mut found = Vec::new();
    for (index, name) in policies.iter().enumerate() {
        let config = configs.get(index).cloned().unwrap_or_else(|| "{}".to_owned());
        let policy = load(&engine, &limits, name, &config).await?;
        let is_repeated = policies.iter().filter(|other| *other == name).count() > 1;
        let name = Path::new(name).file_stem().map_or(name.clone(), |stem| stem.to_string_lossy().into_owned());
        let name = if is_repeated { format!("{name} {}", index + 1) } else { name };
        found.push(Candidate { name, policy, config });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let default = PolicyChoice { name: DEFAULT_SCALING.to_owned(), config: "{}".to_owned() };
    let default = std::slice::from_ref(&default);
    let chosen = if workload.policies.scaling.is_empty() { default } else { &workload.policies.scaling };
    let mut parts = Vec::new();
    for choice in chosen {
        parts.push((load(&engine, &limits, &choice.name, &choice.config).await?, choice.config.clone()));
    }
    if parts.len() == 1 {
        let (policy, config) = parts.remove(0);
        return Ok(vec![Candidate { name: policy.identity().name.clone(), policy, config }]);
    }
    let combined = Combined::new(parts);
    Ok(vec![Candidate {
        name: combined.identity().name.clone(),
        config: combined.config(),
        policy: Arc::new(combined),
    }])
}

/// Loads a built-in policy by its name, or a component's file, and checks the configuration.
async fn load(
    engine: &Arc<PolicyEngine>,
    limits: &PolicyLimits,
    name: &str,
    config: &str,
) -> anyhow::Result<Arc<dyn ScalingPolicy>> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let (bytes, file): (Arc<[u8]>, &Path) = match built_in {
        Some((_, bytes)) => (Arc::from(*bytes), Path::new(name)),
        None if Path::new(name).exists() => (read_component(Path::new(name), limits)?, Path::new(name)),
        None => {
            let known: Vec<String> = BUILT_IN.iter().map(|(known, _)| format!("`{known}`")).collect();
            bail!(
                "`{}` is neither a file nor a built-in policy; built in are {}",
                name.escape_debug(),
                known.join(", ")
            );
        }
    };
    let registered = built_in.map(|(known, _)| *known);
    let loaded = PolicyComponent::load(engine, &Compiler::this_program(), registered, Arc::clone(&bytes)).await;
    let policy = loaded.map_err(|error| with_hints(file, &bytes, &error))?;
    if policy.kind() != PolicyKind::Scaling {
        bail!("`{name}` is a {} policy, not a scaling policy; only scaling policies can be simulated", policy.kind());
    }
    let configured = policy.configure(config, now()).await.answer;
    configured.map_err(|failure| anyhow!("`{name}`: {}", failure.reason))?;
    Ok(Arc::new(policy))
}
