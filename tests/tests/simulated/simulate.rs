//! `windlass simulate`: the example traces with each built-in policy, and scenarios line by line.

use anyhow::Context as _;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::NamedTempFile;
use windlass_tests::hostile;
use windlass_tests::site::binary;

/// The configuration of each policy on every trace: 80 requests a second for each replica, which can serve 100.
const POLICIES: [(&str, &str); 6] = [
    ("min-max", "{}"),
    ("pass-through", r#"{"metric": "requests", "divide-by": 80}"#),
    // Without data of the first days, it follows its target.
    ("predictive", r#"{"metric": "requests", "target": 80}"#),
    (
        "schedule",
        r#"{"schedules": [{"name": "start of the day", "cron": "0 0 * * *", "duration-ms": 3600000, "min": 6}],
            "inner": {"name": "target-tracking", "config": {"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}}}"#,
    ),
    (
        "step",
        r#"{"metric": "cpu-utilization", "bands": [
            {"below": 0.4, "change": -1}, {"from": 0.4, "below": 0.8, "change": 0}, {"from": 0.8, "percent": 50}
        ]}"#,
    ),
    ("target-tracking", r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}"#),
];

/// Rounds of a loop that take a few milliseconds.
const SLOW_ROUNDS: u32 = 10_000_000;

fn trace(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/traces").join(name)
}

fn simulate(arguments: &[&str]) -> anyhow::Result<Output> {
    // A program with debug information on a busy machine is slow.
    let has_limit = arguments.contains(&"--time-limit");
    let limit: &[&str] = if has_limit { &[] } else { &["--time-limit", "1h"] };
    let mut command = Command::new(binary()?);
    command.arg("simulate").args(arguments).args(limit);
    let unhurried = call_limits("5s")?;
    if !arguments.contains(&"--settings") {
        command.arg("--settings").arg(unhurried.path());
    }
    Ok(command.env_clear().output()?)
}

/// A `windlass.toml` with this time for each call of a policy.
fn call_limits(decision_time: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_suffix(".toml")?;
    write!(file, "[policy]\ndecision_time = \"{decision_time}\"\n")?;
    Ok(file)
}

fn told(arguments: &[&str]) -> anyhow::Result<String> {
    let output = simulate(arguments)?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn compared(name: &str) -> anyhow::Result<String> {
    let file = trace(name);
    let mut arguments = vec!["--trace", file.to_str().context("a plain path")?];
    for (policy, config) in POLICIES {
        arguments.extend(["--policy", policy, "--config", config]);
    }
    told(&arguments)
}

#[test]
fn a_day_with_two_peaks() -> anyhow::Result<()> {
    insta::assert_snapshot!(compared("two-peaks.csv")?, @r#"
    policy           too little    too much  dropped  flaps  largest lag  changes  most
    min-max          4450.0 min     0.0 min  62.27 %      0      26700 s        0     2
    pass-through        0.0 min  1769.0 min   0.00 %     66          0 s      109    20
    predictive          1.5 min  1440.2 min   0.00 %      9         30 s       50    20
    schedule            1.5 min  1697.2 min   0.00 %      9         30 s       53    20
    step                0.0 min  5119.5 min   0.00 %      0          0 s       51    27
    target-tracking     1.5 min  1440.2 min   0.00 %      9         30 s       50    20
    too little, too much: replica-minutes below and above what the load needs
    "#);
    Ok(())
}

/// Replicas that take five minutes to start are too late each morning, unless the policy expects the morning. In the
/// first three days it cannot.
#[test]
fn mornings_that_are_known_before_they_come() -> anyhow::Result<()> {
    let file = trace("eight-days.csv");
    let tracking = r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}"#;
    let predictive = r#"{"metric": "requests", "target": 80, "look-ahead-ms": 600000}"#;
    let told = told(&[
        "--trace",
        file.to_str().context("a plain path")?,
        "--start-up",
        "5m",
        "--interval",
        "1m",
        "--policy",
        "target-tracking",
        "--config",
        tracking,
        "--policy",
        "predictive",
        "--config",
        predictive,
    ])?;
    insta::assert_snapshot!(told, @r#"
    policy           too little     too much  dropped  flaps  largest lag  changes  most
    target-tracking   235.0 min  20392.0 min   0.13 %      0        300 s      160    21
    predictive        105.0 min  24314.0 min   0.05 %      4        300 s      258    21
    too little, too much: replica-minutes below and above what the load needs
    "#);
    Ok(())
}

/// The output of a program whose standard error is a terminal.
fn seen_on_a_terminal(command: &mut Command) -> anyhow::Result<String> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let name = ptsname(&terminal, Vec::new())?;
    let end = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes()))?;
    let mut child = command.stderr(end).stdout(Stdio::null()).spawn()?;
    // Only the child still has this end of the terminal.
    command.stderr(Stdio::null());
    let (mut seen, mut bytes) = (Vec::new(), [0; 1_024]);
    // Reading from a terminal without another end is an error.
    while let Ok(read @ 1..) = rustix::io::read(&terminal, &mut bytes) {
        seen.extend_from_slice(&bytes[..read]);
    }
    anyhow::ensure!(child.wait()?.success(), "{}", String::from_utf8_lossy(&seen));
    Ok(String::from_utf8(seen)?)
}

#[test]
fn a_long_run_shows_its_progress_to_who_watches() -> anyhow::Result<()> {
    let file = trace("eight-days.csv");
    // This takes seconds; the last progress report comes before the end of the trace.
    let config = r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}]}"#;
    let arguments = ["simulate", "--policy", "target-tracking", "--config", config, "--interval", "3m7s", "--trace"];
    let seen = seen_on_a_terminal(Command::new(binary()?).args(arguments).arg(&file).env_clear())?;
    let told: Vec<&str> = seen.trim_end().split('\r').filter(|part| !part.is_empty()).collect();
    let percents: Vec<u32> = (told.iter())
        .map(|part| part.strip_prefix("target-tracking: ")?.strip_suffix(" %")?.parse().ok())
        .collect::<Option<_>>()
        .with_context(|| format!("{seen:?}"))?;
    assert!(percents.len() > 2 && percents.is_sorted() && percents.last() == Some(&100), "{seen:?}");
    assert!(seen.ends_with("\n"), "{seen:?}");
    // Without a terminal, only the table is printed.
    let unseen = simulate(&[&arguments[1..], &[file.to_str().context("a plain path")?]].concat())?;
    assert!(unseen.status.success() && unseen.stderr.is_empty(), "{unseen:?}");
    Ok(())
}

#[test]
fn a_flash_crowd() -> anyhow::Result<()> {
    insta::assert_snapshot!(compared("flash-crowd.csv")?, @r#"
    policy           too little    too much  dropped  flaps  largest lag  changes  most
    min-max           399.0 min     0.0 min  62.75 %      0       3465 s        0     2
    pass-through        7.2 min   268.3 min   1.14 %      5         60 s       31    25
    predictive          7.2 min   256.8 min   1.14 %      0         60 s       24    24
    schedule            4.5 min   375.7 min   0.68 %      0         45 s       25    24
    step               40.0 min  1342.0 min   6.37 %      0        285 s       20    27
    target-tracking     7.2 min   256.8 min   1.14 %      0         60 s       24    24
    too little, too much: replica-minutes below and above what the load needs
    "#);
    Ok(())
}

#[test]
fn a_metric_outage() -> anyhow::Result<()> {
    insta::assert_snapshot!(compared("metric-outage.csv")?, @r#"
    policy           too little    too much  dropped  flaps  largest lag  changes  most
    min-max           127.2 min   219.3 min   7.24 %      0       4035 s        0     8
    pass-through        0.0 min   463.5 min   0.00 %     10          0 s       24    14
    predictive          0.0 min   415.0 min   0.00 %      2          0 s       13    13
    schedule            0.0 min   414.0 min   0.00 %      2          0 s       13    13
    step                0.0 min  1216.7 min   0.00 %      0          0 s       10    18
    target-tracking     0.0 min   415.0 min   0.00 %      2          0 s       13    13
    too little, too much: replica-minutes below and above what the load needs
    pass-through: no value of `requests` in 120 of 721 passes; first: empty: the trace has no value
    pass-through: no answer in 120 of 721 passes; first: insufficient-data: not enough facts to decide: `requests` has no value (empty: the trace has no value)
    predictive: no value of `requests` in 120 of 721 passes; first: empty: the trace has no value
    predictive: no answer in 120 of 721 passes; first: insufficient-data: not enough facts to decide: `requests` has no value (empty: the trace has no value)
    schedule: no value of `requests` in 120 of 721 passes; first: empty: the trace has no value
    target-tracking: no value of `requests` in 120 of 721 passes; first: empty: the trace has no value
    target-tracking: no answer in 120 of 721 passes; first: insufficient-data: not enough facts to decide: `requests` has no value (empty: the trace has no value)
    "#);
    Ok(())
}

#[test]
fn a_deploy_that_crashes() -> anyhow::Result<()> {
    insta::assert_snapshot!(compared("crash-loop.csv")?, @r#"
    policy           too little   too much  dropped  flaps  largest lag  changes  most
    min-max           279.8 min   19.0 min  26.08 %      0       4815 s        0     6
    pass-through       90.0 min  183.8 min   7.94 %     13       2191 s       16    13
    predictive         92.5 min  165.0 min   8.20 %      0       2236 s        2    12
    schedule           92.5 min  165.0 min   8.20 %      0       2236 s        2    12
    step               18.0 min  614.1 min   0.76 %      0        345 s        3    21
    target-tracking    92.5 min  165.0 min   8.20 %      0       2236 s        2    12
    too little, too much: replica-minutes below and above what the load needs
    "#);
    Ok(())
}

#[test]
fn a_sawtooth() -> anyhow::Result<()> {
    insta::assert_snapshot!(compared("sawtooth.csv")?, @r#"
    policy           too little    too much  dropped  flaps  largest lag  changes  most
    min-max           830.8 min     4.5 min  50.61 %      0       1080 s        0     3
    pass-through        0.0 min   757.2 min   0.00 %     22          0 s       95    13
    predictive          0.0 min   618.7 min   0.00 %     18          0 s       73    12
    schedule            0.0 min   635.0 min   0.00 %     18          0 s       69    12
    step                0.0 min  1718.2 min   0.00 %      4          0 s       24    18
    target-tracking     0.0 min   618.7 min   0.00 %     18          0 s       73    12
    too little, too much: replica-minutes below and above what the load needs
    "#);
    Ok(())
}

#[test]
fn without_its_window_a_count_swings_with_the_load() -> anyhow::Result<()> {
    let config = r#"{"metrics": [{"name": "requests", "target": 80, "kind": "total"}], "tolerance-down": 0}"#;
    let (folder, file) = (tempfile::tempdir()?, trace("sawtooth.csv"));
    let flaps = |window: u64| -> anyhow::Result<u64> {
        let workload = folder.path().join("workload.json");
        let guardrails = serde_json::json!({"guardrails": {"scale_down": {"window": window, "rates": []}}});
        std::fs::write(&workload, guardrails.to_string())?;
        let (file, workload) = (file.to_str().context("a plain path")?, workload.to_str().context("a plain path")?);
        let arguments =
            ["--policy", "target-tracking", "--config", config, "-o", "json", "--workload", workload, "--trace", file];
        let told: serde_json::Value = serde_json::from_str(&told(&arguments)?)?;
        told["runs"][0]["measures"]["flaps"].as_u64().with_context(|| told.to_string())
    };
    // The teeth are 20 minutes apart: a window of that length covers one.
    let (without, usual, long) = (flaps(0)?, flaps(300)?, flaps(1_500)?);
    assert!(without >= usual && usual > long, "{without} {usual} {long}");
    assert_eq!(long, 0);
    Ok(())
}

/// Runs a scenario; returns each decision as `at: from → target, stages, reason`.
fn played(lines: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.jsonl");
    std::fs::write(&file, lines)?;
    let out = told(&[&["--scenario", file.to_str().context("a plain path")?], arguments].concat())?;
    let line = |line: &str| -> anyhow::Result<String> {
        let told: Value = serde_json::from_str(line)?;
        let stages = &told["stages"];
        let stages = if stages.is_null() {
            "-".to_owned()
        } else {
            format!("{} {} {} {}", stages["raw"], stages["stabilized"], stages["limited"], stages["bounded"])
        };
        let removed = told["steps"].as_array().into_iter().flatten().filter(|step| step["step"] == "remove");
        let removed: Vec<&str> = removed.filter_map(|step| step["replica"].as_str()).collect();
        let reason = told["reason"].as_str().unwrap_or_default();
        let removed = if removed.is_empty() { String::new() } else { format!(" without {}", removed.join(", ")) };
        Ok(format!("{}: {} to {}{removed} ({stages}) {reason}\n", told["at"], told["from"], told["target"]))
    };
    out.lines().map(line).collect()
}

#[test]
fn guardrails_alone_over_plain_proposals() -> anyhow::Result<()> {
    let told = played(
        r#"# Up by the rate, down by the window.
{"workload": {"max_replicas": 10}, "replicas": 3}

{"at": 0, "proposal": 9}
{"at": 15, "proposal": 2}
{"at": 30, "unavailable": "it trapped"}
{"at": 200, "proposal": 2}
{"at": 315, "proposal": 2}
{"at": 330, "proposal": 40}
"#,
        &[],
    )?;
    insta::assert_snapshot!(told, @r#"
    0.0: 3 to 7 (9 9 7 7) scaled to 7: scale-out is limited to 4 replicas per 15 s or 100 % per 15 s, whichever is more; `min-max` proposed 9: the scenario proposes it
    15.0: 7 to 7 (2 7 7 7) held at 7: scale-in waits until 00:05:00Z because the 5-minute window still contains a proposal of 9; `min-max` proposed 2: the scenario proposes it
    30.0: 7 to 7 (-) held at 7: scaling policy `min-max` is unavailable (refused: it trapped)
    200.0: 7 to 7 (2 7 7 7) held at 7: scale-in waits until 00:05:00Z because the 5-minute window still contains a proposal of 9; `min-max` proposed 2: the scenario proposes it
    315.0: 7 to 2 without r001, r002, r003, r004, r005 (2 2 2 2) the scenario proposes it
    330.0: 2 to 6 (40 10 6 6) scaled to 6: scale-out is limited to 4 replicas per 15 s or 100 % per 15 s, whichever is more; `min-max` proposed 40: the scenario proposes it
    "#);
    Ok(())
}

#[test]
fn a_scenario_takes_no_value_that_the_host_would_not_take() -> anyhow::Result<()> {
    let scenario = r#"{"workload": {"metrics": {"load": {"push": {}}}}, "replicas": 4}
{"at": 0, "metrics": {"load": -5}}
{"at": 15, "metrics": {"load": 5}}
"#;
    let config = r#"{"metric": "load", "bands": [{"below": 50, "change": -1}]}"#;
    let told = played(scenario, &["--policy", "step", "--config", config])?;
    let (negative, positive) = told.split_once('\n').context("two lines")?;
    assert!(negative.starts_with("0.0: 4 to 4 ") && negative.contains("negative"), "{negative}");
    assert!(positive.contains("is 5, in band 0, which changes the count from 4 to 3"), "{positive}");
    Ok(())
}

#[test]
fn what_each_replica_uses_and_when_it_begins() -> anyhow::Result<()> {
    // 90 % of half a core and 43 % of 100 MiB; an ended replica uses nothing, and a replica without data is not idle.
    let config = |metric: &str| format!(r#"{{"metrics": [{{"name": "{metric}", "target": 0.6}}]}}"#);
    let scenario = r#"{"workload": {"max_replicas": 9, "resources": {"cpu": "0.5", "memory": "100m"}}, "replicas": 2}
{"at": 0, "replicas": [{"id": "a", "cpu_cores": 0.45, "memory_bytes": 45000000}, {"id": "b", "cpu_cores": 0.45, "memory_bytes": 45000000}]}
{"at": 15, "replicas": [{"id": "a", "cpu_cores": 0.45, "memory_bytes": 45000000}, {"id": "b", "phase": "exited"}]}
{"at": 300, "replicas": [{"id": "a"}, {"id": "b"}]}
"#;
    let by_cpu = played(scenario, &["--policy", "target-tracking", "--config", &config("cpu-utilization")])?;
    insta::assert_snapshot!(by_cpu, @r#"
    0.0: 2 to 3 (3 3 3 3) `cpu-utilization` is at 150 % of its target (0.6), which calls for 3
    15.0: 3 to 3 (3 3 3 3) `cpu-utilization` is at 150 % of its target (0.6); the count stays at 3 because some replicas are not ready or have no value
    300.0: 3 to 3 (-) held at 3: scaling policy `target-tracking` is unavailable (insufficient-data: not enough facts to decide: `cpu-utilization` has no value (missing: no ready replica has reported its usage lately))
    "#);
    let by_memory = played(scenario, &["--policy", "target-tracking", "--config", &config("memory-utilization")])?;
    insta::assert_snapshot!(by_memory, @r#"
    0.0: 2 to 2 (2 2 2 2) `memory-utilization` is at 71.5 % of its target (0.6), which calls for 2
    15.0: 2 to 2 (2 2 2 2) `memory-utilization` is at 71.5 % of its target (0.6), which calls for 2
    300.0: 2 to 2 (-) held at 2: scaling policy `target-tracking` is unavailable (insufficient-data: not enough facts to decide: `memory-utilization` has no value (missing: no ready replica has reported its usage lately))
    "#);
    let received = r#"{"workload": {"max_replicas": 9}, "replicas": 2}
{"at": 0, "replicas": [{"id": "a", "cpu_cores": 0, "memory_bytes": 0, "network_receive_rate": 3000}, {"id": "b"}]}
"#;
    let rate = r#"{"metric": "network-receive-rate", "divide-by": 1000}"#;
    insta::assert_snapshot!(played(received, &["--policy", "pass-through", "--config", rate])?, @r#"
    0.0: 2 to 3 (3 3 3 3) `network-receive-rate` is 3000
    "#);

    // Three replicas at 195 % of the target, two of which fail their probe: they were ready, so their load counts. In the
    // second scenario they never were.
    let at = |at: u32, health: &str| {
        let replica = |id: &str, health: &str| {
            format!(r#"{{"id": "{id}", "health": "{health}", "cpu_cores": 0.585, "memory_bytes": 1}}"#)
        };
        let replicas = [replica("a", "healthy"), replica("b", health), replica("c", health)].join(", ");
        format!(r#"{{"at": {at}, "proposal": null, "replicas": [{replicas}]}}"#)
    };
    let begin = r#"{"workload": {"max_replicas": 9, "resources": {"cpu": "0.5", "memory": "100m"}}, "replicas": 3}"#;
    let quiet = r#"{"at": 0, "proposal": 3}"#;
    let target = ["--policy", "target-tracking", "--config", &config("cpu-utilization")];
    let first = at(0, "healthy").replace("null", "3");
    let were_ready = played(&[begin, &first, &at(15, "unhealthy")].join("\n"), &target)?;
    assert!(were_ready.lines().last().is_some_and(|line| line.starts_with("15.0: 3 to 6 ")), "{were_ready}");
    let never_were = played(&[begin, quiet, &at(15, "unhealthy")].join("\n"), &target)?;
    assert!(never_were.lines().last().is_some_and(|line| line.starts_with("15.0: 3 to 3 ")), "{never_were}");
    // All of them fail: the built-in metric is that of the replicas that were ready.
    let none_left = at(15, "unhealthy").replace(r#""healthy""#, r#""unhealthy""#);
    let all_fail = played(&[begin, &first, &none_left].join("\n"), &target)?;
    assert!(all_fail.lines().last().is_some_and(|line| line.starts_with("15.0: 3 to 6 ")), "{all_fail}");

    let office = r#"{"schedules": [{"name": "office", "cron": "0 8 * * *", "duration-ms": 3600000, "min": 5}]}"#;
    let at_work = r#"{"workload": {"max_replicas": 9}, "begin": "2026-03-02T07:59:50Z"}
{"at": 0}
{"at": 10}
"#;
    insta::assert_snapshot!(played(at_work, &["--policy", "schedule", "--config", office])?, @r#"
    0.0: 1 to 1 (1 1 1 1) the count is 1; no schedule is active
    10.0: 1 to 5 (5 5 5 5) `office` (until 2026-03-02 09:00 UTC) requires at least 5; the count is 1
    "#);
    Ok(())
}

#[test]
fn observations_with_replicas_and_missing_samples() -> anyhow::Result<()> {
    let told = played(
        include_str!("../../../examples/scenarios/target-tracking.jsonl"),
        &["--policy", "target-tracking", "--config", r#"{"metrics": [{"name": "queue", "target": 10}]}"#],
    )?;
    insta::assert_snapshot!(told, @r#"
    0.0: 3 to 7 (9 9 7 7) scaled to 7: scale-out is limited to 4 replicas per 15 s or 100 % per 15 s, whichever is more; `target-tracking` proposed 9: `queue` is at 300 % of its target (10), which calls for 9
    15.0: 7 to 7 (-) held at 7: scaling policy `target-tracking` is unavailable (insufficient-data: not enough facts to decide: `queue` has no value (unreachable: connection refused))
    30.0: 7 to 7 (7 7 7 7) `queue` is at 200 % of its target (10); the count stays at 7 because some replicas are not ready or have no value
    45.0: 7 to 7 (2 7 7 7) held at 7: scale-in waits until 00:01:00Z because the 1-minute window still contains a proposal of 9; `target-tracking` proposed 2: `queue` is at 20 % of its target (10), which calls for 2
    100.0: 7 to 2 without r001, r002, r003, r004, r005 (2 2 2 2) `queue` is at 20 % of its target (10), which calls for 2
    115.0: 2 to 2 without ill, old, e, f, g (2 2 2 2) `queue` is at 20 % of its target (10), which calls for 2
    "#);
    Ok(())
}

#[test]
fn what_is_said_of_a_trace_is_no_word_about_a_scenario() -> anyhow::Result<()> {
    let words = [
        ("--load", "x"),
        ("--metric", "x=y"),
        ("--capacity", "1"),
        ("--start-up", "1s"),
        ("--queue", "1"),
        ("--replicas", "1"),
        ("--interval", "1s"),
        ("--svg", "x"),
        ("--png", "x"),
        ("--output", "json"),
    ];
    for (name, value) in words {
        let output = simulate(&["--scenario", "scenario.jsonl", name, value])?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = format!("cannot be used with '{name}");
        assert_eq!((output.status.code(), complaint.contains(&why)), (Some(2), true), "{name}: {complaint}");
    }
    Ok(())
}

/// Policies of one workload decide together, as on a host: the highest count wins.
#[test]
fn a_workload_brings_its_policies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let workload = folder.path().join("workload.json").display().to_string();
    let by = |target: u32| {
        let metrics = serde_json::json!([{"name": "requests", "target": target, "kind": "total"}]);
        serde_json::json!({"name": "target-tracking", "config": {"metrics": metrics}})
    };
    let file = trace("flash-crowd.csv").display().to_string();
    let most = |policies: Vec<Value>| -> anyhow::Result<(String, u64)> {
        std::fs::write(&workload, serde_json::json!({"scaling_policy": policies}).to_string())?;
        let told: Value = serde_json::from_str(&told(&["-o", "json", "--workload", &workload, "--trace", &file])?)?;
        let run = &told["runs"][0];
        let name = run["policy"].as_str().context("a name")?.to_owned();
        Ok((name, run["measures"]["most"].as_u64().context("a count")?))
    };
    let (few, many, both) = (most(vec![by(160)])?, most(vec![by(80)])?, most(vec![by(160), by(80)])?);
    assert!(few.1 < many.1 && both.1 == many.1, "{few:?} {many:?} {both:?}");
    assert_ne!(both.0, many.0, "the name must show that there are two policies");
    Ok(())
}

/// A policy whose metric is missing, or not in the model, has no proposal; it does not propose zero.
#[test]
fn what_had_no_value_is_told_and_is_never_a_zero() -> anyhow::Result<()> {
    let file = trace("flash-crowd.csv").display().to_string();
    let by = |metric: &str| format!(r#"{{"metrics": [{{"name": "{metric}", "target": 0.5}}]}}"#);
    let (memory, absent) = (by("memory-utilization"), by("visitors"));
    let policies =
        ["--policy", "target-tracking", "--config", &memory, "--policy", "target-tracking", "--config", &absent];
    insta::assert_snapshot!(told(&[&policies[..], &["--trace", &file, "--replicas", "4"]].concat())?, @r#"
    policy             too little   too much  dropped  flaps  largest lag  changes  most
    target-tracking 1   290.8 min  132.2 min  46.66 %      0       2190 s        0     4
    target-tracking 2   290.8 min  132.2 min  46.66 %      0       2190 s        0     4
    too little, too much: replica-minutes below and above what the load needs
    target-tracking 1: no value of `memory-utilization` in 481 of 481 passes; first: missing: the model of the service does not have it
    target-tracking 1: no answer in 481 of 481 passes; first: insufficient-data: not enough facts to decide: `memory-utilization` has no value (missing: the model of the service does not have it)
    target-tracking 2: no value of `visitors` in 481 of 481 passes; first: missing: the workload defines no metric `visitors`
    target-tracking 2: no answer in 481 of 481 passes; first: insufficient-data: not enough facts to decide: `visitors` has no value (missing: the workload defines no metric `visitors`)
    "#);
    Ok(())
}

#[test]
fn charts_and_figures_for_programs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (svg, png, file) = (path("chart.svg"), path("chart.png"), trace("flash-crowd.csv").display().to_string());
    let out = told(&["--policy", "min-max", "--trace", &file, "-o", "json", "--svg", &svg, "--png", &png])?;
    let out: Value = serde_json::from_str(&out)?;
    assert_eq!(out["runs"][0]["points"].as_array().map(Vec::len), Some(481));
    assert!(out["runs"][0]["measures"]["too_little"].as_f64().is_some_and(|minutes| minutes > 0.0), "{out}");
    assert!(std::fs::read_to_string(svg)?.contains("min-max: target"));
    assert!(std::fs::read(png)?.starts_with(b"\x89PNG"));
    Ok(())
}

/// The same load in the forms in which spreadsheets, dashboards and `promtool` write it.
#[test]
fn files_as_people_have_them_give_the_same_result_and_each_assumption_is_told() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = |bytes: &[u8]| -> anyhow::Result<(String, String)> {
        let file = folder.path().join("trace");
        std::fs::write(&file, bytes)?;
        let output = simulate(&["--policy", "min-max", "--trace", file.to_str().context("a plain path")?])?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let notes = String::from_utf8(output.stderr)?.replace(&file.display().to_string(), "trace");
        Ok((String::from_utf8(output.stdout)?, notes))
    };
    let (expected, notes) = run(b"time,load\n2026-01-01T00:00:00Z,1250.5\n2026-01-01T01:00:00Z,50\n")?;
    assert_eq!(notes, "");
    let spreadsheet = "sep=;\r\nZeit;Last;\r\n01.01.2026 00:00;1.250,5;\r\n01.01.2026 01:00;50;\r\n;;\r\n";
    let utf16: Vec<u8> = format!("\u{feff}{spreadsheet}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let spreadsheet_notes = "note: `trace`: numbers such as `1.250,5` have a decimal comma\n\
        note: `trace`: times such as `01.01.2026 00:00` have no time zone; they are read as UTC\n";
    let headless = "note: `trace`: the file has no header; its columns after the time are called `load`\n";
    for (bytes, notes) in [
        (format!("\u{feff}{spreadsheet}").into_bytes(), spreadsheet_notes),
        (utf16, spreadsheet_notes),
        (b"1767225600000\t1250.5\n1767229200000\t50\n".to_vec(), headless),
        (b"time,load\n1767225600000000000,\"1,250.5\"\n1767229200000000000,50\n".to_vec(), ""),
        (br#"[{"metric": {"job": "web"}, "values": [[1767225600, "1250.5"], [1767229200, "50"]]}]"#.to_vec(), ""),
    ] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(run(&bytes)?, (expected.clone(), notes.to_owned()), "{text}");
    }
    Ok(())
}

/// README.md shows this chart. To draw it again, run its command with `--svg examples/charts/flash-crowd.svg`.
#[test]
fn the_chart_in_the_readme_is_what_simulate_draws() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (svg, file) =
        (folder.path().join("chart.svg").display().to_string(), trace("flash-crowd.csv").display().to_string());
    let mut arguments = vec!["--trace", &file, "--svg", &svg];
    for (policy, config) in [POLICIES[5], POLICIES[4]] {
        arguments.extend(["--policy", policy, "--config", config]);
    }
    told(&arguments)?;
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/charts/flash-crowd.svg");
    assert!(std::fs::read(svg)? == std::fs::read(shown)?, "draw examples/charts/flash-crowd.svg again");
    Ok(())
}

#[test]
fn what_is_wrong_is_told() -> anyhow::Result<()> {
    let file = trace("sawtooth.csv").display().to_string();
    let folder = tempfile::tempdir()?;
    let bad = folder.path().join("bad.jsonl");
    std::fs::write(&bad, "{}\n{\"at\": 5, \"proposal\": 1}\n{\"at\": 5, \"proposal\": 1}\n")?;
    let bad = bad.display().to_string();
    let half = folder.path().join("half.jsonl");
    std::fs::write(&half, "{}\n{\"at\": 5, \"replicas\": [{\"id\": \"a\", \"cpu_cores\": 1}]}\n")?;
    let half = half.display().to_string();
    let write = |name: &str, text: &str| -> anyhow::Result<String> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let ages = write("ages.csv", "time,load\n1996-01-01T00:00:00Z,1\n2025-12-31T00:00:00Z,1\n")?;
    let unsorted = write("unsorted.csv", "time,load\n60,1\n0,1\n")?;
    let year = write("year.csv", "0,1\n31622400,1\n")?;
    let wide: Vec<String> = (0..20_000).map(|column| format!("c{column}")).collect();
    let wide = write("wide.csv", &format!("time,{}\n0{}\n", wide.join(","), ",1".repeat(20_000)))?;
    let many = write("many.jsonl", "# A comment.\n{\"replicas\": 4000000000}\n")?;
    let crowd: Vec<String> = (0..1_001).map(|id| format!(r#"{{"id": "{id}"}}"#)).collect();
    let crowded = write("crowded.jsonl", &format!("{{}}\n{{\"at\": 0, \"replicas\": [{}]}}\n", crowd.join(",")))?;
    let late = write("late.jsonl", "{}\n{\"at\": 40000000, \"proposal\": 1}\n")?;
    let ancient = write("ancient.jsonl", "{\"begin\": \"1969-12-31T00:00:00Z\"}\n")?;
    for (arguments, why) in [
        (
            vec!["--policy", "min-mox", "--trace", &file],
            "`min-mox` is neither a file nor a built-in policy; built in are `liveness`",
        ),
        (vec!["--policy", "liveness", "--trace", &file], "not a scaling policy"),
        (
            vec!["--policy", "step", "--config", "{}", "--trace", &file],
            "`step`: its configuration is wrong: missing field `metric`",
        ),
        (vec!["--trace", "no-such-file"], "cannot read `no-such-file`"),
        (vec!["--trace", &file, "--load", "visitors"], "the trace has no column `visitors`; it has load, requests"),
        (vec!["--trace", &ages], "the load spans more than 366 days; shorten it"),
        (
            vec!["--trace", &year, "--policy", "min-max"],
            "`min-max`: the load spans 366 days and the interval is 15s, which makes more than 200000 passes; shorten the \
             trace, or raise `--interval` to 2m 39s",
        ),
        (vec!["--trace", &wide], "the trace has 20000 columns of values; keep at most 256"),
        (vec!["--trace", "/dev/zero"], "`/dev/zero` is larger than 256MiB; shorten it"),
        (vec!["--scenario", &many], "line 2: `replicas` is 4000000000; expected at most 1000"),
        (vec!["--scenario", &crowded], "line 2: `replicas` lists 1001 replicas; expected at most 1000"),
        (
            vec!["--scenario", &late],
            "line 2: `at` is 40000000; expected seconds that increase from line to line, at most 31622400 (366 days)",
        ),
        (vec!["--scenario", &ancient], "line 1: `begin` is 1969-12-31T00:00:00Z; expected a time from 1970 to 2099"),
        (vec!["--trace", &unsorted], "line 3: the time `0` is before `60` in line 2; sort the rows by time"),
        (vec!["--scenario", &half], "line 2: `cpu_cores` and `memory_bytes` of replica `a` are one sample"),
        (vec!["--scenario", &bad], "line 3: `at` is 5; expected seconds that increase from line to line"),
    ] {
        let output = simulate(&arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), complaint.contains(why)), (Some(1), true), "{arguments:?}: {complaint}");
    }
    Ok(())
}

#[test]
fn a_run_that_takes_too_long_ends_with_the_place_it_reached() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let slow = folder.path().join("slow.wasm");
    // Each call takes milliseconds, so that the thousands of passes of a day take a minute or more.
    std::fs::write(&slow, hostile::spins(SLOW_ROUNDS).build())?;
    let (slow, day) = (slow.display().to_string(), trace("two-peaks.csv").display().to_string());
    let lines: Vec<String> = (0..20_000).map(|at| format!("{{\"at\": {at}}}\n")).collect();
    let events = folder.path().join("events.jsonl");
    std::fs::write(&events, format!("{{}}\n{}", lines.concat()))?;
    let events = events.display().to_string();
    for input in [["--trace", &day], ["--scenario", &events]] {
        let output = simulate(&[&input[..], &["--policy", &slow, "--time-limit", "1s"]].concat())?;
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{input:?}: {complaint}");
        for part in [
            "the time limit of 1s (`--time-limit`) ended at pass ",
            "of the simulated time",
            "raise `--time-limit` to ",
        ] {
            assert!(complaint.contains(part), "{input:?}: {complaint}");
        }
    }
    Ok(())
}

#[test]
fn the_limits_of_a_call_are_those_of_the_settings() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let slow = folder.path().join("slow.wasm");
    // About 25 ms in a call.
    std::fs::write(&slow, hostile::spins(50_000_000).build())?;
    let slow = slow.display().to_string();
    let played = |decision_time: &str| {
        let settings = call_limits(decision_time)?;
        let settings = settings.path().display().to_string();
        played("{}\n{\"at\": 0}\n", &["--policy", &slow, "--settings", &settings])
    };
    let (hurried, unhurried) = (played("1ms")?, played("5s")?);
    assert!(hurried.contains("is unavailable (time: it ran longer than 1 ms"), "{hurried}");
    assert!(!unhurried.contains("unavailable"), "{unhurried}");
    Ok(())
}
