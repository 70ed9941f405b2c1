//! The course of a workload over time, up to the store.

use super::*;
use crate::fixtures::{adopted, compose, controller_with, engine};
use serde_json::json;
use windlass_core::workload::Mode;

#[tokio::test]
async fn the_lines_of_an_adopted_workload_have_the_same_steps() {
    let controller = controller_with(Arc::new(engine()).into(), &[adopted(compose(), Mode::Recommend)]);
    let api = api_of(controller, &ApiSettings::default());
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let Ok(response) = api.clone().oneshot(request).await;
        json(response).await
    };
    let path = "/workloads/shop-web/series?since=2026-01-01T00:00:00Z&until=2026-01-01T00:00:45Z&step=15s";
    let series = get(path).await;
    let nothing = json!([[1_767_225_600_000_u64, null], [1_767_225_615_000_u64, null], [1_767_225_630_000_u64, null]]);
    let names = [
        "replicas.running",
        "count.raw",
        "count.stabilized",
        "count.limited",
        "count.target",
        "metric.cpu-utilization",
        "metric.memory-utilization",
        "metric.network-receive-rate",
        "metric.network-transmit-rate",
        "metric.queue",
        "replicas.ready",
    ];
    let lines: Vec<Value> = names.iter().map(|name| json!({"name": name, "points": nothing})).collect();
    assert_eq!(
        series,
        json!({
            "workload": "shop-web", "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:45Z", "step": "15s",
            "lines": lines, "bands": [],
        })
    );
    let refused = get("/workloads/shop-web/series?step=1s&since=2025-01-01T00:00:00Z").await;
    assert!(
        refused["detail"].as_str().is_some_and(|detail| detail.starts_with("/query/step: `1s` gives")),
        "{refused}"
    );
    assert_eq!(get("/workloads/nobody/series").await["status"], json!(404));
    assert_eq!(get("/images/shop-web/series").await["status"], json!(404));
}
