//! What people do with policies: push, promote, roll back, delete, choose.

use crate::listing::{built_in_info, pushed_info};
use crate::registry::{PolicyRegistry, blocking};
use crate::revisions::set::State;
use crate::revisions::store::digest_of;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use windlass_core::policy::catalogue::{CatalogueError, ChoiceError, PolicyCatalogue, PolicyInfo, Push, Source};
use windlass_core::settings::PolicyOrigin;
use windlass_core::{PolicyChoice, PolicyKind, Timestamp};
use windlass_sandbox::component::PolicyComponent;

/// By whom a revision was pushed that came from a registry: the reference, and the digest it led to.
pub(crate) fn fetched_from(origin: &PolicyOrigin, manifest: &str) -> String {
    format!("{origin} at {manifest}")
}

impl PolicyRegistry {
    async fn refreshed(&self, name: &str, origin: &PolicyOrigin, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let (PolicyOrigin::Oci(reference), Some(oci)) = (origin, &self.oci) else {
            return Err(CatalogueError::Source(format!(
                "cannot take `{origin}`: nothing here fetches from registries"
            )));
        };
        let fetched = oci.fetch(reference).await;
        let fetched = fetched.map_err(|why| CatalogueError::Source(format!("cannot take `{origin}`: {why}")))?;
        let by = fetched_from(origin, &fetched.manifest);
        // Where it leads is where it led: a rollback from there holds.
        if let Some(known) = self.find(name)
            && known.revisions.first().is_some_and(|newest| newest.loaded_by == by)
        {
            return Ok(known);
        }
        let component = fetched.component.into();
        let source = Source::Registry;
        self.push(Push { name: name.to_owned(), component, by, source, reset_memory: false, candidate: false, at })
            .await
    }

    /// The policy, where what is pushed is there already.
    fn is_there(&self, push: &Push, digest: &str) -> Result<Option<PolicyInfo>, CatalogueError> {
        let known = self.names.get(&push.name);
        if push.candidate && known.as_ref().is_none_or(|pushed| pushed.asked().acting.is_none()) {
            let detail = format!("no revision of `{}` acts that a candidate could be compared with", push.name);
            return Err(CatalogueError::Conflict(detail));
        }
        let there = known.filter(|known| !push.reset_memory && known.state().is_there(digest, push.candidate));
        Ok(there.map(|pushed| pushed_info(&pushed)))
    }

    /// Notes that a source gave what is there already.
    async fn note_taken(
        &self,
        there: PolicyInfo,
        push: &Push,
        digest: &str,
        _one_at_a_time: &MutexGuard<'_, ()>,
    ) -> Result<PolicyInfo, CatalogueError> {
        let taken = push.taken(digest);
        if taken.is_none() || taken == there.taken {
            return Ok(there);
        }
        let pushed = self.pushed(&push.name)?;
        let state = State { taken, ..pushed.state() };
        self.commit(&pushed, state, None).await
    }
}

#[async_trait]
impl PolicyCatalogue for PolicyRegistry {
    fn list(&self) -> Vec<PolicyInfo> {
        let policies = self.names.policies.read().clone();
        let pushed = policies.values().map(|pushed| pushed_info(pushed));
        let mut all: Vec<PolicyInfo> =
            self.built_in.values().map(|policy| built_in_info(policy)).chain(pushed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let problems = self.source_problems();
        for info in &mut all {
            info.source_problem = problems.get(&info.name).cloned();
        }
        all
    }

    fn find(&self, name: &str) -> Option<PolicyInfo> {
        let built_in = self.built_in.get(name).map(|policy| built_in_info(policy));
        let info = built_in.or_else(|| self.names.get(name).map(|pushed| pushed_info(&pushed)))?;
        Some(PolicyInfo { source_problem: self.source_problems().remove(name), ..info })
    }

    fn source_problems(&self) -> BTreeMap<String, String> {
        self.source_problems.lock().clone()
    }

    fn tell_source(&self, name: &str, problem: Option<String>) {
        let mut problems = self.source_problems.lock();
        match problem {
            Some(problem) => drop(problems.insert(name.to_owned(), problem)),
            None => drop(problems.remove(name)),
        }
    }

    async fn refresh(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let origin = match self.settings.named.get(name).and_then(|named| named.source.as_ref()) {
            Some(origin @ PolicyOrigin::Oci(_)) => origin,
            Some(PolicyOrigin::File(path)) => {
                let detail =
                    format!("`{name}` comes from the file {}, which is looked at all the time", path.display());
                return Err(CatalogueError::Conflict(detail));
            }
            None if self.find(name).is_none() => return Err(CatalogueError::Unknown(name.to_owned())),
            None => {
                let detail = format!("`{name}` has no source in windlass.toml; push its next revision");
                return Err(CatalogueError::Conflict(detail));
            }
        };
        let refreshed = self.refreshed(name, origin, at).await;
        let problem = refreshed.as_ref().err().map(ToString::to_string);
        if let Some(why) = &problem {
            tracing::error!(policy = name, why, "cannot take this policy from its registry");
        }
        self.tell_source(name, problem);
        refreshed
    }

    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError> {
        if !PolicyChoice::is_name(&push.name) {
            return Err(CatalogueError::Name(push.name));
        }
        if self.built_in.contains_key(push.name.as_str()) {
            let detail = format!("`{}` is built in; push under another name and assign that one", push.name);
            return Err(CatalogueError::Conflict(detail));
        }
        let digest = digest_of(&push.component);
        if let Some(there) = self.is_there(&push, &digest)? {
            return self.note_taken(there, &push, &digest, &self.changing.lock().await).await;
        }
        // Compiling takes long: nobody's rollback waits for it.
        let component = self.load(&push.name, Arc::clone(&push.component)).await;
        let component = component
            .map_err(|error| CatalogueError::Component(error.problems.iter().map(ToString::to_string).collect()))?;
        let one_at_a_time = self.changing.lock().await;
        if let Some(there) = self.is_there(&push, &digest)? {
            return self.note_taken(there, &push, &digest, &one_at_a_time).await;
        }
        let pushed = match self.names.get(&push.name) {
            Some(pushed) if pushed.kind != component.kind() => {
                let detail =
                    format!("`{}` is a {} policy and this is a {} policy", push.name, pushed.kind, component.kind());
                return Err(CatalogueError::Conflict(detail));
            }
            Some(pushed) => pushed,
            None => self.unknown_yet(&push.name, component.kind()),
        };
        let state = self.state_after(&pushed, component, &push, &digest);
        let info = self.commit(&pushed, state, Some((digest, Arc::clone(&push.component)))).await?;
        if push.candidate {
            tracing::info!(policy = info.name, revision = info.candidate, by = push.by, "a new candidate");
        } else {
            tracing::info!(policy = info.name, revision = info.acting, by = push.by, "a new revision acts");
        }
        Ok(info)
    }

    async fn promote(&self, name: &str, revision: Option<u32>, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let _one_at_a_time = self.changing.lock().await;
        let pushed = self.pushed(name)?;
        let mut state = pushed.state();
        let conflict = |detail| Err(CatalogueError::Conflict(detail));
        let Some(number) = revision.or(state.candidate.as_ref().map(|candidate| candidate.number())) else {
            return conflict(format!("`{name}` has no candidate; say which revision is to act"));
        };
        let Some(revision) = state.revisions.iter().find(|revision| revision.number == number).cloned() else {
            return conflict(format!("`{name}` has no revision {number}"));
        };
        if let Some(why) = &revision.quarantined {
            return conflict(format!("revision {number} of `{name}` may not act: {why}"));
        }
        if state.acting.as_ref().is_some_and(|acting| acting.number() == number) {
            return Ok(pushed_info(&pushed));
        }
        let watched = self.load_stored(&pushed, &state, &revision).await.map_err(|why| {
            CatalogueError::Conflict(format!("revision {number} of `{name}` does not load: {}", why.why))
        })?;
        if state.candidate.as_ref().is_some_and(|candidate| candidate.number() == number) {
            state.candidate = None;
        }
        state.succeed(watched);
        state.happened(at, number, "promoted; it acts".to_owned());
        let info = self.commit(&pushed, state, None).await?;
        tracing::info!(policy = name, revision = number, "promoted");
        Ok(info)
    }

    async fn roll_back(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let _one_at_a_time = self.changing.lock().await;
        let pushed = self.pushed(name)?;
        let mut state = pushed.state();
        let from = state.acting.as_ref().map(|acting| acting.number());
        let Some(to) = self.bring_back(&pushed, &mut state, from, at).await else {
            return Err(CatalogueError::Conflict(format!("`{name}` has no earlier revision that may act")));
        };
        let from_what = from.map_or_else(|| "none".to_owned(), |from| from.to_string());
        state.happened(at, to, format!("rolled back to, from revision {from_what}; it acts"));
        let info = self.commit(&pushed, state, None).await?;
        tracing::info!(policy = name, from, to, "rolled back");
        Ok(info)
    }

    async fn remove(&self, name: &str) -> Result<PolicyInfo, CatalogueError> {
        let _one_at_a_time = self.changing.lock().await;
        let pushed = self.pushed(name)?;
        if [&self.defaults.scaling.name, &self.defaults.health.name].contains(&&pushed.name) {
            let detail =
                format!("`{name}` is the {} policy of workloads that name none, says windlass.toml", pushed.kind);
            return Err(CatalogueError::Conflict(detail));
        }
        if self.settings.named.get(name).is_some_and(|named| named.source.is_some()) {
            let detail = format!("`{name}` has a source in windlass.toml, which would bring it back");
            return Err(CatalogueError::Conflict(detail));
        }
        let in_folder = self.settings.folder.as_ref().map(|folder| folder.join(format!("{name}.wasm")));
        if let Some(path) = in_folder.filter(|path| path.exists()) {
            let detail =
                format!("`{name}` comes from {}, which would bring it back; remove that first", path.display());
            return Err(CatalogueError::Conflict(detail));
        }
        let info = pushed_info(&pushed);
        let (names, gone) = (Arc::clone(&self.names), name.to_owned());
        let removed = blocking(move || names.remove(&gone)).await;
        removed.map_err(|error| CatalogueError::Disk(error.to_string()))?;
        tracing::info!(policy = name, "deleted");
        Ok(info)
    }

    async fn check(&self, kind: PolicyKind, choice: &PolicyChoice, now: Timestamp) -> Result<(), ChoiceError> {
        let built_in = self.built_in(&choice.name, kind);
        let pushed = self.acting(&choice.name, kind);
        let policy: &PolicyComponent = match (&built_in, &pushed) {
            (Some(built_in), _) => built_in,
            (None, Some(watched)) => &watched.component,
            (None, None) => {
                let known = self.list().into_iter().filter(|info| info.kind == kind && info.acting.is_some());
                let known = known.map(|info| format!("`{}`", info.name)).collect();
                return Err(ChoiceError::Unknown { name: choice.name.clone(), kind, known });
            }
        };
        let problems = policy.schema_problems(&choice.config).await;
        if !problems.is_empty() {
            return Err(ChoiceError::Schema { name: choice.name.clone(), problems });
        }
        let called = policy.configure(&choice.config, now).await;
        called.log.trace(&choice.name);
        let accepted = called.answer.map(drop);
        accepted.map_err(|failure| ChoiceError::Refused { name: choice.name.clone(), failure })
    }
}
