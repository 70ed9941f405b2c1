//! The caller of a request to the loop, who may leave while the request waits.
//!
//! A request runs in a task of its own, so that a change that has begun is finished. What it only waits for is let go when the
//! caller leaves: the lock of a workload before a change, a pull before it, and the report of a pass after it.

use crate::error::ControlError;
use tokio::sync::watch;

tokio::task_local! {
    static CALLER: watch::Receiver<()>;
}

/// The caller leaves when this value is dropped.
#[derive(Debug)]
pub struct Presence {
    _sender: watch::Sender<()>,
}

/// The caller, as its request sees it.
#[derive(Debug)]
pub struct Caller(watch::Receiver<()>);

/// A caller that is present until the first value is dropped.
pub fn caller() -> (Presence, Caller) {
    let (sender, receiver) = watch::channel(());
    (Presence { _sender: sender }, Caller(receiver))
}

impl Caller {
    /// Runs a request of this caller.
    pub async fn scope<T>(self, request: impl Future<Output = T>) -> T {
        CALLER.scope(self.0, request).await
    }
}

/// Waits for something that changes nothing, as long as the caller is there. A request without a caller waits for ever.
///
/// # Errors
/// The caller left.
pub(crate) async fn while_present<T>(wait: impl Future<Output = T>) -> Result<T, ControlError> {
    let Ok(mut caller) = CALLER.try_with(Clone::clone) else { return Ok(wait.await) };
    tokio::select! {
        biased;
        done = wait => Ok(done),
        // Nothing is ever sent, so it ends with the sender only.
        _ = caller.changed() => Err(ControlError::CallerLeft),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    #[tokio::test]
    async fn a_wait_ends_when_the_caller_leaves() {
        let (presence, caller) = caller();
        let request = caller.scope(async { (while_present(ready(1)).await, while_present(pending::<()>()).await) });
        let (results, ()) = tokio::join!(request, async { drop(presence) });
        assert_eq!(results, (Ok(1), Err(ControlError::CallerLeft)));
        assert_eq!(while_present(ready(2)).await, Ok(2), "a request of the host itself");
    }
}
