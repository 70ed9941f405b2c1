//! The example policies in `examples/policies`: one rule in every language, checked byte for byte against one table of
//! cases. `make examples` builds the components.

use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use windlass_core::contract::{ScalingObservation, Series};
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_sandbox::language::Language;
use windlass_sandbox::wit_text;
use windlass_tests::policies::unhurried;
use windlass_tests::site::binary;

/// A row of the table. A sample's value may be the text `NaN` or `inf`, since JSON has no such numbers.
#[derive(Deserialize)]
struct Case {
    case: String,
    config: String,
    now: u64,
    current: u32,
    metrics: Value,
    memory: String,
    expect: Value,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("examples/conformance.json")).expect("a table of cases")
}

impl Case {
    fn observation(&self) -> ScalingObservation {
        let mut metrics = self.metrics.clone();
        let mut unwritten = None;
        for sample in metrics.pointer_mut("/0/samples").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(text) = sample["value"].as_str() {
                unwritten = Some(text.parse::<f64>().expect("a number"));
                sample["value"] = json!(0.0);
            }
        }
        let mut metrics: Vec<Series> = serde_json::from_value(metrics).expect("series");
        if let Some(value) = unwritten {
            metrics[0].samples[0].value = value;
        }
        let shown: Value = serde_json::from_str(include_str!("../../../examples/observations/scaling.json"))
            .expect("the example of an observation");
        let mut shown: ScalingObservation = serde_json::from_value(shown).expect("the form of an observation");
        shown.now.0 = self.now;
        shown.current_replicas = self.current;
        shown.metrics = metrics;
        shown.memory = self.memory.clone().into_bytes();
        shown
    }
}

/// The folder of the components that `examples/policies/build` makes, next to the program.
fn built() -> PathBuf {
    let binary = binary().expect("the program is built");
    let target = binary.parent().and_then(Path::parent).expect("it lies in target/debug");
    target.join("examples")
}

/// Runs the last command of each page: the policy with an observation. An unoptimised compiler needs most of the default time
/// for the 18 MB of the policy in Python, so the settings give it more.
fn tried(policy: &Path, input: &Path) {
    let mut settings = tempfile::NamedTempFile::new().expect("a file");
    writeln!(settings, "[policy]\ncompile_time = \"3m\"").expect("written");
    let mut run = Command::new(binary().expect("the program is built"));
    run.args(["policy", "run", "--config", r#"{"target-per-replica": 25}"#, "--settings"]).arg(settings.path());
    run.arg("--input").arg(input).arg(policy);
    let output = run.output().expect("it runs");
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", policy.display(), String::from_utf8_lossy(&output.stderr)));
    assert_eq!(said["reason"], "112 waiting, 25 per replica: the count should be 5", "{}", policy.display());
}

#[tokio::test]
#[ignore = "`make examples` builds what this runs"]
async fn every_language_answers_the_same() {
    let engine = Arc::new(PolicyEngine::new(unhurried()).expect("an engine"));
    let mut wrong = Vec::new();
    let mut first: Option<Vec<String>> = None;
    // The examples, and projects created with `windlass policy new`.
    let examples = Language::ALL.map(|language| (language.folder().to_owned(), "queue-depth".to_owned()));
    let begun = Language::ALL.map(Language::folder).map(|folder| (format!("new-{folder}"), format!("trial-{folder}")));
    for (language, name) in examples.into_iter().chain(begun) {
        let file = built().join(format!("{language}.wasm"));
        tried(
            &file,
            &if language.starts_with("new-") {
                built().join("new").join(&name).join("observation.json")
            } else {
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observations/scaling.json")
            },
        );
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let loaded = PolicyComponent::load(&engine, &Compiler::in_process(), None, Arc::from(bytes)).await;
        let policy = loaded.unwrap_or_else(|error| panic!("{language}: {error}"));
        assert_eq!(policy.description().name, name);
        // A policy that reads the clock reads the host's clock, not a stub that ends the call.
        let has_clock = policy.imports().iter().any(|import| import.starts_with("wasi:clocks/wall-clock"));
        assert_eq!(has_clock, !language.ends_with("rust"), "{language}: {:?}", policy.imports());
        // The schema, and the metrics or the error of each configuration, compared with the first language.
        let schema: Value = serde_json::from_str(&policy.description().config_schema).expect("checked at loading");
        let mut checks = vec![format!("schema: {schema}")];
        for config in cases().iter().map(|case| &case.config).collect::<BTreeSet<_>>() {
            let configured = policy.configure(config, cases()[0].observation().now).await.answer;
            checks.push(format!("{config}: {:?}", configured.map_err(|failure| failure.reason)));
        }
        let first = first.get_or_insert_with(|| checks.clone());
        let differing = checks.iter().zip(&*first).filter(|(said, first)| said != first);
        wrong.extend(differing.map(|(said, first)| format!("{language}: {said} instead of {first}")));
        for case in cases() {
            let called = policy.decide(&case.config, &case.observation()).await;
            let said = match called.answer {
                Ok(decision) => json!({
                    "replicas": decision.replicas,
                    "reason": decision.reason,
                    "memory": String::from_utf8_lossy(&decision.memory),
                    "evaluate-after": decision.evaluate_after,
                }),
                Err(failure) => json!({"error": failure.reason}),
            };
            if said != case.expect {
                wrong.push(format!("{language}, {}: {said} instead of {}", case.case, case.expect));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_example_has_the_contract_as_it_is_published() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies");
    for language in Language::ALL.map(Language::folder) {
        let file = folder.join(language).join("wit/windlass-policy.wit");
        assert_eq!(std::fs::read_to_string(file).expect(language), wit_text::text(), "{language}");
    }
}
