//! A concurrency limit with two levels: a total, and a lower limit per group, so that one slow group leaves permits to the
//! others.
//!
//! A group is a policy or a metric source. [`ConcurrencyLimit::group`] creates a group that its owner keeps;
//! [`KeyedConcurrencyLimit`] keeps the groups itself, by key.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit on the operations in progress: in total, and per group.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    total: Level,
    per_group: usize,
}

/// The operations of one group. Clones share its permits.
#[derive(Debug, Clone)]
pub struct Group(Level);

/// Allows one operation until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _of_group: OwnedSemaphorePermit,
    _of_total: OwnedSemaphorePermit,
}

/// The level whose limit was reached for the whole waiting time, with that limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// The group's limit.
    Group(usize),
    /// The limit of all groups together.
    Total(usize),
}

impl ConcurrencyLimit {
    /// At most `total` operations at once, and at most `per_group` in one group. A limit of 0 counts as 1.
    pub fn new(total: usize, per_group: usize) -> Self {
        Self { total: Level::new(total), per_group }
    }

    /// A new group.
    pub fn group(&self) -> Group {
        Group(Level::new(self.per_group))
    }

    /// Waits for a permit, first within the group, so that its waiting operations hold no permit of the total.
    pub async fn acquire(&self, group: &Group) -> Permit {
        let of_group = group.0.acquire().await;
        Permit { _of_group: of_group, _of_total: self.total.acquire().await }
    }

    /// As [`ConcurrencyLimit::acquire`], but waits at most `patience` at each of the two levels.
    ///
    /// # Errors
    /// The level that had no free permit in that time.
    pub async fn acquire_within(&self, group: &Group, patience: Duration) -> Result<Permit, LimitReached> {
        let of_group = group.0.acquire_within(patience).await.ok_or(LimitReached::Group(group.0.limit))?;
        let of_total = self.total.acquire_within(patience).await.ok_or(LimitReached::Total(self.total.limit))?;
        Ok(Permit { _of_group: of_group, _of_total: of_total })
    }

    /// Permits of the total that are free now.
    pub fn available(&self) -> usize {
        self.total.semaphore.available_permits()
    }
}

/// A [`ConcurrencyLimit`] that creates the group of a key when the key is first used.
#[derive(Debug)]
pub struct KeyedConcurrencyLimit {
    limit: ConcurrencyLimit,
    groups: Mutex<BTreeMap<String, Group>>,
}

impl KeyedConcurrencyLimit {
    /// As [`ConcurrencyLimit::new`].
    pub fn new(total: usize, per_key: usize) -> Self {
        Self { limit: ConcurrencyLimit::new(total, per_key), groups: Mutex::default() }
    }

    /// Waits for a permit of this key.
    pub async fn acquire(&self, key: &str) -> Permit {
        let group = self.groups.lock().entry(key.to_owned()).or_insert_with(|| self.limit.group()).clone();
        self.limit.acquire(&group).await
    }

    /// Drops the groups that no operation uses or waits for.
    pub fn remove_idle(&self) {
        self.groups.lock().retain(|_, group| !group.is_idle());
    }

    /// Groups that are kept now.
    pub fn groups(&self) -> usize {
        self.groups.lock().len()
    }
}

impl Group {
    /// Every permit and every waiting operation holds the semaphore too.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0.semaphore) == 1
    }
}

/// A semaphore that knows its limit.
#[derive(Debug, Clone)]
struct Level {
    limit: usize,
    semaphore: Arc<Semaphore>,
}

impl Level {
    fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { limit, semaphore: Arc::new(Semaphore::new(limit)) }
    }

    async fn acquire(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.semaphore).acquire_owned().await.expect("nothing closes the semaphore")
    }

    async fn acquire_within(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        // The usual case needs no timer.
        if let Ok(permit) = Arc::clone(&self.semaphore).try_acquire_owned() {
            return Some(permit);
        }
        tokio::time::timeout(patience, self.acquire()).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn each_level_reports_that_its_limit_was_reached() {
        let limit = ConcurrencyLimit::new(3, 2);
        let (slow, quick) = (limit.group(), limit.group());
        let first = limit.acquire_within(&slow, PATIENCE).await.expect("a free permit");
        let _second = limit.acquire_within(&slow, PATIENCE).await.expect("a free permit");
        assert_eq!(limit.acquire_within(&slow, PATIENCE).await.err(), Some(LimitReached::Group(2)));
        let _third = limit.acquire_within(&quick, PATIENCE).await.expect("left by the other group");
        assert_eq!(
            (limit.available(), limit.acquire_within(&quick, PATIENCE).await.err()),
            (0, Some(LimitReached::Total(3)))
        );
        drop(first);
        assert!(limit.acquire_within(&quick, PATIENCE).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_keeps_its_group_while_operations_use_it() {
        let limit = KeyedConcurrencyLimit::new(4, 1);
        let permit = limit.acquire("slow").await;
        drop(limit.acquire("quick").await);
        limit.remove_idle();
        assert_eq!(limit.groups(), 1);
        assert!(tokio::time::timeout(PATIENCE, limit.acquire("slow")).await.is_err(), "its permit is in use");
        drop(permit);
        limit.remove_idle();
        assert_eq!(limit.groups(), 0);
    }
}
