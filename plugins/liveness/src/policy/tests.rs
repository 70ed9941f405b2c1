//! The liveness rule with every phase, with probes and with its memory.

use super::*;
use crate::bindings::exports::windlass::policy::health::ProbeResult;
use crate::bindings::windlass::policy::types::{Limits, Workload};

const NOW: u64 = 1_000_000;

fn replica(id: &str, phase: Phase) -> Replica {
    Replica {
        id: id.to_owned(),
        phase,
        health: HealthStatus::Unknown,
        created_at: NOW - 60_000,
        started_at: Some(NOW - 59_000),
        restarts: 0,
        exit_code: None,
        out_of_memory: false,
        usage: None,
    }
}

/// Probes one second apart, the last one at `NOW`. `+` succeeded, `s` succeeded slowly, `-` failed, `t` timed out.
fn probes(outcomes: &str) -> Vec<ProbeResult> {
    let first = NOW - 1_000 * (outcomes.len() as u64).saturating_sub(1);
    outcomes
        .chars()
        .enumerate()
        .map(|(index, outcome)| ProbeResult {
            at: first + 1_000 * index as u64,
            outcome: match outcome {
                '+' => ProbeOutcome::Success(4),
                's' => ProbeOutcome::Success(700),
                '-' => ProbeOutcome::Failure("status 500".to_owned()),
                _ => ProbeOutcome::Timeout,
            },
        })
        .collect()
}

fn observe(replicas: Vec<(Replica, &str)>, memory: Vec<u8>) -> Observation {
    Observation {
        now: NOW,
        workload: Workload {
            name: "web".to_owned(),
            image: "web:1".to_owned(),
            min_replicas: 1,
            max_replicas: 5,
            limits: Limits { cpu_cores: None, memory_bytes: None },
            labels: Vec::new(),
        },
        replicas: replicas
            .into_iter()
            .map(|(replica, outcomes)| ProbedReplica { replica, probes: probes(outcomes) })
            .collect(),
        memory,
    }
}

/// Returns the assessment of one replica, and the memory afterwards.
fn assess(config: &Config, replica: Replica, outcomes: &str, memory: Vec<u8>) -> (Assessment, Vec<u8>) {
    let mut report = evaluate(config, &observe(vec![(replica, outcomes)], memory));
    assert_eq!(report.assessments.len(), 1);
    (report.assessments.remove(0), report.memory)
}

fn formatted(assessment: &Assessment) -> String {
    format!("{:?}, {:?}: {}", assessment.status, assessment.remedy, assessment.reason)
}

fn assessed(config: &Config, replica: Replica, outcomes: &str) -> String {
    formatted(&assess(config, replica, outcomes, Vec::new()).0)
}

#[test]
fn each_phase_has_its_answer() {
    let config = Config::default();
    let young = |mut replica: Replica| {
        replica.created_at = NOW - 500;
        replica.started_at = None;
        replica
    };
    let ended = |exit_code, out_of_memory| Replica { exit_code, out_of_memory, ..replica("a", Phase::Exited) };
    for (replica, expected) in [
        (replica("a", Phase::Running), "HealthStatus::Healthy, Remedy::None: its process is running"),
        (replica("a", Phase::Held), "HealthStatus::Unknown, Remedy::None: stopped by an operator"),
        (replica("a", Phase::Stopping), "HealthStatus::Unknown, Remedy::None: it is being stopped"),
        (ended(None, false), "HealthStatus::Unhealthy, Remedy::Replace: its process ended"),
        (ended(Some(0), false), "HealthStatus::Unhealthy, Remedy::Replace: its process ended with exit code 0"),
        (
            ended(Some(137), true),
            "HealthStatus::Unhealthy, Remedy::Replace: its process ended with exit code 137; the kernel killed it because it was out of memory",
        ),
        (young(replica("a", Phase::Starting)), "HealthStatus::Starting, Remedy::None: its process has not started yet"),
        (
            Replica { started_at: None, ..replica("a", Phase::Starting) },
            "HealthStatus::Unhealthy, Remedy::Restart: its process did not start within 60000 ms",
        ),
    ] {
        assert_eq!(assessed(&config, replica, ""), expected);
    }
}

#[test]
fn probes_in_a_row_decide_after_the_start_period() {
    let config = Config::default();
    let was = |health| Replica { health, ..replica("a", Phase::Running) };
    for (health, outcomes, expected) in [
        (HealthStatus::Unknown, "+", "HealthStatus::Healthy, Remedy::None: its probe succeeded in 4 ms"),
        (HealthStatus::Healthy, "+-", "HealthStatus::Healthy, Remedy::None: 1 of 3 probes in a row failed: status 500"),
        (HealthStatus::Healthy, "--", "HealthStatus::Healthy, Remedy::None: 2 of 3 probes in a row failed: status 500"),
        (
            HealthStatus::Unknown,
            "--",
            "HealthStatus::Starting, Remedy::None: 2 of 3 probes in a row failed: status 500",
        ),
        (
            HealthStatus::Healthy,
            "+-t-t",
            "HealthStatus::Unhealthy, Remedy::Restart: 4 probes in a row failed: no answer in time",
        ),
        (
            HealthStatus::Healthy,
            "---",
            "HealthStatus::Unhealthy, Remedy::Restart: 3 probes in a row failed: status 500",
        ),
        (HealthStatus::Unhealthy, "---+", "HealthStatus::Healthy, Remedy::None: its probe succeeded in 4 ms"),
        (
            HealthStatus::Unhealthy,
            "+--",
            "HealthStatus::Unhealthy, Remedy::None: 2 of 3 probes in a row failed: status 500",
        ),
        (
            HealthStatus::Healthy,
            "--+--",
            "HealthStatus::Healthy, Remedy::None: 2 of 3 probes in a row failed: status 500",
        ),
    ] {
        assert_eq!(assessed(&config, was(health), outcomes), expected, "{outcomes}");
    }
}

#[test]
fn failures_do_not_count_before_the_first_success_or_the_end_of_the_start_period() {
    let config = Config { start_period_ms: 120_000, ..Config::default() };
    assert_eq!(
        assessed(&config, replica("a", Phase::Running), "-----"),
        "HealthStatus::Starting, Remedy::None: its probe has not succeeded yet: status 500"
    );
    assert_eq!(
        assessed(&config, replica("a", Phase::Running), "+---"),
        "HealthStatus::Unhealthy, Remedy::Restart: 3 probes in a row failed: status 500"
    );
}

#[test]
fn several_successes_may_be_asked_for() {
    let config = Config { success_threshold: 2, ..Config::default() };
    let was = |health| Replica { health, ..replica("a", Phase::Running) };
    assert_eq!(
        assessed(&config, was(HealthStatus::Unhealthy), "---+"),
        "HealthStatus::Unhealthy, Remedy::None: 1 of 2 probes in a row succeeded"
    );
    assert_eq!(
        assessed(&config, was(HealthStatus::Unknown), "+"),
        "HealthStatus::Starting, Remedy::None: 1 of 2 probes in a row succeeded"
    );
    assert!(assessed(&config, was(HealthStatus::Unhealthy), "---++").starts_with("HealthStatus::Healthy"));
    assert!(assessed(&config, was(HealthStatus::Healthy), "-+").starts_with("HealthStatus::Healthy"));
}

#[test]
fn slow_answers_in_a_row_degrade_and_fast_ones_in_a_row_restore() {
    let config = Config { degraded_above_ms: Some(500), success_threshold: 2, ..Config::default() };
    let was = |health| Replica { health, ..replica("a", Phase::Running) };
    let (healthy, degraded) = (HealthStatus::Healthy, HealthStatus::Degraded);
    for (health, outcomes, expected) in [
        (healthy, "++s", "Healthy: 1 of 3 probes in a row took more than 500 ms, the last 700 ms"),
        (healthy, "+ss", "Healthy: 2 of 3 probes in a row took more than 500 ms, the last 700 ms"),
        (healthy, "ss+", "Healthy: its probe succeeded in 4 ms"),
        (healthy, "sss", "Degraded: 3 probes in a row took more than 500 ms, the last 700 ms"),
        (degraded, "sss+", "Degraded: 1 of 2 probes in a row took at most 500 ms, the last 4 ms"),
        (degraded, "ss+s", "Degraded: 1 of 3 probes in a row took more than 500 ms, the last 700 ms"),
        (degraded, "sss++", "Healthy: its probe succeeded in 4 ms"),
        (degraded, "sss-", "Degraded: 1 of 3 probes in a row failed: status 500"),
        (degraded, "ss-ss", "Degraded: 2 of 3 probes in a row took more than 500 ms, the last 700 ms"),
    ] {
        let (assessment, _) = assess(&config, was(health), outcomes, Vec::new());
        assert_eq!(assessment.remedy, Remedy::None, "{outcomes}");
        let text = formatted(&assessment).replace("HealthStatus::", "").replace(", Remedy::None", "");
        assert_eq!(text, expected, "{outcomes}");
    }
    // Failures count as failures, slow or not. Without the setting no probe is slow.
    assert!(assessed(&config, was(degraded), "ss---").starts_with("HealthStatus::Unhealthy, Remedy::Restart"));
    assert_eq!(
        assessed(&Config::default(), was(healthy), "sss"),
        "HealthStatus::Healthy, Remedy::None: its probe succeeded in 700 ms"
    );
}

#[test]
fn probes_of_the_process_before_this_one_do_not_count() {
    let config = Config { start_period_ms: 5_000, ..Config::default() };
    let started = |ago| Replica { started_at: Some(NOW - ago), ..replica("a", Phase::Running) };
    assert_eq!(
        assessed(&config, started(500), "----+---------"),
        "HealthStatus::Starting, Remedy::None: its probe has not succeeded yet: status 500"
    );
    let restarted_later = Replica { started_at: Some(NOW + 1), ..replica("a", Phase::Running) };
    assert_eq!(
        assessed(&config, restarted_later, "---"),
        "HealthStatus::Starting, Remedy::None: it is running and has not been probed yet"
    );
}

#[test]
fn a_failing_replica_is_restarted_once_and_then_replaced() {
    let config = Config::default();
    let failing = |started_at| Replica { started_at: Some(started_at), ..replica("a", Phase::Running) };
    let (first, memory) = assess(&config, failing(NOW - 50_000), "---", Vec::new());
    assert_eq!(first.remedy, Remedy::Restart);
    // The host has not performed the restart yet: the policy repeats the request and counts nothing.
    let (again, memory) = assess(&config, failing(NOW - 50_000), "----", memory);
    assert_eq!(again.remedy, Remedy::Restart);
    // After the restart, within the start period: the count stays.
    let (starting, memory) = assess(&config, failing(NOW - 2_000), "-", memory);
    assert_eq!((starting.status, starting.remedy), (HealthStatus::Starting, Remedy::None));
    let (second, memory) = assess(&config, failing(NOW - 20_000), "---", memory);
    assert_eq!(second.remedy, Remedy::Replace);
    let (still, memory) = assess(&config, failing(NOW - 20_000), "----", memory);
    assert_eq!(still.remedy, Remedy::Replace);
    // A success resets the count.
    let (_, memory) = assess(&config, failing(NOW - 20_000), "---+", memory);
    let (fresh, _) = assess(&config, failing(NOW - 20_000), "+---", memory);
    assert_eq!(fresh.remedy, Remedy::Restart);
}

#[test]
fn that_it_runs_again_is_no_success() {
    // Probes are rare: after the start period the restarted process has not been probed yet.
    let config = Config { start_period_ms: 5_000, ..Config::default() };
    let started = |ago| Replica { started_at: Some(NOW - ago), ..replica("a", Phase::Running) };
    let (first, memory) = assess(&config, started(50_000), "---", Vec::new());
    assert_eq!(first.remedy, Remedy::Restart);
    let mut running_again = observe(vec![(started(6_000), "---")], memory);
    running_again.replicas[0].probes.iter_mut().for_each(|probe| probe.at -= 10_000);
    let report = evaluate(&config, &running_again);
    assert_eq!(formatted(&report.assessments[0]), "HealthStatus::Healthy, Remedy::None: its process is running");
    let (second, _) = assess(&config, started(6_000), "---", report.memory);
    assert_eq!(second.remedy, Remedy::Replace, "the restart is still remembered");
}

#[test]
fn the_number_of_restarts_is_a_setting() {
    for allowed in 0..4 {
        let config = Config { restarts_before_replace: allowed, ..Config::default() };
        let mut memory = Vec::new();
        for start in 0..=allowed {
            let failing = Replica { started_at: Some(NOW - 40_000 + start), ..replica("a", Phase::Running) };
            let (assessment, after) = assess(&config, failing, "---", memory);
            let expected = if start < allowed { Remedy::Restart } else { Remedy::Replace };
            assert_eq!(assessment.remedy, expected, "{start} of {allowed}");
            memory = after;
        }
    }
}

#[test]
fn a_replica_not_probed_yet_is_told_from_one_that_is_never_probed() {
    let config = Config::default();
    let young = |id| Replica { started_at: Some(NOW - 1_000), ..replica(id, Phase::Running) };
    // No probe has ever been seen: a running process is healthy.
    let (assessment, memory) = assess(&config, young("a"), "", Vec::new());
    assert_eq!((assessment.status, memory.len()), (HealthStatus::Healthy, 0));
    // Another replica is probed, so this one will be, too.
    let report = evaluate(&config, &observe(vec![(young("a"), ""), (replica("b", Phase::Running), "+")], Vec::new()));
    assert_eq!(report.assessments[0].status, HealthStatus::Starting);
    // The memory keeps that when the replica is alone,
    let (assessment, memory) = assess(&config, young("c"), "", report.memory);
    assert_eq!(assessment.status, HealthStatus::Starting);
    // and drops it when a replica has been running for long without a probe.
    let (assessment, memory) = assess(&config, replica("c", Phase::Running), "", memory);
    assert_eq!((assessment.status, memory.len()), (HealthStatus::Healthy, 0));
}

#[test]
fn memory_of_another_version_or_damaged_is_begun_anew() {
    let config = Config::default();
    let failing = || replica("a", Phase::Running);
    let (_, memory) = assess(&config, failing(), "---", Vec::new());
    assert_eq!(memory.len(), 2 + ENTRY_BYTES);
    assert_eq!(Memory::decode(&memory).encode(), memory);
    for damaged in [vec![9, 1, 2, 3], vec![1], memory[..memory.len() - 1].to_vec(), [&[2], &memory[1..]].concat()] {
        let moved = Replica { started_at: Some(NOW - 30_000), ..failing() };
        assert_eq!(assess(&config, moved, "---", damaged).0.remedy, Remedy::Restart);
    }
}

#[test]
fn a_thousand_failing_replicas_fit_the_limits_of_an_answer() {
    let reason = "é".repeat(10_000);
    let replicas = (0..1_000).map(|number| (replica(&format!("{number:064}"), Phase::Running), "")).collect();
    let mut observation = observe(replicas, Vec::new());
    for replica in &mut observation.replicas {
        let failure = |at| ProbeResult { at, outcome: ProbeOutcome::Failure(reason.clone()) };
        replica.probes = vec![failure(NOW - 2), failure(NOW - 1), failure(NOW)];
    }
    let report = evaluate(&Config::default(), &observation);
    assert!(report.memory.len() <= 20_000);
    assert!(report.assessments.iter().all(|assessment| assessment.reason.len() <= 300));
    assert_eq!(Memory::decode(&report.memory).restarts.len(), 1_000);
}

/// Every combination of phase, health, probes and memory gives one assessment per replica and the same result when
/// repeated. Healthy, held and stopping replicas get no remedy.
#[test]
fn the_rule_holds_for_every_combination() {
    let config = Config { start_period_ms: 3_000, ..Config::default() };
    let (_, failing_memory) = assess(&config, replica("a", Phase::Running), "---", Vec::new());
    for phase in [Phase::Starting, Phase::Running, Phase::Stopping, Phase::Exited, Phase::Held] {
        for health in [HealthStatus::Unknown, HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy] {
            for outcomes in ["", "+", "-", "t", "+-", "-+", "---", "+---", "---+", "ttt", "+t-t"] {
                for started_at in [None, Some(0), Some(NOW - 1_000), Some(NOW - 59_000), Some(NOW + 5)] {
                    for memory in [Vec::new(), failing_memory.clone()] {
                        let replica = Replica { health, started_at, ..replica("a", phase) };
                        let (assessment, after) = assess(&config, replica.clone(), outcomes, memory.clone());
                        let case = format!("{replica:?} {outcomes} gave {}", formatted(&assessment));
                        let is_unhealthy = assessment.status == HealthStatus::Unhealthy;
                        assert!(assessment.remedy == Remedy::None || is_unhealthy, "{case}");
                        if matches!(phase, Phase::Held | Phase::Stopping) {
                            assert_eq!(assessment.remedy, Remedy::None, "{case}");
                        }
                        assert_eq!(
                            assessment.remedy == Remedy::Replace,
                            phase == Phase::Exited || { assessment.remedy == Remedy::Replace && !memory.is_empty() },
                            "{case}"
                        );
                        let (same, _) = assess(&config, replica, outcomes, memory);
                        assert_eq!(formatted(&same), formatted(&assessment));
                        assert!(after.len() <= 2 + ENTRY_BYTES, "{case}");
                    }
                }
            }
        }
    }
}
