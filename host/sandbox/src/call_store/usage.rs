//! The memory and tables of one store, counted against their limits.

use crate::call_store::failure::LimitExceeded;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use wasmtime::ResourceLimiter;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure};

/// Resources that a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// Wall time of instantiation and call.
    pub time: Duration,
    /// Memory at the end of the call in bytes: linear memory, and what the host held for HTTP requests. It never shrinks.
    pub memory_bytes: u64,
    /// Elements of the largest table.
    pub table_elements: u32,
}

/// The memory of one call, shared by everything that takes a part of it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    used: Arc<AtomicUsize>,
    limit: usize,
}

impl Memory {
    /// Counts bytes, unless they exceed the limit.
    ///
    /// # Errors
    /// The failure of the call.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), PolicyFailure> {
        let within = |used: usize| used.checked_add(bytes).filter(|total| *total <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within) {
            Ok(_) => Ok(()),
            Err(used) => {
                let (total, limit) = (used.saturating_add(bytes), self.limit);
                let reason = format!("it requested {total} bytes of memory in all; at most {limit} are given");
                Err(PolicyFailure::new(FailureKind::Memory, reason))
            }
        }
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Totals of the memory and tables of one store.
pub(crate) struct Usage {
    limits: Arc<PolicyLimits>,
    memory: Memory,
    table_elements: usize,
    /// The last granted growth, which is subtracted again if it fails.
    last_growth: usize,
}

impl Usage {
    pub(crate) fn new(limits: &Arc<PolicyLimits>) -> Self {
        let limit = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        let memory = Memory { used: Arc::default(), limit };
        Self { limits: Arc::clone(limits), memory, table_elements: 0, last_growth: 0 }
    }

    /// The memory of the call.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The usage of the call, which took `time`.
    pub(crate) fn of_call(&self, time: Duration) -> CallUsage {
        let table_elements = u32::try_from(self.table_elements).unwrap_or(u32::MAX);
        CallUsage { time, memory_bytes: self.memory.used.load(Ordering::Relaxed) as u64, table_elements }
    }
}

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.memory.limit;
        // Beyond the memory's own maximum, the standard demands that growing fails without a trap.
        if maximum.is_some_and(|maximum| maximum < limit && desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        self.memory.take(growth).map_err(LimitExceeded)?;
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.give_back(std::mem::take(&mut self.last_growth));
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
