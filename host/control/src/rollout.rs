//! Generations of a workload: the one before, its return, and images that are pulled again.

use crate::controller::Controller;
use crate::error::ControlError;
use crate::reconcile::result::Outcome;
use crate::report::PassReport;
use std::collections::BTreeSet;
use windlass_core::{
    Failure, Generation, History, ImageRef, Plan, Replica, Slot, Step, Timestamp, Workload, WorkloadKey,
};

/// Records in the plan's history which new replicas could not be created.
pub(crate) fn remember_failures(plan: &mut Plan, outcome: &Outcome, now: Timestamp) {
    if plan.uses_previous {
        return;
    }
    let emptied: BTreeSet<Slot> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Replace { slot, .. } | Step::Renew { slot, .. } => Some(*slot),
            _ => None,
        })
        .collect();
    let mut errors: Vec<String> = outcome.unprepared.iter().cloned().collect();
    let mut stops_nothing = true;
    for failure in &outcome.failures {
        // Another slot is filled where a name is taken: the new generation is not the cause.
        if let Failure::NotFilled { slot, error, is_name_taken: false } = failure {
            errors.push(error.clone());
            stops_nothing &= !emptied.contains(slot);
        }
    }
    windlass_decide::remember_failed_rollout(&mut plan.history, &errors, stops_nothing, now);
}

/// What a repeated start knows about the workload that it changes.
pub(crate) struct Before<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) history: &'a History,
    pub(crate) replicas: &'a [Replica],
}

/// Gives the wanted state the image, the generation before and the other memory of the current one. `pulled` is the
/// identifier of an image that was just pulled for it.
pub(crate) fn carry_over(wanted: &mut Workload, before: &Before<'_>, pulled: Option<&str>) {
    let Before { workload: current, history, replicas } = *before;
    wanted.unlabelled.clone_from(&current.unlabelled);
    wanted.previous.clone_from(&current.previous);
    if wanted.image.is_same(&current.image) {
        // The spelling of the first start stays.
        wanted.image.clone_from(&current.image);
        wanted.image_id.clone_from(&current.image_id);
        wanted.pulls = current.pulls;
    }
    if let Some(pulled) = pulled {
        let is_new = match &wanted.image_id {
            Some(known) => known != pulled,
            None => replicas.iter().filter_map(|replica| replica.made_from.image_id.as_deref()).any(|id| id != pulled),
        };
        if is_new {
            let last = current.previous.as_ref().map_or(0, |previous| previous.pulls);
            wanted.pulls = current.pulls.max(last) + 1;
            wanted.image_id = Some(pulled.to_owned());
        }
    }
    let (old, new) = (current.generation(), wanted.generation());
    if old == new {
        return;
    }
    // A generation that never worked is nothing to return to.
    let is_worth_it = history.proven.as_ref() == Some(&old) || current.previous.is_none();
    let older = current.previous.as_ref().filter(|previous| !is_worth_it && previous.generation() != new);
    if older.is_none() {
        wanted.previous = Some(Box::new(with_image(current, &old, replicas).specification()));
    }
}

/// The workload, with the image that its replicas were made from: the reference may lead to another one later.
fn with_image(workload: &Workload, generation: &Generation, replicas: &[Replica]) -> Workload {
    let newest = replicas.iter().filter(|replica| workload.is_of(generation, replica)).max_by_key(|it| it.created_at);
    let image_id = newest.and_then(|replica| replica.made_from.image_id.clone());
    Workload { image_id: workload.image_id.clone().or(image_id), ..workload.clone() }
}

impl Controller {
    /// Pulls the image of a wanted workload, and returns the engine's identifier of it.
    pub async fn pull(&self, image: &ImageRef) -> Result<String, ControlError> {
        self.context.engine.pull(image).await.map_err(|error| self.refusal(error))
    }

    /// Returns to the generation before, which then becomes the current one. Returns after the pass that began to replace
    /// the replicas.
    pub async fn roll_back(&self, key: &WorkloadKey) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        let request = {
            let _lock = self.lock(&handle).await?;
            let (workload, target) = {
                let state = handle.state();
                let current = &state.workload;
                let Some(before) = current.of_previous_generation() else {
                    return Err(ControlError::Conflict(format!(
                        "`{}` has no generation before the current one; it has one after a start with another image, \
                         `env`, `command`, `ports`, `resources`, `networks` or `labels`",
                        handle.key
                    )));
                };
                let old = with_image(current, &current.generation(), &state.snapshot.replicas).specification();
                (Workload { previous: Some(Box::new(old)), ..before }, state.target())
            };
            let stored = workload.clone();
            self.context.store.call(move |store| store.save_workload(&stored, target)).await?;
            {
                let mut state = handle.state();
                state.workload = workload;
                state.retry_everything();
            }
            handle.request()
        };
        self.report(&handle, request).await
    }
}
