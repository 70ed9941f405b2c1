//! `DELETE /policies/{name}`.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::PolicyName;
use crate::policies::show::{PolicyDetail, changed};
use crate::query::NoQuery;
use axum::Json;
use axum::extract::State;
use windlass_core::PolicyChoices;
use windlass_core::policy::CatalogueError;

pub(crate) fn operation() -> Operation {
    let summary = "Forget a policy that no workload uses, with all its revisions";
    Operation::new(summary, remove).answer::<PolicyDetail>().errors(&[404, 409])
}

async fn remove(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let uses = |choices: &PolicyChoices| {
        let mut chosen = choices.scaling.iter().chain(&choices.health).chain(&choices.shadows);
        chosen.any(|choice| choice.name == name)
    };
    let users: Vec<String> = (state.controller.views().iter())
        .filter(|view| uses(&view.workload.policies))
        .map(|view| format!("`{}`", view.workload.key))
        .collect();
    if !users.is_empty() {
        let detail = format!("`{name}` was chosen for {}; choose another one there first", users.join(", "));
        return Err(CatalogueError::Conflict(detail).into());
    }
    changed(async move { state.policies.remove(&name).await }).await
}
