//! Who is asked about a workload: the acting revisions of the names it chose, and the shadows beside them.

use super::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use crate::model::{PolicyChoices, PolicyKind};
use crate::policy::pushed::{Unwatched, Watched};
use crate::policy::{HealthPolicy, Policies, PolicySource, ScalingPolicy, Shadow, ShadowPolicy};
use std::sync::Arc;

impl PolicyRegistry {
    /// The acting revision of a pushed name.
    pub(super) fn acting(&self, name: &str, kind: PolicyKind) -> Option<Arc<Watched>> {
        let pushed = self.names.get(name).filter(|pushed| pushed.kind == kind)?;
        pushed.state().acting.clone()
    }

    /// Everything that is asked beside the acting policies: what the workload names, and the candidates of the
    /// names that act for it, told what those are told. A name none of whose revisions acts is not asked.
    fn shadows(&self, choices: &PolicyChoices) -> Vec<Shadow> {
        let shadow = |watched: Arc<Watched>, kind, config: &str| {
            let unwatched = Arc::new(Unwatched(watched));
            let policy = match kind {
                PolicyKind::Scaling => ShadowPolicy::Scaling(unwatched),
                PolicyKind::Health => ShadowPolicy::Health(unwatched),
            };
            Shadow { policy, config: config.to_owned() }
        };
        let named = choices.shadows.iter().filter_map(|choice| {
            let policy = match choice.name.as_str() {
                DEFAULT_SCALING => ShadowPolicy::Scaling(self.default_scaling()),
                DEFAULT_HEALTH => ShadowPolicy::Health(self.default_health()),
                name => {
                    let pushed = self.names.get(name)?;
                    let acting = pushed.state().acting.clone()?;
                    return Some(shadow(acting, pushed.kind, &choice.config));
                }
            };
            Some(Shadow { policy, config: choice.config.clone() })
        });
        let acting = [(PolicyKind::Scaling, &choices.scaling), (PolicyKind::Health, &choices.health)];
        let candidates = acting.into_iter().filter_map(|(kind, choice)| {
            let choice = choice.as_ref()?;
            let pushed = self.names.get(&choice.name).filter(|pushed| pushed.kind == kind)?;
            let candidate = pushed.state().candidate.clone()?;
            Some(shadow(candidate, kind, &choice.config))
        });
        candidates.chain(named).collect()
    }
}

impl PolicySource for PolicyRegistry {
    fn of(&self, choices: &PolicyChoices) -> Policies {
        let scaling: Option<(Arc<dyn ScalingPolicy>, &str)> = choices.scaling.as_ref().and_then(|choice| {
            if choice.name == DEFAULT_SCALING {
                return Some((self.default_scaling(), choice.config.as_str()));
            }
            Some((self.acting(&choice.name, PolicyKind::Scaling)?, &choice.config))
        });
        let health: Option<(Arc<dyn HealthPolicy>, &str)> = choices.health.as_ref().and_then(|choice| {
            if choice.name == DEFAULT_HEALTH {
                return Some((self.default_health(), choice.config.as_str()));
            }
            Some((self.acting(&choice.name, PolicyKind::Health)?, &choice.config))
        });
        // Where every revision failed, the built-in policy stands in; who was asked is in every decision.
        let (scaling, scaling_config) =
            scaling.unwrap_or_else(|| (self.default_scaling(), self.defaults.scaling_config.as_str()));
        let (health, health_config) =
            health.unwrap_or_else(|| (self.default_health(), self.defaults.health_config.as_str()));
        Policies {
            scaling,
            scaling_config: scaling_config.to_owned(),
            health,
            health_config: health_config.to_owned(),
            shadows: self.shadows(choices),
        }
    }
}
