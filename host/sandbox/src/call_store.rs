//! The limits of one call: what its store counts, and how running past a limit becomes a typed failure.

mod http;
mod wasi;

use crate::convert::{cut, excerpt, plain, wit_log};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{Linker, ResourceTable, ResourceTableError};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use windlass_core::net::HttpSender;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, Timestamp};

pub(crate) use crate::call_store::wasi::Randomness;

/// Adds everything a component may import but our own interfaces. Whether it may is looked at in `link`.
pub(crate) fn add_to_linker(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    crate::call_store::wasi::add_to_linker(linker)?;
    crate::call_store::http::add_to_linker(linker)
}

/// Length of one tick of the engine's epoch.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// For whoever looks for a fault.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// What a policy wrote during one call, within its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallLog {
    /// Lines written through the `log` import, cut to their limit.
    pub lines: Vec<(LogLevel, String)>,
    /// Lines past the limit, dropped.
    pub dropped_lines: u64,
    /// What went to standard output and standard error, in order.
    pub output: String,
    /// Bytes of it past the limit, dropped.
    pub dropped_output_bytes: u64,
}

impl CallLog {
    /// Hands what a policy wrote to the host's log.
    pub fn trace(&self, policy: &str) {
        for (level, line) in &self.lines {
            match level {
                LogLevel::Debug => tracing::debug!(policy, "{line}"),
                LogLevel::Info => tracing::info!(policy, "{line}"),
                LogLevel::Warn => tracing::warn!(policy, "{line}"),
                LogLevel::Error => tracing::error!(policy, "{line}"),
            }
        }
        if !self.output.is_empty() {
            tracing::debug!(policy, output = %self.output, "the policy wrote to its standard output");
        }
        if self.dropped_lines > 0 || self.dropped_output_bytes > 0 {
            let (lines, output_bytes) = (self.dropped_lines, self.dropped_output_bytes);
            tracing::debug!(policy, lines, output_bytes, "dropped what the policy wrote past its limit");
        }
    }
}

/// What a call took of its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallUsage {
    /// Wall time of the instance and the call in it.
    pub time: Duration,
    /// Linear memory at its end, which never shrinks, in bytes.
    pub memory_bytes: u64,
    /// Elements of the largest table.
    pub table_elements: u32,
}

/// The store of one call.
pub(crate) struct CallState {
    limits: Arc<PolicyLimits>,
    usage: Usage,
    log: CallLog,
    /// The time WASI's clocks show.
    now: Timestamp,
    randomness: Randomness,
    table: ResourceTable,
    /// Made when a component first asks for it: those that need only our own interface never pay for it.
    wasi: Option<Box<WasiCtx>>,
    http: Option<Box<crate::call_store::http::Http>>,
    /// Sends what was granted; none: this call may not ask the network.
    sender: Option<Arc<dyn HttpSender>>,
    output: Arc<Mutex<crate::call_store::wasi::Output>>,
}

/// What the linear memories, tables and instances of one store add up to.
struct Usage {
    limits: Arc<PolicyLimits>,
    memory_bytes: usize,
    table_elements: usize,
    /// The last growth granted, to be taken back if it fails.
    last_growth: usize,
}

impl CallState {
    pub(crate) fn new(
        limits: &Arc<PolicyLimits>,
        now: Timestamp,
        randomness: Randomness,
        sender: Option<Arc<dyn HttpSender>>,
    ) -> Self {
        Self {
            limits: Arc::clone(limits),
            usage: Usage { limits: Arc::clone(limits), memory_bytes: 0, table_elements: 0, last_growth: 0 },
            log: CallLog::default(),
            now,
            randomness,
            table: ResourceTable::new(),
            wasi: None,
            http: None,
            sender,
            output: Arc::default(),
        }
    }

    /// A store with every limit set, before anything runs in it.
    pub(crate) fn into_store(mut self, engine: &Engine, time: Duration) -> Store<Self> {
        let handles = self.limits.handles as usize;
        let hostcall_bytes = usize::try_from(self.limits.hostcall_bytes).unwrap_or(usize::MAX);
        self.table.set_max_capacity(handles);
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.usage);
        store.set_hostcall_fuel(hostcall_bytes);
        store.set_max_component_handles(handles);
        // The first deadline must be near: a far one would keep the guest from ever yielding.
        store.set_epoch_deadline(1);
        // The guest yields at every tick, so that others run and the timeout around the call can fire. Where
        // all threads are busy that timeout is late, and with a paused clock it never fires: count as well.
        let started = tokio::time::Instant::now();
        let ticks_allowed = time.as_millis().div_ceil(TICK.as_millis()) + 1;
        let mut ticks = 0;
        store.epoch_deadline_callback(move |_| {
            ticks += 1;
            if ticks > ticks_allowed || started.elapsed() >= time {
                return Err(LimitExceeded(time_exceeded(time)).into());
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// What was used in the call, which took `time`.
    pub(crate) fn usage(&self, time: Duration) -> CallUsage {
        let Usage { memory_bytes, table_elements, .. } = self.usage;
        let table_elements = u32::try_from(table_elements).unwrap_or(u32::MAX);
        CallUsage { time, memory_bytes: memory_bytes as u64, table_elements }
    }

    /// What was written during the call; it is nothing from then on.
    pub(crate) fn take_log(&mut self) -> CallLog {
        let output = self.output.lock();
        self.log.output = plain(&String::from_utf8_lossy(&output.kept));
        self.log.dropped_output_bytes = output.dropped;
        drop(output);
        for note in self.http.take().map(|http| http.into_notes()).unwrap_or_default() {
            note_line(&mut self.log, &self.limits, LogLevel::Warn, &note);
        }
        std::mem::take(&mut self.log)
    }
}

impl wit_log::Host for CallState {
    fn write(&mut self, level: wit_log::Level, message: String) {
        let level = match level {
            wit_log::Level::Debug => LogLevel::Debug,
            wit_log::Level::Info => LogLevel::Info,
            wit_log::Level::Warn => LogLevel::Warn,
            wit_log::Level::Error => LogLevel::Error,
        };
        note_line(&mut self.log, &self.limits, level, &message);
    }
}

fn note_line(log: &mut CallLog, limits: &PolicyLimits, level: LogLevel, message: &str) {
    if log.lines.len() >= limits.log_lines as usize {
        log.dropped_lines += 1;
        return;
    }
    let limit = usize::try_from(limits.log_line_bytes).unwrap_or(usize::MAX);
    log.lines.push((level, plain(cut(message, limit))));
}

impl crate::convert::wit_types::Host for CallState {}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self
            .wasi
            .get_or_insert_with(|| Box::new(crate::call_store::wasi::context(self.now, &self.output, &self.limits)));
        WasiCtxView { ctx: wasi, table: &mut self.table }
    }
}

/// A limit of ours, exceeded: how it travels through the library's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LimitExceeded(pub(crate) PolicyFailure);

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit = usize::try_from(self.limits.memory_bytes).unwrap_or(usize::MAX);
        // Beyond the memory's own maximum the guest is told so, as the standard says.
        if maximum.is_some_and(|maximum| maximum < limit && desired > maximum) {
            return Ok(false);
        }
        let growth = desired.saturating_sub(current);
        let total = self.memory_bytes.saturating_add(growth);
        if total > limit {
            let reason = format!("it asked for {total} bytes of memory in all; at most {limit} are given");
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
            let reason = format!("it asked for a table of {desired} elements; at most {limit} are given");
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

/// The failure of a call that ran out of time.
pub(crate) fn time_exceeded(time: Duration) -> PolicyFailure {
    PolicyFailure::new(FailureKind::Time, format!("it ran longer than {} ms", time.as_millis()))
}

/// What went wrong in a call, in our own words.
///
/// Kinds: our own limits say theirs; handles, random bytes, instances, tables and memories past their count
/// are `memory`; an answer the host cannot read, or is too big to take, is `output`; all else is a `trap`.
pub(crate) fn failure(error: &wasmtime::Error, limits: &PolicyLimits) -> PolicyFailure {
    if let Some(LimitExceeded(failure)) = error.downcast_ref() {
        return failure.clone();
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return too_many_handles(limits);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return PolicyFailure::new(FailureKind::Trap, format!("it called `exit` with status {code}"));
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return trapped(*trap, error, limits);
    }
    // The library gives these no type of their own; a hostile component of each kind holds the wording.
    let message = error.root_cause().to_string();
    if message.contains("fuel allocated for hostcalls") {
        let limit = limits.hostcall_bytes;
        let reason = format!("it handed the host more than {limit} bytes in one call");
        return PolicyFailure::new(FailureKind::Output, reason);
    }
    if message.contains("store handle limit exceeded") {
        return too_many_handles(limits);
    }
    if let Some(counts) = message.strip_prefix("resource limit exceeded: ") {
        return PolicyFailure::new(FailureKind::Memory, format!("it made more than it may: {}", excerpt(counts)));
    }
    let unreadable = ["utf-8", "utf-16", "discriminant", "out of bounds", "aligned", "converted integer", "char"];
    if unreadable.iter().any(|part| message.contains(part)) {
        let reason = format!("it returned what cannot be read: {}", excerpt(&message));
        return PolicyFailure::new(FailureKind::Output, reason);
    }
    PolicyFailure::new(FailureKind::Trap, excerpt(&message))
}

fn too_many_handles(limits: &PolicyLimits) -> PolicyFailure {
    let reason = format!("it held more than {} resource handles at once", limits.handles);
    PolicyFailure::new(FailureKind::Memory, reason)
}

fn trapped(trap: Trap, error: &wasmtime::Error, limits: &PolicyLimits) -> PolicyFailure {
    let place = place(error);
    match trap {
        Trap::StackOverflow => {
            let reason = format!("it ran out of its stack of {} bytes{place}", limits.stack_bytes);
            PolicyFailure::new(FailureKind::Trap, reason)
        }
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::InvalidChar
        | Trap::UnalignedPointer => {
            PolicyFailure::new(FailureKind::Output, format!("it returned what cannot be read: {}", plain_trap(trap)))
        }
        Trap::UnreachableCodeReached => {
            let reason = format!("it gave up: it reached code marked unreachable, as a panic does{place}");
            PolicyFailure::new(FailureKind::Trap, reason)
        }
        _ => PolicyFailure::new(FailureKind::Trap, format!("{}{place}", plain_trap(trap))),
    }
}

fn plain_trap(trap: Trap) -> String {
    trap.to_string().trim_start_matches("wasm trap: ").to_owned()
}

/// The innermost named functions, where the component carries names.
fn place(error: &wasmtime::Error) -> String {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let names: Vec<String> = backtrace
        .frames()
        .iter()
        .filter_map(|frame| frame.func_name())
        .take(3)
        .map(|name| plain(cut(name, 80)))
        .collect();
    if names.is_empty() { String::new() } else { format!(", in `{}`", names.join("` called by `")) }
}
