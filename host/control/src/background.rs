//! The background tasks: one per workload for its passes and one for its probes; for the whole host one that follows the
//! engine's events, one that checks the engine, and one that gathers metrics.

use crate::context::Context;
use crate::engine_return::{engine_is_back, find_orphans, observe_everything};
use crate::events::EventKind;
use crate::metrics::gather::gather;
use crate::probe::probe_all;
use crate::reconcile::pass;
use crate::workload::handle::WorkloadHandle;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::Probe;
use windlass_core::engine::EngineEvent;
use windlass_core::policy::PolicyNews;
use windlass_core::store::StoredWorkload;

/// The engine is searched for containers of unknown workloads once in this many intervals.
const INTERVALS_PER_SEARCH: u32 = 10;

/// Starts the tasks for the whole host.
pub(crate) fn start(context: &Arc<Context>) {
    context.tasks.spawn(follow_events(Arc::clone(context)));
    context.tasks.spawn(check_engine(Arc::clone(context)));
    context.tasks.spawn(gather(Arc::clone(context)));
    context.tasks.spawn(context.events.clone().wake_readers());
    context.tasks.spawn(publish_policy_news(Arc::clone(context), context.policies.news()));
}

/// Adds a workload and starts its tasks.
pub(crate) fn manage(context: &Arc<Context>, stored: StoredWorkload) -> Arc<WorkloadHandle> {
    let settings = &context.settings;
    let now = context.clock.now();
    let handle = Arc::new(WorkloadHandle::new(stored, settings.probes_kept, settings.interval, now));
    context.workloads.insert(Arc::clone(&handle));
    context.tasks.spawn(make_passes(Arc::clone(context), Arc::clone(&handle)));
    context.tasks.spawn(probe(Arc::clone(context), Arc::clone(&handle)));
    // If the shutdown closed all handles before this one was among them, its tasks would never end, and the shutdown would
    // wait for them.
    if context.tasks.is_shutting_down() {
        handle.close();
    }
    handle
}

/// Makes a pass when the workload is woken, and when its period is over.
async fn make_passes(context: Arc<Context>, handle: Arc<WorkloadHandle>) {
    while !handle.is_closed() {
        let wait = handle.state().next_pass;
        tokio::select! {
            () = handle.woken() => {}
            () = tokio::time::sleep(wait) => {}
        }
        // Outside the select, so a pass that began is always finished. A panic ends the pass, not the loop; until another
        // pass ends, readiness reports the workload as late.
        if AssertUnwindSafe(pass(&context, &handle)).catch_unwind().await.is_err() {
            tracing::error!(workload = %handle.key, "the pass panicked; the next one is the retry");
            handle.state().next_pass = handle.period;
        }
    }
    handle.abandon();
}

/// Probes a workload's replicas at the probe's interval, and new replicas at once.
async fn probe(context: Arc<Context>, handle: Arc<WorkloadHandle>) {
    let mut last_round: Option<tokio::time::Instant> = None;
    while !handle.is_closed() {
        let asked = {
            let state = handle.state();
            let probe = state.workload.probe.clone().filter(Probe::is_asked);
            probe.map(|probe| (probe, state.snapshot.replicas.clone()))
        };
        let Some((probe, replicas)) = asked else {
            handle.probe_now.notified().await;
            continue;
        };
        let due = last_round.map_or(Duration::ZERO, |last| probe.interval.saturating_sub(last.elapsed()));
        let known = handle.probes.of(replicas.iter().map(|replica| &replica.id));
        let replicas = if due.is_zero() {
            last_round = Some(tokio::time::Instant::now());
            replicas
        } else {
            replicas.into_iter().filter(|replica| !known.contains_key(&replica.id)).collect()
        };
        let now = || context.clock.now();
        let caller = context.caller(&handle.commands);
        if probe_all(caller, &probe, &replicas, &handle.probes, now).await {
            handle.wake();
        }
        let due = last_round.map_or(Duration::ZERO, |last| probe.interval.saturating_sub(last.elapsed()));
        tokio::select! {
            () = handle.probe_now.notified() => {}
            () = tokio::time::sleep(due) => {}
        }
    }
}

/// Wakes workloads when the engine reports events.
async fn follow_events(context: Arc<Context>) {
    let mut events = context.engine.events();
    let mut shutdown = context.tasks.shutdown();
    loop {
        let event = tokio::select! {
            () = shutdown.begins() => return,
            event = events.next() => event,
        };
        match event {
            Some(EngineEvent::Changed(key)) => {
                let handle = context.workloads.get(&key);
                handle.iter().for_each(|handle| handle.wake());
                // The service may be new, or have other labels.
                if handle.is_none_or(|handle| handle.state().workload.declaration.is_adopted()) {
                    context.adoption.request();
                }
            }
            // The end of the process is an event too, and wakes the workload.
            Some(EngineEvent::Signalled { workload, replica, at, kills }) => {
                if let Some(handle) = context.workloads.get(&workload) {
                    let mut state = handle.state();
                    let stop = state.stops.entry(replica).or_default();
                    let latest = if kills { &mut stop.killed } else { &mut stop.signalled };
                    *latest = Some(at);
                }
            }
            Some(EngineEvent::Stopped { workload, replica, at }) => {
                if let Some(handle) = context.workloads.get(&workload) {
                    handle.state().stops.entry(replica).or_default().stopped = Some(at);
                    handle.wake();
                }
            }
            Some(EngineEvent::Connected) => {
                tracing::info!("following the engine's events");
                context.engine_health.note_events_known();
                // Beside this loop: the events that follow must not wait for it.
                let everything = Arc::clone(&context);
                context.tasks.spawn(async move { observe_everything(&everything).await });
            }
            Some(EngineEvent::Lost(why)) => {
                tracing::warn!(why, "the engine's events were lost");
                context.engine_health.note_lost();
                context.engine_health.note_events_known();
                // The engine itself may have requested the stops, because it shuts down.
                for handle in context.workloads.all() {
                    handle.state().stops.clear();
                }
                // If only the stream broke, the engine still answers.
                ping(&context).await;
            }
            None => return,
        }
    }
}

/// Publishes what happens to policies.
async fn publish_policy_news(context: Arc<Context>, mut news: BoxStream<'static, PolicyNews>) {
    let mut shutdown = context.tasks.shutdown();
    loop {
        let next = tokio::select! {
            () = shutdown.begins() => return,
            next = news.next() => next,
        };
        let Some(PolicyNews { policy, revision, is_failure, what }) = next else { return };
        let of = revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
        let data = json!({"policy": policy, "revision": revision, "failure": is_failure});
        context.events.publish(EventKind::Policy, None, &format!("policy `{policy}`{of}: {what}"), &data);
    }
}

/// Notices that the engine went away or came back, even if no workload needs it.
async fn check_engine(context: Arc<Context>) {
    let mut shutdown = context.tasks.shutdown();
    let mut rounds: u32 = 0;
    loop {
        rounds = rounds.wrapping_add(1);
        if ping(&context).await && rounds.is_multiple_of(INTERVALS_PER_SEARCH) {
            find_orphans(&context).await;
        }
        tokio::select! {
            () = shutdown.begins() => return,
            () = tokio::time::sleep(context.settings.interval) => {}
        }
    }
}

async fn ping(context: &Arc<Context>) -> bool {
    match context.engine.ping().await {
        Ok(()) => {
            if context.engine_health.note(None) {
                engine_is_back(context);
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the engine does not answer");
            context.engine_health.note(Some(&error));
            false
        }
    }
}
