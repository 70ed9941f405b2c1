//! Carries a plan out: [`Plan`] → engine. Makes no choices; a step that fails is reported and left to the
//! next pass.

use crate::callbacks::Callbacks;
use crate::report::{Action, ActionKind};
use crate::stop::{Stopped, Stopper, with_hook};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use windlass_core::engine::{Engine, EngineError};
use windlass_core::net::Net;
use windlass_core::{ContainerId, Plan, Replica, Slot, Snapshot, Step, Workload};

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was done, in the order it ended.
    pub actions: Vec<Action>,
    /// Slots that should have been filled and were not.
    pub failed_slots: Vec<Slot>,
}

/// Takes every step, side by side; the engine bounds how many at once.
pub async fn act(
    plan: &Plan,
    workload: &Workload,
    snapshot: &Snapshot,
    engine: &dyn Engine,
    net: &dyn Net,
    callbacks: &Callbacks,
    stop_grace: Duration,
) -> Outcome {
    let stopper = Stopper { workload, engine, net, grace: stop_grace };
    let hands = Hands { workload, snapshot, engine, callbacks, stopper };
    let mut steps: FuturesUnordered<_> = plan.steps.iter().map(|step| hands.take(step)).collect();
    let mut outcome = Outcome::default();
    while let Some((actions, failed_slot)) = steps.next().await {
        outcome.actions.extend(actions);
        outcome.failed_slots.extend(failed_slot);
    }
    outcome
}

struct Hands<'a> {
    workload: &'a Workload,
    snapshot: &'a Snapshot,
    engine: &'a dyn Engine,
    callbacks: &'a Callbacks,
    stopper: Stopper<'a>,
}

impl Hands<'_> {
    async fn take(&self, step: &Step) -> (Vec<Action>, Option<Slot>) {
        match step {
            Step::Create { slot, start, reason } => {
                let action = self.create(*slot, *start, reason).await;
                let failed = action.error.is_some().then_some(*slot);
                (vec![action], failed)
            }
            Step::Remove { replica, reason } => (vec![self.remove(replica, reason).await], None),
            Step::Replace { replica, slot, reason } => {
                let removed = self.remove(replica, reason).await;
                if removed.error.is_some() {
                    return (vec![removed], None);
                }
                let created = self.create(*slot, true, reason).await;
                let failed = created.error.is_some().then_some(*slot);
                (vec![removed, created], failed)
            }
            Step::Restart { replica, reason } => {
                let hook_failed = match self.snapshot.replica(replica) {
                    Some(shown) => self.stopper.tell(shown, reason).await,
                    None => None,
                };
                let restarted = self.engine.restart(replica, self.stopper.grace).await;
                let reason = with_hook(reason, hook_failed.as_deref());
                (vec![self.started(ActionKind::Restart, replica, &reason, restarted)], None)
            }
            Step::Start { replica, reason } => {
                let started = self.engine.start(replica).await;
                let slot = self.snapshot.replica(replica).map(|replica| replica.slot);
                let action = self.started(ActionKind::Start, replica, reason, started);
                if action.error.is_some() {
                    // One that cannot be started is of no use; its slot is filled anew, with backoff.
                    let _ = self.engine.remove(replica, true).await;
                    return (vec![action], slot);
                }
                (vec![action], None)
            }
        }
    }

    /// Creates and starts; one that cannot be started is removed again, so that nothing is left half done.
    async fn create(&self, slot: Slot, start: bool, reason: &str) -> Action {
        let mut action = Action {
            kind: ActionKind::Create,
            reason: reason.to_owned(),
            container: None,
            name: String::new(),
            error: None,
        };
        let mut replica = match self.engine.create(self.workload, slot).await {
            Ok(replica) => replica,
            Err(error) => return failed(action, &error),
        };
        if start {
            replica = match self.engine.start(&replica.id).await {
                Ok(started) => started,
                Err(error) => {
                    if let Err(left) = self.engine.remove(&replica.id, true).await {
                        tracing::warn!(container = %replica.id, error = %left, "a replica that did not start could not be removed");
                    }
                    return failed(action, &error);
                }
            };
        }
        self.callbacks.notify(self.workload, &replica, "create");
        action.container = Some(replica.id);
        action.name = replica.name;
        action
    }

    async fn remove(&self, id: &ContainerId, reason: &str) -> Action {
        let mut action = self.action(ActionKind::Remove, id, reason);
        if let Some(shown) = self.snapshot.replica(id).filter(|shown| shown.is_alive()) {
            match self.stopper.stop(shown, reason).await {
                Ok(Stopped { replica, hook_failed }) => {
                    self.callbacks.notify(self.workload, &replica, "stop");
                    action.reason = with_hook(reason, hook_failed.as_deref());
                }
                Err(EngineError::NotFound(_)) => return action,
                Err(error) => return failed(action, &error),
            }
        }
        match self.engine.remove(id, true).await {
            Ok(()) | Err(EngineError::NotFound(_)) => action,
            Err(error) => failed(action, &error),
        }
    }

    fn started(
        &self,
        kind: ActionKind,
        id: &ContainerId,
        reason: &str,
        result: Result<Replica, EngineError>,
    ) -> Action {
        let action = self.action(kind, id, reason);
        match result {
            Ok(replica) => {
                self.callbacks.notify(self.workload, &replica, "start");
                action
            }
            Err(error) => failed(action, &error),
        }
    }

    fn action(&self, kind: ActionKind, id: &ContainerId, reason: &str) -> Action {
        let name = self.snapshot.replica(id).map(|replica| replica.name.clone()).unwrap_or_default();
        Action { kind, reason: reason.to_owned(), container: Some(id.clone()), name, error: None }
    }
}

fn failed(mut action: Action, error: &EngineError) -> Action {
    action.error = Some(error.to_string());
    action
}
