//! Who is asked about a workload: the acting revisions of the names it chose, and the shadows beside them.

use crate::builtin_fallback::StandIn;
use crate::combined::Combined;
use crate::monitored::Watched;
use crate::registry::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use std::sync::Arc;
use windlass_core::policy::{HealthPolicy, Policies, PolicySource, ScalingPolicy, Shadow, ShadowPolicy};
use windlass_core::{PolicyChoice, PolicyChoices, PolicyKind};
use windlass_sandbox::component::PolicyComponent;

/// Who is asked for a choice.
enum Chosen {
    BuiltIn(Arc<PolicyComponent>),
    Acting(Arc<Watched>),
    StandIn(StandIn),
}

impl Chosen {
    fn scaling(self) -> Arc<dyn ScalingPolicy> {
        match self {
            Self::BuiltIn(policy) => policy,
            Self::Acting(policy) => policy,
            Self::StandIn(policy) => Arc::new(policy),
        }
    }

    fn health(self) -> Arc<dyn HealthPolicy> {
        match self {
            Self::BuiltIn(policy) => policy,
            Self::Acting(policy) => policy,
            Self::StandIn(policy) => Arc::new(policy),
        }
    }
}

impl PolicyRegistry {
    /// The acting revision of a pushed name.
    pub(crate) fn acting(&self, name: &str, kind: PolicyKind) -> Option<Arc<Watched>> {
        let pushed = self.names.get(name).filter(|pushed| pushed.kind == kind)?;
        pushed.asked().acting.clone()
    }

    fn scaling_of<'a>(&'a self, choices: &'a PolicyChoices) -> &'a [PolicyChoice] {
        let default = std::slice::from_ref(&self.defaults.scaling);
        if choices.scaling.is_empty() { default } else { &choices.scaling }
    }

    /// The scaling policies of a workload as one.
    fn scaling(&self, choices: &PolicyChoices) -> (Arc<dyn ScalingPolicy>, String) {
        let chosen = self.scaling_of(choices).iter().map(|choice| {
            let (chosen, config) = self.chosen(choice, &self.defaults.scaling, (PolicyKind::Scaling, DEFAULT_SCALING));
            (chosen.scaling(), config)
        });
        let mut parts: Vec<_> = chosen.collect();
        match parts.len() {
            1 => parts.remove(0),
            _ => {
                let combined = Combined::new(parts);
                let config = combined.config();
                (Arc::new(combined), config)
            }
        }
    }

    fn health_of<'a>(&'a self, choices: &'a PolicyChoices) -> &'a PolicyChoice {
        choices.health.as_ref().unwrap_or(&self.defaults.health)
    }

    /// The policy of a choice, with its configuration. Where every revision failed, the built-in one stands in, told
    /// what it is told as the default; that it did is in every decision.
    fn chosen(
        &self,
        choice: &PolicyChoice,
        default: &PolicyChoice,
        (kind, stand_in): (PolicyKind, &str),
    ) -> (Chosen, String) {
        if let Some(policy) = self.built_in(&choice.name, kind) {
            return (Chosen::BuiltIn(policy), choice.config.clone());
        }
        match self.acting(&choice.name, kind) {
            Some(acting) => (Chosen::Acting(acting), choice.config.clone()),
            None => {
                let config = if default.name == stand_in { default.config.clone() } else { "{}".to_owned() };
                (Chosen::StandIn(StandIn::new(self.default_of(stand_in), &choice.name)), config)
            }
        }
    }

    /// Everything that is asked beside the acting policies: what the workload names, and the candidates of the
    /// names that act for it, told what those are told. A name none of whose revisions acts is not asked.
    fn shadows(&self, choices: &PolicyChoices) -> Vec<Shadow> {
        let shadow = |policy: Arc<PolicyComponent>, config: &str| {
            let policy = match policy.kind() {
                PolicyKind::Scaling => ShadowPolicy::Scaling(policy),
                PolicyKind::Health => ShadowPolicy::Health(policy),
            };
            Shadow { policy, config: config.to_owned() }
        };
        let named = choices.shadows.iter().filter_map(|choice| {
            let built_in = || self.built_in.get(choice.name.as_str()).cloned();
            let acting = || Some(Arc::clone(&self.names.get(&choice.name)?.asked().acting.as_ref()?.component));
            Some(shadow(built_in().or_else(acting)?, &choice.config))
        });
        let scaling = self.scaling_of(choices).iter().map(|choice| (PolicyKind::Scaling, choice));
        let candidates = scaling.chain([(PolicyKind::Health, self.health_of(choices))]).filter_map(|(kind, choice)| {
            let pushed = self.names.get(&choice.name).filter(|pushed| pushed.kind == kind)?;
            let candidate = Arc::clone(&pushed.asked().candidate.as_ref()?.component);
            Some(shadow(candidate, &choice.config))
        });
        candidates.chain(named).collect()
    }
}

impl PolicySource for PolicyRegistry {
    fn of(&self, choices: &PolicyChoices) -> Policies {
        let (scaling, scaling_config) = self.scaling(choices);
        let (health, health_config) =
            self.chosen(self.health_of(choices), &self.defaults.health, (PolicyKind::Health, DEFAULT_HEALTH));
        let shadows = self.shadows(choices);
        Policies { scaling, scaling_config, health: health.health(), health_config, shadows }
    }
}
