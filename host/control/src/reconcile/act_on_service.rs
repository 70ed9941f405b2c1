//! Carries out the plan of a service, whose replicas the engine keeps. Makes no choices: a change that fails is reported, and
//! the next pass decides again.

use crate::action::{Action, ActionKind};
use crate::context::Context;
use crate::drain;
use crate::reconcile::result::Outcome;
use crate::stop::{Stopper, with_hook};
use crate::workload::handle::WorkloadHandle;
use futures_util::future::join_all;
use windlass_core::engine::{CountEngine, EngineError};
use windlass_core::{ContainerId, CountChange, Failure, Plan, Snapshot, Step, Workload};

/// Carries out every step of a plan, after the replicas that will probably leave are drained and their stop hooks have run.
pub(crate) async fn act_on_service(
    context: &Context,
    handle: &WorkloadHandle,
    engine: &dyn CountEngine,
    workload: &Workload,
    snapshot: &Snapshot,
    plan: &Plan,
) -> Outcome {
    let mut outcome = Outcome::default();
    drain::before_acting(context, handle, &plan.steps.iter().collect::<Vec<_>>()).await;
    for step in &plan.steps {
        let (kind, reason, result) = match step {
            Step::SetCount { to, version, force, leaving, reason } => {
                let stopper = Stopper::new(context, handle, workload);
                let failures = call_hooks(stopper, snapshot, leaving, reason).await;
                let reason = with_hook(reason, Some(failures.join("; ")).filter(|all| !all.is_empty()).as_deref());
                let change = CountChange { to: *to, version: *version, force: *force };
                (ActionKind::SetCount, reason, engine.set_count(workload, change).await)
            }
            Step::Deploy { count, reason } => {
                (ActionKind::Deploy, reason.clone(), engine.deploy(workload, *count).await)
            }
            other => {
                let error = EngineError::Refused("the engine keeps the replicas of a service by itself".to_owned());
                (ActionKind::SetCount, other.reason().to_owned(), Err(error))
            }
        };
        outcome.is_stale |= matches!(result, Err(EngineError::Stale(_)));
        let error = result.err();
        // The change of somebody else, and an engine that does not answer, say nothing about the request.
        let failed = error.as_ref().filter(|it| !matches!(it, EngineError::Stale(_) | EngineError::Unavailable(_)));
        outcome.failures.extend(failed.map(|error| Failure::NotSet { error: error.to_string() }));
        let error = error.map(|error| error.to_string());
        outcome.actions.push(Action { kind, reason, container: None, name: String::new(), error });
    }
    outcome
}

/// Calls the stop hooks of the running replicas among these. Returns the failures, with the names of the replicas.
async fn call_hooks(stopper: Stopper<'_>, snapshot: &Snapshot, leaving: &[ContainerId], reason: &str) -> Vec<String> {
    let replicas = leaving.iter().filter_map(|id| snapshot.replica(id));
    let calls = replicas.map(|replica| async move {
        let why = stopper.call_hook(replica, reason).await?;
        Some(format!("`{}`: {why}", replica.name))
    });
    join_all(calls).await.into_iter().flatten().collect()
}
