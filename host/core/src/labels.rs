//! The labels by which a service that exists already declares its workload.

#[cfg(test)]
mod tests;

use crate::text::nearest;
use crate::workload::Mode;
use crate::{Bounds, PolicyChoice, Workload};
use std::collections::BTreeMap;

/// `true`: Windlass scales the service. `false`, or no such label: it is no concern of Windlass.
pub const ENABLE: &str = "windlass.enable";
/// The fewest replicas: 0 to [`Bounds::LIMIT`]. Default 1.
pub const MIN: &str = "windlass.min";
/// The most replicas: 1 to [`Bounds::LIMIT`]. It has no default, because only the owner of a service knows how much of a
/// machine the service may take.
pub const MAX: &str = "windlass.max";
/// `recommend` or `act`. Default `recommend`: nothing is changed until the owner asks for it.
pub const MODE: &str = "windlass.mode";
/// The name of a profile in `windlass.toml`.
pub const PROFILE: &str = "windlass.profile";
/// The name of the scaling policy.
pub const POLICY: &str = "windlass.policy";
/// The configuration of the scaling policy: a JSON object. Default `{}`.
pub const POLICY_CONFIG: &str = "windlass.policy.config";

/// The beginning of the names of all these labels.
pub const PREFIX: &str = "windlass.";

/// The labels that an owner sets on a service.
const SETTINGS: [&str; 8] = [ENABLE, MIN, MAX, MODE, PROFILE, POLICY, POLICY_CONFIG, Workload::PROTECTION];

/// The labels that Windlass sets on containers.
const OWN: [&str; 6] = [
    "windlass.instance",
    "windlass.workload",
    "windlass.slot",
    "windlass.generation",
    "windlass.networks",
    "windlass.clone-of",
];

/// The declaration of a workload by the labels of a service, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLabels {
    /// The bounds.
    pub bounds: Bounds,
    /// Whether plans are carried out.
    pub mode: Mode,
    /// The name of a profile in `windlass.toml`. `None` if the labels name none.
    pub profile: Option<String>,
    /// The scaling policy. `None` if the labels name none.
    pub policy: Option<PolicyChoice>,
}

impl ServiceLabels {
    /// Reads the labels of a service. Labels without the prefix `windlass.` are ignored. `None` if the labels do not ask for
    /// Windlass.
    ///
    /// # Errors
    /// One sentence for each problem.
    pub fn read(labels: &BTreeMap<String, String>) -> Result<Option<Self>, Vec<String>> {
        let value = |name: &str| labels.get(name).map(|value| value.trim());
        let mut problems = Vec::new();
        match value(ENABLE) {
            None | Some("false") => return Ok(None),
            Some("true") => {}
            Some(other) => problems.push(wrong(ENABLE, other, "`true` or `false`")),
        }
        problems.extend(labels.keys().filter_map(|name| unknown(name)));
        let bounds = bounds(value(MIN), value(MAX), &mut problems);
        let mode = match value(MODE) {
            None | Some("recommend") => Mode::Recommend,
            Some("act") => Mode::Act,
            Some(other) => {
                problems.push(wrong(MODE, other, "`recommend` or `act`"));
                Mode::Recommend
            }
        };
        let name = |label: &str, problems: &mut Vec<String>| {
            let name = value(label)?;
            if !PolicyChoice::is_name(name) {
                problems.push(wrong(label, name, "a name of 1 to 63 lower-case letters, digits and hyphens"));
            }
            Some(name.to_owned())
        };
        let (profile, policy) = (name(PROFILE, &mut problems), name(POLICY, &mut problems));
        let config = value(POLICY_CONFIG).and_then(|text| config(text, &mut problems));
        if policy.is_none() && labels.contains_key(POLICY_CONFIG) {
            problems.push(format!("`{POLICY_CONFIG}` is set without `{POLICY}`; name the policy, or remove the label"));
        }
        if let Some(other) = value(Workload::PROTECTION).filter(|value| !["true", "false"].contains(value)) {
            problems.push(wrong(Workload::PROTECTION, other, "`true` or `false`"));
        }
        match bounds {
            Some(bounds) if problems.is_empty() => {
                let policy =
                    policy.map(|name| PolicyChoice { name, config: config.unwrap_or_else(|| "{}".to_owned()) });
                Ok(Some(Self { bounds, mode, profile, policy }))
            }
            _ => Err(problems),
        }
    }
}

fn wrong(label: &str, value: &str, expected: &str) -> String {
    // A label may be as long as a document.
    let shown: String = value.chars().take(64).collect();
    let cut = if shown.len() < value.len() { "…" } else { "" };
    format!("`{label}` is `{}{cut}`; expected {expected}", shown.escape_debug())
}

/// The problem of a label that nobody knows. `None` if it is known, or no concern of Windlass.
fn unknown(label: &str) -> Option<String> {
    let rest = label.strip_prefix(PREFIX)?;
    if SETTINGS.contains(&label) || OWN.contains(&label) {
        return None;
    }
    let known = SETTINGS.map(|name| name.trim_start_matches(PREFIX));
    let shown = label.escape_debug();
    Some(match nearest(rest, &known) {
        Some(near) => format!("unknown label `{shown}`; did you mean `{PREFIX}{near}`?"),
        None => format!("unknown label `{shown}`; expected {}", SETTINGS.map(|name| format!("`{name}`")).join(", ")),
    })
}

fn bounds(min: Option<&str>, max: Option<&str>, problems: &mut Vec<String>) -> Option<Bounds> {
    let limit = Bounds::LIMIT;
    let mut count = |label: &str, text: &str, least: u32| {
        let number = text.parse().ok().filter(|number| (least..=limit).contains(number));
        if number.is_none() {
            problems.push(wrong(label, text, &format!("a whole number from {least} to {limit}")));
        }
        number
    };
    let given_min = min.map(|text| count(MIN, text, 0));
    let given_max = max.map(|text| count(MAX, text, 1));
    let Some(given_max) = given_max else {
        problems.push(format!("`{MAX}` is missing; set it to the most replicas that the service may have"));
        return None;
    };
    let (min, max) = (given_min.unwrap_or(Some(1))?, given_max?);
    if min > max {
        problems.push(format!("`{MIN}` is {min}, above `{MAX}` ({max}); lower it or raise the maximum"));
    }
    Bounds::new(min, max).ok()
}

fn config(text: &str, problems: &mut Vec<String>) -> Option<String> {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Object(object)) => Some(serde_json::Value::Object(object).to_string()),
        Ok(_) => {
            problems.push(wrong(POLICY_CONFIG, text, "a JSON object such as `{\"replicas\": 2}`"));
            None
        }
        Err(error) => {
            problems.push(format!("`{POLICY_CONFIG}` is not JSON: {error}; expected an object such as `{{}}`"));
            None
        }
    }
}
