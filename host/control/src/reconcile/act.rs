//! Carries out a plan: [`Plan`] → engine. Makes no choices; a step that fails is reported and left to the next pass.

use crate::action::{Action, ActionKind};
use crate::context::Context;
use crate::drain;
use crate::reconcile::act_on_service::act_on_service;
use crate::reconcile::result::Outcome;
use crate::stop::{Stopped, Stopper, with_hook};
use crate::workload::handle::WorkloadHandle;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use windlass_core::engine::{AnyEngine, EngineError, SlotEngine};
use windlass_core::{ContainerId, Failure, Plan, Replica, Slot, Snapshot, Step, Workload};

/// Carries out every step of a plan.
pub(crate) async fn act(
    context: &Context,
    handle: &WorkloadHandle,
    workload: &Workload,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Outcome {
    let previous = if plan.uses_previous { workload.of_previous_generation() } else { None };
    let workload = previous.as_ref().unwrap_or(workload);
    let outcome = match &context.engine {
        AnyEngine::Slots(engine) => act_on_slots(context, handle, engine.as_ref(), workload, snapshot, plan).await,
        AnyEngine::Counts(engine) => act_on_service(context, handle, engine.as_ref(), workload, snapshot, plan).await,
    };
    for action in &outcome.actions {
        log(workload, action);
    }
    outcome
}

/// Carries out every step in parallel, after the replicas that stop are drained. The engine limits the parallelism.
async fn act_on_slots(
    context: &Context,
    handle: &WorkloadHandle,
    engine: &dyn SlotEngine,
    workload: &Workload,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut steps: Vec<&Step> = plan.steps.iter().collect();
    if let Some(error) = unprepared(engine, workload, plan).await {
        // Nothing is stopped for a replica that cannot be made.
        let renews = steps.extract_if(.., |step| matches!(step, Step::Renew { .. }));
        outcome.actions.extend(renews.map(|step| failed(creation(step.reason()), &error)));
        outcome.unprepared = Some(error.to_string());
    }
    drain::before_acting(context, handle, &steps).await;
    let actor = Actor { context, engine, workload, snapshot, stopper: Stopper::new(context, handle, workload) };
    let mut steps: FuturesUnordered<_> = steps.into_iter().map(|step| actor.carry_out(step)).collect();
    while let Some((actions, failure)) = steps.next().await {
        outcome.actions.extend(actions);
        outcome.failures.extend(failure);
    }
    outcome
}

/// The reason why no replica can be made in place of an outdated one. `None` if one can, or the plan replaces none.
async fn unprepared(engine: &dyn SlotEngine, workload: &Workload, plan: &Plan) -> Option<EngineError> {
    if plan.steps.iter().any(|step| matches!(step, Step::Renew { .. })) {
        engine.prepare(workload).await.err()
    } else {
        None
    }
}

fn log(workload: &Workload, action: &Action) {
    let Action { kind, reason, container, name, error } = action;
    let container = container.as_ref().map(tracing::field::display);
    match error {
        None => tracing::info!(workload = %workload.key, container, name, reason, "{kind:?}"),
        Some(error) => tracing::warn!(workload = %workload.key, container, name, reason, error, "{kind:?} failed"),
    }
}

struct Actor<'a> {
    context: &'a Context,
    engine: &'a dyn SlotEngine,
    workload: &'a Workload,
    snapshot: &'a Snapshot,
    stopper: Stopper<'a>,
}

impl Actor<'_> {
    /// Returns the actions of a step, and its failure if the engine is the cause.
    async fn carry_out(&self, step: &Step) -> (Vec<Action>, Option<Failure>) {
        match step {
            Step::Create { slot, start, reason } => {
                let (created, failure) = self.create(*slot, *start, reason).await;
                (vec![created], failure)
            }
            Step::Remove { replica, reason } => {
                let (removed, failure) = self.remove(replica, reason).await;
                (vec![removed], failure)
            }
            Step::Replace { replica, slot, reason } | Step::Renew { replica, slot, reason } => {
                let (removed, failure) = self.remove(replica, reason).await;
                if removed.error.is_some() {
                    return (vec![removed], failure);
                }
                let (created, failure) = self.create(*slot, true, reason).await;
                (vec![removed, created], failure)
            }
            Step::Supersede { replica, slot, reason } => {
                let (created, failure) = self.create(*slot, true, reason).await;
                if created.error.is_some() {
                    return (vec![created], failure);
                }
                let (removed, failure) = self.remove(replica, reason).await;
                (vec![created, removed], failure)
            }
            Step::Restart { replica, reason } => {
                let hook_failure = match self.snapshot.replica(replica) {
                    Some(observed) => self.stopper.call_hook(observed, reason).await,
                    None => None,
                };
                let restarted = self.engine.restart(replica, self.context.settings.stop_grace).await;
                let reason = with_hook(reason, hook_failure.as_deref());
                let (action, failure) = self.started(ActionKind::Restart, replica, &reason, restarted);
                (vec![action], failure)
            }
            Step::Start { replica, reason } => {
                let started = self.engine.start(replica).await;
                let (action, failure) = self.started(ActionKind::Start, replica, reason, started);
                if action.error.is_some() {
                    // A replica that cannot start is useless. A later pass fills its slot again, with backoff.
                    self.discard(replica).await;
                }
                (vec![action], failure)
            }
            Step::SetCount { reason, .. } | Step::Deploy { reason, .. } => {
                let error = EngineError::Refused("the engine has no services".to_owned());
                (vec![failed(creation(reason), &error)], None)
            }
        }
    }

    /// Creates and starts a replica. If it does not start, it is removed again, so that nothing half done stays.
    async fn create(&self, slot: Slot, start: bool, reason: &str) -> (Action, Option<Failure>) {
        let mut action = creation(reason);
        let engine = self.engine;
        let mut replica = match engine.create(self.workload, slot).await {
            Ok(replica) => replica,
            Err(error) => return (failed(action, &error), Some(not_filled(slot, &error))),
        };
        if start {
            replica = match engine.start(&replica.id).await {
                Ok(started) => started,
                Err(error) => {
                    self.discard(&replica.id).await;
                    return (failed(action, &error), Some(not_filled(slot, &error)));
                }
            };
        }
        self.context.callbacks.notify(self.workload, &replica, "create");
        action.container = Some(replica.id);
        action.name = replica.name;
        (action, None)
    }

    /// Removes a replica that did not start.
    async fn discard(&self, id: &ContainerId) {
        if let Err(error) = self.engine.remove(id, true).await {
            tracing::warn!(container = %id, %error, "a replica that did not start could not be removed");
        }
    }

    async fn remove(&self, id: &ContainerId, reason: &str) -> (Action, Option<Failure>) {
        let mut action = self.action(ActionKind::Remove, id, reason);
        let not_removed = |action, error: EngineError| {
            // An engine that does not answer says nothing about the replica.
            let is_lost = matches!(error, EngineError::Unavailable(_));
            let failure = Failure::NotRemoved { replica: id.clone(), error: error.to_string() };
            (failed(action, &error), Some(failure).filter(|_| !is_lost))
        };
        if let Some(observed) = self.snapshot.replica(id).filter(|observed| observed.is_alive()) {
            match self.stopper.stop(observed, reason).await {
                Ok(Stopped { replica, hook_failure }) => {
                    self.context.callbacks.notify(self.workload, &replica, "stop");
                    action.reason = with_hook(reason, hook_failure.as_deref());
                }
                Err(EngineError::NotFound(_)) => return (action, None),
                Err(error) => return not_removed(action, error),
            }
        }
        match self.engine.remove(id, true).await {
            Ok(()) | Err(EngineError::NotFound(_)) => (action, None),
            Err(error) => not_removed(action, error),
        }
    }

    fn started(
        &self,
        kind: ActionKind,
        id: &ContainerId,
        reason: &str,
        result: Result<Replica, EngineError>,
    ) -> (Action, Option<Failure>) {
        let action = self.action(kind, id, reason);
        match result {
            Ok(replica) => {
                self.context.callbacks.notify(self.workload, &replica, "start");
                (action, None)
            }
            Err(error) => {
                let slot = self.snapshot.replica(id).map(|replica| replica.slot);
                (failed(action, &error), slot.map(|slot| not_filled(slot, &error)))
            }
        }
    }

    fn action(&self, kind: ActionKind, id: &ContainerId, reason: &str) -> Action {
        let name = self.snapshot.replica(id).map(|replica| replica.name.clone()).unwrap_or_default();
        Action { kind, reason: reason.to_owned(), container: Some(id.clone()), name, error: None }
    }
}

/// The action of a create, before its outcome is known.
fn creation(reason: &str) -> Action {
    let (reason, name) = (reason.to_owned(), String::new());
    Action { kind: ActionKind::Create, reason, container: None, name, error: None }
}

fn failed(mut action: Action, error: &EngineError) -> Action {
    action.error = Some(error.to_string());
    action
}

fn not_filled(slot: Slot, error: &EngineError) -> Failure {
    Failure::NotFilled { slot, error: error.to_string(), is_name_taken: matches!(error, EngineError::NameTaken(_)) }
}
