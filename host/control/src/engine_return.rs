//! Observes everything again: when the engine is back after an outage, and when its events are connected.

use crate::context::Context;
use std::sync::Arc;

/// Observes everything again. The caller noticed that the engine answers after an outage.
pub(crate) fn engine_is_back(context: &Arc<Context>) {
    tracing::info!("the engine answers");
    // In a task of its own: neither a pass nor a check of the engine waits for it.
    let everything = Arc::clone(context);
    context.tasks.spawn(async move { observe_everything(&everything).await });
}

/// Wakes every workload, and searches for services with labels and for containers of unknown workloads.
pub(crate) async fn observe_everything(context: &Arc<Context>) {
    wake_all(context);
    context.adoption.request();
    find_orphans(context).await;
}

/// Wakes every workload, each after its jitter, so that the load on the engine and the policies is spread.
pub(crate) fn wake_all(context: &Arc<Context>) {
    let mut handles = context.workloads.all();
    handles.sort_by_key(|handle| handle.jitter);
    let mut shutdown = context.tasks.shutdown();
    context.tasks.spawn(async move {
        let started = tokio::time::Instant::now();
        for handle in handles {
            tokio::select! {
                () = shutdown.begins() => return,
                () = tokio::time::sleep_until(started + handle.jitter) => handle.wake(),
            }
        }
    });
}

/// Records the containers of this instance whose workload is unknown.
pub(crate) async fn find_orphans(context: &Arc<Context>) {
    match context.engine.list_all().await {
        Ok(replicas) => {
            if context.engine_health.note(None) {
                engine_is_back(context);
            }
            let orphans: Vec<_> =
                replicas.into_iter().filter(|replica| context.workloads.get(&replica.workload).is_none()).collect();
            if !orphans.is_empty() && context.workloads.orphans().is_empty() {
                tracing::warn!(
                    count = orphans.len(),
                    "some containers of this instance belong to no known workload; they are listed and otherwise left alone"
                );
            }
            *context.workloads.orphans() = orphans;
        }
        Err(error) => {
            context.engine_health.note(Some(&error));
        }
    }
}
