//! `POST /workloads/{name}/scale`.

use crate::ApiState;
use crate::body::Body;
use crate::detached;
use crate::error::Problem;
use crate::json::object::declare;
use crate::json::problems::Problems;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::query::NoQuery;
use crate::workload::bounds::{checked, fixed_ports_conflict, max_replicas, min_replicas};
use crate::workloads::pass::{ReconcileAnswer, outcome};
use axum::Json;
use axum::extract::State;
use std::collections::BTreeMap;
use windlass_core::workload::ContainerPort;
use windlass_core::{Bounds, Publications};

declare! {
    /// Body of `POST /workloads/{name}/scale`.
    pub(crate) struct ScaleRequest {
        /// The fewest replicas; at most `max_replicas`.
        required min_replicas: u32 = min_replicas(),
        /// The most replicas.
        required max_replicas: u32 = max_replicas(),
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Change the bounds, and answer after the pass that applied them";
    Operation::new(summary, scale).answer::<ReconcileAnswer>().errors(&[400, 404, 409])
}

async fn scale(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<ScaleRequest>,
) -> Result<Json<ReconcileAnswer>, Problem> {
    let ports = state.controller.view(&key).map(|view| view.workload.ports);
    // A wrong body is reported before an unknown image.
    let bounds = body.check(|request, problems| bounds(request, &ports.unwrap_or_default(), problems))?;
    let controller = state.controller.clone();
    let wanted = key.clone();
    let pass = detached::run(async move { controller.scale(&wanted, bounds).await }).await?;
    outcome(&state, &key, &pass)
}

/// The bounds for a workload with these ports.
fn bounds(
    request: ScaleRequest,
    ports: &BTreeMap<ContainerPort, Publications>,
    problems: &mut Problems,
) -> Option<Bounds> {
    let bounds = checked(request.min_replicas.given()?, request.max_replicas.given()?, "", problems)?;
    if let Some(reason) = fixed_ports_conflict(ports, bounds) {
        problems.add("/max_replicas", reason);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_scale_request_has_both_bounds_and_suits_the_ports() {
        let bounds = |body: &Value, ports: &BTreeMap<ContainerPort, Publications>| {
            Body::<ScaleRequest>::of(body).check(|request, problems| super::bounds(request, ports, problems))
        };
        let fixed = BTreeMap::from([("80/tcp".parse().expect("a port"), 8080.into())]);
        let free = BTreeMap::new();
        let both = json!({"min_replicas": 1, "max_replicas": 2});
        assert_eq!(bounds(&both, &free).map(|bounds| (bounds.min(), bounds.max())), Ok((1, 2)));
        let told = |body: &Value, ports| bounds(body, ports).expect_err("refused").detail().to_owned();
        assert!(told(&both, &fixed).starts_with("/max_replicas: `80/tcp` is fixed to host port 8080"));
        assert!(bounds(&json!({"min_replicas": 0, "max_replicas": 1}), &fixed).is_ok());
        assert_eq!(told(&json!({"min_replicas": 1}), &free), "/max_replicas: this field is required");
        assert_eq!(
            told(&json!({"min": 1, "max_replicas": 2000}), &free),
            "/min: unknown field; did you mean `min_replicas`?; /min_replicas: this field is required; \
             /max_replicas: expected a whole number from 1 to 1000, found `2000`"
        );
    }
}
