//! Access to the store off the event loop.

use crate::error::ControlError;
use std::sync::Arc;
use windlass_core::error_chain;
use windlass_core::store::{Store, StoreError};

/// The store, whose calls block.
pub(crate) struct StoreAccess(Arc<dyn Store>);

impl StoreAccess {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Runs a blocking call on a thread of its own.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let store = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || call(store.as_ref())).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(ControlError::Store(error_chain(&error))),
            Err(_) => Err(ControlError::Store("the call of the store panicked".to_owned())),
        }
    }

    /// As [`StoreAccess::call`], for calls whose failure must not stop a pass: the failure is logged.
    pub(crate) async fn call_or_log<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match self.call(call).await {
            Ok(value) => Some(value),
            Err(error) => {
                let ControlError::Store(cause) = &error else { return None };
                tracing::error!(operation, cause, "the store failed");
                None
            }
        }
    }
}
