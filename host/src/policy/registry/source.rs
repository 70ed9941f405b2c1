//! Who is asked about a workload: the acting revisions of the names it chose, and the shadows beside them.

use super::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use crate::model::{PolicyChoice, PolicyChoices, PolicyKind};
use crate::policy::pushed::{Unwatched, Watched};
use crate::policy::{HealthPolicy, Policies, PolicySource, ScalingPolicy, Shadow, ShadowPolicy};
use std::sync::Arc;

impl PolicyRegistry {
    /// The acting revision of a pushed name.
    pub(super) fn acting(&self, name: &str, kind: PolicyKind) -> Option<Arc<Watched>> {
        let pushed = self.names.get(name).filter(|pushed| pushed.kind == kind)?;
        pushed.state().acting.clone()
    }

    fn scaling_of<'a>(&'a self, choices: &'a PolicyChoices) -> &'a PolicyChoice {
        choices.scaling.as_ref().unwrap_or(&self.defaults.scaling)
    }

    fn health_of<'a>(&'a self, choices: &'a PolicyChoices) -> &'a PolicyChoice {
        choices.health.as_ref().unwrap_or(&self.defaults.health)
    }

    /// The configuration a built-in policy has where it stands in: its own, if it is the default.
    fn stand_in(default: &PolicyChoice) -> &str {
        if [DEFAULT_SCALING, DEFAULT_HEALTH].contains(&default.name.as_str()) { &default.config } else { "{}" }
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
        let acting = [(PolicyKind::Scaling, self.scaling_of(choices)), (PolicyKind::Health, self.health_of(choices))];
        let candidates = acting.into_iter().filter_map(|(kind, choice)| {
            let pushed = self.names.get(&choice.name).filter(|pushed| pushed.kind == kind)?;
            let candidate = pushed.state().candidate.clone()?;
            Some(shadow(candidate, kind, &choice.config))
        });
        candidates.chain(named).collect()
    }
}

impl PolicySource for PolicyRegistry {
    fn of(&self, choices: &PolicyChoices) -> Policies {
        let scaling = self.scaling_of(choices);
        let found: Option<Arc<dyn ScalingPolicy>> = if scaling.name == DEFAULT_SCALING {
            Some(self.default_scaling())
        } else {
            self.acting(&scaling.name, PolicyKind::Scaling).map(|acting| acting as _)
        };
        // Where every revision failed, the built-in policy stands in; who was asked is in every decision.
        let (scaling, scaling_config) = found.map_or_else(
            || (self.default_scaling(), Self::stand_in(&self.defaults.scaling)),
            |found| (found, scaling.config.as_str()),
        );
        let health = self.health_of(choices);
        let found: Option<Arc<dyn HealthPolicy>> = if health.name == DEFAULT_HEALTH {
            Some(self.default_health())
        } else {
            self.acting(&health.name, PolicyKind::Health).map(|acting| acting as _)
        };
        let (health, health_config) = found.map_or_else(
            || (self.default_health(), Self::stand_in(&self.defaults.health)),
            |found| (found, health.config.as_str()),
        );
        Policies {
            scaling,
            scaling_config: scaling_config.to_owned(),
            health,
            health_config: health_config.to_owned(),
            shadows: self.shadows(choices),
        }
    }
}
