//! `scaling_policy`, `health_policy`, `shadow_policies` and `mode`: the policies of a workload.

use crate::json::object::{declare, object, reference};
use crate::json::problems::Problems;
use crate::json::shape::{Shape, list_of, one_of, text};
use serde_json::{Value, json};
use windlass_core::workload::Mode;
use windlass_core::{PolicyChoice, PolicyChoices};

/// The words for [`Mode`].
const MODES: &[(&str, Mode)] = &[("act", Mode::Act), ("recommend", Mode::Recommend)];

declare! {
    /// A policy and its configuration.
    pub(crate) struct ChoiceRequest {
        /// The name under which the policy is registered.
        required name: String = text().pattern("^[a-z0-9-]{1,63}$", 63),
        /// Its configuration, in the form of its schema. Default: `{}`.
        optional config: String = config(),
    }
}

fn config() -> Shape<String> {
    Shape::new(json!({"type": "object"}), |value: &Value, pointer, problems: &mut Problems| {
        if !value.is_object() {
            problems.add(pointer, "expected an object, as the policy's schema says");
            return None;
        }
        Some(value.to_string())
    })
}

/// One policy.
pub(crate) fn choice() -> Shape<PolicyChoice> {
    object().then(|ChoiceRequest { name, config, .. }, _, _| {
        Some(PolicyChoice { name: name.given()?, config: config.or("{}".to_owned())? })
    })
}

/// One policy, or a list of different ones.
pub(crate) fn choices() -> Shape<Vec<PolicyChoice>> {
    let schema = |schemas: &mut _| {
        let one = reference::<ChoiceRequest>(schemas);
        json!({"oneOf": [one, {"type": "array", "items": one, "maxItems": PolicyChoices::MOST_SCALING, "uniqueItems": true}]})
    };
    Shape::with_schema(schema, |value, pointer, problems| {
        if value.is_array() {
            different(PolicyChoices::MOST_SCALING).read(value, pointer, problems)
        } else {
            choice().read(value, pointer, problems).map(|choice| vec![choice])
        }
    })
}

/// A list of different shadow policies.
pub(crate) fn shadows() -> Shape<Vec<PolicyChoice>> {
    different(PolicyChoices::MOST_SHADOWS)
}

fn different(most: usize) -> Shape<Vec<PolicyChoice>> {
    let few =
        list_of(choice()).at_most(most, move |count| format!("{count} policies are given; expected at most {most}"));
    let different = few.then(|choices, pointer, problems| {
        for (index, choice) in choices.iter().enumerate() {
            if choices[..index].contains(choice) {
                let detail = "the same policy with the same configuration is given twice";
                problems.add(format!("{pointer}/{index}"), detail);
            }
        }
        Some(choices)
    });
    different.keyword("uniqueItems", json!(true))
}

/// Whether plans are executed.
pub(crate) fn mode() -> Shape<Mode> {
    one_of(MODES)
}

/// The scaling policies in the form of the request: one policy, or a list of several.
pub(crate) fn scaling_json(choices: &[PolicyChoice]) -> Option<Value> {
    match choices {
        [] => None,
        [one] => Some(choice_json(one)),
        several => Some(several.iter().map(choice_json).collect()),
    }
}

/// A policy in the form of the request.
pub(crate) fn choice_json(choice: &PolicyChoice) -> Value {
    // The configuration was JSON when it was accepted.
    let config: Value = serde_json::from_str(&choice.config).unwrap_or_default();
    json!({"name": choice.name, "config": config})
}
