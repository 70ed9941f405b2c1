//! The quotas of pushed policies: their number, and their bytes in memory and on disk.

use crate::registry::root::PolicyRegistry;
use crate::revisions::policy::PushedPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_core::policy::catalogue::CatalogueError;
use windlass_sandbox::component::PolicyComponent;

impl PolicyRegistry {
    /// Checks that a new revision of a policy stays within the quotas. The caller holds the lock `changing`.
    ///
    /// # Errors
    /// A sentence that names the quota and its setting.
    pub(crate) async fn check_quota(
        &self,
        policy: &Arc<PushedPolicy>,
        component: &PolicyComponent,
    ) -> Result<(), CatalogueError> {
        let limits = &self.loader.settings.limits;
        let conflict = |why: String| Err(CatalogueError::Conflict(why));
        let all = self.pushed.all();
        if self.pushed.get(&policy.name).is_none() && all.len() >= limits.policies as usize {
            return conflict(format!(
                "there are {} pushed policies already, which is the limit (`policy.policies`); remove one first",
                all.len()
            ));
        }
        let code = component.code_bytes() as u64;
        // The revisions of this policy that stay loaded: the acting one becomes the fallback.
        let others = all.iter().filter(|other| other.name != policy.name).map(|other| other.loaded_bytes());
        let acting = policy.published().acting.as_ref().map_or(0, |acting| acting.component.code_bytes() as u64);
        let loaded = others.sum::<u64>() + acting;
        if loaded.saturating_add(code) > limits.loaded_bytes {
            return conflict(format!(
                "the policy needs {code} bytes of memory for its machine code, and the pushed policies use {loaded} of the {} \
                 bytes that they may use together (`policy.loaded_bytes`); remove a policy first",
                limits.loaded_bytes
            ));
        }
        let stored = self.stored_bytes(&all).await;
        let needed = (component.size_bytes() as u64).saturating_add(code);
        if self.pushed.store.is_some() && stored.saturating_add(needed) > limits.stored_bytes {
            return conflict(format!(
                "the policy needs {needed} bytes on disk, and the stored policies use {stored} of the {} bytes that they may \
                 use together (`policy.stored_bytes`); remove a policy first, or lower `revisions_kept`",
                limits.stored_bytes
            ));
        }
        Ok(())
    }

    /// Bytes of all stored components, and of the machine code in the compiler's cache.
    async fn stored_bytes(&self, all: &[Arc<PushedPolicy>]) -> u64 {
        let revisions = all.iter().flat_map(|policy| policy.state().revisions);
        let components: BTreeMap<String, u64> = revisions.map(|it| (it.digest, it.size_bytes)).collect();
        let cached = self.loader.compiler.cached_bytes().await;
        components.values().sum::<u64>().saturating_add(cached)
    }
}
