//! The quotas of pushed policies: their number, and their bytes in memory and on disk.

use std::path::Path;
use std::sync::Arc;
use windlass_core::policy::PolicyCatalogue;
use windlass_core::settings::PolicyLimits;
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile;
use windlass_tests::policies::{push_of, unhurried};

async fn open(data_dir: &Path, limits: PolicyLimits) -> PolicyRegistry {
    PolicyRegistry::open(limits, Compiler::in_process(), Defaults::default(), Some(data_dir)).await.expect("it opens")
}

/// Pushes a policy that proposes this count. Returns the sentence of the refusal.
async fn push(registry: &PolicyRegistry, name: &str, count: u32) -> Result<(), String> {
    let pushed = registry.push(push_of(name, hostile::proposes(count).build())).await;
    pushed.map(drop).map_err(|error| error.to_string())
}

/// Bytes of such a policy, and of its machine code.
async fn sizes() -> (u64, u64) {
    let engine = Arc::new(PolicyEngine::new(unhurried()).expect("an engine"));
    let bytes: Arc<[u8]> = hostile::proposes(1).build().into();
    let component = PolicyComponent::load(&engine, &Compiler::in_process(), None, bytes).await.expect("it loads");
    (component.size_bytes() as u64, component.code_bytes() as u64)
}

#[tokio::test]
async fn the_number_of_policies_is_limited() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let registry = open(data_dir.path(), PolicyLimits { policies: 1, ..unhurried() }).await;
    assert_eq!(push(&registry, "one", 1).await, Ok(()));
    let refused = "there are 1 pushed policies already, which is the limit (`policy.policies`); remove one first";
    assert_eq!(push(&registry, "two", 1).await, Err(refused.to_owned()));
    // Another revision is no other policy.
    assert_eq!(push(&registry, "one", 2).await, Ok(()));
    registry.remove("one").await.expect("removed");
    assert_eq!(push(&registry, "two", 1).await, Ok(()));
}

#[tokio::test]
async fn the_machine_code_in_memory_is_limited() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let (_, code) = sizes().await;
    let registry = open(data_dir.path(), PolicyLimits { loaded_bytes: 2 * code, ..unhurried() }).await;
    assert_eq!(push(&registry, "one", 1).await, Ok(()));
    // The revision before stays loaded, as the fallback. The one before that does not.
    for count in 2..5 {
        assert_eq!(push(&registry, "one", count).await, Ok(()));
    }
    let refused = push(&registry, "two", 1).await.expect_err("it does not fit");
    assert!(refused.contains(&format!("use {} of the {} bytes", 2 * code, 2 * code)), "{refused}");
    assert!(refused.contains("`policy.loaded_bytes`"), "{refused}");
    registry.remove("one").await.expect("removed");
    assert_eq!(push(&registry, "two", 1).await, Ok(()));
}

#[tokio::test]
async fn the_bytes_on_disk_are_limited() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let (size, code) = sizes().await;
    let limits = PolicyLimits { stored_bytes: 2 * size + code, ..unhurried() };
    let registry = open(data_dir.path(), limits).await;
    for count in 1..3 {
        assert_eq!(push(&registry, "one", count).await, Ok(()));
    }
    let refused = push(&registry, "one", 3).await.expect_err("it does not fit");
    assert!(refused.contains("`policy.stored_bytes`"), "{refused}");
    assert_eq!(registry.find("one").expect("it is there").acting, Some(2));
}
