//! Access to the store off the event loop.

use crate::error::ControlError;
use std::sync::Arc;
use tokio::sync::Semaphore;
use windlass_core::error_chain;
use windlass_core::store::{Store, StoreError};

/// Reads in progress at once. The others wait without a thread, so that passes find one.
const READS: usize = 4;

/// The store, whose calls block.
pub(crate) struct StoreAccess {
    store: Arc<dyn Store>,
    reads: Semaphore,
}

impl StoreAccess {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, reads: Semaphore::new(READS) }
    }

    /// As [`StoreAccess::call`], for calls that only read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let _permit = self.reads.acquire().await.expect("the semaphore is never closed");
        self.call(call).await
    }

    /// Runs a blocking call on a thread of its own.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ControlError> {
        let store = Arc::clone(&self.store);
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
                log_failure(operation, &error);
                None
            }
        }
    }
}

/// Logs that a call of the store failed, with the cause that a caller of the API does not receive.
pub(crate) fn log_failure(operation: &'static str, error: &ControlError) {
    if let ControlError::Store(cause) = error {
        tracing::error!(operation, cause, "the store failed");
    }
}
