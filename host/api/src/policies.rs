//! `/policies` and what lies below it: the policies by name, and what may be done to them.

use crate::error::Problem;
use crate::fields::{Fields, Problems};
use crate::request::{NoQuery, PolicyName, PushQuery, RevisionNumber, WasmBody, to_the_end_or};
use crate::views::{PolicyDetail, PolicyView};
use crate::{ApiState, fields};
use axum::Json;
use axum::extract::State;
use axum::http::header::FROM;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_control::ControlError;
use windlass_core::policy::{CatalogueError, ChoiceError, PolicyInfo, Push, Source};
use windlass_core::{PolicyChoice, PolicyChoices, PolicyKind, Timestamp};

/// Characters kept of who pushed a policy.
const LONGEST_NAME: usize = 200;

/// Answer of `GET /policies`.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyList {
    /// Every policy, in the order of names.
    pub policies: Vec<PolicyView>,
    /// What keeps the sources that `windlass.toml` names from being taken, by the policy's name; those that are fine
    /// are not there.
    pub source_problems: BTreeMap<String, String>,
}

/// Every policy.
pub async fn list(State(state): State<ApiState>, _: NoQuery) -> Json<PolicyList> {
    Json(PolicyList {
        policies: state.policies.list().iter().map(PolicyView::from).collect(),
        source_problems: state.policies.source_problems(),
    })
}

/// One policy with its revisions.
pub async fn show(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let found = state.policies.find(&name).ok_or(CatalogueError::Unknown(name))?;
    Ok(Json(PolicyDetail::from(found)))
}

/// Registers the body as the newest revision, which acts from the next pass on, or as the candidate.
pub async fn push(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    PushQuery { reset_memory, candidate }: PushQuery,
    headers: HeaderMap,
    WasmBody { component, place }: WasmBody,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    let push = Push {
        name,
        component: component.to_vec().into(),
        by: pusher(&headers),
        source: Source::Upload,
        reset_memory,
        candidate,
        at,
    };
    changed(async move {
        let _until_it_is_compiled = place;
        state.policies.push(push).await
    })
    .await
}

/// Looks again at the source of a policy in a registry.
pub async fn refresh(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.refresh(&name, at).await }).await
}

/// Lets the candidate act, or the revision of a number.
pub async fn promote(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    RevisionNumber(revision): RevisionNumber,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.promote(&name, revision, at).await }).await
}

/// Lets the revision before the acting one act again.
pub async fn roll_back(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let at = Timestamp(state.controller.now_ms());
    changed(async move { state.policies.roll_back(&name, at).await }).await
}

/// Forgets a policy that no workload chose, with all its revisions.
pub async fn remove(
    State(state): State<ApiState>,
    PolicyName(name): PolicyName,
    _: NoQuery,
) -> Result<Json<PolicyDetail>, Problem> {
    let chosen_by = |choices: &PolicyChoices| {
        let mut chosen = choices.scaling.iter().chain(&choices.health).chain(&choices.shadows);
        chosen.any(|choice| choice.name == name)
    };
    let choosers: Vec<String> = (state.controller.views().iter())
        .filter(|view| chosen_by(&view.workload.policies))
        .map(|view| format!("`{}`", view.workload.key))
        .collect();
    if !choosers.is_empty() {
        let detail = format!("`{name}` was chosen for {}; choose another one there first", choosers.join(", "));
        return Err(CatalogueError::Conflict(detail).into());
    }
    changed(async move { state.policies.remove(&name).await }).await
}

/// Makes a change whether or not the caller waits for it, and shows what the policy is then.
async fn changed(
    change: impl Future<Output = Result<PolicyInfo, CatalogueError>> + Send + 'static,
) -> Result<Json<PolicyDetail>, Problem> {
    let info = to_the_end_or(async move { change.await.map_err(Problem::from) }).await?;
    Ok(Json(PolicyDetail::from(info)))
}

/// Who pushes, by the header `From`; without control characters, since it is shown and logged.
fn pusher(headers: &HeaderMap) -> String {
    let said = headers.get(FROM).and_then(|value| value.to_str().ok()).unwrap_or("the API");
    said.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect()
}

/// One choice of a body: `{"name": …, "config": {…}}`.
pub(crate) fn choice(value: &Value, pointer: &str, problems: &mut Problems) -> Option<PolicyChoice> {
    let fields = Fields::of(value, pointer, &["name", "config"], problems)?;
    let name = fields.required("name", problems, fields::text);
    let config = fields.or("config", "{}".to_owned(), problems, config);
    Some(PolicyChoice { name: name?, config: config? })
}

/// One choice, or a list of them, none twice.
pub(crate) fn choices(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Vec<PolicyChoice>> {
    if value.is_array() {
        different(value, pointer, PolicyChoices::MOST_SCALING, problems)
    } else {
        choice(value, pointer, problems).map(|choice| vec![choice])
    }
}

/// So many choices at most, none twice.
pub(crate) fn different(
    value: &Value,
    pointer: &str,
    most: usize,
    problems: &mut Problems,
) -> Option<Vec<PolicyChoice>> {
    let choices = fields::list_of(choice)(value, pointer, problems)?;
    if choices.len() > most {
        problems.add(pointer, format!("{} policies are given; expected at most {most}", choices.len()));
    }
    for (index, choice) in choices.iter().enumerate() {
        if choices[..index].contains(choice) {
            problems.add(format!("{pointer}/{index}"), "the same policy with the same configuration is given twice");
        }
    }
    Some(choices)
}

fn config(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    if !value.is_object() {
        problems.add(pointer, "expected an object, as the policy's schema says");
        return None;
    }
    Some(value.to_string())
}

/// Whether the policies that were chosen are there and accept what they are told.
///
/// # Errors
/// 422 with the place of everything that is wrong.
pub(crate) async fn check(state: &ApiState, choices: &PolicyChoices) -> Result<(), Problem> {
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

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match &error {
            CatalogueError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            CatalogueError::Conflict(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            CatalogueError::Source(_) => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
            CatalogueError::Name(_) => Self::invalid_at("/path/name", error.to_string()),
            CatalogueError::Component(problems) => {
                let mut all = Problems::default();
                for problem in problems {
                    all.add("", problem.clone());
                }
                all.finish::<()>(None).expect_err("there is always something wrong")
            }
            CatalogueError::Disk(why) => ControlError::Store(why.clone()).into(),
        }
    }
}
