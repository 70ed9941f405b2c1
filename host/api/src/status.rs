//! `/health` and `/ready`: the state of Windlass itself.

use crate::ApiState;
use crate::auth::Caller;
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
    Extension(caller): Extension<Caller>,
    _: NoQuery,
) -> Result<Json<Ready>, Problem> {
    readiness(&state.controller.readiness(), &state.settings.administrators(), caller)
}

fn readiness(readiness: &Readiness, administrators: &[String], caller: Caller) -> Result<Json<Ready>, Problem> {
    let administrators = (caller != Caller::Stranger).then(|| administrators.to_vec());
    if readiness.is_ready() {
        let standby = readiness.standby.clone().filter(|_| caller != Caller::Stranger);
        return Ok(Json(Ready { ready: true, administrators, standby }));
    }
    let reasons: Vec<String> = match caller {
        Caller::Trusted | Caller::Reader => {
            let engine = readiness.engine.iter().map(|reason| format!("the engine cannot be used: {reason}"));
            let late = readiness.late.iter().map(|key| format!("workload `{key}` is overdue for a pass"));
            engine.chain(late).collect()
        }
        Caller::Stranger => vec![],
    };
    let detail = if reasons.is_empty() { "not ready".to_owned() } else { reasons.join("; ") };
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    let problem = problem.with("ready", json!(false)).with("reasons", json!(reasons));
    Err(administrators.into_iter().fold(problem, |problem, texts| problem.with("administrators", json!(texts))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_windlass_from_its_work_is_told_to_those_who_may_call_it() {
        let late = Readiness { engine: Some("no socket".into()), late: vec!["nginx".into()], standby: None };
        let readiness = |state, caller| readiness(state, &["root".to_owned()], caller);
        let told = readiness(&late, Caller::Trusted).expect_err("not ready");
        assert_eq!(told.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(told.detail(), "the engine cannot be used: no socket; workload `nginx` is overdue for a pass");
        assert_eq!(readiness(&late, Caller::Stranger).expect_err("not ready").detail(), "not ready");
        let ready = Readiness { engine: None, late: vec![], standby: None };
        let answer = |caller| json!(readiness(&ready, caller).expect("ready").0);
        assert_eq!(answer(Caller::Stranger), json!({"ready": true}));
        for caller in [Caller::Reader, Caller::Trusted] {
            assert_eq!(answer(caller), json!({"ready": true, "administrators": ["root"]}));
        }
        let standby = Readiness { standby: Some("Windlass `a` acts".to_owned()), ..ready.clone() };
        let answer = |caller| json!(readiness(&standby, caller).expect("ready").0);
        assert_eq!(answer(Caller::Stranger), json!({"ready": true}));
        assert_eq!(answer(Caller::Reader)["standby"], "Windlass `a` acts");
    }
}
