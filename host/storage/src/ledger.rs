//! The ledger of a workload: the bytes that are stored for it, and those that were written for it today.

use rusqlite::{Transaction, params};
use std::time::Duration;
use windlass_core::Timestamp;
use windlass_core::settings::StoreLimits;

const DAY: u64 = 86_400_000;

/// Time between two writes of memories and comparisons if the budget of the day is spent.
const SELDOM: Duration = Duration::from_secs(60);

/// A limit that a part did not fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Store,
    Decision,
    Day,
}

impl Exceeded {
    /// The name of the setting.
    pub(crate) fn setting(self) -> &'static str {
        match self {
            Self::Store => "store.max_bytes",
            Self::Decision => "store.decision_bytes",
            Self::Day => "store.daily_bytes",
        }
    }
}

/// The rest of what is written for a workload, besides its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changing {
    /// The memories of the policies that act.
    Memories,
    /// The comparisons with shadow policies, and the memories of these.
    Shadows,
}

/// The ledger of one workload in a transaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ledger {
    /// The day of `written`, counted from the epoch.
    day: i64,
    /// Bytes written on that day.
    written: i64,
    memories_at: Timestamp,
    shadows_at: Timestamp,
    now: Timestamp,
    limits: StoreLimits,
    /// Whether the whole store has no room.
    is_full: bool,
}

impl Ledger {
    /// Reads the ledger of a workload. A new day begins with nothing written.
    pub(crate) fn read(
        transaction: &Transaction<'_>,
        key: &str,
        limits: StoreLimits,
        is_full: bool,
        now: Timestamp,
    ) -> rusqlite::Result<Self> {
        let today = i64::try_from(now.0 / DAY).unwrap_or(i64::MAX);
        transaction
            .prepare_cached("SELECT day, written, memories_at, shadows_at FROM histories WHERE key = ?1")?
            .query_row([key], |row| {
                let (day, written): (i64, i64) = (row.get(0)?, row.get(1)?);
                let time = |index| row.get::<_, i64>(index).map(|at| Timestamp(at.cast_unsigned()));
                let written = if day == today { written } else { 0 };
                let (memories_at, shadows_at) = (time(2)?, time(3)?);
                Ok(Self { day: today, written, memories_at, shadows_at, now, limits, is_full })
            })
    }

    /// A ledger with room for everything, for a migration.
    pub(crate) fn unlimited() -> Self {
        let limits = StoreLimits {
            max_bytes: u64::MAX,
            decision_bytes: u64::MAX,
            workload_bytes: u64::MAX,
            daily_bytes: u64::MAX,
            ..StoreLimits::default()
        };
        let never = Timestamp::default();
        Self { day: 0, written: 0, memories_at: never, shadows_at: never, now: never, limits, is_full: false }
    }

    /// Stores the ledger.
    pub(crate) fn write(&self, transaction: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
        let (memories_at, shadows_at) = (self.memories_at.0.cast_signed(), self.shadows_at.0.cast_signed());
        transaction
            .prepare_cached(
                "UPDATE histories SET day = ?2, written = ?3, memories_at = ?4, shadows_at = ?5 WHERE key = ?1",
            )?
            .execute(params![key, self.day, self.written, memories_at, shadows_at])
            .map(drop)
    }

    /// Counts bytes that are written in any case.
    pub(crate) fn charge(&mut self, bytes: i64) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Counts a part of a decision that has `used` bytes so far, if there is room for it.
    pub(crate) fn charge_part(&mut self, used: i64, bytes: i64) -> Result<(), Exceeded> {
        let exceeds = |limit: u64, used: i64| used.saturating_add(bytes).cast_unsigned() > limit;
        if self.is_full {
            Err(Exceeded::Store)
        } else if exceeds(self.limits.decision_bytes, used) {
            Err(Exceeded::Decision)
        } else if exceeds(self.limits.daily_bytes, self.written) {
            Err(Exceeded::Day)
        } else {
            self.charge(bytes);
            Ok(())
        }
    }

    /// Counts a change that may wait, if it is due: while the budgets last at once, then once in [`SELDOM`].
    pub(crate) fn charge_change(&mut self, what: Changing, bytes: i64) -> bool {
        let is_spent = self.is_full || self.written.saturating_add(bytes).cast_unsigned() > self.limits.daily_bytes;
        let last = match what {
            Changing::Memories => &mut self.memories_at,
            Changing::Shadows => &mut self.shadows_at,
        };
        // The clock may have been set back.
        let is_recent = *last <= self.now && last.plus(SELDOM) > self.now;
        if is_spent && is_recent {
            return false;
        }
        *last = self.now;
        self.charge(bytes);
        true
    }
}
