//! Workloads of tests: their form without a start request, their replicas, and their target count.

use serde_json::json;
use std::time::Duration;
use windlass_core::Workload;
use windlass_core::workload::{Bounds, DesiredStatus, Resources};
use windlass_harness::site::{Site, Windlass};
use windlass_harness::wait::until;

/// Time limit for replicas to run, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// A workload with small resource limits, for a controller in the test process.
///
/// # Errors
/// If the image reference or the bounds are invalid.
pub fn workload(image: &str, min_replicas: u32, max_replicas: u32) -> anyhow::Result<Workload> {
    let resources = Resources { cpu: "0.1".parse()?, memory: "64m".parse()?, status: DesiredStatus::Running };
    Ok(Workload::new(image.parse()?, Bounds::new(min_replicas, max_replicas)?, resources))
}

/// Waits until the engine reports a number of running containers of a site, and returns their identifiers.
///
/// # Errors
/// If another number runs until the time limit.
pub async fn running(site: &Site, count: usize) -> anyhow::Result<Vec<String>> {
    until(&format!("{count} containers to run"), LIMIT, async || {
        let running = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
        if running.len() == count { Ok(running) } else { Err(format!("{} run", running.len())) }
    })
    .await
}

/// Runs a pass of a workload, and returns the target count and its reason.
///
/// # Panics
/// If the pass or the request for its result fails.
pub async fn target_after_pass(windlass: &Windlass, image: &str) -> (u64, String) {
    windlass.post(&format!("/images/{image}/reconcile"), json!({})).await.ok();
    let workload = windlass.get(&format!("/images/{image}")).await.ok();
    let target = workload["desired"]["target"].as_u64().expect("a target");
    (target, workload["last_pass"]["reason"].as_str().expect("a reason").to_owned())
}
