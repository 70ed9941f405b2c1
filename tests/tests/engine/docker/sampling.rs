//! Resource usage of replicas, sampled from the kernel's files and from the engine.

use super::fixture::{FIRST, Fixture, docker, eventually};
use std::time::Duration;
use windlass_core::Phase;
use windlass_core::engine::{Engine, SlotEngine};
use windlass_docker::Environment;

const BUSY: [&str; 3] = ["sh", "-c", "while :; do :; done"];

/// Checks the usage of a container that needs a whole core and may use half of one.
async fn check_busy(fixture: &Fixture) {
    let runtime = &fixture.runtime;
    let created = runtime.create(&fixture.workload(&BUSY), FIRST).await.unwrap();
    assert_eq!(runtime.usage(&created.id), None);
    runtime.start(&created.id).await.unwrap();
    // A busy machine may give the container less for a while.
    let usage = eventually("it uses most of half a core", || async {
        runtime.usage(&created.id).filter(|usage| (0.3..0.7).contains(&usage.cpu_cores))
    })
    .await;
    assert!((100_000..32 << 20).contains(&usage.memory_bytes), "{usage:?}");
    assert!(usage.network_receive_rate >= 0.0 && usage.network_transmit_rate >= 0.0);
    let listed = runtime.list_all().await.unwrap();
    assert!(listed[0].usage.is_some());
    let stopped = runtime.stop(&created.id, Duration::from_secs(0)).await.unwrap();
    assert_eq!((stopped.phase, stopped.usage), (Phase::Exited, None));
    assert_eq!(runtime.usage(&created.id), None);
}

#[tokio::test]
async fn use_is_read_from_the_kernels_files() {
    check_busy(&Fixture::new("files").await).await;
}

#[tokio::test]
async fn use_is_asked_of_the_engine_where_there_are_no_files() {
    let nowhere = tempfile::tempdir().unwrap();
    let environment = Environment { proc_folder: nowhere.path().to_owned(), ..Environment::of_process() };
    check_busy(&Fixture::with("stats", environment, |_| {}).await).await;
}

#[tokio::test]
async fn a_replica_that_nobody_looks_at_is_sampled_too() {
    let fixture = Fixture::new("adopted").await;
    let created = fixture.runtime.create(&fixture.workload(&BUSY), FIRST).await.unwrap();
    docker(&["start", created.id.as_str()]);
    eventually("it is found and sampled", || async { fixture.runtime.usage(&created.id) }).await;
    docker(&["kill", created.id.as_str()]);
    eventually("it is dropped", || async { fixture.runtime.usage(&created.id).is_none().then_some(()) }).await;
}
