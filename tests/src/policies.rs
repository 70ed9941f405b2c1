//! The built-in policies, loaded once for a test program, and calls of a registry's policies.

use std::sync::{Arc, LazyLock};
use std::time::Duration;
use windlass_core::contract::{Limits, ScalingObservation, WorkloadFacts};
use windlass_core::policy::{HealthPolicy, Policies, PolicySource, Push, ScalingPolicy, Source};
use windlass_core::settings::PolicyLimits;
use windlass_core::{PolicyChoice, PolicyChoices, PolicyIdentity, Timestamp, WorkloadKey};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;

/// The time of every call.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

static REGISTRY: LazyLock<Arc<PolicyRegistry>> = LazyLock::new(|| {
    // The caller may already run inside a runtime, hence another runtime in another thread.
    let load = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opened = PolicyRegistry::open(unhurried(), compiler(), Defaults::default(), None);
        Arc::new(runtime.block_on(opened).expect("they load"))
    };
    std::thread::spawn(load).join().expect("loading does not panic")
});

/// A compiler in this process whose cache the test programs of a user share: without it, each registry compiles the default
/// policies again.
pub fn compiler() -> Compiler {
    static CACHE: LazyLock<Cache> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("windlass-tests-cache-{}", rustix::process::geteuid().as_raw()));
        std::fs::create_dir_all(&folder).expect("a folder for the cache");
        Cache::open(&folder).expect("a cache of this user")
    });
    Compiler::in_process().with_cache(CACHE.clone())
}

/// The default limits with much more time: a busy machine must not look like a slow policy.
pub fn unhurried() -> PolicyLimits {
    let (decision_time, manifest_time) = (Duration::from_secs(10), Duration::from_secs(20));
    PolicyLimits { decision_time, manifest_time, ..PolicyLimits::default() }
}

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Lets one test at a time use the shared policies; the turn ends with the returned value.
///
/// A test in simulated time needs it: the engine limits concurrent calls, and while a call waits for another test's
/// call, nothing runs in this test's runtime, so its simulated time would advance.
pub async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The default scaling policy and the default health policy.
pub fn built_in() -> (Arc<dyn ScalingPolicy>, Arc<dyn HealthPolicy>) {
    (REGISTRY.default_scaling(), REGISTRY.default_health())
}

/// The shared registry of the built-in policies. Callers push nothing into it.
pub fn registry() -> Arc<PolicyRegistry> {
    Arc::clone(&REGISTRY)
}

/// The upload of a component under a name by `ada`, with defaults for the rest.
pub fn push_of(name: &str, component: Vec<u8>) -> Push {
    Push {
        name: name.to_owned(),
        component: component.into(),
        by: "ada@example.org".to_owned(),
        source: Source::Upload,
        reset_memory: false,
        candidate: false,
        at: NOW,
    }
}

/// A policy with an empty configuration.
pub fn choice(name: &str) -> PolicyChoice {
    PolicyChoice { name: name.to_owned(), config: "{}".to_owned() }
}

/// An observation of two replicas, at most nine, without metrics.
pub fn observation() -> ScalingObservation {
    let workload = WorkloadFacts {
        name: "web".to_owned(),
        image: "web:1".to_owned(),
        min_replicas: 1,
        max_replicas: 9,
        limits: Limits::default(),
        labels: Vec::new(),
    };
    ScalingObservation {
        now: NOW,
        workload,
        current_replicas: 2,
        replicas: Vec::new(),
        metrics: Vec::new(),
        memory: Vec::new(),
    }
}

/// The policies of the workload `web` under these choices, at the time of [`observation`].
pub fn policies_of(registry: &PolicyRegistry, choices: &PolicyChoices) -> Policies {
    registry.of(&web(), choices, NOW)
}

fn web() -> WorkloadKey {
    WorkloadKey::stored("web")
}

/// One decision under these choices: the policy's identity, and the count or the reason of the failure.
pub async fn decide(registry: &PolicyRegistry, choices: &PolicyChoices) -> (PolicyIdentity, Result<u32, String>) {
    let policies = policies_of(registry, choices);
    let answer = policies.scaling.decide(&policies.scaling_config, &observation()).await;
    let answer = answer.map(|decision| decision.replicas).map_err(|error| error.reason);
    (policies.scaling.identity().clone(), answer)
}
