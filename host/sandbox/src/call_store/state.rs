//! The state of one store: limits, log, clocks, random numbers and outgoing HTTP of the call.

use crate::call_store::failure::{LimitExceeded, time_exceeded};
use crate::call_store::http::{Http, WasiHttpCtxView, WasiHttpView};
use crate::call_store::log::{CallLog, LogLevel};
use crate::call_store::usage::{CallUsage, Memory, Usage};
use crate::call_store::wasi::{self, Output, Randomness};
use crate::convert::{plain, wit_log, wit_readiness, wit_types};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use windlass_core::Timestamp;
use windlass_core::net::HttpSender;
use windlass_core::settings::PolicyLimits;

/// Length of one tick of the engine's epoch.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// The state of one store.
pub(crate) struct CallState {
    limits: Arc<PolicyLimits>,
    usage: Usage,
    log: CallLog,
    /// Time of WASI's clocks.
    now: Timestamp,
    pub(crate) randomness: Randomness,
    /// The answers of the import `readiness`: the time at which a replica was first ready, by identifier.
    pub(crate) first_ready: HashMap<String, u64>,
    table: ResourceTable,
    /// Created at its first use: a component that imports only the contract does not pay for it.
    wasi: Option<Box<WasiCtx>>,
    http: Option<Box<Http>>,
    /// Sends granted requests. `None` if this call may not send any.
    sender: Option<Arc<dyn HttpSender>>,
    output: Arc<Mutex<Output>>,
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
            usage: Usage::new(limits),
            log: CallLog::default(),
            now,
            randomness,
            first_ready: HashMap::new(),
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
        // The first deadline must be near: until it is reached, the guest does not yield.
        store.set_epoch_deadline(1);
        // The guest yields at every tick, so that other tasks run and the timeout around the call can end it. That timeout is
        // late if all threads are busy, and never ends if the clock is paused, so the ticks are counted too.
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

    /// The memory of the call.
    pub(crate) fn memory(&self) -> &Memory {
        self.usage.memory()
    }

    /// The usage of the call, which took `time`.
    pub(crate) fn usage(&self, time: Duration) -> CallUsage {
        self.usage.of_call(time)
    }

    /// Takes the log of the call.
    pub(crate) fn take_log(&mut self) -> CallLog {
        let output = self.output.lock();
        self.log.output = plain(&String::from_utf8_lossy(&output.kept));
        self.log.dropped_output_bytes = output.dropped;
        drop(output);
        for note in self.http.take().map(|http| http.into_notes()).unwrap_or_default() {
            self.log.add(&self.limits, LogLevel::Warn, &note);
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
        self.log.add(&self.limits, level, &message);
    }
}

impl wit_readiness::Host for CallState {
    fn first_ready_at(&mut self, replica_id: String) -> Option<u64> {
        self.first_ready.get(&replica_id).copied()
    }
}

impl wit_types::Host for CallState {}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(wasi::context(self.now, &self.output, &self.limits)));
        WasiCtxView { ctx: wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let make = || Box::new(Http::new(self.limits.http.as_ref(), self.sender.clone(), self.usage.memory().clone()));
        let http = self.http.get_or_insert_with(make);
        http.view(&mut self.table)
    }
}
