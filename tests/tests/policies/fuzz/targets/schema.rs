//! Loads a component with a damaged schema of its configuration, and checks configurations against it.

use crate::fuzz::seeds::root;
use crate::fuzz::target::{Parser, Target};
use crate::fuzz::targets::runtime;
use std::sync::Arc;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;
use windlass_tests::hostile;
use windlass_tests::policies::unhurried;

/// Bytes for the schema in the component.
const ROOM: usize = 12_288;

/// Configurations that are checked.
const CONFIGS: [&str; 4] = [
    "{}",
    r#"{"metric": "queue", "target": 10, "bands": [{"below": 0.4, "change": -1}], "a": {"a": {"a": []}}}"#,
    r#"{"name": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "target": 1e308, "": [1, 1, 1]}"#,
    "[null, 1]",
];

pub(crate) const TARGET: Target = Target {
    name: "schema",
    cases: 30,
    seeds,
    words: &[
        "$ref",
        "#",
        "#/$defs/a",
        "$defs",
        "$dynamicRef",
        "allOf",
        "oneOf",
        "not",
        "if",
        "patternProperties",
        "pattern",
        "(a+)+$",
        "(?=a)*",
        "\\\\p{L}",
        "format",
        "uniqueItems",
        "multipleOf",
        "minLength",
        "unevaluatedProperties",
        "$id",
        "http://127.0.0.1:1/",
        "type",
        "default",
        "dependentSchemas",
        "contains",
        "maxContains",
    ],
    start,
};

/// The schemas of the built-in policies.
fn seeds() -> Vec<Vec<u8>> {
    let policies = ["min-max", "step", "target-tracking", "schedule", "predictive", "pass-through"];
    policies.map(|name| std::fs::read(root().join("plugins").join(name).join("schema.json")).expect("a schema")).into()
}

fn start() -> Parser {
    let whole = hostile::has_schema(&"x".repeat(ROOM)).build();
    let at = whole.windows(ROOM).position(|part| part.iter().all(|byte| *byte == b'x')).expect("the schema is in it");
    let runtime = runtime();
    let engine = Arc::new(PolicyEngine::new(unhurried()).expect("an engine"));
    let compiler = Compiler::in_process();
    Box::new(move |input| {
        let text = String::from_utf8_lossy(input);
        let text = &text[..text.floor_char_boundary(ROOM)];
        let mut component = whole.clone();
        component[at..at + ROOM].fill(b' ');
        component[at..at + text.len()].copy_from_slice(text.as_bytes());
        runtime.block_on(async {
            let policy = match PolicyComponent::load(&engine, &compiler, None, component.into()).await {
                Ok(policy) => policy,
                Err(error) => {
                    assert!(!error.problems.is_empty());
                    return false;
                }
            };
            for config in CONFIGS {
                let _problems = policy.schema_problems(config).await;
            }
            true
        })
    })
}
