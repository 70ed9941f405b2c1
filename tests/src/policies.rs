//! The built-in policies, loaded once for a test program.

use std::sync::{Arc, LazyLock};
use windlass::model::settings::PolicyLimits;
use windlass::policy::compile::Compiler;
use windlass::policy::registry::{Defaults, PolicyRegistry};
use windlass::policy::{HealthPolicy, ScalingPolicy};

static REGISTRY: LazyLock<Arc<PolicyRegistry>> = LazyLock::new(|| {
    // A runtime of its own, on a thread of its own: the caller may be inside one already.
    let load = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Real time passes between two polls in a simulated second: a busy machine is not a slow policy.
        let limits = PolicyLimits { decision_time: std::time::Duration::from_secs(5), ..PolicyLimits::default() };
        let opened = PolicyRegistry::open(limits, Compiler::in_process(), Defaults::default(), None);
        Arc::new(runtime.block_on(opened).expect("they load"))
    };
    std::thread::spawn(load).join().expect("loading does not panic")
});

/// The default scaling policy and the default health policy.
pub fn built_in() -> (Arc<dyn ScalingPolicy>, Arc<dyn HealthPolicy>) {
    (REGISTRY.default_scaling(), REGISTRY.default_health())
}

/// The registry of a program that pushes nothing.
pub fn registry() -> Arc<PolicyRegistry> {
    Arc::clone(&REGISTRY)
}
