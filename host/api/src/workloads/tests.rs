//! Whole answers, for a workload of two replicas.

use crate::containers::summary::ContainerSummary;
use crate::start::StartAnswer;
use crate::workloads::health::ContainerHealth;
use crate::workloads::images::ImageSummary;
use crate::workloads::list::{RefusedView, WorkloadSummary};
use crate::workloads::pass::{PassView, ReconcileAnswer};
use crate::workloads::view::ImageView;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_control::report::PolicyReport;
use windlass_control::{Action, ActionKind, PassReport, RefusedService, WorkloadView};
use windlass_core::contract::{HealthStatus, Limits, Usage};
use windlass_core::workload::{Bounds, DesiredStatus, Resources, WorkloadKey};
use windlass_core::{
    Alert, AlertKind, ContainerId, Declaration, Deferral, FailureKind, HttpProbe, Phase, PolicyFailure, PolicyIdentity,
    PortBinding, Probe, ProbeTarget, Replica, Slot, Timestamp, Workload,
};

fn replica(id: &str, phase: Phase, status: &str) -> Replica {
    let running = phase == Phase::Running;
    let binding = PortBinding { host_ip: "0.0.0.0".into(), host_port: 32769 };
    Replica {
        id: ContainerId(id.into()),
        name: format!("nginx-{id}"),
        workload: WorkloadKey::stored("nginx:alpine"),
        image: "nginx:alpine".into(),
        made_from: Default::default(),
        creator: Default::default(),
        slot: Slot(0),
        phase,
        status: status.into(),
        created_at: Timestamp(1_000),
        started_at: Some(Timestamp(2_000)),
        finished_at: (!running).then_some(Timestamp(3_000)),
        exit_code: (!running).then_some(0),
        out_of_memory: false,
        error: String::new(),
        engine_restarts: 0,
        restart_policy: None,
        limits: Limits { cpu_cores: Some(0.5), memory_bytes: Some(512 << 20) },
        stops_by_kill: false,
        has_slot_name: true,
        ports: if running {
            BTreeMap::from([("80/tcp".parse().expect("a port"), vec![binding])])
        } else {
            BTreeMap::new()
        },
        address: None,
        node: None,
        is_protected: false,
        usage: Some(Usage {
            at: Timestamp(4_000),
            cpu_cores: 0.25,
            memory_bytes: 128 << 20,
            network_receive_rate: 0.0,
            network_transmit_rate: 0.0,
            network_is_unknown: false,
        }),
        health_check: None,
    }
}

fn pass() -> PassReport {
    let action = |kind, container: Option<&str>, name: &str, error: Option<&str>| Action {
        kind,
        reason: "2 are wanted, 1 is there".into(),
        container: container.map(|id| ContainerId(id.into())),
        name: name.into(),
        error: error.map(Into::into),
    };
    let policy = PolicyIdentity {
        name: "min-max".into(),
        version: "1.0.0".into(),
        digest: "sha256:00".into(),
        ..Default::default()
    };
    PassReport {
        at: Timestamp(5_000),
        finished_at: Timestamp(6_000),
        decision: Some(7),
        reason: "2 are wanted".into(),
        held_by: None,
        error: None,
        health_policy: None,
        scaling_policy: Some(PolicyReport {
            policy,
            unavailable: Some(PolicyFailure::new(FailureKind::Time, "it ran longer than 250 ms")),
        }),
        recommended: None,
        alerts: vec![],
        deferred: vec![Deferral { slot: Slot(4), until: Timestamp(9_000), reason: "it is ill; backoff".to_owned() }],
        actions: vec![
            action(ActionKind::Create, Some("aa"), "nginx-aa", None),
            action(ActionKind::Create, None, "", Some("no space left on device")),
            action(ActionKind::Remove, Some("cc"), "nginx-cc", None),
            action(ActionKind::Restart, Some("aa"), "nginx-aa", Some("it did not stop")),
        ],
    }
}

fn view() -> WorkloadView {
    let [running, held] = [replica("aa", Phase::Running, "running"), replica("bb", Phase::Held, "exited")];
    WorkloadView {
        leaving: Default::default(),
        counted: 2,
        unremovable: Default::default(),
        strangers: Vec::new(),
        observed_at: None,
        begun: Default::default(),
        counters: Default::default(),
        target: 2,
        workload: Workload {
            env: BTreeMap::from([("A".into(), "1".into())]),
            ports: BTreeMap::from([("80/tcp".parse().expect("a port"), 0.into())]),
            probe: Some(Probe {
                target: ProbeTarget::Http(HttpProbe::get(80, "/")),
                interval: Duration::from_secs(10),
                timeout: Duration::from_millis(500),
            }),
            ..Workload::new(
                "nginx:alpine".parse().expect("an image"),
                Bounds::new(1, 5).expect("bounds"),
                Resources {
                    cpu: "0.5".parse().expect("cpu"),
                    memory: "512m".parse().expect("memory"),
                    status: DesiredStatus::Running,
                },
            )
        },
        health: BTreeMap::from([(running.id.clone(), HealthStatus::Healthy)]),
        health_reasons: BTreeMap::from([(running.id.clone(), "3 probes answered".into())]),
        held: BTreeSet::from([held.id.clone()]),
        stopped_outside: BTreeSet::new(),
        outdated: BTreeSet::new(),
        rollout: None,
        protected: BTreeSet::from([running.id.clone()]),
        replicas: vec![running, held],
        shadows: vec![],
        alerts: vec![Alert {
            kind: AlertKind::GivenUp,
            since: Timestamp(4_000),
            slot: Some(Slot(4)),
            replica: Some(ContainerId("aa".into())),
            reason: "it is ill; it is given up".into(),
        }],
        seen: Some(Timestamp(3_000)),
        last_pass: Some(pass().into()),
    }
}

#[test]
fn a_container_is_shown_as_docker_words_it() {
    insta::assert_json_snapshot!(ContainerSummary::from(&view().replicas[0]), @r#"
    {
      "container_id": "aa",
      "name": "nginx-aa",
      "status": "running",
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "32769"
          }
        ]
      }
    }
    "#);
}

#[test]
fn a_stopped_container_has_no_ports() {
    insta::assert_json_snapshot!(ContainerSummary::from(&view().replicas[1]), @r#"
    {
      "container_id": "bb",
      "name": "nginx-bb",
      "status": "exited",
      "ports": {}
    }
    "#);
}

#[test]
fn a_start_is_answered_with_the_container() {
    let answer = StartAnswer {
        ok: true,
        action: "created",
        image: "nginx:alpine".into(),
        summary: (&view().replicas[0]).into(),
    };
    insta::assert_json_snapshot!(answer, @r#"
    {
      "ok": true,
      "action": "created",
      "image": "nginx:alpine",
      "container_id": "aa",
      "name": "nginx-aa",
      "status": "running",
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "32769"
          }
        ]
      }
    }
    "#);
}

#[test]
fn a_workload_is_listed_as_it_was_asked_for() {
    insta::assert_json_snapshot!(ImageSummary::from(&view().workload), @r#"
    {
      "image": "nginx:alpine",
      "min_replicas": 1,
      "max_replicas": 5,
      "env": {
        "A": "1"
      },
      "ports": {
        "80/tcp": 0
      },
      "resources": {
        "cpu": "0.5",
        "memory": "512m",
        "status": "running"
      }
    }
    "#);
    let mut named = view().workload;
    named.key = WorkloadKey::named("web-2").expect("a name");
    assert_eq!(ImageSummary::from(&named).name.as_deref(), Some("web-2"));
}

#[test]
fn a_pass_is_answered_with_what_it_did_and_what_failed() {
    let view = view();
    insta::assert_json_snapshot!(ReconcileAnswer::of(&pass(), &view), @r#"
    {
      "ok": true,
      "image": "nginx:alpine",
      "desired": {
        "min_replicas": 1,
        "max_replicas": 5
      },
      "actions": [
        {
          "action": "create",
          "ok": true,
          "details": {
            "container_id": "aa",
            "name": "nginx-aa",
            "ports": {
              "80/tcp": [
                {
                  "HostIp": "0.0.0.0",
                  "HostPort": "32769"
                }
              ]
            },
            "reason": "2 are wanted, 1 is there",
            "status": "running"
          }
        },
        {
          "action": "create",
          "ok": false,
          "details": {
            "error": "no space left on device",
            "reason": "2 are wanted, 1 is there"
          }
        },
        {
          "action": "remove",
          "ok": true,
          "container_id": "cc",
          "name": "nginx-cc",
          "details": {
            "reason": "2 are wanted, 1 is there"
          }
        },
        {
          "action": "restart",
          "ok": false,
          "container_id": "aa",
          "name": "nginx-aa",
          "details": {
            "container_id": "aa",
            "error": "it did not stop",
            "name": "nginx-aa",
            "ports": {
              "80/tcp": [
                {
                  "HostIp": "0.0.0.0",
                  "HostPort": "32769"
                }
              ]
            },
            "reason": "2 are wanted, 1 is there",
            "status": "running"
          }
        }
      ],
      "current": [
        {
          "container_id": "aa",
          "name": "nginx-aa",
          "status": "running",
          "ports": {
            "80/tcp": [
              {
                "HostIp": "0.0.0.0",
                "HostPort": "32769"
              }
            ]
          }
        },
        {
          "container_id": "bb",
          "name": "nginx-bb",
          "status": "exited",
          "ports": {}
        }
      ]
    }
    "#);
}

#[test]
fn a_workload_is_shown_with_what_runs_and_why() {
    insta::assert_json_snapshot!(ImageView::from(&view()), @r#"
    {
      "image": "nginx:alpine",
      "declared_by": "api",
      "desired": {
        "image": "nginx:alpine",
        "min_replicas": 1,
        "max_replicas": 5,
        "target": 2,
        "env": {
          "A": "1"
        },
        "ports": {
          "80/tcp": 0
        },
        "resources": {
          "cpu": "0.5",
          "memory": "512m",
          "status": "running"
        },
        "labels": {},
        "networks": [],
        "probe": {
          "http": {
            "path": "/",
            "port": 80
          },
          "interval": "10s",
          "timeout": "500ms"
        },
        "command": null,
        "scaling_policy": null,
        "health_policy": null,
        "shadow_policies": [],
        "metrics": {},
        "guardrails": {
          "fallback": null,
          "grace": "5m",
          "scale_down": {
            "cooldown": "0s",
            "rates": [
              {
                "per": "15s",
                "percent": 100
              }
            ],
            "select": "max",
            "window": "5m"
          },
          "scale_up": {
            "cooldown": "0s",
            "rates": [
              {
                "count": 4,
                "per": "15s"
              },
              {
                "per": "15s",
                "percent": 100
              }
            ],
            "select": "max",
            "window": "0s"
          }
        },
        "stop_hook": null,
        "depends_on": [],
        "rollout": {
          "max_failures": 3,
          "min_ready": "10s",
          "mode": "rolling",
          "order": null,
          "ready_within": "10m"
        },
        "overrides": {
          "force": null,
          "freeze_scale_down": false,
          "freeze_scale_up": false,
          "paused": false
        },
        "mode": "act"
      },
      "observed": {
        "replicas": 1,
        "running": 1,
        "held": 1,
        "outdated": 0,
        "stopped_outside": [],
        "containers": [
          {
            "container_id": "aa",
            "name": "nginx-aa",
            "status": "running",
            "ports": {
              "80/tcp": [
                {
                  "HostIp": "0.0.0.0",
                  "HostPort": "32769"
                }
              ]
            },
            "phase": "running",
            "health": "healthy",
            "health_reason": "3 probes answered",
            "created_at": "1970-01-01T00:00:01Z",
            "created_at_ms": 1000,
            "started_at": "1970-01-01T00:00:02Z",
            "started_at_ms": 2000,
            "finished_at": null,
            "finished_at_ms": null,
            "exit_code": null,
            "out_of_memory": false,
            "node": null,
            "generation": null,
            "image_id": null,
            "outdated": false,
            "scale_in_protection": true
          },
          {
            "container_id": "bb",
            "name": "nginx-bb",
            "status": "exited",
            "ports": {},
            "phase": "held",
            "health": "unknown",
            "health_reason": null,
            "created_at": "1970-01-01T00:00:01Z",
            "created_at_ms": 1000,
            "started_at": "1970-01-01T00:00:02Z",
            "started_at_ms": 2000,
            "finished_at": "1970-01-01T00:00:03Z",
            "finished_at_ms": 3000,
            "exit_code": 0,
            "out_of_memory": false,
            "node": null,
            "generation": null,
            "image_id": null,
            "outdated": false,
            "scale_in_protection": false
          }
        ]
      },
      "rollout": {
        "generation": "1783f465292757cf",
        "previous": null,
        "state": "done",
        "failures": 0,
        "last_failure": null,
        "paused_since": null
      },
      "alerts": [
        {
          "kind": "given-up",
          "since": "1970-01-01T00:00:04Z",
          "since_ms": 4000,
          "slot": 4,
          "container_id": "aa",
          "reason": "it is ill; it is given up"
        }
      ],
      "last_pass": {
        "at": "1970-01-01T00:00:05Z",
        "at_ms": 5000,
        "finished_at": "1970-01-01T00:00:06Z",
        "finished_at_ms": 6000,
        "reason": "2 are wanted",
        "error": null,
        "decision": 7,
        "health_policy": null,
        "scaling_policy": {
          "name": "min-max",
          "version": "1.0.0",
          "digest": "sha256:00",
          "revision": 0,
          "unavailable": {
            "kind": "time",
            "reason": "it ran longer than 250 ms"
          }
        },
        "actions": [
          {
            "action": "create",
            "ok": true,
            "details": {
              "container_id": "aa",
              "name": "nginx-aa",
              "ports": {
                "80/tcp": [
                  {
                    "HostIp": "0.0.0.0",
                    "HostPort": "32769"
                  }
                ]
              },
              "reason": "2 are wanted, 1 is there",
              "status": "running"
            }
          },
          {
            "action": "create",
            "ok": false,
            "details": {
              "error": "no space left on device",
              "reason": "2 are wanted, 1 is there"
            }
          },
          {
            "action": "remove",
            "ok": true,
            "container_id": "cc",
            "name": "nginx-cc",
            "details": {
              "reason": "2 are wanted, 1 is there"
            }
          },
          {
            "action": "restart",
            "ok": false,
            "container_id": "aa",
            "name": "nginx-aa",
            "details": {
              "container_id": "aa",
              "error": "it did not stop",
              "name": "nginx-aa",
              "ports": {
                "80/tcp": [
                  {
                    "HostIp": "0.0.0.0",
                    "HostPort": "32769"
                  }
                ]
              },
              "reason": "2 are wanted, 1 is there",
              "status": "running"
            }
          }
        ],
        "deferred": [
          {
            "slot": 4,
            "until": "1970-01-01T00:00:09Z",
            "until_ms": 9000,
            "reason": "it is ill; backoff"
          }
        ],
        "recommended": null
      }
    }
    "#);
}

#[test]
fn an_adopted_workload_is_shown_with_its_service_and_without_what_the_service_has() {
    let mut view = view();
    view.workload.key = WorkloadKey::named("shop-web").expect("a name");
    view.workload.declaration = Declaration::Compose { project: "shop".into(), service: "web".into() };
    let mut shown = json!(ImageView::from(&view));
    let fields = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    assert_eq!(
        fields(&shown["desired"]).unwrap_or_default().join(" "),
        "depends_on guardrails health_policy image max_replicas metrics min_replicas mode name overrides probe \
         scaling_policy shadow_policies stop_hook target"
    );
    assert_eq!(
        fields(&shown["rollout"]).unwrap_or_default().join(" "),
        "failures last_failure paused_since previous state"
    );
    for part in ["desired", "observed", "rollout", "alerts", "last_pass"] {
        shown[part].take();
    }
    insta::assert_json_snapshot!(shown, @r#"
    {
      "alerts": null,
      "declared_by": "compose",
      "desired": null,
      "image": "nginx:alpine",
      "last_pass": null,
      "name": "shop-web",
      "observed": null,
      "project": "shop",
      "read_only": {
        "guardrails": [
          "windlass.profile"
        ],
        "health_policy": [
          "windlass.profile"
        ],
        "max_replicas": [
          "windlass.max"
        ],
        "metrics": [
          "windlass.profile"
        ],
        "min_replicas": [
          "windlass.min"
        ],
        "mode": [
          "windlass.mode"
        ],
        "probe": [
          "windlass.profile"
        ],
        "scaling_policy": [
          "windlass.policy",
          "windlass.policy.config",
          "windlass.profile"
        ],
        "shadow_policies": [
          "windlass.profile"
        ],
        "stop_hook": [
          "windlass.profile"
        ]
      },
      "rollout": null,
      "service": "web"
    }
    "#);
}

#[test]
fn a_workload_is_listed_with_its_service_and_one_that_is_left_alone_with_the_reason() {
    let brief = view().brief();
    let mut named = brief.clone();
    named.key = WorkloadKey::stored("api");
    named.declaration = Declaration::Swarm { service: "api".into() };
    named.overrides.paused = true;
    let refused = RefusedService {
        key: WorkloadKey::stored("shop-db"),
        declaration: Declaration::Compose { project: "shop".into(), service: "db".into() },
        reason: "it publishes a fixed port".into(),
    };
    let listed = json!([WorkloadSummary::from(&brief), WorkloadSummary::from(&named), RefusedView::from(&refused)]);
    insta::assert_json_snapshot!(listed, @r#"
    [
      {
        "declared_by": "api",
        "image": "nginx:alpine",
        "max_replicas": 5,
        "min_replicas": 1,
        "mode": "act",
        "name": "nginx:alpine",
        "ready": 1,
        "replicas": 2,
        "target": 2
      },
      {
        "declared_by": "swarm",
        "image": "nginx:alpine",
        "max_replicas": 5,
        "min_replicas": 1,
        "mode": "act",
        "name": "api",
        "overrides": {
          "force": null,
          "freeze_scale_down": false,
          "freeze_scale_up": false,
          "paused": true
        },
        "ready": 1,
        "replicas": 2,
        "service": "api",
        "target": 2
      },
      {
        "declared_by": "compose",
        "name": "shop-db",
        "project": "shop",
        "reason": "it publishes a fixed port",
        "service": "db"
      }
    ]
    "#);
}

#[test]
fn health_is_told_from_the_last_look_and_sample() {
    let view = view();
    let limit = Some(view.workload.resources.memory.bytes());
    let of = |index: usize, status| ContainerHealth::of(&view.replicas[index], status, limit, Some(10));
    insta::assert_json_snapshot!(of(0, Some(HealthStatus::Healthy)), @r#"
    {
      "container_id": "aa",
      "name": "nginx-aa",
      "status": "running",
      "ports": {
        "80/tcp": [
          {
            "HostIp": "0.0.0.0",
            "HostPort": "32769"
          }
        ]
      },
      "server_alive": true,
      "cpu_percent": 25.0,
      "mem_percent": 25.0,
      "fs_free_bytes": 10
    }
    "#);
    assert!(of(0, None).server_alive);
    assert!(of(0, Some(HealthStatus::Degraded)).server_alive);
    assert!(!of(0, Some(HealthStatus::Unhealthy)).server_alive);
    let held = of(1, None);
    assert_eq!((held.server_alive, held.cpu_percent, held.mem_percent), (false, None, None));
    let unknown = ContainerHealth::of(&view.replicas[0], None, None, None);
    assert_eq!((unknown.mem_percent, unknown.fs_free_bytes), (Some(25.0), None), "its own limit is known");
    // `docker update` has halved or removed its limit.
    let updated = |memory_bytes| {
        let limits = Limits { memory_bytes, ..Limits::default() };
        ContainerHealth::of(&Replica { limits, ..view.replicas[0].clone() }, None, Some(512 << 20), None).mem_percent
    };
    assert_eq!((updated(Some(256 << 20)), updated(None)), (Some(50.0), Some(25.0)));
}

#[test]
fn an_action_on_a_service_names_no_container() {
    let action = Action {
        kind: ActionKind::SetCount,
        reason: "scale-out from 1 to 3".to_owned(),
        container: None,
        name: String::new(),
        error: None,
    };
    let answer = PassView::of(&PassReport { actions: vec![action], ..pass() }, &[]);
    let shown = serde_json::to_value(&answer.actions).expect("JSON");
    let expected = json!([{"action": "set-count", "ok": true, "details": {"reason": "scale-out from 1 to 3"}}]);
    assert_eq!(shown, expected);
}
