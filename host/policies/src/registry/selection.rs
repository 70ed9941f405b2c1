//! Selects the policies of a workload's pass: the acting revisions of the names that it chose, and their shadows.

use crate::breaker::{Breaker, Failing, State, Use};
use crate::built_in::BuiltInPolicy;
use crate::builtin_fallback::BuiltinFallback;
use crate::combined::Combined;
use crate::loading_policy::LoadingPolicy;
use crate::monitored::{Monitored, MonitoredRevision};
use crate::registry::root::{DEFAULT_HEALTH, DEFAULT_SCALING, PolicyRegistry};
use arc_swap::Guard;
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use windlass_core::policy::{
    ChoiceError, HealthPolicy, Policies, PolicyCatalogue, PolicyNews, PolicySource, ScalingPolicy, Shadow,
    ShadowPolicy, StandIn,
};
use windlass_core::{PolicyChoice, PolicyChoices, PolicyKind, Timestamp, WorkloadKey};
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
    fn scaling(&self, choices: &PolicyChoices, place: &mut Place) -> (Arc<dyn ScalingPolicy>, String) {
        let choices = self.scaling_choices(choices);
        let mut parts = Vec::with_capacity(choices.len());
        for (index, choice) in choices.iter().enumerate() {
            place.use_part(index, choices);
            parts.push(self.scaling_of(choice, place));
        }
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let combined = Combined::new(parts);
        let config = combined.config();
        (Arc::new(combined), config)
    }

    fn scaling_of(&self, choice: &PolicyChoice, place: &mut Place) -> (Arc<dyn ScalingPolicy>, String) {
        let config = choice.config.clone();
        match self.select(PolicyKind::Scaling, choice, place) {
            Selected::Default(component) => (component, config),
            Selected::BuiltIn(policy) => (Arc::new(policy), config),
            Selected::Revision(revision) => (Arc::new(revision), config),
            Selected::Loading(policy) => (Arc::new(policy), config),
            Selected::None => {
                let fallback = BuiltinFallback::new(self.built_in.default(PolicyKind::Scaling), &choice.name);
                (Arc::new(fallback), fallback_config(&self.defaults.scaling, DEFAULT_SCALING))
            }
        }
    }

    fn health_of(&self, choice: &PolicyChoice, place: &mut Place) -> (Arc<dyn HealthPolicy>, String) {
        let config = choice.config.clone();
        match self.select(PolicyKind::Health, choice, place) {
            Selected::Default(component) => (component, config),
            Selected::BuiltIn(policy) => (Arc::new(policy), config),
            Selected::Revision(revision) => (Arc::new(revision), config),
            Selected::Loading(policy) => (Arc::new(policy), config),
            Selected::None => {
                let fallback = BuiltinFallback::new(self.built_in.default(PolicyKind::Health), &choice.name);
                (Arc::new(fallback), fallback_config(&self.defaults.health, DEFAULT_HEALTH))
            }
        }
    }

    /// The chosen policy for a workload: the acting revision. Where its breaker is open, the revision before it. Where that
    /// one fails too, or no revision acts, nothing: the built-in default takes its place.
    fn select(&self, kind: PolicyKind, choice: &PolicyChoice, place: &mut Place) -> Selected {
        let name = &choice.name;
        if let Some(built_in) = self.built_in(name, kind) {
            let default = self.built_in.default(kind);
            if built_in.identity().digest == default.identity().digest {
                return Selected::Default(default);
            }
            let may_act = place.may_act(
                built_in.breaker(),
                name,
                &format!("`{name}`"),
                &format!("`{}`", default.identity().name),
            );
            return if may_act { Selected::BuiltIn(built_in.for_use(&place.used)) } else { Selected::None };
        }
        let policy = self.pushed.get(name).filter(|policy| policy.kind == kind);
        let published = policy.as_ref().map(|policy| Guard::into_inner(policy.published()));
        let instead = self.built_in.default(kind).identity().name.clone();
        let Some(published) = published.filter(|published| published.acting.is_some()) else {
            if policy.is_some_and(|policy| policy.is_loading()) || self.is_file_to_load(name) {
                return Selected::Loading(LoadingPolicy::new(name));
            }
            let reason =
                format!("`{name}` has no revision that may act; the built-in policy `{instead}` takes its place");
            place.stand_ins.push(StandIn { policy: name.clone(), reason });
            return Selected::None;
        };
        let fallback = published.fallback.as_ref();
        let fallback = fallback.filter(|fallback| fallback.breaker.state(&place.used, place.now) == State::Closed);
        let instead =
            fallback.map_or_else(|| format!("`{instead}`"), |fallback| format!("revision {}", fallback.number()));
        let acting = published.acting.as_ref().filter(|acting| {
            place.may_act(&acting.breaker, name, &format!("revision {} of `{name}`", acting.number()), &instead)
        });
        match (acting, fallback) {
            (Some(acting), _) => Selected::Revision(acting.for_use(&place.used, None)),
            (None, Some(fallback)) => Selected::Revision(fallback.for_use(&place.used, Some(name))),
            (None, None) => Selected::None,
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

/// The use and the time of a selection, and the policies that do not act as chosen.
struct Place {
    used: Use,
    /// The position of the use among the scaling policies, from 1. `None` if the workload names the policy once.
    position: Option<usize>,
    now: Timestamp,
    stand_ins: Vec<StandIn>,
}

impl Place {
    /// Goes on with one of several scaling policies.
    fn use_part(&mut self, index: usize, choices: &[PolicyChoice]) {
        let is_same = |(_, choice): &(usize, &PolicyChoice)| choice.name == choices[index].name;
        let uses: Vec<usize> = choices.iter().enumerate().filter(is_same).map(|(at, _)| at).collect();
        self.used.earlier = uses.iter().filter(|at| **at < index).count();
        self.position = (uses.len() > 1).then_some(index + 1);
    }

    /// Goes on with a policy that the workload names once.
    fn use_only(&mut self) {
        (self.used.earlier, self.position) = (0, None);
    }

    /// Whether a policy may act here. If it failed too often, notes why, and that `instead` takes its place.
    fn may_act(&mut self, breaker: &Breaker, name: &str, policy: &str, instead: &str) -> bool {
        let (failing, may_act) = match breaker.state(&self.used, self.now) {
            State::Closed => return true,
            State::Open(failing) => (failing, false),
            State::HalfOpen(failing) => (failing, true),
        };
        let Failing { failures, last, retry_at, .. } = failing;
        let then = match retry_at.filter(|_| !may_act) {
            Some(at) => format!("{instead} takes its place until it is tried again at {}", at.to_rfc3339()),
            None => "it is tried again now".to_owned(),
        };
        let position = self.position.map(|at| format!(", entry {at} of `scaling_policy`,")).unwrap_or_default();
        let reason = format!("{policy}{position} failed {failures} times in a row, the last time with {last}; {then}");
        self.stand_ins.push(StandIn { policy: name.to_owned(), reason });
        may_act
    }
}

/// The policy that a choice leads to.
enum Selected {
    /// The built-in default of its kind, whose place nothing could take.
    Default(Arc<PolicyComponent>),
    /// Another built-in policy.
    BuiltIn(Monitored<BuiltInPolicy>),
    /// A revision of a pushed policy.
    Revision(Monitored<PolicyComponent>),
    /// A pushed policy that is not loaded yet.
    Loading(LoadingPolicy),
    /// No policy of this name may act.
    None,
}

#[async_trait]
impl PolicySource for PolicyRegistry {
    fn of(&self, workload: &WorkloadKey, choices: &PolicyChoices, now: Timestamp) -> Policies {
        let used = Use { workload: workload.to_string(), earlier: 0 };
        let mut place = Place { used, position: None, now, stand_ins: Vec::new() };
        let (scaling, scaling_config) = self.scaling(choices, &mut place);
        place.use_only();
        let (health, health_config) = self.health_of(self.health_choice(choices), &mut place);
        let shadows = self.shadows(choices);
        Policies { scaling, scaling_config, health, health_config, shadows, stand_ins: place.stand_ins }
    }

    async fn accept(&self, choices: &PolicyChoices, now: Timestamp) -> Result<(), ChoiceError> {
        let scaling = choices.scaling.iter().map(|choice| (PolicyKind::Scaling, choice));
        let health = choices.health.iter().map(|choice| (PolicyKind::Health, choice));
        // The kind of a shadow policy is its component's.
        let kind = |choice: &PolicyChoice| self.find(&choice.name).map_or(PolicyKind::Scaling, |info| info.kind);
        let shadows = choices.shadows.iter().map(|choice| (kind(choice), choice));
        for (kind, choice) in scaling.chain(health).chain(shadows) {
            match self.check(kind, choice, now).await {
                Err(ChoiceError::Unknown { name, .. }) if self.find(&name).is_none() && self.is_expected(&name) => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    fn news(&self) -> BoxStream<'static, PolicyNews> {
        let next = |mut receiver: broadcast::Receiver<PolicyNews>| async move {
            loop {
                match receiver.recv().await {
                    Ok(news) => return Some((news, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        };
        futures_util::stream::unfold(self.pushed.news().subscribe(), next).boxed()
    }
}
