//! The replays in progress and the last ones: a bounded pool beside the loop, with progress and cancellation.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The most replays at once. Each takes one thread, and one of the calls of policies at a time.
const AT_ONCE: usize = 2;

/// The most replays that are kept, with those in progress.
const KEPT: usize = 16;

/// A replay.
pub(crate) struct Run<T> {
    pub(crate) id: u64,
    /// The workload it belongs to.
    pub(crate) workload: String,
    /// Thousandths that are done.
    done: AtomicU32,
    is_cancelled: AtomicBool,
    outcome: Mutex<Option<Arc<Result<T, String>>>>,
}

impl<T> Run<T> {
    /// The share that is done, 0 to 1.
    pub(crate) fn done(&self) -> f64 {
        f64::from(self.done.load(Ordering::Relaxed)) / 1_000.0
    }

    /// Notes the share that is done, 0 to 1.
    pub(crate) fn advance(&self, done: f64) {
        self.done.store((done.clamp(0.0, 1.0) * 1_000.0) as u32, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// The result. `None` while it runs.
    pub(crate) fn outcome(&self) -> Option<Arc<Result<T, String>>> {
        self.outcome.lock().clone()
    }

    pub(crate) fn finish(&self, outcome: Result<T, String>) {
        *self.outcome.lock() = Some(Arc::new(outcome));
    }
}

/// A replay in progress. It has failed if it is dropped without a result, because it panicked or its caller left.
pub(crate) struct InProgress<T>(Arc<Run<T>>);

impl<T> InProgress<T> {
    pub(crate) fn shared(&self) -> &Arc<Run<T>> {
        &self.0
    }
}

impl<T> Deref for InProgress<T> {
    type Target = Run<T>;

    fn deref(&self) -> &Run<T> {
        &self.0
    }
}

impl<T> Drop for InProgress<T> {
    fn drop(&mut self) {
        if self.0.outcome().is_none() {
            self.0.finish(Err("it ended without a result; begin it again".to_owned()));
        }
    }
}

/// All replays.
pub(crate) struct Pool<T> {
    next: AtomicU64,
    all: Mutex<VecDeque<Arc<Run<T>>>>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), all: Mutex::default() }
    }
}

impl<T> Pool<T> {
    /// A new replay. `None` if as many as may be are in progress. The oldest finished one gives way.
    pub(crate) fn begin(&self, workload: &str) -> Option<InProgress<T>> {
        let mut all = self.all.lock();
        let in_progress = all.iter().filter(|run| run.outcome.lock().is_none()).count();
        if in_progress >= AT_ONCE {
            return None;
        }
        if all.len() >= KEPT {
            let oldest = all.iter().position(|run| run.outcome.lock().is_some())?;
            all.remove(oldest);
        }
        let run = Arc::new(Run {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            workload: workload.to_owned(),
            done: AtomicU32::new(0),
            is_cancelled: AtomicBool::new(false),
            outcome: Mutex::default(),
        });
        all.push_back(Arc::clone(&run));
        Some(InProgress(run))
    }

    /// A replay of a workload.
    pub(crate) fn find(&self, workload: &str, id: u64) -> Option<Arc<Run<T>>> {
        self.all.lock().iter().find(|run| run.id == id && run.workload == workload).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_bounded_at_once_and_in_memory() {
        let pool = Pool::<u32>::default();
        let first = pool.begin("web").expect("the first");
        let second = pool.begin("web").expect("the second");
        assert!(pool.begin("web").is_none(), "two are in progress");
        first.finish(Ok(1));
        for _ in 0..2 * KEPT {
            pool.begin("db").expect("one may begin").finish(Ok(2));
        }
        assert_eq!(pool.all.lock().len(), KEPT);
        assert!(pool.find("web", first.id).is_none(), "the oldest finished one gave way");
        assert!(pool.find("web", second.id).is_some(), "one in progress stays");
        assert!(pool.find("db", second.id).is_none(), "it belongs to another workload");
    }

    #[test]
    fn a_replay_that_panics_gives_its_place_back() {
        let pool = Pool::<u32>::default();
        for _ in 0..2 * AT_ONCE {
            let run = pool.begin("web").expect("a place");
            let id = run.id;
            let replay = std::thread::spawn(move || {
                let _run = run;
                panic!("a fault");
            });
            assert!(replay.join().is_err());
            let outcome = pool.find("web", id).and_then(|run| run.outcome()).expect("an end");
            assert!(outcome.as_ref().as_ref().is_err_and(|why| why.starts_with("it ended without a result")));
        }
    }

    #[test]
    fn a_replay_has_progress_and_an_end() {
        let run = Pool::<u32>::default().begin("web").expect("a run");
        run.advance(0.25);
        assert_eq!((run.done(), run.is_cancelled(), run.outcome().is_some()), (0.25, false, false));
        run.cancel();
        run.finish(Err("it was cancelled".to_owned()));
        assert!(run.is_cancelled() && run.outcome().is_some_and(|outcome| outcome.is_err()));
    }
}
