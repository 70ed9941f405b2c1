//! Calls of the store of tokens and audit records, off the event loop.

use crate::error::Problem;
use std::sync::Arc;
use windlass_control::ControlError;
use windlass_core::access::AccessStore;
use windlass_core::error_chain;
use windlass_core::store::StoreError;

/// Runs a blocking call on a thread of its own. It is finished even if the caller leaves.
///
/// # Errors
/// 500 if the store fails; the log has the reason.
pub(crate) async fn call<T: Send + 'static>(
    store: &Arc<dyn AccessStore>,
    call: impl FnOnce(&dyn AccessStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(store);
    match tokio::task::spawn_blocking(move || call(store.as_ref())).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ControlError::Store(error_chain(&error)).into()),
        Err(_) => Err(ControlError::Store("the call of the store panicked".to_owned()).into()),
    }
}
