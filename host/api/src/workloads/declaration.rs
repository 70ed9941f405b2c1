//! The declaration of a workload, in answers.

use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::Declaration;

/// The place where a workload is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeclarationView {
    /// `api`: a start request, and the workload is managed. `compose` or `swarm`: labels on a service, and the workload is
    /// adopted.
    pub(crate) declared_by: &'static str,
    /// The Compose project; absent for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    /// The service; absent for a managed workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
}

impl From<&Declaration> for DeclarationView {
    fn from(declaration: &Declaration) -> Self {
        let (project, service) = match declaration {
            Declaration::Api => (None, None),
            Declaration::Compose { project, service } => (Some(project.clone()), Some(service.clone())),
            Declaration::Swarm { service } => (None, Some(service.clone())),
        };
        Self { declared_by: declaration.as_str(), project, service }
    }
}

/// The fields of the desired state that labels set, each with its labels.
pub(crate) fn read_only(declaration: &Declaration) -> BTreeMap<&'static str, &'static [&'static str]> {
    declaration.labelled().iter().map(|field| (field.name, field.labels)).collect()
}
