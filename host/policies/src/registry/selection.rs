//! Selects the policies of a workload's pass: the acting revisions of the names that it chose, and their shadows.

use crate::builtin_fallback::BuiltinFallback;
use crate::combined::Combined;
use crate::monitored::MonitoredRevision;
use crate::registry::root::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use std::sync::Arc;
use windlass_core::policy::{HealthPolicy, Policies, PolicySource, ScalingPolicy, Shadow, ShadowPolicy};
use windlass_core::{PolicyChoice, PolicyChoices, PolicyKind};
use windlass_sandbox::component::PolicyComponent;

impl PolicyRegistry {
    /// The acting revision of a pushed policy.
    pub(crate) fn acting(&self, name: &str, kind: PolicyKind) -> Option<Arc<MonitoredRevision>> {
        let policy = self.pushed.get(name).filter(|policy| policy.kind == kind)?;
        policy.published().acting.clone()
    }

    fn scaling_choices<'a>(&'a self, choices: &'a PolicyChoices) -> &'a [PolicyChoice] {
        let default = std::slice::from_ref(&self.defaults.scaling);
        if choices.scaling.is_empty() { default } else { &choices.scaling }
    }

    fn health_choice<'a>(&'a self, choices: &'a PolicyChoices) -> &'a PolicyChoice {
        choices.health.as_ref().unwrap_or(&self.defaults.health)
    }

    /// The scaling policies of a workload as one, with its configuration.
    fn scaling(&self, choices: &PolicyChoices) -> (Arc<dyn ScalingPolicy>, String) {
        let mut parts: Vec<_> = self.scaling_choices(choices).iter().map(|choice| self.scaling_of(choice)).collect();
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let combined = Combined::new(parts);
        let config = combined.config();
        (Arc::new(combined), config)
    }

    fn scaling_of(&self, choice: &PolicyChoice) -> (Arc<dyn ScalingPolicy>, String) {
        let config = choice.config.clone();
        if let Some(built_in) = self.built_in(&choice.name, PolicyKind::Scaling) {
            return (built_in.scaling(), config);
        }
        match self.acting(&choice.name, PolicyKind::Scaling) {
            Some(acting) => (acting, config),
            None => {
                let fallback = BuiltinFallback::new(self.built_in.default(PolicyKind::Scaling), &choice.name);
                (Arc::new(fallback), fallback_config(&self.defaults.scaling, DEFAULT_SCALING))
            }
        }
    }

    fn health_of(&self, choice: &PolicyChoice) -> (Arc<dyn HealthPolicy>, String) {
        let config = choice.config.clone();
        if let Some(built_in) = self.built_in(&choice.name, PolicyKind::Health) {
            return (built_in.health(), config);
        }
        match self.acting(&choice.name, PolicyKind::Health) {
            Some(acting) => (acting, config),
            None => {
                let fallback = BuiltinFallback::new(self.built_in.default(PolicyKind::Health), &choice.name);
                (Arc::new(fallback), fallback_config(&self.defaults.health, DEFAULT_HEALTH))
            }
        }
    }

    /// The shadows of a workload: the candidates of its acting policies, with the configurations of those, and the shadow
    /// policies that it names. A named policy without an acting revision is left out.
    fn shadows(&self, choices: &PolicyChoices) -> Vec<Shadow> {
        let scaling = self.scaling_choices(choices).iter().map(|choice| (PolicyKind::Scaling, choice));
        let acting = scaling.chain([(PolicyKind::Health, self.health_choice(choices))]);
        let candidates = acting.filter_map(|(kind, choice)| {
            let policy = self.pushed.get(&choice.name).filter(|policy| policy.kind == kind)?;
            let candidate = Arc::clone(&policy.published().candidate.as_ref()?.component);
            Some(Shadow { policy: shadow_policy(candidate), config: choice.config.clone() })
        });
        let named = choices.shadows.iter().filter_map(|choice| {
            let policy = match self.built_in.get(&choice.name) {
                Some(built_in) if built_in.kind() == PolicyKind::Health => ShadowPolicy::Health(built_in.health()),
                Some(built_in) => ShadowPolicy::Scaling(built_in.scaling()),
                None => {
                    let policy = self.pushed.get(&choice.name)?;
                    shadow_policy(Arc::clone(&policy.published().acting.as_ref()?.component))
                }
            };
            Some(Shadow { policy, config: choice.config.clone() })
        });
        candidates.chain(named).collect()
    }
}

fn shadow_policy(component: Arc<PolicyComponent>) -> ShadowPolicy {
    match component.kind() {
        PolicyKind::Scaling => ShadowPolicy::Scaling(component),
        PolicyKind::Health => ShadowPolicy::Health(component),
    }
}

/// The configuration of a built-in fallback: the one that it has as the default policy, or an empty one.
fn fallback_config(default: &PolicyChoice, built_in: &str) -> String {
    if default.name == built_in { default.config.clone() } else { "{}".to_owned() }
}

impl PolicySource for PolicyRegistry {
    fn of(&self, choices: &PolicyChoices) -> Policies {
        let (scaling, scaling_config) = self.scaling(choices);
        let (health, health_config) = self.health_of(self.health_choice(choices));
        Policies { scaling, scaling_config, health, health_config, shadows: self.shadows(choices) }
    }
}
