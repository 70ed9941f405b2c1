//! Fetches the policies that `windlass.toml` names in OCI registries.

use crate::registry::root::PolicyRegistry;
use windlass_core::Timestamp;
use windlass_core::policy::catalogue::{CatalogueError, PolicyCatalogue, PolicyInfo, Push, Source};
use windlass_core::settings::PolicyOrigin;

/// The pusher of a revision from a registry: the reference, and the digest of the manifest that it led to.
fn fetched_from(origin: &PolicyOrigin, manifest: &str) -> String {
    format!("{origin} at {manifest}")
}

impl PolicyRegistry {
    /// Fetches the policies that were never fetched from their configured reference. A failure is recorded as the policy's
    /// source problem. A fetched policy stays as it is until a refresh is requested.
    pub async fn fetch_missing(&self, at: Timestamp) {
        for (name, named) in &self.loader.settings.named {
            let Some(origin @ PolicyOrigin::Oci(_)) = &named.source else { continue };
            let delivered = self.pushed.get(name).and_then(|policy| policy.state().delivered);
            // The configured reference may have changed since.
            if delivered.is_some_and(|delivered| delivered.from.starts_with(&fetched_from(origin, ""))) {
                continue;
            }
            // `refresh` records the failure, and the next call tries again.
            let _recorded = self.refresh(name, at).await;
        }
    }

    /// Fetches a policy, and pushes it unless its reference leads to the manifest of the newest revision.
    pub(crate) async fn fetch(
        &self,
        name: &str,
        origin: &PolicyOrigin,
        at: Timestamp,
    ) -> Result<PolicyInfo, CatalogueError> {
        let failed = |why: String| CatalogueError::Source(format!("cannot fetch `{origin}`: {why}"));
        let (PolicyOrigin::Oci(reference), Some(oci)) = (origin, &self.oci) else {
            return Err(failed("this windlass has no client for OCI registries".to_owned()));
        };
        let fetched = oci.fetch(reference).await.map_err(failed)?;
        let by = fetched_from(origin, &fetched.manifest);
        // After a rollback from this revision, an unchanged reference must not bring it back.
        if let Some(known) = self.find(name)
            && known.revisions.first().is_some_and(|newest| newest.loaded_by == by)
        {
            return Ok(known);
        }
        self.push(Push {
            name: name.to_owned(),
            component: fetched.component.into(),
            by,
            source: Source::Registry,
            reset_memory: false,
            candidate: false,
            at,
        })
        .await
    }
}
