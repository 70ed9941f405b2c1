//! The memory and tables of one store, counted against their limits.

use crate::call_store::failure::LimitExceeded;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::ResourceLimiter;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure};

/// Resources that a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// Wall time of instantiation and call.
    pub time: Duration,
    /// Linear memory at the end of the call in bytes; it never shrinks.
    pub memory_bytes: u64,
    /// Elements of the largest table.
    pub table_elements: u32,
}

/// Totals of the linear memories and tables of one store.
pub(crate) struct Usage {
    limits: Arc<PolicyLimits>,
    memory_bytes: usize,
    table_elements: usize,
    /// The last granted growth, which is subtracted again if it fails.
    last_growth: usize,
}

impl Usage {
    pub(crate) fn new(limits: &Arc<PolicyLimits>) -> Self {
        Self { limits: Arc::clone(limits), memory_bytes: 0, table_elements: 0, last_growth: 0 }
    }

    /// The usage of the call, which took `time`.
    pub(crate) fn of_call(&self, time: Duration) -> CallUsage {
        let table_elements = u32::try_from(self.table_elements).unwrap_or(u32::MAX);
        CallUsage { time, memory_bytes: self.memory_bytes as u64, table_elements }
    }
}

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX);
        // Beyond the memory's own maximum, the standard demands that growing fails without a trap.
        if maximum.is_some_and(|maximum| maximum < limit && desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(growth);
        if total > limit {
            let reason = format!("it requested {total} bytes of memory in all; at most {limit} are given");
            return Err(LimitExceeded(PolicyFailure::new(FailureKind::Memory, reason)).into());
        }
        self.memory_bytes = total;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes = self.memory_bytes.saturating_sub(std::mem::take(&mut self.last_growth));
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits.table_elements as usize;
        if maximum.is_some_and(|maximum| maximum < limit && desired > maximum) {
            return Ok(false);
        }
        if desired > limit {
            let reason = format!("it requested a table of {desired} elements; at most {limit} are given");
            return Err(LimitExceeded(PolicyFailure::new(FailureKind::Memory, reason)).into());
        }
        self.table_elements = self.table_elements.max(desired);
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.core_instances as usize
    }

    fn tables(&self) -> usize {
        self.limits.tables as usize
    }

    fn memories(&self) -> usize {
        self.limits.memories as usize
    }
}
