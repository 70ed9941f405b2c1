//! `PUT /workloads/{name}/policy`.

use crate::ApiState;
use crate::body::Body;
use crate::error::Problem;
use crate::json::object::declare;
use crate::operation::Operation;
use crate::path::WorkloadPath;
use crate::policies::check;
use crate::query::NoQuery;
use crate::workload::policies::{choice, choices, mode, shadows};
use crate::workloads::change::changed;
use crate::workloads::view::ImageView;
use axum::Json;
use axum::extract::State;
use windlass_core::workload::Mode;
use windlass_core::{PolicyChoice, PolicyChoices};

declare! {
    /// Body of `PUT /workloads/{name}/policy`. A field that is null or absent has its default.
    pub(crate) struct PolicyRequest {
        /// The scaling policy, or 1 to 8 different ones, of which the highest count wins. Default: the host's.
        nullable scaling_policy: Vec<PolicyChoice> = choices(),
        /// The health policy. Default: the host's.
        nullable health_policy: PolicyChoice = choice(),
        /// Shadow policies, whose answers are only recorded; at most 4. Default: none.
        nullable shadow_policies: Vec<PolicyChoice> = shadows(),
        /// `act`, or `recommend`: plans are recorded and not executed. Default: `act`.
        nullable mode: Mode = mode(),
    }
}

impl PolicyRequest {
    fn choices(self) -> PolicyChoices {
        PolicyChoices {
            scaling: self.scaling_policy.given().unwrap_or_default(),
            health: self.health_policy.given(),
            shadows: self.shadow_policies.given().unwrap_or_default(),
            mode: self.mode.given(),
        }
    }
}

pub(crate) fn operation() -> Operation {
    let summary = "Choose the policies of a workload, and answer after their first pass";
    Operation::new(summary, assign).answer::<ImageView>().errors(&[404])
}

async fn assign(
    State(state): State<ApiState>,
    WorkloadPath(key): WorkloadPath,
    _: NoQuery,
    body: Body<PolicyRequest>,
) -> Result<Json<ImageView>, Problem> {
    let choices = body.check(|request, _| Some(request.choices()))?;
    check::choices(&state, &choices).await?;
    changed(&state, key, async move |controller, key| controller.assign(&key, choices).await).await
}
