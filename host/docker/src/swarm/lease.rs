//! The lease by which one of several Windlasses of an instance acts on a Swarm.
//!
//! The lease is a config of the Swarm. Its labels name the holder, and each renewal changes its version. A renewal names
//! the version that was read, so of two Windlasses that write at once, one is refused.
//!
//! No clock of another machine is trusted: a follower takes the lease when its version has not changed for
//! [`LeaseTimes::lapse`] on the follower's own clock. The holder stops acting earlier, [`LeaseTimes::margin`] before its
//! last renewal is that old, so that a write that it has begun ends before anybody else acts.

use super::manager::Manager;
use base64::Engine as _;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::Instant;
use windlass_core::engine::{EngineError, EngineEvent};
use windlass_core::{Leadership, Timestamp};

/// The content of the config, which the engine requires and nobody reads.
const CONTENT: &str = "the labels of this config say which Windlass acts";

/// Looks of a follower at the lease while its holder renews it once.
const LOOKS_PER_RENEWAL: u32 = 4;

/// The times of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// Time between two renewals. Default 10 s.
    pub renewal: Duration,
    /// Time after which a lease that was not renewed is free. Default 30 s.
    pub lapse: Duration,
    /// Time before that at which the holder stops acting; longer than a request to the manager may take. Default 8 s.
    pub margin: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { renewal: Duration::from_secs(10), lapse: Duration::from_secs(30), margin: Duration::from_secs(8) }
    }
}

/// The lease of an instance, as one Windlass sees it.
pub(super) struct Lease {
    manager: Manager,
    /// The name of the config.
    name: String,
    /// This Windlass, distinct from all others of the instance.
    holder: String,
    times: LeaseTimes,
    seen: Mutex<Seen>,
    /// Changes when this Windlass begins to act.
    gained: watch::Sender<()>,
}

/// The last observation of the lease.
#[derive(Debug, Default)]
struct Seen {
    /// The begin of the last renewal of this Windlass that succeeded. `None` while it follows.
    renewed: Option<Instant>,
    /// The version of another holder's lease, and the time at which it was first seen.
    other: Option<(u64, Instant)>,
    /// The other holder. `None` before the first observation.
    leader: Option<String>,
}

/// A lease as the manager describes it.
struct Found {
    id: String,
    version: u64,
    specification: Value,
}

impl Found {
    fn of(config: &Value) -> Option<Self> {
        Some(Self {
            id: config["ID"].as_str()?.to_owned(),
            version: config["Version"]["Index"].as_u64()?,
            specification: config["Spec"].clone(),
        })
    }

    fn label(&self, name: &str) -> &str {
        self.specification["Labels"][name].as_str().unwrap_or_default()
    }

    fn term(&self) -> u64 {
        self.label("windlass.term").parse().unwrap_or(0)
    }
}

impl Lease {
    /// Takes the lease of an instance, or waits for it, and renews it until it is dropped. `holder` names this Windlass.
    pub(super) async fn keep(manager: Manager, instance: &str, holder: String, times: LeaseTimes) -> Arc<Self> {
        let name = format!("windlass-lease-{instance}");
        let lease =
            Arc::new(Self { manager, name, holder, times, seen: Mutex::default(), gained: watch::Sender::new(()) });
        // So that the first passes know whether they act.
        lease.round_or_log().await;
        let kept = Arc::downgrade(&lease);
        tokio::spawn(async move {
            while let Some(lease) = kept.upgrade() {
                let wait = lease.wait();
                drop(lease);
                tokio::time::sleep(wait).await;
                if let Some(lease) = kept.upgrade() {
                    lease.round_or_log().await;
                }
            }
        });
        lease
    }

    /// An event each time that this Windlass begins to act.
    pub(super) fn gains(&self) -> BoxStream<'static, EngineEvent> {
        let gains = stream::unfold(self.gained.subscribe(), |mut gained| async move {
            gained.changed().await.ok()?;
            Some((EngineEvent::Connected, gained))
        });
        gains.boxed()
    }

    /// Time until the next round. A follower looks more often than the holder renews, to notice the end of the lease in time.
    fn wait(&self) -> Duration {
        if self.seen.lock().renewed.is_some() { self.times.renewal } else { self.times.renewal / LOOKS_PER_RENEWAL }
    }

    async fn round_or_log(&self) {
        if let Err(error) = self.round().await {
            tracing::warn!(lease = self.name, %error, "the lease could not be renewed or read");
        }
    }

    /// Whether this Windlass acts, or which one does.
    pub(super) fn leadership(&self) -> Leadership {
        let seen = self.seen.lock();
        let holds_for = self.times.lapse.saturating_sub(self.times.margin);
        if seen.renewed.is_some_and(|renewed| renewed.elapsed() < holds_for) {
            Leadership::Leads
        } else {
            Leadership::Follows { leader: seen.leader.clone() }
        }
    }

    /// Checks that this Windlass may write to the Swarm.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if another one acts, or nobody yet.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match self.leadership() {
            Leadership::Leads => Ok(()),
            follows => Err(EngineError::Refused(follows.to_string())),
        }
    }

    /// Renews the lease, or takes it if it is free.
    async fn round(&self) -> Result<(), EngineError> {
        let begun = Instant::now();
        let Some(found) = self.manager.config(&self.name).await?.as_ref().and_then(Found::of) else {
            let created = self.manager.create_config(&self.specification(1, None)).await;
            return self.settle(begun, created);
        };
        let is_ours = found.label("windlass.holder") == self.holder;
        if !is_ours && !self.has_lapsed(&found, begun) {
            return Ok(());
        }
        let term = if is_ours { found.term() } else { found.term() + 1 };
        let written = self.specification(term, Some(&found.specification));
        let updated = self.manager.update_config(&found.id, found.version, &written).await;
        self.settle(begun, updated)
    }

    /// Notes another holder's lease. Returns whether it was not renewed for so long that it is free.
    fn has_lapsed(&self, found: &Found, now: Instant) -> bool {
        let mut seen = self.seen.lock();
        seen.renewed = None;
        let leader = found.label("windlass.holder").to_owned();
        if seen.leader.as_ref() != Some(&leader) {
            tracing::info!(lease = self.name, leader, "another windlass acts; this one stands by");
            seen.leader = Some(leader);
        }
        match seen.other {
            Some((version, since)) if version == found.version => now.duration_since(since) >= self.times.lapse,
            _ => {
                seen.other = Some((found.version, now));
                false
            }
        }
    }

    /// Notes the outcome of a write that began at this time.
    fn settle(&self, begun: Instant, outcome: Result<(), EngineError>) -> Result<(), EngineError> {
        match outcome {
            Ok(()) => {
                let begins = self.leadership() != Leadership::Leads;
                *self.seen.lock() = Seen { renewed: Some(begun), other: None, leader: None };
                if begins {
                    tracing::info!(lease = self.name, holder = self.holder, "this windlass acts");
                    self.gained.send_replace(());
                }
                Ok(())
            }
            // Another Windlass wrote first. The next round reads its lease.
            Err(EngineError::Stale(_) | EngineError::NameTaken(_)) => {
                self.seen.lock().renewed = None;
                Ok(())
            }
            // Whether a write without an answer succeeded is unknown. The last renewal that succeeded counts.
            Err(error) => Err(error),
        }
    }

    /// The specification of the config. Only its labels may change.
    fn specification(&self, term: u64, before: Option<&Value>) -> Value {
        let until = Timestamp::from(SystemTime::now()).plus(self.times.lapse);
        let mut specification = before.cloned().unwrap_or_else(
            || json!({ "Name": self.name, "Data": base64::engine::general_purpose::STANDARD.encode(CONTENT) }),
        );
        specification["Labels"] = json!({
            "windlass.holder": self.holder,
            "windlass.term": term.to_string(),
            // For people: nobody compares clocks.
            "windlass.until": until.to_rfc3339(),
        });
        specification
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::manager::LIMIT;

    /// The manual promises 40 s. The rest is for a pass.
    #[test]
    fn another_windlass_takes_the_lease_of_a_dead_one_within_forty_seconds() {
        let times = LeaseTimes::default();
        let look = times.renewal / LOOKS_PER_RENEWAL;
        let longest = times.lapse + look + LIMIT;
        assert!(longest < Duration::from_secs(40), "{longest:?}");
    }

    #[test]
    fn the_holder_stops_before_anybody_else_acts() {
        let times = LeaseTimes::default();
        assert!(times.margin > LIMIT, "a write that it has begun ends before");
        assert!(times.renewal + LIMIT < times.lapse - times.margin, "one slow renewal ends nothing");
    }
}
