//! Questions in flight: so many at once in all, fewer of one source, so that a slow one leaves places to the others.

use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions in flight at once.
const AT_ONCE: usize = 32;

/// Questions in flight at once to one source.
const AT_ONCE_OF_ONE: usize = 8;

/// Who may ask now.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    of_source: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// One may ask until this is dropped.
pub(crate) type Place = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Places {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(AT_ONCE)), of_source: Mutex::default() }
    }

    /// Waits for a place to ask a source, first among the questions to it. None: nobody asks any more.
    pub(crate) async fn of(&self, source: &str) -> Option<Place> {
        let own = Arc::clone(
            self.sources().entry(source.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_OF_ONE))),
        );
        let own = own.acquire_owned().await.ok()?;
        Some((own, Arc::clone(&self.all).acquire_owned().await.ok()?))
    }

    /// Forgets the sources that nobody asks now.
    pub(crate) fn tidy(&self) {
        self.sources().retain(|_, places| Arc::strong_count(places) > 1);
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Semaphore>>> {
        self.of_source.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_source_that_does_not_answer_leaves_places_to_the_others() {
        let places = Places::new();
        let mut slow = Vec::new();
        while let Some(place) = places.of("slow").now_or_never() {
            slow.push(place);
        }
        assert_eq!(slow.len(), AT_ONCE_OF_ONE);
        assert!(places.of("quick").now_or_never().is_some());
        places.tidy();
        assert!(places.of("slow").now_or_never().is_none(), "its places are still taken");
        slow.clear();
        places.tidy();
        assert!(places.sources().is_empty());
    }
}
