//! The start request: its defaults, its checks, and the parts that it keeps.

use crate::start::*;
use serde_json::json;
use std::time::Duration;
use windlass_core::workload::DesiredStatus;
use windlass_core::{HttpProbe, ProbeTarget};

fn minimal() -> Value {
    json!({"image": "nginx:alpine", "resources": {"cpu": "0.5", "memory": "512m"}})
}

/// The minimal body with these fields replaced.
fn with(fields: &Value) -> Value {
    let mut body = minimal();
    for (name, value) in fields.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn refused(body: &Value) -> String {
    workload(body).expect_err("refused").detail().to_owned()
}

#[test]
fn what_is_left_out_has_its_default() {
    let workload = workload(&minimal()).expect("a workload");
    assert_eq!(workload.key.as_str(), "nginx:alpine");
    assert_eq!((workload.bounds.min(), workload.bounds.max(), workload.bounds.initial()), (1, 5, 1));
    assert_eq!(workload.resources.status, DesiredStatus::Running);
    assert!(workload.env.is_empty() && workload.ports.is_empty() && workload.labels.is_empty());
    assert!(workload.networks.is_empty() && workload.probe.is_none() && workload.command.is_none());
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let body = json!({
        "image": "ghcr.io/org/app:1",
        "min_replicas": 0,
        "max_replicas": 3,
        "env": {"A": "1", "EMPTY": ""},
        "ports": {"80": 0, "53/udp": 0},
        "resources": {"cpu": "500m", "memory": "1g", "status": "stopped"},
        "name": "web-2",
        "labels": {"team": "blue"},
        "networks": ["front", "back"],
        "probe": {"http": {"port": 80, "path": "/up?deep=1"}, "interval": "5s", "timeout": 0.5},
        "command": ["serve", "--port", "80"],
    });
    let workload = workload(&body).expect("a workload");
    assert_eq!(workload.key.as_str(), "web-2");
    // Something runs from the beginning, even where nothing need run.
    assert_eq!((workload.bounds.min(), workload.bounds.initial()), (0, 1));
    assert_eq!(workload.ports.keys().map(ToString::to_string).collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
    assert_eq!(workload.networks, ["front", "back"]);
    let probe = workload.probe.expect("a probe");
    assert_eq!(probe.target, ProbeTarget::Http(HttpProbe::get(80, "/up?deep=1")));
    assert_eq!((probe.interval, probe.timeout), (Duration::from_secs(5), Duration::from_millis(500)));
    assert_eq!(workload.command.as_deref().map(<[String]>::len), Some(3));
}

#[test]
fn null_leaves_out_what_the_seed_did_not_know() {
    let nothing = json!({"name": null, "labels": null, "networks": null, "probe": null, "command": null});
    assert_eq!(workload(&with(&nothing)), workload(&minimal()));
    assert_eq!(refused(&with(&json!({"env": null}))), "/env: expected an object, found null");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let body = json!({
        "image": "Nginx",
        "min_replicas": "1",
        "max_replicas": 0,
        "env": {"A": 1, "B=": "x"},
        "ports": {"80/http": 0, "81/tcp": 70000},
        "resources": {"cpu": "half", "mem": "1g", "status": "paused"},
        "replica": 3,
        "labels": {"windlass.x": "y"},
    });
    let problem = workload(&body).expect_err("refused");
    insta::assert_snapshot!(problem.detail().replace("; /", "\n/"), @r#"
    /replica: unknown field; expected `image`, `min_replicas`, `max_replicas`, `env`, `ports`, `resources`, `name`, `labels`, `networks`, `probe`, `command`, `scaling_policy`, `health_policy`, `shadow_policies`, `mode`, `metrics`, `guardrails`, `stop_hook`, `depends_on`, `rollout`
    /image: `Nginx` is not an image reference: each part of the name is lower-case letters and digits, joined by `.`, `_`, `__` or hyphens; expected `[registry/]name[:tag][@sha256:digest]`
    /min_replicas: expected a whole number from 0 to 1000, found `"1"`
    /max_replicas: expected a whole number from 1 to 1000, found `0`
    /env/A: expected text, found `1`
    /env/B=: the name of a variable is not empty and has no `=` and no NUL
    /ports/80~1http: `80/http` is not a port; expected `80/tcp`: 1 to 65535, then `/tcp`, `/udp` or `/sctp`
    /ports/81~1tcp: expected a whole number from 0 to 65535, found `70000`
    /resources/mem: unknown field; did you mean `memory`?
    /resources/cpu: `half` is not an amount of cpu; expected cores such as `0.5`, or thousandths such as `500m`, from 0.01 to 1024 cores
    /resources/memory: this field is required
    /resources/status: expected `running` or `stopped`, found `"paused"`
    /labels/windlass.x: labels that begin with `windlass.` are reserved for windlass
    "#);
}

#[test]
fn bounds_agree_with_each_other_and_with_the_ports() {
    insta::assert_snapshot!(refused(&with(&json!({"min_replicas": 3, "max_replicas": 2}))), @"/min_replicas: `min_replicas` (3) is above `max_replicas` (2)");
    insta::assert_snapshot!(refused(&with(&json!({"min_replicas": 6}))), @"/min_replicas: `min_replicas` (6) is above `max_replicas` (5), which is its default");
    insta::assert_snapshot!(refused(&with(&json!({"ports": {"80/tcp": 8080}, "max_replicas": 5}))), @"/ports: `80/tcp` is fixed to host port 8080, which one replica alone can have, but `max_replicas` is 5; set the host port to 0 (any free one) or `max_replicas` to 1");
    insta::assert_snapshot!(refused(&with(&json!({"ports": {"80/tcp": 8080}, "min_replicas": 2}))), @"/min_replicas: `min_replicas` (2) is above `max_replicas` (1), which is its default with a fixed host port");
    let fixed = workload(&with(&json!({"ports": {"80/tcp": 8080}}))).expect("one replica by default");
    assert_eq!((fixed.bounds.min(), fixed.bounds.max()), (1, 1));
    let taken = json!({"ports": {"80/tcp": 8080, "81/tcp": 8080}, "max_replicas": 1});
    assert_eq!(refused(&with(&taken)), "/ports/81~1tcp: host port 8080 is given more than once");
    assert!(workload(&with(&json!({"ports": {"80/tcp": 53, "80/udp": 53}, "max_replicas": 1}))).is_ok());
    let twice = json!({"ports": {"80/tcp": 0, "80": 0}});
    assert_eq!(refused(&with(&twice)), "/ports/80~1tcp: `80/tcp` is given more than once");
}

#[test]
fn probes_that_make_no_sense_are_refused() {
    let told = |probe: Value| refused(&with(&json!({"probe": probe})));
    let mut said = vec![];
    for probe in [
        json!({}),
        json!({"tcp": {"port": 80}, "http": {"port": 80}}),
        json!({"tcp": {"port": 0}}),
        json!({"tcp": 80}),
        json!({"http": {"port": 80, "path": "up"}}),
        json!({"http": {"port": 80, "path": "/a b"}}),
        json!({"tcp": {"port": 80}, "interval": "0.1s"}),
        json!({"tcp": {"port": 80}, "interval": 0.1}),
        json!({"tcp": {"port": 80}, "interval": -1}),
        json!({"tcp": {"port": 80}, "interval": 1, "timeout": 2}),
        json!({"tcp": {"port": 80}, "intervall": 1}),
    ] {
        said.push(format!("{probe}\n  {}", told(probe.clone())));
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    {}
      /probe: a probe has one of `http` (`{"port": 80, "path": "/"}`), `tcp` (`{"port": 80}`), `exec` (`{"command": ["check"]}`), `docker` (`{}`: the image's HEALTHCHECK) and `none` (`{}`)
    {"http":{"port":80},"tcp":{"port":80}}
      /probe: a probe has one of `http` (`{"port": 80, "path": "/"}`), `tcp` (`{"port": 80}`), `exec` (`{"command": ["check"]}`), `docker` (`{}`: the image's HEALTHCHECK) and `none` (`{}`)
    {"tcp":{"port":0}}
      /probe/tcp/port: expected a whole number from 1 to 65535, found `0`
    {"tcp":80}
      /probe/tcp: expected an object, found a number
    {"http":{"path":"up","port":80}}
      /probe/http/path: expected a path that begins with `/`, up to 1024 bytes, with blanks and the like percent-encoded
    {"http":{"path":"/a b","port":80}}
      /probe/http/path: expected a path that begins with `/`, up to 1024 bytes, with blanks and the like percent-encoded
    {"interval":"0.1s","tcp":{"port":80}}
      /probe/interval: expected 1 s to 1 h
    {"interval":0.1,"tcp":{"port":80}}
      /probe/interval: expected 1 s to 1 h
    {"interval":-1,"tcp":{"port":80}}
      /probe/interval: expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`
    {"interval":1,"tcp":{"port":80},"timeout":2}
      /probe/timeout: expected 10 ms up to `interval`
    {"intervall":1,"tcp":{"port":80}}
      /probe/intervall: unknown field; did you mean `interval`?
    "#);
    // The usual timeout bends to a short interval.
    let short = workload(&with(&json!({"probe": {"tcp": {"port": 80}, "interval": 1}}))).expect("a workload");
    assert_eq!(short.probe.map(|probe| probe.timeout), Some(Duration::from_secs(1)));
}

#[test]
fn commands_networks_and_names_are_checked() {
    for (fields, told) in [
        (json!({"command": []}), "/command: expected a program and its arguments"),
        (json!({"command": "serve"}), "/command: expected a list, found `\"serve\"`"),
        (json!({"command": ["a", 1]}), "/command/1: expected text, found `1`"),
        (json!({"networks": ["a", "a"]}), "/networks/1: network `a` is given more than once"),
        (
            json!({"labels": {"orchestrator.image": "x"}}),
            "/labels/orchestrator.image: labels that begin with `orchestrator.` are reserved for windlass",
        ),
        (json!({"env": {"": "x"}}), "/env/: the name of a variable is not empty and has no `=` and no NUL"),
    ] {
        assert_eq!(refused(&with(&fields)), told);
    }
    assert!(refused(&with(&json!({"networks": ["container:other"]}))).contains("/networks/0"));
    assert!(refused(&with(&json!({"name": "Web"}))).contains("/name"));
}

/// A workload in which every part that a request may leave out is set.
fn complete() -> Workload {
    let body = with(&json!({
        "labels": {"team": "blue"},
        "networks": ["front"],
        "probe": {"tcp": {"port": 80}},
        "command": ["serve"],
        "scaling_policy": {"name": "step"},
        "health_policy": {"name": "liveness"},
        "shadow_policies": [{"name": "min-max"}],
        "mode": "recommend",
        "metrics": {"queue": {"push": {}}},
        "guardrails": {"grace": 0},
        "stop_hook": {"exec": {"command": ["drain"]}},
        "depends_on": ["db"],
        "rollout": {"mode": "manual", "order": "stop-first", "min_ready": "30s", "ready_within": "2m", "max_failures": 5},
    }));
    workload(&body).expect("a workload")
}

/// The workload after this request for the complete one.
fn again(body: &Value) -> Workload {
    let Wanted { mut workload, kept, .. } = Body::of(body).check(wanted).expect("a request");
    kept.iter().for_each(|keep| keep(&mut workload, &complete()));
    workload
}

#[test]
fn an_absent_part_stays_and_an_empty_or_null_one_is_cleared() {
    assert_eq!(again(&minimal()), complete());
    let cleared = json!({
        "labels": {}, "networks": [], "probe": null, "command": null, "scaling_policy": null, "health_policy": null,
        "shadow_policies": [], "mode": null, "metrics": {}, "guardrails": {}, "stop_hook": null, "depends_on": [],
        "rollout": {},
    });
    let plain = workload(&minimal()).expect("a workload");
    assert_eq!(again(&with(&cleared)), plain);
    // Each part alone, so that none depends on another.
    for (name, value) in cleared.as_object().expect("an object") {
        let one = again(&with(&json!({name: value})));
        assert_ne!(one, complete(), "{name}");
        let nulled = again(&with(&json!({name: null})));
        assert_eq!(nulled, one, "{name}");
    }
}

#[test]
fn a_workload_is_accepted_as_it_is_returned() {
    let original = complete();
    let mut returned = json!(crate::workloads::view::DesiredView::new(&original, 1));
    assert_eq!(workload(&returned), Ok(original.clone()));
    // Durations as numbers of seconds are still read.
    returned["probe"]["interval"] = json!(10.0);
    assert_eq!(workload(&returned), Ok(original));
}
