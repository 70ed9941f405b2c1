//! Runs a change to its end even if the caller hangs up: the engine is not left half changed. What the change only waits for
//! ends with the caller.

use crate::access::trail;
use crate::error::Problem;
use crate::in_flight;
use windlass_control::ControlError;
use windlass_control::caller::caller;

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
    let request = in_flight::current();
    let recorded = trail::current().map(trail::Pending::run);
    // Dropped with this future, when the caller hangs up.
    let (_presence, caller) = caller();
    let change = caller.scope(async move {
        let outcome = match request {
            // Counts as a request in progress until its end.
            Some(request) => request.scope(change).await,
            None => change.await,
        };
        if let Some(recorded) = recorded {
            recorded.ended(&outcome);
        }
        outcome
    });
    match tokio::spawn(change).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ControlError::ShuttingDown.into()),
    }
}
