//! Random JSON that fits a schema of the OpenAPI document: the keywords that the document uses, no others.

use jsonschema::Validator;
use proptest::prelude::ProptestConfig;
use proptest::strategy::{Strategy, ValueTree};
use proptest::string::{RegexGeneratorStrategy, string_regex};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The most optional elements of a list or an object.
const FEW: u64 = 3;
/// Attempts to make a text of the right length, or an element that differs from the others.
const ATTEMPTS: usize = 100;

/// Makes random values. The same seed makes the same values.
pub(crate) struct Generator<'d> {
    document: &'d Value,
    random: u64,
    texts: HashMap<String, RegexGeneratorStrategy<String>>,
    /// Validators of patterns, which take milliseconds to compile.
    patterns: HashMap<String, Validator>,
    runner: TestRunner,
}

impl<'d> Generator<'d> {
    pub(crate) fn new(document: &'d Value, seed: u8) -> Self {
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let runner = TestRunner::new_with_rng(ProptestConfig::default(), random);
        Self { document, random: seed.into(), texts: HashMap::new(), patterns: HashMap::new(), runner }
    }

    /// A number from 0, below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    pub(crate) fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    pub(crate) fn one<'t, T>(&mut self, choices: &'t [T]) -> &'t T {
        let index = self.below(choices.len() as u64);
        &choices[usize::try_from(index).expect("a few")]
    }

    /// A value that fits a schema.
    pub(crate) fn value(&mut self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let referred = self.document.pointer(reference.trim_start_matches('#')).expect(reference);
            return self.value(referred);
        }
        if let Some(choices) = schema["enum"].as_array() {
            return self.one(choices).clone();
        }
        let kinds: Vec<&Value> = match &schema["type"] {
            Value::Array(kinds) => kinds.iter().collect(),
            Value::Null => {
                let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
                let Some(alternatives) = alternatives else { return self.anything() };
                let alternative = self.one(alternatives).clone();
                return self.value(&alternative);
            }
            kind => vec![kind],
        };
        match self.one(&kinds).as_str().expect("a type") {
            "null" => Value::Null,
            "boolean" => json!(self.chance()),
            "integer" => json!(self.integer(schema)),
            "number" => json!(self.number(schema)),
            "string" => json!(self.text(schema)),
            "array" => self.list(schema),
            "object" => self.object(schema),
            other => panic!("unknown type {other}"),
        }
    }

    /// Any small value.
    fn anything(&mut self) -> Value {
        let choices = [json!(null), json!(true), json!(0), json!(-1.5), json!("x"), json!([1]), json!({"a": {}})];
        self.one(&choices).clone()
    }

    fn integer(&mut self, schema: &Value) -> i64 {
        let low = schema["minimum"].as_i64().unwrap_or(-1_000);
        let high = schema["maximum"].as_i64().unwrap_or(1_000_000).max(low);
        let between = low.saturating_add_unsigned(self.below(high.abs_diff(low).saturating_add(1)));
        // Small numbers, so that two of them may agree.
        let small = low.saturating_add_unsigned(self.below(high.abs_diff(low).min(10) + 1));
        *self.one(&[low, high, between, small, small])
    }

    fn number(&mut self, schema: &Value) -> f64 {
        let low = schema["minimum"].as_f64().unwrap_or(-1e6);
        let high = schema["maximum"].as_f64().unwrap_or(1e9);
        #[expect(clippy::cast_precision_loss, reason = "any number between the two will do")]
        let share = self.below(1 << 52) as f64 / (1u64 << 52) as f64;
        let between = low + share * (high - low);
        *self.one(&[low, high, between, between.trunc().clamp(low, high)])
    }

    fn text(&mut self, schema: &Value) -> String {
        let least = schema["minLength"].as_u64().unwrap_or(0);
        let most = schema["maxLength"].as_u64().unwrap_or(1_000);
        let pattern = schema["pattern"].as_str().unwrap_or(r"^[^\u0000]{0,20}$").to_owned();
        for _ in 0..ATTEMPTS {
            let text = self.matching(&pattern);
            let excluded = schema["not"]["pattern"].as_str().is_some_and(|pattern| self.fits(pattern, &text))
                || schema["not"]["enum"].as_array().is_some_and(|words| words.contains(&json!(text)));
            if (least..=most).contains(&(text.chars().count() as u64)) && !excluded {
                return text;
            }
        }
        panic!("no text of {least} to {most} characters matches {pattern}")
    }

    /// Whether a text has a part that matches a pattern.
    fn fits(&mut self, pattern: &str, text: &str) -> bool {
        let validator = self
            .patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| jsonschema::validator_for(&json!({"pattern": pattern})).expect("the pattern is valid"));
        validator.is_valid(&json!(text))
    }

    fn matching(&mut self, pattern: &str) -> String {
        let texts = self.texts.entry(pattern.to_owned()).or_insert_with(|| {
            // The generator matches whole texts.
            let inner = pattern.strip_prefix('^').and_then(|pattern| pattern.strip_suffix('$'));
            string_regex(inner.expect("a pattern is of a whole text")).expect(pattern)
        });
        texts.new_tree(&mut self.runner).expect("it rejects nothing").current()
    }

    fn list(&mut self, schema: &Value) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(0);
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX).min(least + FEW);
        let count = least + self.below(most - least + 1);
        let is_unique = schema["uniqueItems"] == true;
        let mut elements: Vec<Value> = Vec::new();
        for index in 0..count {
            let of_index = &schema["prefixItems"][usize::try_from(index).expect("a few")];
            let of_element = if of_index.is_null() { &schema["items"] } else { of_index };
            let element = self.value(of_element);
            if !is_unique || !elements.contains(&element) {
                elements.push(element);
            }
        }
        Value::Array(elements)
    }

    /// An object. Fields that are only in answers are left out.
    fn object(&mut self, schema: &Value) -> Value {
        let mut object = Map::new();
        // Alternatives, each of which requires some fields and forbids others.
        let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array()).cloned().unwrap_or_default();
        let chosen = if alternatives.is_empty() { json!({}) } else { self.one(&alternatives).clone() };
        let requires =
            |of: &Value, name: &str| of["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
        for (name, of_field) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = requires(schema, name) || requires(&chosen, name);
            let is_forbidden = chosen["properties"][name]["type"] == "null";
            let is_read_only = of_field["readOnly"] == true;
            if is_forbidden || is_read_only || !(is_required || self.chance()) {
                continue;
            }
            let value = self.value(of_field);
            let value = if value.is_null() && is_required { self.not_null(of_field) } else { value };
            object.insert(name.clone(), value);
        }
        let names = &schema["propertyNames"];
        if schema["additionalProperties"].is_object() {
            let most = schema["maxProperties"].as_u64().unwrap_or(FEW).min(FEW);
            for _ in 0..self.below(most + 1) {
                let name = if names.is_null() { json!(self.text(&json!({}))) } else { self.name(names) };
                let name = name.as_str().expect("text").to_owned();
                // A declared name has the schema of its own, as above.
                if schema["properties"][&name].is_null() {
                    let value = self.value(&schema["additionalProperties"]);
                    object.insert(name, value);
                }
            }
        }
        Value::Object(object)
    }

    /// A name; the schema of names leaves out their type.
    fn name(&mut self, schema: &Value) -> Value {
        if let Some(alternatives) = schema["anyOf"].as_array() {
            let alternative = self.one(alternatives).clone();
            return self.name(&alternative);
        }
        if schema["enum"].is_array() { self.value(schema) } else { json!(self.text(schema)) }
    }

    fn not_null(&mut self, schema: &Value) -> Value {
        (0..ATTEMPTS).map(|_| self.value(schema)).find(|value| !value.is_null()).expect("it is not always null")
    }
}
