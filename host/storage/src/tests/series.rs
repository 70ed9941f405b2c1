//! The course of a workload over time.

use super::*;
use windlass_core::series::{Band, BandKind, SamplePoint};
use windlass_core::store::SamplePoints;

const STEPS: Steps = Steps { since: Timestamp(1_000), step: 100, count: 10 };

/// A store with a workload.
fn store_of(directory: &TempDir) -> (SqliteStore, Workload) {
    let store = SqliteStore::open(directory.path(), 100).unwrap();
    let web = workload("web:1", 2, 5);
    store.save_workload(&web, 2).unwrap();
    (store, web)
}

fn decision(at: u64, target: u32, config: &str) -> NewDecision {
    let stages = json!({"raw": target + 2, "stabilized": target + 1, "limited": target, "bounded": target});
    let body = json!({
        "target": target, "stages": stages, "replicas": {"running": target - 1, "ready": 0},
        "scaling": {"config": null, "observation": {"current_replicas": 9}},
    });
    let content = PartContent::Json(json!(config).to_string().into_bytes());
    NewDecision { at: Timestamp(at), body, parts: vec![DecisionPart { place: "/scaling/config".to_owned(), content }] }
}

#[test]
fn the_numbers_of_decisions_are_read_in_pages() {
    let directory = folder();
    let (store, web) = store_of(&directory);
    let record =
        |decision: &NewDecision| store.save_pass(&web.key, &History::default(), Some(decision), NOW).unwrap().unwrap();
    let large = format!("{{\"metric\": \"{}\"}}", "x".repeat(1_000));
    let huge = "y".repeat(9_000);
    record(&decision(100, 3, "{}"));
    let before = record(&decision(900, 4, "{}"));
    let within = [decision(1_000, 5, &large), decision(1_999, 6, &huge)].map(|decision| record(&decision));
    record(&decision(2_000, 7, "{}"));
    // One of an earlier version, without a proposal.
    let old = json!({"target": 8, "stages": null, "scaling": {"observation": {"current_replicas": 9}}});
    let old = record(&NewDecision::new(Timestamp(1_500), old));

    let last = store.decision_before(&web.key, STEPS.since).unwrap().unwrap();
    assert_eq!((last.id, last.target, last.config.as_deref()), (before, Some(4.0), Some("{}")));
    assert_eq!(store.decision_before(&web.key, Timestamp(100)).unwrap(), None);
    let first = store.decision_points(&web.key, &STEPS, last.id, 1).unwrap();
    let expected = DecisionPoint {
        id: within[0],
        at: Timestamp(1_000),
        raw: Some(7.0),
        stabilized: Some(6.0),
        limited: Some(5.0),
        target: Some(5.0),
        running: Some(4.0),
        config: Some(large),
    };
    assert_eq!(first, [expected]);
    let rest = store.decision_points(&web.key, &STEPS, within[0], 10).unwrap();
    let numbers: Vec<_> = rest.iter().map(|it| (it.id, it.raw, it.running, it.config.is_some())).collect();
    assert_eq!(numbers, [(within[1], Some(8.0), Some(5.0), false), (old, None, Some(9.0), false)]);
}

#[test]
fn samples_are_one_mean_and_one_last_value_a_step() {
    let directory = folder();
    let (store, web) = store_of(&directory);
    let put = |at, value| SampleChange::Put(Sample { at: Timestamp(at), value });
    let changes = vec![put(950, 9.0), put(1_000, 1.0), put(1_099, 2.0), put(1_350, 5.0), put(2_000, 7.0)];
    let changes = SeriesChanges { key: web.key.clone(), name: "queue".to_owned(), changes, oldest: Timestamp(0) };
    store.save_samples(&[changes], Timestamp(0)).unwrap();
    let found = store.sample_points(&web.key, "queue", &STEPS).unwrap();
    let steps = vec![
        SamplePoint { index: 0, mean: 1.5, last: 2.0, at: Timestamp(1_099) },
        SamplePoint { index: 3, mean: 5.0, last: 5.0, at: Timestamp(1_350) },
    ];
    assert_eq!(found, SamplePoints { before: Some(Sample { at: Timestamp(950), value: 9.0 }), steps });
    assert_eq!(store.sample_points(&web.key, "depth", &STEPS).unwrap(), SamplePoints::default());
}

#[test]
fn a_band_lasts_over_a_restart_until_it_ends() {
    let directory = folder();
    let band = |kind, since, until: Option<u64>| Band {
        kind,
        since: Timestamp(since),
        until: until.map(Timestamp),
        text: "so".to_owned(),
    };
    let (pause, outage) = (band(BandKind::Override, 500, None), band(BandKind::Outage, 1_200, Some(1_300)));
    let key = {
        let (store, web) = store_of(&directory);
        let earlier = band(BandKind::Blind, 100, Some(1_000));
        store.save_bands(&web.key, &[earlier, pause.clone(), outage.clone()]).unwrap();
        // One of an unknown workload is ignored.
        store.save_bands(&WorkloadKey::stored("gone"), std::slice::from_ref(&pause)).unwrap();
        assert_eq!(store.bands(&web.key, &STEPS).unwrap(), [pause.clone(), outage.clone()]);
        web.key
    };
    let store = SqliteStore::open(directory.path(), 100).unwrap();
    assert_eq!(store.load().unwrap()[0].bands, [pause]);
    let ended = band(BandKind::Override, 500, Some(900));
    store.save_bands(&key, &[ended]).unwrap();
    assert_eq!(store.bands(&key, &STEPS).unwrap(), [outage]);
    assert_eq!(store.load().unwrap()[0].bands, []);
    // The oldest ones are dropped.
    let many: Vec<Band> = (0..1_200).map(|at| band(BandKind::Blind, 1_000 + at, Some(5_000))).collect();
    store.save_bands(&key, &many).unwrap();
    let kept = store.bands(&key, &Steps { count: 100, ..STEPS }).unwrap();
    assert_eq!((kept.len(), kept[0].since), (1_001, Timestamp(1_200)));
}

#[test]
fn each_run_is_counted() {
    let directory = folder();
    for run in 0..3 {
        assert_eq!(open(directory.path()).count_run().unwrap(), run);
    }
}
