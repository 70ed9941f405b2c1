//! Generations of a workload: the one before, its return, and images that are pulled again.

use crate::caller::while_present;
use crate::controller::Controller;
use crate::error::ControlError;
use crate::report::PassReport;
use crate::workload::handle::WorkloadHandle;
use crate::workload_events::publish_change;
use windlass_core::engine::AnyEngine;
use windlass_core::{Declaration, Generation, History, ImageRef, Replica, ServiceSeen, Workload, WorkloadKey};

/// The current state of the workload that a repeated start changes.
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
    /// Pulls the image of a wanted workload, and returns the engine's identifier of it. Ends if the caller of the request
    /// leaves.
    pub async fn pull(&self, image: &ImageRef) -> Result<String, ControlError> {
        let AnyEngine::Slots(engine) = &self.context.engine else {
            let why = "a Swarm pulls the image of a service on each node by itself; start the workload with another tag or \
                       digest instead";
            return Err(ControlError::Conflict(why.to_owned()));
        };
        while_present(engine.pull(image)).await?.map_err(|error| self.refusal(error))
    }

    /// Brings the service of a workload to the workload's current state, if the engine keeps the replicas. `is_changed` says
    /// whether the state is another one than before. A missing service is left to the next pass. The caller holds the pass
    /// lock.
    pub(crate) async fn deploy(&self, handle: &WorkloadHandle, is_changed: bool) -> Result<(), ControlError> {
        let AnyEngine::Counts(engine) = &self.context.engine else { return Ok(()) };
        let (workload, target) = {
            let mut state = handle.state();
            // The specification of an adopted service is its owner's.
            if state.workload.declaration.is_adopted() {
                return Ok(());
            }
            // Any write of a service begins its update anew, so an unchanged one is not written.
            let is_outdated = !state.workload.outdated(&state.snapshot.replicas).is_empty();
            state.is_undeployed |= is_changed || is_outdated;
            if !state.is_undeployed || state.snapshot.service == ServiceSeen::Missing {
                return Ok(());
            }
            (state.workload.clone(), state.workload.bounds.clamp(state.target()))
        };
        engine.deploy(&workload, target).await.map_err(|error| self.refusal(error))?;
        handle.state().is_undeployed = false;
        Ok(())
    }

    /// Returns a managed workload to the generation before, which then becomes the current one, and an adopted service of a
    /// Swarm to its specification before. Returns after the pass that began to replace the replicas.
    pub async fn roll_back(&self, key: &WorkloadKey) -> Result<PassReport, ControlError> {
        let handle = self.handle(key)?;
        let request = {
            let _lock = self.lock(&handle).await?;
            let current = handle.state().workload.clone();
            if current.declaration.is_adopted() {
                self.roll_service_back(&current).await?;
            } else {
                self.return_to_previous(&handle).await?;
                self.deploy(&handle, true).await?;
            }
            publish_change(&self.context, &handle.key, "changed", "it returns to the specification before");
            handle.request()
        };
        self.report(&handle, request).await
    }

    /// Returns an adopted service to its specification before. The caller holds the pass lock.
    async fn roll_service_back(&self, workload: &Workload) -> Result<(), ControlError> {
        match (&self.context.engine, &workload.declaration) {
            (AnyEngine::Counts(engine), Declaration::Swarm { .. }) => {
                if let Some(conflict) = workload.container_conflict() {
                    return Err(ControlError::Conflict(conflict));
                }
                engine.roll_back(workload).await.map_err(|error| self.refusal(error))
            }
            _ => Err(ControlError::Conflict(format!(
                "the containers of `{}` come from its Compose file, of which no earlier version is known; change the file \
                 and run `docker compose up -d`",
                workload.key
            ))),
        }
    }

    /// Stores the generation before as the current one. The caller holds the pass lock.
    async fn return_to_previous(&self, handle: &WorkloadHandle) -> Result<(), ControlError> {
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
            self.check_networks(&before)?;
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::MadeFrom;
    use windlass_core::fixtures::{running, workload};

    fn version(version: &str) -> Workload {
        Workload { env: [("V".to_owned(), version.to_owned())].into(), ..workload("web:1", 1, 3) }
    }

    /// The wanted state after a start that follows `current`, whose replica was made from the image `one`.
    fn after(wanted: Workload, current: &Workload, is_proven: bool, pulled: Option<&str>) -> Workload {
        let made_from = MadeFrom { generation: Some(current.generation()), image_id: Some("one".to_owned()) };
        let replicas = [Replica { made_from, ..running(current, 1, 1_000) }];
        let history = History { proven: is_proven.then(|| current.generation()), ..History::default() };
        let mut wanted = wanted;
        carry_over(&mut wanted, &Before { workload: current, history: &history, replicas: &replicas }, pulled);
        wanted
    }

    fn previous(workload: &Workload) -> Option<&str> {
        workload.previous.as_ref().map(|previous| previous.env["V"].as_str())
    }

    #[test]
    fn the_generation_before_is_the_last_one_that_worked() {
        let one = version("1");
        let same = after(version("1"), &one, true, None);
        assert_eq!(previous(&same), None);
        let two = after(version("2"), &one, true, None);
        assert_eq!(previous(&two), Some("1"));
        assert_eq!(two.previous.as_ref().and_then(|previous| previous.image_id.as_deref()), Some("one"));
        assert_eq!(previous(&after(version("3"), &two, false, None)), Some("1"), "version 2 never worked");
        assert_eq!(previous(&after(version("3"), &two, true, None)), Some("2"));
        assert_eq!(previous(&after(version("1"), &two, false, None)), Some("2"), "a return by a start");
    }

    #[test]
    fn a_pulled_image_is_new_if_no_replica_has_it() {
        let one = version("1");
        let known = after(version("1"), &one, true, Some("one"));
        assert_eq!((known.generation(), known.image_id), (one.generation(), None));
        let two = after(version("1"), &one, true, Some("two"));
        assert_ne!(two.generation(), one.generation());
        assert_eq!((two.image_id.as_deref(), two.pulls, previous(&two)), (Some("two"), 1, Some("1")));
        // Without a pull, and with a pull of the same image, it stays.
        for pulled in [None, Some("two")] {
            assert_eq!(after(version("1"), &two, true, pulled).generation(), two.generation());
        }
        let back = two.of_previous_generation().expect("the one before");
        assert_eq!((back.generation(), back.image_id.as_deref()), (one.generation(), Some("one")));
        let third = after(version("1"), &two, true, Some("three"));
        assert_eq!((third.pulls, third.previous.map(|previous| previous.pulls)), (2, Some(1)));
    }

    #[test]
    fn another_spelling_of_the_image_changes_nothing() {
        let one = version("1");
        let mut spelled = version("1");
        spelled.image = "docker.io/library/web:1".parse().expect("an image");
        let again = after(spelled, &one, true, None);
        assert_eq!((again.image, again.previous), (one.image, None));
    }
}
