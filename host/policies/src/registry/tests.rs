//! The built-in policies as components, called through the registry.

use crate::registry::root::{DEFAULT_HEALTH, Defaults, PolicyRegistry};
use std::time::Duration;
use windlass_core::contract::{
    HealthObservation, HealthStatus, Limits, Phase, ProbeOutcome, ProbeResult, ProbedReplica, Remedy, ReplicaFacts,
    Sample, ScalingObservation, Series, WorkloadFacts,
};
use windlass_core::policy::{PolicyCatalogue, PolicySource};
use windlass_core::settings::PolicyLimits;
use windlass_core::workload::Bounds;
use windlass_core::{FailureKind, PolicyChoice, PolicyChoices, PolicyKind, Timestamp, WorkloadKey};
use windlass_sandbox::compile::Compiler;

const NOW: Timestamp = Timestamp(1_000_000);

fn web() -> WorkloadKey {
    WorkloadKey::stored("web")
}

fn workload() -> WorkloadFacts {
    WorkloadFacts {
        name: "web".to_owned(),
        image: "web:1".to_owned(),
        min_replicas: 2,
        max_replicas: 5,
        limits: Limits::default(),
        labels: vec![("team".to_owned(), "a".to_owned())],
    }
}

fn replica(id: &str, phase: Phase) -> ReplicaFacts {
    ReplicaFacts {
        id: id.to_owned(),
        phase,
        health: HealthStatus::Unknown,
        created_at: Timestamp(NOW.0 - 60_000),
        started_at: Some(Timestamp(NOW.0 - 59_000)),
        restarts: 0,
        exit_code: if phase == Phase::Exited { Some(137) } else { None },
        out_of_memory: phase == Phase::Exited,
        usage: None,
        first_ready_at: None,
    }
}

async fn registry() -> PolicyRegistry {
    // A busy machine must not look like a slow policy.
    let limits = PolicyLimits { decision_time: Duration::from_secs(5), ..PolicyLimits::default() };
    let opened = PolicyRegistry::open(limits, Compiler::in_process(), Defaults::default(), None);
    opened.await.expect("the built-in policies load")
}

#[tokio::test]
async fn the_built_in_policies_import_nothing_but_the_log_and_the_readiness_of_replicas() {
    let registry = registry().await;
    let listed = registry.list();
    let names: Vec<&str> = listed.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["liveness", "min-max", "pass-through", "predictive", "schedule", "step", "target-tracking"]);
    for policy in &listed {
        for import in &policy.imports {
            // `types` holds no function: it is there for the names of the types in the exports.
            assert!(
                ["log", "readiness", "types"].map(|name| format!("windlass:policy/{name}@0.1.0")).contains(import),
                "{}: {import}",
                policy.name
            );
        }
        assert_eq!(policy.source, None);
        assert!(policy.config_schema["additionalProperties"] == false, "{}", policy.config_schema);
        assert!(policy.digest.starts_with("sha256:") && policy.digest.len() == 71);
        assert_eq!(policy.failures.len(), FailureKind::ALL.len());
        assert!(policy.failures.values().all(|count| *count == 0));
    }
    assert_eq!((listed[0].kind, listed[1].kind), (PolicyKind::Health, PolicyKind::Scaling));
    assert!(registry.engine().is_pooled());
}

#[tokio::test]
async fn a_built_in_policy_is_loaded_at_its_first_use_and_listed_alike_before_it() {
    let registry = registry().await;
    let loaded = || registry.built_in.all().filter(|policy| policy.component().is_some()).count();
    let listed = registry.list();
    assert_eq!(loaded(), 2, "the defaults");
    for policy in registry.built_in.all() {
        let component = policy.load().await.expect("it loads");
        assert_eq!(component.identity(), policy.identity());
    }
    assert_eq!((loaded(), registry.list()), (listed.len(), listed));
}

#[tokio::test]
async fn the_component_of_min_max_decides_as_its_rule() {
    let policy = registry().await.default_scaling();
    let mut observation = ScalingObservation {
        now: NOW,
        workload: workload(),
        current_replicas: 1,
        replicas: vec![replica("a", Phase::Running)],
        metrics: Vec::new(),
        memory: Vec::new(),
    };
    for (current, wanted) in [(1, 2), (2, 2), (4, 4), (9, 5)] {
        observation.current_replicas = current;
        let decision = policy.decide("{}", &observation).await.expect("it decides");
        assert_eq!(decision.replicas, wanted, "{}", decision.reason);
        assert!(decision.memory.is_empty() && decision.evaluate_after.is_none() && !decision.reason.is_empty());
    }
}

#[tokio::test]
async fn the_component_of_liveness_evaluates_as_its_rule() {
    let policy = registry().await.default_health();
    let probe = |ago, outcome| ProbeResult { at: Timestamp(NOW.0 - ago), outcome };
    let failing = vec![
        probe(3_000, ProbeOutcome::Failure("status 500".to_owned())),
        probe(2_000, ProbeOutcome::Timeout),
        probe(1_000, ProbeOutcome::Timeout),
    ];
    let observation = HealthObservation {
        now: NOW,
        workload: workload(),
        replicas: vec![
            ProbedReplica {
                replica: replica("a", Phase::Running),
                probes: vec![probe(1_000, ProbeOutcome::Success(3))],
            },
            ProbedReplica { replica: replica("b", Phase::Running), probes: failing },
            ProbedReplica { replica: replica("c", Phase::Exited), probes: Vec::new() },
            ProbedReplica { replica: replica("d", Phase::Held), probes: Vec::new() },
        ],
        memory: Vec::new(),
    };
    let report = policy.evaluate("{}", &observation).await.expect("it evaluates");
    let told: Vec<_> = report
        .assessments
        .iter()
        .map(|assessment| {
            (assessment.replica_id.as_str(), assessment.status, assessment.remedy, assessment.reason.as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", HealthStatus::Healthy, Remedy::None, "its probe succeeded in 3 ms"),
            ("b", HealthStatus::Unhealthy, Remedy::Restart, "3 probes in a row failed: no answer in time"),
            (
                "c",
                HealthStatus::Unhealthy,
                Remedy::Replace,
                "its process ended with exit code 137; the kernel killed it because it was out of memory"
            ),
            ("d", HealthStatus::Unknown, Remedy::None, "stopped by an operator"),
        ]
    );
    assert!(!report.memory.is_empty());
}

fn choice(name: &str, config: &str) -> PolicyChoice {
    PolicyChoice { name: name.to_owned(), config: config.to_owned() }
}

#[tokio::test]
async fn a_configuration_is_refused_with_the_field_and_the_reason() {
    let registry = registry().await;
    let check = async |name, config| registry.check(PolicyKind::Health, &choice(name, config), NOW).await;
    assert_eq!(check("liveness", r#"{"failure-threshold": 2}"#).await, Ok(()));
    let refused = check("liveness", r#"{"failure-threshold": 0, "x": 1}"#).await.expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "the schema of policy `liveness` does not allow this configuration: `/failure-threshold`: 0 is less than the \
         minimum of 1; Additional properties are not allowed ('x' was unexpected)"
    );
    // The policy itself checks what its schema cannot express.
    let failure = registry
        .default_of(DEFAULT_HEALTH)
        .configure(r#"{"failure-threshold": 0}"#, NOW)
        .await
        .answer
        .expect_err("refused");
    assert!(failure.reason.contains("`failure-threshold` is 0; expected a whole number from 1 to 10"), "{failure}");
    let unknown = check("min-max", "{}").await.expect_err("of the other kind");
    assert_eq!(unknown.to_string(), "there is no health policy `min-max`; there are: `liveness`");

    let observation = HealthObservation { now: NOW, workload: workload(), replicas: Vec::new(), memory: Vec::new() };
    let failure = registry.default_health().evaluate("[]", &observation).await.expect_err("refused");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert_eq!(registry.list()[0].failures["refused"], 2);
}

/// Slots of the pool, places and stores are all given back.
#[tokio::test]
async fn calls_one_after_another_and_at_once_leave_nothing_behind() {
    let registry = registry().await;
    let policy = registry.default_scaling();
    let observation = ScalingObservation {
        now: NOW,
        workload: workload(),
        current_replicas: 3,
        replicas: (0..10).map(|number| replica(&format!("{number:064}"), Phase::Running)).collect(),
        metrics: Vec::new(),
        memory: Vec::new(),
    };
    for _ in 0..2_000 {
        assert_eq!(policy.decide("{}", &observation).await.map(|decision| decision.replicas), Ok(3));
    }
    let calls = (0..64).map(|_| policy.decide("{}", &observation));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.map(|decision| decision.replicas), Ok(3));
    }
}

#[tokio::test]
async fn a_component_learns_which_replicas_were_ready() {
    let registry = registry().await;
    let config = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.5}]}"#;
    let chosen = registry.of(
        &web(),
        &PolicyChoices { scaling: vec![choice("target-tracking", config)], ..PolicyChoices::default() },
        NOW,
    );
    let load = |id: Option<&str>| Series {
        name: "cpu-utilization".to_owned(),
        replica: id.map(str::to_owned),
        samples: vec![Sample { at: NOW, value: 0.975 }],
        failure: None,
    };
    let decided = async |first_ready_at| {
        let replicas = ["a", "b", "c"].map(|id| ReplicaFacts {
            health: if id == "a" { HealthStatus::Healthy } else { HealthStatus::Unhealthy },
            first_ready_at,
            ..replica(id, Phase::Running)
        });
        let observation = ScalingObservation {
            now: NOW,
            workload: WorkloadFacts { max_replicas: 9, ..workload() },
            current_replicas: 3,
            replicas: replicas.to_vec(),
            metrics: [None, Some("a"), Some("b"), Some("c")].map(load).to_vec(),
            memory: Vec::new(),
        };
        chosen.scaling.decide(&chosen.scaling_config, &observation).await.map(|decision| decision.replicas)
    };
    assert_eq!(decided(Some(Timestamp(NOW.0 - 50_000))).await, Ok(6));
    assert_eq!(decided(None).await, Ok(3));
}

/// They allocate from an arena that never grows: as many replicas as a workload may have must fit in it.
#[tokio::test]
async fn the_built_in_policies_answer_for_as_many_replicas_as_there_may_be() {
    let registry = registry().await;
    let (count, failed) = (Bounds::LIMIT, ProbeOutcome::Failure("x".repeat(200)));
    let probes: Vec<ProbeResult> =
        (0..10).map(|age| ProbeResult { at: Timestamp(NOW.0 - 10 + age), outcome: failed.clone() }).collect();
    let replicas: Vec<ReplicaFacts> =
        (0..count).map(|number| replica(&format!("{number:064}"), Phase::Running)).collect();
    let observation = ScalingObservation {
        now: NOW,
        workload: WorkloadFacts { max_replicas: count, ..workload() },
        current_replicas: count,
        replicas: replicas.clone(),
        metrics: Vec::new(),
        memory: Vec::new(),
    };
    let decision = registry.default_scaling().decide("{}", &observation).await.expect("a decision");
    assert_eq!(decision.replicas, count);

    let replicas = replicas.into_iter().map(|replica| ProbedReplica { replica, probes: probes.clone() }).collect();
    let mut observation = HealthObservation { now: NOW, workload: workload(), replicas, memory: Vec::new() };
    for _ in 0..2 {
        let report = registry.default_health().evaluate("{}", &observation).await.expect("a report");
        assert_eq!(report.assessments.len(), count as usize);
        assert!(report.assessments.iter().all(|assessment| assessment.status == HealthStatus::Unhealthy));
        observation.memory = report.memory;
    }
}

/// The most it ever works with: three weeks by half an hour, both seasons, within the usual memory of a call.
#[tokio::test]
async fn a_forecast_of_weeks_is_within_the_memory_of_a_call() {
    let registry = registry().await;
    let config = r#"{"metric": "requests", "target": 10, "seasons": ["daily", "weekly"]}"#;
    let policies =
        PolicyChoices { scaling: vec![choice("predictive", config)], health: None, ..PolicyChoices::default() };
    let chosen = registry.of(&web(), &policies, NOW);
    let begin = 1_767_225_600_000;
    let busy = |number: u64| f64::from(u8::from(number % 48 >= 16 && number / 48 % 7 < 5)) * 90.0 + 10.0;
    let sample = |number: u64| Sample { at: Timestamp(begin + number * 1_800_000), value: busy(number) };
    let series =
        Series { name: "requests".to_owned(), replica: None, samples: (0..1_010).map(sample).collect(), failure: None };
    let observation = ScalingObservation {
        now: Timestamp(begin + 1_009 * 1_800_000),
        workload: WorkloadFacts { max_replicas: 100, ..workload() },
        current_replicas: 1,
        replicas: (0..10).map(|number| replica(&format!("{number:064}"), Phase::Running)).collect(),
        metrics: vec![series],
        memory: Vec::new(),
    };
    let decision = chosen.scaling.decide(&chosen.scaling_config, &observation).await.expect("a decision");
    assert!(
        decision.reason.contains(" is forecast to reach ") && decision.reason.contains(" %) at "),
        "{}",
        decision.reason
    );
}
