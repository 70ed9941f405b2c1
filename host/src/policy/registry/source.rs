//! Who is asked about a workload: the acting revisions of the names it chose, and the shadows beside them.

use super::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use crate::model::{PolicyChoice, PolicyChoices, PolicyKind};
use crate::policy::pushed::{Unwatched, Watched};
use crate::policy::{Policies, PolicySource, Shadow, ShadowPolicy};
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

    /// The policy of a choice, with its configuration. Where every revision failed, the built-in one stands in, told
    /// what it is told as the default; who was asked is in every decision.
    fn chosen<P: ?Sized>(
        &self,
        choice: &PolicyChoice,
        built_in: Arc<P>,
        default: &PolicyChoice,
        (kind, built_in_name): (PolicyKind, &str),
        asked: fn(Arc<Watched>) -> Arc<P>,
    ) -> (Arc<P>, String) {
        if choice.name == built_in_name {
            return (built_in, choice.config.clone());
        }
        match self.acting(&choice.name, kind) {
            Some(acting) => (asked(acting), choice.config.clone()),
            None if default.name == built_in_name => (built_in, default.config.clone()),
            None => (built_in, "{}".to_owned()),
        }
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
        let (scaling, scaling_config) = self.chosen(
            self.scaling_of(choices),
            self.default_scaling(),
            &self.defaults.scaling,
            (PolicyKind::Scaling, DEFAULT_SCALING),
            |acting| acting,
        );
        let (health, health_config) = self.chosen(
            self.health_of(choices),
            self.default_health(),
            &self.defaults.health,
            (PolicyKind::Health, DEFAULT_HEALTH),
            |acting| acting,
        );
        let shadows = self.shadows(choices);
        Policies { scaling, scaling_config, health, health_config, shadows }
    }
}
