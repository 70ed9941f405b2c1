//! `GET /images`.

use crate::ApiState;
use crate::access::Caller;
use crate::operation::Operation;
use crate::query::NoQuery;
use crate::workload::overrides;
use crate::workload::ports::{self, PublishedView};
use crate::workload::resources::ResourcesView;
use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use windlass_core::{Bounds, Workload};

/// Answer of `GET /images`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImageList {
    /// Every managed workload, ordered by image. `GET /workloads` lists the adopted ones, too.
    images: Vec<ImageSummary>,
}

/// The bounds of the number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DesiredBounds {
    /// The fewest replicas.
    pub(crate) min_replicas: u32,
    /// The most replicas.
    pub(crate) max_replicas: u32,
}

impl From<Bounds> for DesiredBounds {
    fn from(bounds: Bounds) -> Self {
        Self { min_replicas: bounds.min(), max_replicas: bounds.max() }
    }
}

/// One workload in `GET /images`, in the form of the start request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ImageSummary {
    /// The image.
    pub(crate) image: String,
    /// The name by which it is addressed, if its start request gave it one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The bounds of the number of replicas.
    #[serde(flatten)]
    pub(crate) bounds: DesiredBounds,
    /// Environment of each replica.
    pub(crate) env: BTreeMap<String, String>,
    /// `80/tcp` → where it is published on the host.
    pub(crate) ports: BTreeMap<String, PublishedView>,
    /// Limits of each replica, and whether it runs.
    pub(crate) resources: ResourcesView,
    /// The operator's instructions that take precedence over the policy: `paused`, `freeze_scale_up`,
    /// `freeze_scale_down` and `force`. Absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub(crate) overrides: Option<Value>,
}

impl From<&Workload> for ImageSummary {
    fn from(workload: &Workload) -> Self {
        Self {
            image: workload.image.to_string(),
            name: given_name(workload),
            bounds: workload.bounds.into(),
            env: workload.env.clone(),
            ports: ports::view(&workload.ports),
            resources: (&workload.resources).into(),
            overrides: workload.overrides.is_anything().then(|| overrides::json_of(&workload.overrides)),
        }
    }
}

/// The name by which a workload is addressed, if it is not its image.
fn given_name(workload: &Workload) -> Option<String> {
    workload.is_named().then(|| workload.key.to_string())
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the managed workloads, in the form of the start request", list).answer::<ImageList>()
}

async fn list(
    State(state): State<ApiState>,
    Extension(Caller { scope, .. }): Extension<Caller>,
    _: NoQuery,
) -> Json<ImageList> {
    let mut views = state.controller.views();
    views.retain(|view| !view.workload.declaration.is_adopted() && scope.includes(&view.workload.key));
    Json(ImageList { images: views.iter().map(|view| ImageSummary::from(&view.workload)).collect() })
}
