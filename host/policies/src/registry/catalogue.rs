//! The operations of operators: list, push, promote, roll back, remove, and check a choice.

use crate::digest::sha256;
use crate::listing::{built_in_info, pushed_info};
use crate::loader::blocking;
use crate::registry::root::PolicyRegistry;
use crate::revisions::policy::PushedPolicy;
use crate::revisions::set::Change;
use crate::revisions::state::{self, Event};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::policy::catalogue::{CatalogueError, ChoiceError, PolicyCatalogue, PolicyInfo, Push, RevisionInfo};
use windlass_core::settings::PolicyOrigin;
use windlass_core::{PolicyChoice, PolicyKind, Timestamp};
use windlass_sandbox::component::PolicyComponent;

fn conflict(why: String) -> CatalogueError {
    CatalogueError::Conflict(why)
}

impl PolicyRegistry {
    /// The pushed policy of this name, for a change.
    async fn pushed_policy(&self, name: &str) -> Result<Arc<PushedPolicy>, CatalogueError> {
        self.restored(name).await.ok_or_else(|| match self.built_in.get(name) {
            Some(_) => conflict(format!("`{name}` is built in; it has no revisions")),
            None => CatalogueError::Unknown(name.to_owned()),
        })
    }

    /// The policy, if the pushed component acts or is the candidate already.
    fn in_use(&self, push: &Push, digest: &str) -> Result<Option<Arc<PushedPolicy>>, CatalogueError> {
        let known = self.pushed.get(&push.name);
        if push.candidate && known.as_ref().is_none_or(|policy| policy.published().acting.is_none()) {
            return Err(conflict(format!("`{}` has no acting revision to compare a candidate with", push.name)));
        }
        Ok(known.filter(|policy| !push.reset_memory && policy.state().is_in_use(digest, push.candidate)))
    }

    /// Records that a source delivered the component that is in use already. The caller holds the lock `changing`.
    async fn record_delivery(
        &self,
        policy: &Arc<PushedPolicy>,
        push: &Push,
        digest: &str,
    ) -> Result<PolicyInfo, CatalogueError> {
        match push.taken(digest) {
            Some(delivered) if policy.state().delivered.as_ref() != Some(&delivered) => {
                let events = vec![Event::Delivered(delivered)];
                self.commit(policy, Change { events, loaded: Vec::new(), component: None }).await
            }
            _ => Ok(pushed_info(policy)),
        }
    }

    /// The change that a push makes. The caller holds the lock `changing`.
    fn pushing(&self, policy: &Arc<PushedPolicy>, component: PolicyComponent, push: &Push, digest: String) -> Change {
        let (number, memory_since) = policy.state().next_revision(push.reset_memory);
        let revision = RevisionInfo {
            number,
            digest: digest.clone(),
            size_bytes: push.component.len() as u64,
            described_name: component.description().name.clone(),
            version: component.description().version.clone(),
            loaded_at: push.at,
            loaded_by: push.by.clone(),
            source: push.source,
            memory_since,
            acted: false,
            proved: false,
            quarantined: None,
        };
        let loaded = vec![self.monitored(policy, component, &revision)];
        let pushed = state::Push {
            revision,
            as_candidate: push.candidate,
            delivered: push.taken(&digest),
            keep: policy.limits.revisions_kept,
        };
        Change { events: vec![Event::Pushed(pushed)], loaded, component: Some((digest, Arc::clone(&push.component))) }
    }

    /// Writes a change to disk, then makes it.
    async fn commit(&self, policy: &Arc<PushedPolicy>, change: Change) -> Result<PolicyInfo, CatalogueError> {
        let (pushed, changed, is_new) = (Arc::clone(&self.pushed), Arc::clone(policy), change.component.is_some());
        // The machine code of revisions that are not needed any more is unmapped.
        let _mapping = self.loader.engine.mapping();
        let committed = blocking(move || pushed.commit(&changed, change)).await;
        committed.map_err(|error| CatalogueError::Disk(error.to_string()))?;
        if is_new {
            self.forget_compiled().await;
        }
        Ok(pushed_info(policy))
    }

    /// Checks that a policy may be removed.
    fn check_removable(&self, policy: &PushedPolicy) -> Result<(), CatalogueError> {
        let (name, kind) = (&policy.name, policy.kind);
        if [&self.defaults.scaling.name, &self.defaults.health.name].contains(&name) {
            let why = format!("`{name}` is the default {kind} policy in windlass.toml; set another default first");
            return Err(conflict(why));
        }
        let settings = &self.loader.settings;
        if settings.named.get(name).is_some_and(|named| named.source.is_some()) {
            let why =
                format!("`{name}` has a source in windlass.toml that would push it again; remove the source first");
            return Err(conflict(why));
        }
        if let Some(path) = self.file_in_folder(name) {
            let path = path.display();
            return Err(conflict(format!(
                "`{name}` comes from {path}, which would push it again; remove the file first"
            )));
        }
        Ok(())
    }
}

#[async_trait]
impl PolicyCatalogue for PolicyRegistry {
    fn list(&self) -> Vec<PolicyInfo> {
        let pushed = self.pushed.all().into_iter().map(|policy| pushed_info(&policy));
        let mut all: Vec<PolicyInfo> = self.built_in.all().map(built_in_info).chain(pushed).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let problems = self.source_problems();
        for info in &mut all {
            info.source_problem = problems.get(&info.name).cloned();
        }
        all
    }

    fn find(&self, name: &str) -> Option<PolicyInfo> {
        let built_in = self.built_in.get(name).map(|policy| built_in_info(policy));
        let info = built_in.or_else(|| self.pushed.get(name).map(|policy| pushed_info(&policy)))?;
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
        let origin = match self.loader.settings.named.get(name).and_then(|named| named.source.as_ref()) {
            Some(origin @ PolicyOrigin::Oci(_)) => origin,
            Some(PolicyOrigin::File(path)) => {
                let path = path.display();
                return Err(conflict(format!("`{name}` comes from the file {path}, which is checked every 2 seconds")));
            }
            None if self.find(name).is_none() => return Err(CatalogueError::Unknown(name.to_owned())),
            None => {
                return Err(conflict(format!(
                    "`{name}` has no source in windlass.toml; push its next revision instead"
                )));
            }
        };
        let refreshed = self.fetch(name, origin, at).await;
        let problem = refreshed.as_ref().err().map(ToString::to_string);
        if let Some(why) = &problem {
            tracing::error!(policy = name, why, "cannot fetch the policy from its registry");
        }
        self.tell_source(name, problem);
        refreshed
    }

    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError> {
        if !PolicyChoice::is_name(&push.name) {
            return Err(CatalogueError::Name(push.name));
        }
        if self.built_in.get(&push.name).is_some() {
            return Err(conflict(format!("`{}` is built in; push the component under another name", push.name)));
        }
        self.restored(&push.name).await;
        let digest = sha256(&push.component);
        if let Some(policy) = self.in_use(&push, &digest)? {
            let _one_change = self.changing.lock().await;
            return self.record_delivery(&policy, &push, &digest).await;
        }
        // Compiling is slow. It happens before the lock, so no rollback waits for it.
        let loaded = self.loader.load(&push.name, Arc::clone(&push.component)).await;
        let component = loaded
            .map_err(|error| CatalogueError::Component(error.problems.iter().map(ToString::to_string).collect()))?;
        let _one_change = self.changing.lock().await;
        // Another push may have brought the same component meanwhile.
        if let Some(policy) = self.in_use(&push, &digest)? {
            return self.record_delivery(&policy, &push, &digest).await;
        }
        let (name, kind) = (&push.name, component.kind());
        let policy = self.pushed.get(name).unwrap_or_else(|| self.new_policy(name, kind));
        if policy.kind != kind {
            return Err(conflict(format!("`{name}` is a {} policy and this is a {kind} policy", policy.kind)));
        }
        self.check_quota(&policy, &component).await?;
        let change = self.pushing(&policy, component, &push, digest);
        self.commit(&policy, change).await
    }

    async fn promote(&self, name: &str, revision: Option<u32>, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let policy = self.pushed_policy(name).await?;
        let _one_change = self.changing.lock().await;
        let state = policy.state();
        let Some(number) = revision.or(state.candidate) else {
            return Err(conflict(format!("`{name}` has no candidate; name the revision to promote")));
        };
        let Some(revision) = state.revision(number) else {
            return Err(conflict(format!("`{name}` has no revision {number}")));
        };
        if let Some(why) = &revision.quarantined {
            return Err(conflict(format!("revision {number} of `{name}` may not act: {why}")));
        }
        if state.acting == Some(number) {
            return Ok(pushed_info(&policy));
        }
        let loaded = self.load_revision(&policy, revision).await;
        let loaded = loaded
            .map_err(|failed| conflict(format!("revision {number} of `{name}` does not load: {}", failed.why)))?;
        let events = vec![Event::Promoted { revision: number, at }];
        self.commit(&policy, Change { events, loaded: vec![loaded], component: None }).await
    }

    async fn roll_back(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError> {
        let policy = self.pushed_policy(name).await?;
        let _one_change = self.changing.lock().await;
        let state = policy.state();
        let mut loaded = self.load_eligible(&policy, &state, state.acting, at).await;
        let mut numbers = loaded.revisions.iter().map(|revision| revision.number());
        let (revision, fallback) = (numbers.next(), numbers.next());
        let Some(revision) = revision else {
            return Err(conflict(format!("`{name}` has no earlier revision that may act")));
        };
        loaded.events.push(Event::RolledBack { revision, fallback, at });
        let change = Change { events: loaded.events, loaded: loaded.revisions, component: None };
        self.commit(&policy, change).await
    }

    async fn remove(&self, name: &str) -> Result<PolicyInfo, CatalogueError> {
        let policy = self.pushed_policy(name).await?;
        let _one_change = self.changing.lock().await;
        self.check_removable(&policy)?;
        let info = pushed_info(&policy);
        let (pushed, removed) = (Arc::clone(&self.pushed), name.to_owned());
        blocking(move || pushed.remove(&removed)).await.map_err(|error| CatalogueError::Disk(error.to_string()))?;
        tracing::info!(policy = name, "removed");
        Ok(info)
    }

    async fn check(&self, kind: PolicyKind, choice: &PolicyChoice, now: Timestamp) -> Result<(), ChoiceError> {
        let name = &choice.name;
        self.restored(name).await;
        let refused = |failure| ChoiceError::Refused { name: name.clone(), failure };
        let component = match (self.built_in(name, kind), self.acting(name, kind)) {
            (Some(built_in), _) => Arc::clone(built_in.load().await.map_err(refused)?),
            (None, Some(acting)) => Arc::clone(&acting.component),
            (None, None) => {
                let known = self.list().into_iter().filter(|info| info.kind == kind && info.acting.is_some());
                let known = known.map(|info| format!("`{}`", info.name)).collect();
                return Err(ChoiceError::Unknown { name: name.clone(), kind, known });
            }
        };
        let problems = component.schema_problems(&choice.config).await;
        if !problems.is_empty() {
            return Err(ChoiceError::Schema { name: name.clone(), problems });
        }
        let called = component.configure(&choice.config, now).await;
        called.log.trace(name);
        called.answer.map(drop).map_err(refused)
    }
}
