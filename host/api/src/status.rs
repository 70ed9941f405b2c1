//! `/health` and `/ready`: the state of Windlass itself.

use crate::ApiState;
use crate::access::Caller;
use crate::error::Problem;
use crate::operation::Operation;
use crate::query::NoQuery;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use windlass_control::Readiness;
use windlass_core::WorkloadKey;
use windlass_core::access::Role;

/// Answer of `GET /health`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always true: the process answers.
    ok: bool,
}

/// Answer of `GET /ready`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// Always true. If Windlass is not ready, the answer is 503.
    ready: bool,
    /// The people and programs that can change everything, one text for each way. Absent for callers that may not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    administrators: Option<Vec<String>>,
    /// Which other Windlass acts on the Swarm while this one stands by. Absent if this one acts, and for callers that may not
    /// read.
    #[serde(skip_serializing_if = "Option::is_none")]
    standby: Option<String>,
}

pub(crate) fn health_operation() -> Operation {
    Operation::new("Check that the process answers", health).answer::<Health>()
}

/// Answers without the engine and the control loop.
async fn health(_: NoQuery) -> Json<Health> {
    Json(Health { ok: true })
}

pub(crate) fn ready_operation() -> Operation {
    Operation::new("Check that Windlass can work; 503 says why not", ready).answer::<Ready>()
}

/// Answers every caller; only one that may read gets the reasons and the administrators.
async fn ready(
    State(state): State<ApiState>,
    caller: Option<Extension<Caller>>,
    _: NoQuery,
) -> Result<Json<Ready>, Problem> {
    let reader = caller.map(|Extension(caller)| caller).filter(|caller| caller.role.includes(Role::Viewer));
    readiness(&state.controller.readiness(), &state.access.administrators(), reader.as_ref())
}

fn readiness(
    readiness: &Readiness,
    administrators: &[String],
    reader: Option<&Caller>,
) -> Result<Json<Ready>, Problem> {
    let administrators = reader.map(|_| administrators.to_vec());
    if readiness.is_ready() {
        let standby = readiness.standby.clone().filter(|_| reader.is_some());
        return Ok(Json(Ready { ready: true, administrators, standby }));
    }
    let reasons: Vec<String> = match reader {
        Some(reader) => {
            let engine = readiness.engine.iter().map(|reason| format!("the engine cannot be used: {reason}"));
            let late = readiness.late.iter().filter(|key| reader.scope.includes(&WorkloadKey::stored(key.as_str())));
            let late = late.map(|key| format!("workload `{key}` is overdue for a pass"));
            engine.chain(late).collect()
        }
        None => vec![],
    };
    let detail = if reasons.is_empty() { "not ready".to_owned() } else { reasons.join("; ") };
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let problem = problem.with("ready", json!(false)).with("reasons", json!(reasons));
    Err(administrators.into_iter().fold(problem, |problem, texts| problem.with("administrators", json!(texts))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn what_keeps_windlass_from_its_work_is_told_to_those_who_may_call_it() {
        let late = Readiness { engine: Some("no socket".into()), late: vec!["nginx".into()], standby: None };
        let reader = Caller::new("ci", Role::Viewer);
        let readiness = |state, caller| readiness(state, &["root".to_owned()], caller);
        let told = readiness(&late, Some(&reader)).expect_err("not ready");
        assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told.detail(), "the engine cannot be used: no socket; workload `nginx` is overdue for a pass");
        assert_eq!(readiness(&late, None).expect_err("not ready").detail(), "not ready");
        let ready = Readiness { engine: None, late: vec![], standby: None };
        let answer = |caller| json!(readiness(&ready, caller).expect("ready").0);
        assert_eq!(answer(None), json!({"ready": true}));
        assert_eq!(answer(Some(&reader)), json!({"ready": true, "administrators": ["root"]}));
        let scope = Scope::of(&["api*".to_owned()]).expect("a glob");
        let limited = Caller { scope, ..reader.clone() };
        let told = readiness(&late, Some(&limited)).expect_err("not ready");
        assert_eq!(told.detail(), "the engine cannot be used: no socket");
        let standby = Readiness { engine: None, late: vec![], standby: Some("Windlass `a` acts".to_owned()) };
        let answer = |caller| json!(readiness(&standby, caller).expect("ready").0);
        assert_eq!(answer(None), json!({"ready": true}));
        assert_eq!(answer(Some(&reader))["standby"], "Windlass `a` acts");
    }
}
