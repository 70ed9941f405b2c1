//! A workload that a request is about: looked up, and shown after a change.

use crate::ApiState;
use crate::error::Problem;
use crate::request::to_the_end;
use crate::views::ImageView;
use axum::Json;
use windlass_control::{ControlError, Controller, PassReport, WorkloadView};
use windlass_core::WorkloadKey;

/// The workload of a key.
///
/// # Errors
/// 404 where there is none.
pub(crate) fn known(state: &ApiState, key: &WorkloadKey) -> Result<WorkloadView, Problem> {
    state.controller.view(key).ok_or_else(|| ControlError::NoSuchWorkload(key.to_string()).into())
}

/// Changes a workload, whether or not the caller waits for it, and shows it after the pass after that.
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
    to_the_end(async move { change(controller, wanted).await }).await?;
    Ok(Json(ImageView::from(&known(state, &key)?)))
}
