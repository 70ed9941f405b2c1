//! The settings of the store, and the budgets of its content.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The data directory with the database and compiled policies. Created with mode 0700 if it is missing.
    pub data_dir: PathBuf,
    /// The budgets of what is stored.
    pub limits: StoreLimits,
}

/// Budgets of what is stored. If one is spent, a decision is recorded without its large parts, and says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of the database. If it is larger, the oldest decisions of all workloads are dropped. Default 1 GiB.
    pub max_bytes: u64,
    /// Bytes that one decision adds. Default 2 MiB.
    pub decision_bytes: u64,
    /// Bytes of all decisions kept of a workload. If they are more, the oldest lose their large parts. Default 64 MiB.
    pub workload_bytes: u64,
    /// Bytes that the decisions and the policies of a workload write in a day (UTC). Default 256 MiB.
    pub daily_bytes: u64,
    /// Audit records that are kept. Default 10,000.
    pub audit_kept: u32,
    /// Age up to which audit records are kept. Default 1 year.
    pub audit_age: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            decision_bytes: 2 << 20,
            workload_bytes: 64 << 20,
            daily_bytes: 256 << 20,
            audit_kept: 10_000,
            audit_age: Duration::from_secs(31_557_600),
        }
    }
}
