//! Changes a workload and answers with its view after the next pass.

use crate::ApiState;
use crate::detached;
use crate::error::Problem;
use crate::workloads::lookup::known;
use crate::workloads::view::ImageView;
use axum::Json;
use windlass_control::{ControlError, Controller, PassReport};
use windlass_core::WorkloadKey;

/// Makes a change even if the caller hangs up. Returns the workload after the pass that follows the change.
pub(crate) async fn changed<Change, Changing>(
    state: &ApiState,
    key: WorkloadKey,
    change: Change,
) -> Result<Json<ImageView>, Problem>
where
    Change: FnOnce(Controller, WorkloadKey) -> Changing + Send + 'static,
    Changing: Future<Output = Result<PassReport, ControlError>> + Send,
{
    let (controller, wanted) = (state.controller.clone(), key.clone());
    detached::run(async move { change(controller, wanted).await }).await?;
    Ok(Json(ImageView::from(&known(state, &key)?)))
}
