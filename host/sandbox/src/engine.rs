//! wasmtime's engine, configured for policies: features, the instance pool, and the epoch ticker.

use crate::call_store::{CallState, TICK, add_to_linker};
use crate::convert::scaling_world::windlass::policy as wit;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use windlass_concurrency::{ConcurrencyLimit, Group, LimitReached, Permit};
use windlass_core::net::HttpSender;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure};

/// Time a call waits for a permit at each level of the concurrency limit before it fails.
const WAIT_FOR_PERMIT: Duration = Duration::from_secs(1);

/// Bytes of a linear memory and of a table that stay mapped between two calls. A Rust guest keeps its data beyond its 1 MiB
/// of stack, so a smaller value would cost a page fault for each page. Each page kept is scanned after every call.
const MEMORY_KEPT: usize = 2 << 20;
const TABLE_KEPT: usize = 64 << 10;

/// Address space of the host's part of a call's stack in bytes.
const HOST_STACK: usize = 1 << 20;

/// The engine cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime rejects its configuration, or the machine cannot run it.
    #[error("cannot set up the WebAssembly engine: {0}")]
    Setup(String),
    /// The thread that increments the epoch did not start.
    #[error("cannot start the thread that limits the time of policy calls")]
    Ticker(#[source] std::io::Error),
}

/// The engine that runs policies, with the limits of each call and the concurrency limit of all calls.
pub struct PolicyEngine {
    engine: Engine,
    linker: Linker<CallState>,
    limits: Arc<PolicyLimits>,
    calls: ConcurrencyLimit,
    /// Mappings and unmappings of machine code in progress.
    mapping: AtomicUsize,
    pooled: bool,
    sender: OnceLock<Arc<dyn HttpSender>>,
}

impl PolicyEngine {
    /// An engine with these limits. Instances come from a pool, whose address space is reserved now. If that much address
    /// space is not available, instances are allocated one by one.
    ///
    /// # Errors
    /// When the machine cannot run WebAssembly, or no thread can be started.
    pub fn new(limits: PolicyLimits) -> Result<Self, SandboxError> {
        Self::with_pool(limits, true)
    }

    /// As [`PolicyEngine::new`], with instances allocated one by one: for few calls, which do not justify reserving a pool.
    ///
    /// # Errors
    /// As [`PolicyEngine::new`].
    pub fn without_pool(limits: PolicyLimits) -> Result<Self, SandboxError> {
        Self::with_pool(limits, false)
    }

    fn with_pool(limits: PolicyLimits, pool: bool) -> Result<Self, SandboxError> {
        let setup = |error: wasmtime::Error| SandboxError::Setup(format!("{error:#}"));
        let pooled = if pool { Engine::new(&running(&limits, Some(pooling(&limits)))).ok() } else { None };
        let (engine, pooled) = match pooled {
            Some(engine) => (engine, true),
            None => {
                if pool {
                    tracing::info!("not enough address space for a pool: policy instances are allocated one by one");
                }
                (Engine::new(&running(&limits, None)).map_err(setup)?, false)
            }
        };
        let mut linker = Linker::new(&engine);
        wit::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state).map_err(setup)?;
        wit::readiness::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut CallState| state).map_err(setup)?;
        add_to_linker(&mut linker).map_err(setup)?;
        let ticker = engine.weak();
        std::thread::Builder::new()
            .name("policy-epoch".to_owned())
            .spawn(move || tick(&ticker))
            .map_err(SandboxError::Ticker)?;
        // One policy gets half of the permits, so a slow one leaves some to the others.
        let concurrent_calls = limits.concurrent_calls as usize;
        let calls = ConcurrencyLimit::new(concurrent_calls, concurrent_calls / 2);
        let (limits, mapping, sender) = (Arc::new(limits), AtomicUsize::default(), OnceLock::new());
        Ok(Self { engine, linker, limits, calls, mapping, pooled, sender })
    }

    /// Sets the sender of granted HTTP requests. Without a sender none is sent. Only the first call has an effect.
    pub fn send_with(&self, sender: Arc<dyn HttpSender>) {
        let _already_set = self.sender.set(sender);
    }

    pub(crate) fn sender(&self) -> Option<Arc<dyn HttpSender>> {
        self.sender.get().cloned()
    }

    /// The limits of every call.
    pub fn limits(&self) -> &Arc<PolicyLimits> {
        &self.limits
    }

    /// Whether instances come from a pool.
    pub fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// A hash of what machine code must have been compiled for to run here: wasmtime's version, its settings and the
    /// processor.
    pub(crate) fn compatibility(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<CallState> {
        &self.linker
    }

    /// A new group of calls in the concurrency limit: the revisions of a policy share one.
    pub fn call_group(&self) -> Group {
        self.calls.group()
    }

    /// A permit for one call. The waiting time does not count towards the call's time limit.
    ///
    /// # Errors
    /// A failure of kind `busy` if a limit was reached for one second.
    pub(crate) async fn permit(&self, group: &Group) -> Result<Permit, PolicyFailure> {
        self.calls.acquire_within(group, WAIT_FOR_PERMIT).await.map_err(|reached| {
            let (whose, calls) = match reached {
                LimitReached::Group(calls) => ("the policy's concurrency limit", calls),
                LimitReached::Total(calls) => ("the concurrency limit of all policies", calls),
            };
            let unit = if calls == 1 { "call" } else { "calls" };
            let waited = WAIT_FOR_PERMIT.as_millis();
            PolicyFailure::new(FailureKind::Busy, format!("{whose} ({calls} {unit}) was reached for {waited} ms"))
        })
    }

    /// Marks that machine code is being mapped or unmapped, until the result is dropped.
    pub fn mapping(&self) -> Mapping<'_> {
        self.mapping.fetch_add(1, Ordering::Relaxed);
        Mapping(&self.mapping)
    }

    /// Cleans up after a call, which takes the lock of the process's memory map. While code is being mapped, that may take
    /// ten times as long as the call, so it happens after the answer is delivered. Otherwise it is cheapest at once, while
    /// the memory is still in the processor's cache.
    pub(crate) fn clean(&self, store: Store<CallState>, permit: Permit) {
        let clean = move || {
            drop(store);
            // In this order: the pool has as many slots as there are permits.
            drop(permit);
        };
        if self.mapping.load(Ordering::Relaxed) == 0 {
            clean();
        } else {
            tokio::spawn(async move { clean() });
        }
    }
}

/// Code is being mapped or unmapped until this is dropped.
pub struct Mapping<'a>(&'a AtomicUsize);

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for PolicyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyEngine").field("pooled", &self.pooled).finish_non_exhaustive()
    }
}

/// An engine that only compiles, for the compiler process, which has little address space.
///
/// # Errors
/// When the machine cannot run WebAssembly.
pub(crate) fn compiling() -> Result<Engine, SandboxError> {
    Engine::new(&common()).map_err(|error| SandboxError::Setup(format!("{error:#}")))
}

/// The settings that determine the machine code. They are the same in the compiler process and in the host.
fn common() -> Config {
    let mut config = Config::new();
    config
        // Without it a call costs half as much, and a class of past vulnerabilities is gone. Policies do not need it.
        .concurrency_support(false)
        .epoch_interruption(true)
        // The same arguments must produce the same answer, to the last bit of a NaN.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        // Only debuggers need these two, and they are a seventh of the machine code. A trap names its functions without them.
        .generate_address_map(false)
        .native_unwind_info(false)
        .memory_init_cow(true);
    config
}

fn running(limits: &PolicyLimits, pool: Option<PoolingAllocationConfig>) -> Config {
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    let mut config = common();
    config
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK))
        // A guest cannot read its native stack, and it holds no secret, so it need not be cleared.
        .async_stack_zeroing(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .allocation_strategy(match pool {
            Some(pool) => InstanceAllocationStrategy::Pooling(pool),
            None => InstanceAllocationStrategy::OnDemand,
        });
    config
}

/// A pool for as many calls as the concurrency limit allows, each at its limits.
fn pooling(limits: &PolicyLimits) -> PoolingAllocationConfig {
    let calls = limits.concurrent_calls.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls.saturating_mul(limits.core_instances))
        .total_memories(calls.saturating_mul(limits.memories))
        .total_tables(calls.saturating_mul(limits.tables))
        .total_stacks(calls)
        .max_core_instances_per_component(limits.core_instances)
        .max_memories_per_component(limits.memories)
        .max_tables_per_component(limits.tables)
        .max_memories_per_module(limits.memories)
        .max_tables_per_module(limits.tables)
        .max_component_instance_size(1 << 20)
        .max_core_instance_size(10 << 20)
        .max_memory_size(usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX))
        .table_elements(limits.table_elements as usize)
        .linear_memory_keep_resident(MEMORY_KEPT)
        .table_keep_resident(TABLE_KEPT)
        // No more slots stay warm than calls can run, so the idle host uses little memory.
        .max_unused_warm_slots(calls)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Increments the epoch until the engine is dropped.
fn tick(engine: &EngineWeak) {
    while let Some(engine) = engine.upgrade() {
        engine.increment_epoch();
        drop(engine);
        #[expect(clippy::disallowed_methods, reason = "its own thread, which must tick whatever the runtime does")]
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call_store::Randomness;
    use windlass_core::Timestamp;

    #[test]
    fn without_the_address_space_for_a_pool_instances_are_allocated_one_by_one() {
        // More memories than 47 bits of address space hold.
        let limits = PolicyLimits { concurrent_calls: 20_000, ..PolicyLimits::default() };
        let engine = PolicyEngine::new(limits).expect("an engine all the same");
        assert!(!engine.is_pooled());
    }

    #[test]
    fn both_allocators_and_the_compiling_process_agree_on_what_code_fits() {
        let pooled = PolicyEngine::new(PolicyLimits::default()).expect("an engine");
        let single = PolicyEngine::without_pool(PolicyLimits::default()).expect("an engine");
        assert!(pooled.is_pooled() && !single.is_pooled());
        assert_eq!(pooled.compatibility(), single.compatibility());
        let mut hasher = DefaultHasher::new();
        compiling().expect("an engine").precompile_compatibility_hash().hash(&mut hasher);
        assert_eq!(hasher.finish(), single.compatibility());
    }

    #[tokio::test]
    async fn a_call_is_cleaned_up_at_once_or_after_its_answer_while_code_is_mapped() {
        let limits = PolicyLimits { concurrent_calls: 2, ..PolicyLimits::default() };
        let engine = PolicyEngine::without_pool(limits).expect("an engine");
        let free = || engine.calls.available();
        let group = engine.call_group();
        let call = async || {
            let permit = engine.permit(&group).await.expect("a permit");
            let state = CallState::new(engine.limits(), Timestamp::default(), Randomness::none(), None);
            let store = state.into_store(engine.wasmtime(), Duration::from_secs(1));
            assert_eq!(free(), 1);
            engine.clean(store, permit);
        };
        call().await;
        assert_eq!(free(), 2);
        let mapping = engine.mapping();
        call().await;
        assert_eq!(free(), 1);
        tokio::task::yield_now().await;
        assert_eq!(free(), 2);
        drop(mapping);
        call().await;
        assert_eq!(free(), 2);
    }

    #[test]
    fn the_ticker_ends_with_its_engine() {
        let engine = PolicyEngine::without_pool(PolicyLimits::default()).expect("an engine");
        let weak = engine.wasmtime().weak();
        drop(engine);
        // With nothing to hold it, `tick` returns at once instead of ticking for ever.
        while weak.upgrade().is_some() {
            std::thread::yield_now();
        }
        tick(&weak);
    }
}
