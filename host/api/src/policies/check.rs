//! Checks the policies that a request chose.

use crate::ApiState;
use crate::error::Problem;
use crate::json::problems::Problems;
use windlass_core::policy::{CatalogueError, ChoiceError};
use windlass_core::{PolicyChoices, PolicyKind, Timestamp};

/// Checks that the chosen policies exist and accept their configurations.
///
/// # Errors
/// 422 with everything that is wrong.
pub(crate) async fn choices(state: &ApiState, choices: &PolicyChoices) -> Result<(), Problem> {
    let now = Timestamp(state.controller.now_ms());
    let mut problems = Problems::default();
    let scaling = choices.scaling.iter().enumerate().map(|(index, choice)| {
        let index = if choices.scaling.len() == 1 { String::new() } else { format!("/{index}") };
        (Some(PolicyKind::Scaling), choice, format!("/scaling_policy{index}"))
    });
    let health = choices.health.iter().map(|choice| (Some(PolicyKind::Health), choice, "/health_policy".to_owned()));
    let shadows = choices.shadows.iter().enumerate().map(|(index, choice)| {
        let kind = state.policies.find(&choice.name).map(|info| info.kind);
        (kind, choice, format!("/shadow_policies/{index}"))
    });
    for (kind, choice, pointer) in scaling.chain(health).chain(shadows) {
        let Some(kind) = kind else {
            problems.add(format!("{pointer}/name"), CatalogueError::Unknown(choice.name.clone()).to_string());
            continue;
        };
        match state.policies.check(kind, choice, now).await {
            Ok(()) => {}
            Err(error @ ChoiceError::Unknown { .. }) => problems.add(format!("{pointer}/name"), error.to_string()),
            Err(ChoiceError::Schema { problems: found, .. }) => {
                for (at, why) in found {
                    problems.add(format!("{pointer}/config{at}"), why);
                }
            }
            Err(error @ ChoiceError::Refused { .. }) => problems.add(format!("{pointer}/config"), error.to_string()),
        }
    }
    problems.finish(Some(()))
}
