//! The task that searches for declared services: at the start, on request, and every few intervals.

use crate::adoption::search::search;
use crate::context::Context;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Without a request, there is a search once in this many intervals: an event may be lost.
const INTERVALS_PER_SEARCH: u32 = 4;

/// Time between a request and its search: `docker compose up` causes many events within it.
const SETTLE: Duration = Duration::from_millis(500);

/// A search may take one part in so many of the time, as long as the wait is not longer than [`LONGEST_SETTLE`].
const SHARE: u32 = 10;

/// The longest time between a request and its search: one slow search must not delay the next one for minutes.
const LONGEST_SETTLE: Duration = Duration::from_secs(10);

/// Searches until the shutdown.
pub(crate) async fn watch(context: Arc<Context>) {
    let mut shutdown = context.tasks.shutdown();
    loop {
        let started = Instant::now();
        // A panic ends the search, not the task.
        if AssertUnwindSafe(search(&context)).catch_unwind().await.is_err() {
            tracing::error!("the search for services with labels panicked; the next one is the retry");
        }
        let settle = SETTLE.max((started.elapsed() * SHARE).min(LONGEST_SETTLE));
        tokio::select! {
            () = shutdown.begins() => return,
            () = context.adoption.requested() => {}
            () = tokio::time::sleep(context.settings.interval * INTERVALS_PER_SEARCH) => {}
        }
        tokio::select! {
            () = shutdown.begins() => return,
            () = tokio::time::sleep(settle) => {}
        }
        // The search that follows answers the requests that came meanwhile.
        let _ = context.adoption.requested().now_or_never();
    }
}
