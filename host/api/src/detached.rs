//! Runs a change to its end even if the caller hangs up: the engine is not left half changed.

use crate::error::Problem;
use windlass_control::ControlError;

/// Runs a change of the control loop.
///
/// # Errors
/// The problem of the change; 503 if the runtime shuts down meanwhile.
pub(crate) async fn run<T, F>(change: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ControlError>> + Send + 'static,
{
    run_to_problem(async move { change.await.map_err(Problem::from) }).await
}

/// Runs a change whose error already is a problem.
///
/// # Errors
/// The problem of the change; 503 if the runtime shuts down meanwhile.
pub(crate) async fn run_to_problem<T, F>(change: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    match tokio::spawn(change).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ControlError::ShuttingDown.into()),
    }
}
