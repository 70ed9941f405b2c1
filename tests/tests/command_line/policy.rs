//! `windlass policy check` and `windlass policy run`, without a server or a container engine.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use windlass_builtin::{BUILT_IN, LIVENESS, MIN_MAX};
use windlass_sandbox::wit_text;
use windlass_tests::hostile::{self, Expect};
use windlass_tests::site::binary;

/// The result of a command.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// The standard output of a command that succeeded without a warning.
    fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        self.stdout
    }

    /// The standard error of a command that failed.
    fn refused(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        self.stderr
    }
}

/// Runs `windlass policy …` with this standard input, in an empty environment and an empty folder.
fn policy(arguments: &[&str], input: &str) -> anyhow::Result<Ended> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    command.arg("policy").args(arguments).current_dir(folder.path()).env_clear();
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that rejects its component does not read the observation.
    let _unread = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "it left something behind");
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// A file that is removed with its folder.
struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl File {
    fn of(bytes: &[u8]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("policy.wasm");
        std::fs::write(&path, bytes)?;
        Ok(Self { path, _folder: folder })
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("temporary folders have plain names")
    }
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observations").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn run(component: &[u8], config: &str, input: &str) -> anyhow::Result<Ended> {
    policy(&["run", File::of(component)?.path(), "--config", config, "--input", "-"], input)
}

fn changed(observation: &str, pointer: &str, value: Value) -> String {
    let mut observation: Value = serde_json::from_str(observation).expect("it is JSON");
    *observation.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    observation.to_string()
}

#[test]
fn check_tells_what_a_component_is() -> anyhow::Result<()> {
    let told = policy(&["check", File::of(MIN_MAX)?.path()], "")?.ok();
    insta::with_settings!({filters => [(r"[0-9a-f]{64}", "[digest]"), (r"\d+ bytes", "[size] bytes"), (r"\d+ microseconds", "[time] microseconds")]}, {
        insta::assert_snapshot!(told, @r#"
        min-max 0.1.0: Keeps the current count within the workload's minimum and maximum
        kind:     scaling (world `windlass:policy/scaling-policy@0.1.0`)
        digest:   sha256:[digest]
        size:     [size] bytes
        language: Rust
        imports:  windlass:policy/types@0.1.0
        exports:  windlass:policy/manifest@0.1.0, windlass:policy/scaling@0.1.0
        config:   {
                    "$schema": "https://json-schema.org/draft/2020-12/schema",
                    "additionalProperties": false,
                    "description": "There are no settings. The policy uses the workload's bounds.",
                    "properties": {},
                    "title": "min-max",
                    "type": "object"
                  }
        sample:   with 10 replicas, the policy returned 10 replicas, `10 is within 1 to 20`
        used:     [time] microseconds, [size] bytes of linear memory
        near:     no limit
        "#);
    });
    Ok(())
}

#[test]
fn check_tries_a_configuration() -> anyhow::Result<()> {
    let file = File::of(LIVENESS)?;
    let told = policy(&["check", file.path(), "--config", r#"{"failure-threshold": 2}"#], "")?.ok();
    assert!(told.contains("accepted: {\"failure-threshold\": 2}\nmetrics:  none\n"), "{told}");
    let refused = policy(&["check", file.path(), "--config", r#"{"failure-threshold": 0}"#], "")?.refused();
    let by_schema = "error: cannot configure the policy: its schema does not allow it: /failure-threshold: ";
    assert!(refused.starts_with(by_schema), "{refused}");
    // The policy itself checks what its schema cannot express.
    let step = File::of(BUILT_IN.iter().find(|(name, _)| *name == "step").expect("it is built in").1)?;
    let bands = r#"{"metric": "queue", "bands": [{"from": 10, "change": 1}, {"from": 5, "change": 2}]}"#;
    let refused = policy(&["check", step.path(), "--config", bands], "")?.refused();
    assert!(refused.starts_with("error: cannot configure the policy: refused: "), "{refused}");
    // A policy that requires a configuration is no mistake; a policy that cannot accept any is one.
    let told = policy(&["check", step.path()], "")?.ok();
    assert!(
        told.contains(
            "sample:   no call, because the policy needs a `--config`; it rejects `{}`: its schema does not allow it: "
        ),
        "{told}"
    );
    // A mistake that is likely in the component's language: the code next to it shows the language runtime.
    let mut in_python = hostile::padded(&hostile::traps_configuring().build(), 11);
    let at = in_python.len() - 11;
    in_python[at..].copy_from_slice(b"libpython3.");
    let trap = policy(&["check", File::of(&in_python)?.path()], "")?.refused();
    assert!(trap.starts_with("error: cannot configure the policy: trap: "), "{trap}");
    assert!(trap.contains("\n  likely, in Python: an exception ends the call, except `Err`"), "{trap}");
    Ok(())
}

#[test]
fn run_prints_a_decision_in_the_form_of_the_wit() -> anyhow::Result<()> {
    let decision = run(MIN_MAX, "{}", &example("scaling.json"))?.ok();
    insta::assert_snapshot!(decision, @r#"
    {
      "replicas": 2,
      "reason": "raised from 1 to the minimum of 2",
      "memory": [],
      "evaluate-after": null
    }
    "#);
    Ok(())
}

#[test]
fn run_prints_a_report_whose_memory_can_be_handed_back() -> anyhow::Result<()> {
    let observation = example("health.json");
    let report: Value = serde_json::from_str(&run(LIVENESS, "{}", &observation)?.ok())?;
    insta::assert_json_snapshot!(report["assessments"], @r#"
    [
      {
        "reason": "3 probes in a row failed: GET / answered 500",
        "remedy": "restart",
        "replica-id": "a",
        "status": "unhealthy"
      },
      {
        "reason": "its process ended with exit code 137; the kernel killed it because it was out of memory",
        "remedy": "replace",
        "replica-id": "b",
        "status": "unhealthy"
      }
    ]
    "#);
    // The policy remembers that it had the replica restarted: the same failures after the restart replace it.
    let later = changed(&observation, "/memory", report["memory"].clone());
    let later = changed(&later, "/replicas/0/replica/started-at", json!(1_767_225_560_000_u64));
    let report: Value = serde_json::from_str(&run(LIVENESS, "{}", &later)?.ok())?;
    assert_eq!(report["assessments"][0]["remedy"], "replace", "{report}");
    Ok(())
}

#[test]
fn a_variant_without_a_payload_is_its_name_or_has_null() -> anyhow::Result<()> {
    let observation = example("health.json");
    let with_null = changed(&observation, "/replicas/0/probes/2/outcome", json!({"timeout": null}));
    assert_eq!(run(LIVENESS, "{}", &with_null)?.ok(), run(LIVENESS, "{}", &observation)?.ok());
    Ok(())
}

#[test]
fn run_says_why_there_is_no_decision() -> anyhow::Result<()> {
    let observation = example("scaling.json");
    let refused = run(MIN_MAX, r#"{"speed": 1}"#, &observation)?.refused();
    assert!(refused.contains("cannot configure the policy") && refused.contains("`speed`"), "{refused}");

    let wrong = [
        (
            changed(&observation, "/replicas/0/phase", json!("runing")),
            "at `replicas[0].phase`: unknown variant `runing`",
        ),
        (changed(&observation, "/current-replicas", json!(-1)), "at `current-replicas`: invalid value"),
        (observation.replace("\"now\"", "\"Now\""), "unknown field `Now`, expected one of `now`"),
        (example("health.json"), "the input is not an observation for a scaling policy: at `replicas[0].replica`"),
        (format!("{observation} 1"), "the input continues after the observation"),
        (String::new(), "the input is not an observation for a scaling policy"),
    ];
    for (input, part) in wrong {
        let refused = run(MIN_MAX, "{}", &input)?.refused();
        assert!(refused.starts_with("error: ") && refused.contains(part), "{part}: {refused}");
    }

    let file = File::of(MIN_MAX)?;
    let refused = policy(&["run", file.path(), "--input", "/nonexistent/observation"], "")?.refused();
    assert!(refused.contains("cannot read `/nonexistent/observation`"), "{refused}");
    let refused = policy(&["run", "/nonexistent/policy", "--input", "-"], &observation)?.refused();
    assert!(refused.contains("cannot read `/nonexistent/policy`"), "{refused}");
    Ok(())
}

#[test]
fn what_a_policy_logs_goes_to_standard_error() -> anyhow::Result<()> {
    let ended = run(&hostile::floods_log(40, 10).build(), "{}", &example("scaling.json"))?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.starts_with("{\n  \"replicas\": 1"), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 33, "{ended:?}");
    assert!(ended.stderr.ends_with("dropped beyond the limits: 8 log lines, 0 bytes of output\n"), "{ended:?}");
    Ok(())
}

/// The catalogue that a running host is tested with.
#[test]
fn every_hostile_component_ends_in_a_sentence() -> anyhow::Result<()> {
    let (scaling, health) = (example("scaling.json"), example("health.json"));
    for hostile in hostile::all() {
        let name = hostile.name;
        match hostile.expect {
            Expect::NotLoaded(part) => {
                // Without a pool, instantiation finds what exceeds the limits.
                let part = if part.contains("needs more") { "it made more than it may" } else { part };
                let file = File::of(&hostile.bytes)?;
                let refused = policy(&["check", file.path()], "")?.refused();
                assert!(refused.contains(part), "{name}: {refused}");
                assert!(refused.contains("is not a policy this host can run:\n  - "), "{name}: {refused}");
                assert_eq!(policy(&["run", file.path(), "--input", "-"], &scaling)?.refused(), refused, "{name}");
            }
            Expect::Scaling(kind, part) => {
                let refused = run(&hostile.bytes, "{}", &scaling)?.refused();
                let sentence = format!("error: the policy returned no decision: {kind}: ");
                assert!(refused.contains(&sentence) && refused.contains(part), "{name}: {refused}");
            }
            Expect::Health(kind, part) => {
                let refused = run(&hostile.bytes, "{}", &health)?.refused();
                let sentence = format!("error: the policy returned no report: {kind}: ");
                assert!(refused.contains(&sentence) && refused.contains(part), "{name}: {refused}");
            }
            Expect::Configure(kind, part) => {
                let refused = policy(&["check", File::of(&hostile.bytes)?.path()], "")?.refused();
                let sentence = format!("error: cannot configure the policy: {kind}: ");
                assert!(refused.starts_with(&sentence) && refused.contains(part), "{name}: {refused}");
            }
            Expect::Protect(kind, part) => {
                let told = policy(&["check", File::of(&hostile.bytes)?.path()], "")?.ok();
                let sentence = format!("\nprotects: the policy returned no protected replicas: {kind}: ");
                assert!(told.contains(&sentence) && told.contains(part), "{name}: {told}");
            }
            Expect::Harmless => assert_eq!(run(&hostile.bytes, "{}", &scaling)?.code, Some(0), "{name}"),
        }
    }
    Ok(())
}

#[test]
fn the_contract_is_printed_whole() -> anyhow::Result<()> {
    assert_eq!(policy(&["wit"], "")?.ok(), wit_text::text());
    Ok(())
}

#[test]
fn a_component_is_made_of_a_core_module_and_of_nothing_else() -> anyhow::Result<()> {
    // Rust's compiler leaves such a module of the built-in policy next to its component.
    let target = binary()?.parent().and_then(Path::parent).context("it lies in target/debug")?.to_owned();
    let module = target.join("guests/wasm32-unknown-unknown/guest/windlass_policy_min_max.wasm");
    let folder = tempfile::tempdir()?;
    let made = folder.path().join("made.wasm").display().to_string();
    policy(&["wrap", &module.display().to_string(), "-o", &made], "")?.ok();
    assert!(policy(&["check", &made], "")?.ok().starts_with("min-max "));
    let component = File::of(MIN_MAX)?;
    let refused = policy(&["wrap", component.path(), "-o", &made], "")?.refused();
    assert!(refused.ends_with("it is not a core WebAssembly module: it is a component already\n"), "{refused}");
    Ok(())
}

#[test]
fn check_tells_the_limits_a_trial_call_came_near() -> anyhow::Result<()> {
    let told = |component: &[u8]| anyhow::Ok(policy(&["check", File::of(component)?.path()], "")?.ok());
    let calm = told(&hostile::proposes(3).build())?;
    assert!(calm.contains("\nsample:   with 10 replicas, the policy returned 3 replicas, `as told`\n"), "{calm}");
    assert!(calm.ends_with("\nnear:     no limit\n"), "{calm}");
    // 40 of 64 MiB, in addition to its initial memory.
    let greedy = told(&hostile::grows(40 * 16).build())?;
    let near = greedy.lines().find(|line| line.starts_with("near:")).context("a line")?;
    assert!(near.contains("bytes of linear memory: ") && near.contains(" of 67108864"), "{greedy}");
    // Limits without a counter are tried at half: 256 KiB of stack, 512 KiB for the host, 500 handles, 32 KiB of random
    // bytes.
    for (component, why) in [
        (hostile::recurses(7_000), "trap: it ran out of its stack of 262144 bytes"),
        (hostile::holds_handles(600), "memory: it held more than 500 resource handles at once"),
        (hostile::draws_random(40), "memory: it requested more than 32768 random bytes"),
    ] {
        let told = told(&component.build())?;
        let failed = format!(
            "\nnear:     no limit\n          with half of the stack, host-call bytes, handles and random bytes, the call failed: {why}"
        );
        assert!(told.contains("the policy returned ") && told.contains(&failed), "{told}");
    }
    // The protection call of a policy that has one is tried, too.
    assert!(!calm.contains("protects:"), "{calm}");
    let spares = told(&hostile::protects(Some(0)).build())?;
    assert!(spares.contains("\nprotects: 1 of the 10 replicas during a scale-in\n"), "{spares}");
    let traps = told(&hostile::protects_by("(unreachable)").build())?;
    assert!(traps.contains("\nprotects: the policy returned no protected replicas: trap: "), "{traps}");
    let failed = told(&hostile::spins(u32::MAX).build())?;
    assert!(failed.contains("returned no answer: time: it ran longer than 250 ms"), "{failed}");
    assert!(failed.contains("near:     microseconds: "), "{failed}");
    Ok(())
}

#[test]
fn bench_measures_loading_memory_and_calls() -> anyhow::Result<()> {
    let file = File::of(MIN_MAX)?;
    let told = policy(&["bench", file.path(), "--calls", "50", "-o", "json"], "")?.ok();
    let measured: Value = serde_json::from_str(&told)?;
    assert_eq!((&measured["size_bytes"], &measured["calls"]), (&json!(MIN_MAX.len()), &json!(50)));
    let number = |pointer: &str| measured.pointer(pointer).and_then(Value::as_f64).unwrap_or_default();
    assert!(number("/compile_ms") > 0.0 && number("/load_ms") > 0.0, "{measured}");
    assert!(number("/call_memory_bytes") >= 65_536.0 && number("/resident_bytes") > 0.0, "{measured}");
    for (index, replicas) in [10.0, 100.0].into_iter().enumerate() {
        assert_eq!(number(&format!("/fresh_call/{index}/replicas")), replicas);
        let time = |name: &str| number(&format!("/fresh_call/{index}/{name}"));
        assert!(0.0 < time("p50_us") && time("p50_us") <= time("p99_us") && time("p99_us") <= time("max_us"));
    }
    let text = policy(&["bench", file.path(), "--calls", "5"], "")?.ok();
    assert_eq!(text.lines().count(), 6, "{text}");
    let refused = policy(&["bench", File::of(b"nonsense")?.path()], "")?.refused();
    assert!(refused.contains("is text, not a WebAssembly component"), "{refused}");
    let failing = policy(&["bench", File::of(&hostile::spins(u32::MAX).build())?.path()], "")?.refused();
    assert!(failing.starts_with("error: the policy returned no decision: time: "), "{failing}");
    Ok(())
}

#[test]
fn a_recorded_decision_is_asked_again() -> anyhow::Result<()> {
    let observation: Value = serde_json::from_str(&example("scaling.json"))?;
    let answer: Value = serde_json::from_str(&run(MIN_MAX, "{}", &observation.to_string())?.ok())?;
    let scaling = |answer: &Value| json!({"policy": {"digest": "sha256:0"}, "config": "{}", "observation": observation, "answer": answer});
    let record = |answer: &Value| json!({"id": 7, "at": 1, "scaling": scaling(answer)}).to_string();
    let replayed =
        |component: &[u8], record: &str| policy(&["run", File::of(component)?.path(), "--decision", "-"], record);
    let same = replayed(MIN_MAX, &record(&answer))?.ok();
    assert!(same.ends_with("}\nthe answer equals the recorded answer of another component\n"), "{same}");
    let mut other = answer.clone();
    other["replicas"] = json!(99);
    let differs = replayed(MIN_MAX, &record(&other))?.refused();
    assert!(
        differs.starts_with("error: the answer differs from the recorded answer of another component\nrecorded: {"),
        "{differs}"
    );
    assert!(differs.contains("\"replicas\":99") && differs.contains("\nnow:      {"), "{differs}");
    // A failure is an answer, too: its kind counts, not its text.
    let unavailable = |kind: &str| json!({"unavailable": {"kind": kind, "reason": "then"}});
    let traps = hostile::knows_only(77).build();
    let same = replayed(&traps, &record(&unavailable("trap")))?.ok();
    assert!(
        same.starts_with("no answer: trap: ") && same.ends_with("the recorded answer of another component\n"),
        "{same}"
    );
    for (component, recorded) in
        [(traps.as_slice(), &unavailable("time")), (&traps, &answer), (MIN_MAX, &unavailable("trap"))]
    {
        let differs = replayed(component, &record(recorded))?.refused();
        assert!(differs.contains("the answer differs from the recorded answer"), "{differs}");
    }
    let busy = replayed(MIN_MAX, &record(&unavailable("busy")))?.refused();
    assert_eq!(busy, "error: the policy was not called for this decision: then\n");
    // The protection is compared, too.
    let protects = hostile::protects(Some(0)).build();
    let mut two = observation.clone();
    two["replicas"] = json!([observation["replicas"][0], observation["replicas"][0]]);
    let one: Value = serde_json::from_str(&run(&protects, "{}", &two.to_string())?.ok())?;
    let mut spared = json!({"id": 7, "at": 1, "scaling": scaling(&one)});
    spared["scaling"]["observation"] = two;
    let differs = replayed(&protects, &spared.to_string())?.refused();
    assert!(differs.starts_with("error: the protected replicas differ from those recorded for "), "{differs}");
    spared["scaling"]["protected"] = json!([observation["replicas"][0]["id"]]);
    replayed(&protects, &spared.to_string())?.ok();
    let wrong_kind = replayed(LIVENESS, &record(&answer))?.refused();
    assert!(wrong_kind.contains("this decision contains no call of a health policy"), "{wrong_kind}");
    assert!(replayed(MIN_MAX, "{")?.refused().contains("the decision is not JSON"));
    let bare = changed(&record(&answer), "/scaling/observation/memory", Value::Null);
    let mut bare: Value = serde_json::from_str(&bare)?;
    bare["omitted"] = json!([{"part": "/scaling/observation/memory", "limit": "store.daily_bytes"}]);
    let bare = replayed(MIN_MAX, &bare.to_string())?.refused();
    assert!(bare.contains("the record of this decision lacks `/scaling/observation/memory`"), "{bare}");
    Ok(())
}

#[test]
fn one_of_several_is_asked_again_of_what_it_was_shown() -> anyhow::Result<()> {
    let mut observation: Value = serde_json::from_str(&example("scaling.json"))?;
    let kept = |name: &str, memory: &[u8]| json!({"of": {"name": name, "since": 0}, "memory": memory});
    let memory = json!([kept("other", b"its own"), kept("min-max", b"")]).to_string();
    observation["memory"] = json!(memory.as_bytes());
    let shown = changed(&changed(&observation.to_string(), "/memory", json!([])), "/metrics", json!([]));
    let answer: Value = serde_json::from_str(&run(MIN_MAX, "{}", &shown)?.ok())?;
    let config = json!([{"policy": "other", "config": {}}, {"policy": "min-max", "config": {}}]).to_string();
    let part = |digest: &str, answer: &Value| json!({"policy": {"name": "x", "digest": digest}, "config": "{}", "answer": answer});
    let joint =
        |parts: Value| json!({"replicas": 9, "reason": "", "memory": [], "evaluate-after": null, "parts": parts});
    let replayed = |component: &[u8], answer: Value| {
        let call =
            json!({"policy": {"digest": "sha256:1"}, "config": config, "observation": observation, "answer": answer});
        policy(&["run", File::of(component)?.path(), "--decision", "-"], &json!({"scaling": call}).to_string())
    };
    let other = json!({"unavailable": {"kind": "trap", "reason": "then"}});
    let same = replayed(MIN_MAX, joint(json!([part("sha256:2", &other), part("sha256:3", &answer)])))?.ok();
    assert!(same.ends_with("the answer equals the recorded answer of another component\n"), "{same}");
    // By its digest, whatever its name.
    let digest = format!("sha256:{}", windlass_sandbox::component::digest(MIN_MAX));
    let same = replayed(MIN_MAX, joint(json!([part(&digest, &answer), part("sha256:3", &other)])))?.ok();
    assert!(same.ends_with("the answer equals the recorded answer of this component\n"), "{same}");
    let differs = replayed(MIN_MAX, joint(json!([part("sha256:2", &answer), part("sha256:3", &other)])))?.refused();
    assert!(differs.contains("the answer differs from the recorded answer"), "{differs}");
    // If no revision answered, the record still has the policy's name.
    let differs = replayed(MIN_MAX, other)?.refused();
    assert!(differs.contains("\"kind\":\"trap\""), "{differs}");
    let stranger = replayed(&hostile::proposes(1).build(), joint(json!([])))?.refused();
    assert!(stranger.starts_with("error: several policies decided together: \"other\", \"min-max\"; "), "{stranger}");
    Ok(())
}

#[test]
fn a_policy_is_tried_under_the_limits_and_grants_it_will_have() -> anyhow::Result<()> {
    let component = File::of(&hostile::asks("127.0.0.1:9", "/", 1).build())?;
    let ungranted = policy(&["check", component.path()], "")?.refused();
    assert!(ungranted.contains("outgoing HTTP, which it was not granted"), "{ungranted}");

    let settings = "[policies.asker]\nreason_bytes = '16B'\n[policies.asker.http]\nhosts = ['http://127.0.0.1:9']\n";
    let settings = File::of(settings.as_bytes())?;
    let under = |name: &str, command: &str| {
        policy(&[command, component.path(), "--settings", settings.path(), "--as", name], "")
    };
    let checked = under("asker", "check")?.ok();
    assert!(
        checked.contains("replay:   not possible: the policy may send HTTP requests while it decides\n"),
        "{checked}"
    );
    assert!(checked.contains("sample:   with 10 replicas, the policy returned 138 replicas"), "{checked}");
    let unknown = under("other", "check")?.refused();
    assert!(unknown.contains("has no `[policies.other]`"), "{unknown}");

    let wordy = File::of(MIN_MAX)?;
    let input = include_str!("../../../examples/observations/scaling.json");
    let told = ["run", wordy.path(), "--input", "-", "--settings", settings.path(), "--as", "asker"];
    let refused = policy(&told, input)?.refused();
    assert!(refused.contains("at most 16"), "{refused}");
    let wrong = File::of(b"[policies.asker]\nreason_bytes = '1B'\n")?;
    let refused = policy(&["check", component.path(), "--settings", wrong.path()], "")?.refused();
    assert!(refused.contains("`policies.asker.reason_bytes` is 1B; expected 16B to 64KiB"), "{refused}");
    Ok(())
}
