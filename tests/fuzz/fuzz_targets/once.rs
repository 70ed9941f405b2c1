//! Loads any bytes as a policy, configures it and calls it. The result must be an error or an answer.

use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;
use windlass_core::PolicyKind;
use windlass_core::Timestamp;
use windlass_core::settings::PolicyLimits;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime"));

static ENGINE: LazyLock<Arc<PolicyEngine>> = LazyLock::new(|| {
    let short = Duration::from_millis(50);
    let limits = PolicyLimits { decision_time: short, manifest_time: short, ..PolicyLimits::default() };
    Arc::new(PolicyEngine::new(limits).expect("an engine"))
});

/// Whether the bytes loaded as a policy.
pub(crate) fn once(bytes: &[u8]) -> bool {
    RUNTIME.block_on(async {
        let compiler = Compiler::in_process();
        let Ok(policy) = PolicyComponent::load(&ENGINE, &compiler, None, Arc::from(bytes)).await else { return false };
        let _checked = policy.configure("{}", Timestamp(1_767_225_600_000)).await;
        match policy.kind() {
            PolicyKind::Scaling => {
                let shown = include_str!("../../../examples/observations/scaling.json");
                let _decided = policy.decide("{}", &serde_json::from_str(shown).expect("an observation")).await;
            }
            PolicyKind::Health => {
                let shown = include_str!("../../../examples/observations/health.json");
                let _told = policy.evaluate("{}", &serde_json::from_str(shown).expect("an observation")).await;
            }
        }
        true
    })
}
