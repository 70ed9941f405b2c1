//! The tasks behind the loop: one for each workload, one for its probes, one for the engine's events and
//! one that looks at the whole engine now and then.

use crate::context::Shared;
use crate::metrics::gather;
use crate::probe::probe_all;
use crate::reconcile::pass;
use crate::workload::state::Cell;
use futures_util::{FutureExt, StreamExt};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::Probe;
use windlass_core::engine::EngineEvent;

/// The engine is asked for containers of unknown workloads once in so many intervals.
const INTERVALS_PER_SURVEY: u32 = 10;

/// Begins what is not about one workload.
pub(crate) fn begin(shared: &Arc<Shared>) {
    shared.spawn(follow_events(Arc::clone(shared)));
    shared.spawn(watch_engine(Arc::clone(shared)));
    shared.spawn(gather(Arc::clone(shared)));
}

/// Begins to look after a workload.
pub(crate) fn look_after(shared: &Arc<Shared>, cell: &Arc<Cell>) {
    shared.spawn(steer(Arc::clone(shared), Arc::clone(cell)));
    shared.spawn(probe(Arc::clone(shared), Arc::clone(cell)));
}

/// Makes a pass whenever the workload is woken, and when it was quiet for too long.
async fn steer(shared: Arc<Shared>, cell: Arc<Cell>) {
    while !cell.is_closed() {
        let wait = cell.state().look_again;
        tokio::select! {
            () = cell.woken() => {}
            () = tokio::time::sleep(wait) => {}
        }
        // Not part of the select: a pass that began is finished, whatever happens. One that panics is the end of
        // itself and not of the loop; until another ends, the workload is overdue for those who ask.
        if AssertUnwindSafe(pass(&shared, &cell)).catch_unwind().await.is_err() {
            tracing::error!(workload = %cell.key, "the pass panicked; the next one is the retry");
            cell.state().look_again = cell.period;
        }
    }
    cell.abandon();
}

/// Asks a workload's replicas at its probe's interval, and at once those a pass has just found.
async fn probe(shared: Arc<Shared>, cell: Arc<Cell>) {
    let mut last_round: Option<tokio::time::Instant> = None;
    while !cell.is_closed() {
        let (probe, replicas) = {
            let state = cell.state();
            (state.workload.probe.clone(), state.snapshot.replicas.clone())
        };
        let Some(probe) = probe.filter(Probe::is_asked) else {
            cell.probe_now.notified().await;
            continue;
        };
        let due = last_round.map_or(Duration::ZERO, |last| probe.interval.saturating_sub(last.elapsed()));
        let asked = cell.probes.of(replicas.iter().map(|replica| &replica.id));
        let replicas = if due.is_zero() {
            last_round = Some(tokio::time::Instant::now());
            replicas
        } else {
            replicas.into_iter().filter(|replica| !asked.contains_key(&replica.id)).collect()
        };
        let now = || shared.clock.now();
        if probe_all(&probe, &replicas, &shared.engine, shared.net.as_ref(), &cell.probes, now).await {
            cell.wake();
        }
        let due = last_round.map_or(Duration::ZERO, |last| probe.interval.saturating_sub(last.elapsed()));
        tokio::select! {
            () = cell.probe_now.notified() => {}
            () = tokio::time::sleep(due) => {}
        }
    }
}

/// Turns what happens on the engine into wakes.
async fn follow_events(shared: Arc<Shared>) {
    let mut events = shared.engine.events();
    let mut shutdown = shared.shutdown.subscribe();
    loop {
        let event = tokio::select! {
            _ = shutdown.wait_for(|down| *down) => return,
            event = events.next() => event,
        };
        match event {
            Some(EngineEvent::Changed(key)) => {
                if let Some(cell) = shared.cell(&key) {
                    cell.wake();
                }
            }
            // The end itself is told too, and wakes.
            Some(EngineEvent::AskedToEnd { workload, replica, at }) => {
                if let Some(cell) = shared.cell(&workload) {
                    cell.state().asked_to_end.insert(replica, at);
                }
            }
            Some(EngineEvent::Connected) => look_at_everything(&shared).await,
            Some(EngineEvent::Lost(why)) => {
                tracing::warn!(why, "the engine's events were lost");
                shared.note_lost();
                // An engine that shuts down asked for that itself.
                for cell in shared.cells() {
                    cell.state().asked_to_end.clear();
                }
                // Perhaps only the stream broke: asking tells.
                ask_engine(&shared).await;
            }
            None => return,
        }
    }
}

/// Notices an engine that went away or came back though no workload asks for it.
async fn watch_engine(shared: Arc<Shared>) {
    let mut shutdown = shared.shutdown.subscribe();
    let mut rounds: u32 = 0;
    loop {
        rounds = rounds.wrapping_add(1);
        if ask_engine(&shared).await && rounds.is_multiple_of(INTERVALS_PER_SURVEY) {
            survey(&shared).await;
        }
        tokio::select! {
            _ = shutdown.wait_for(|down| *down) => return,
            () = tokio::time::sleep(shared.settings.interval) => {}
        }
    }
}

async fn ask_engine(shared: &Arc<Shared>) -> bool {
    match shared.engine.ping().await {
        Ok(()) => {
            if shared.note_engine(None) {
                tracing::info!("the engine answers");
                look_at_everything(shared).await;
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the engine does not answer");
            shared.note_engine(Some(&error));
            false
        }
    }
}

async fn look_at_everything(shared: &Arc<Shared>) {
    wake_everything(shared);
    survey(shared).await;
}

/// Wakes every workload, one after another by its splay: neither the engine nor the policies are asked
/// everything at once.
pub(crate) fn wake_everything(shared: &Arc<Shared>) {
    let mut cells = shared.cells();
    cells.sort_by_key(|cell| cell.splay);
    let mut shutdown = shared.shutdown.subscribe();
    shared.spawn(async move {
        let began = tokio::time::Instant::now();
        for cell in cells {
            tokio::select! {
                _ = shutdown.wait_for(|down| *down) => return,
                () = tokio::time::sleep_until(began + cell.splay) => cell.wake(),
            }
        }
    });
}

/// Notes the containers of this instance that belong to no workload.
async fn survey(shared: &Arc<Shared>) {
    match shared.engine.list(None).await {
        Ok(replicas) => {
            shared.note_engine(None);
            let orphans: Vec<_> =
                replicas.into_iter().filter(|replica| shared.cell(&replica.workload).is_none()).collect();
            if !orphans.is_empty() && shared.orphans().is_empty() {
                tracing::warn!(
                    count = orphans.len(),
                    "there are containers of this instance whose workload is unknown; they are listed and otherwise left alone"
                );
            }
            *shared.orphans() = orphans;
        }
        Err(error) => {
            shared.note_engine(Some(&error));
        }
    }
}
