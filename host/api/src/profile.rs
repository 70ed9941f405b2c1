//! A profile of `windlass.toml`: fields of the start request that labels of services name.

use crate::error::FieldProblem;
use crate::json::object::{Object, declare};
use crate::json::problems::Problems;
use crate::workload::policies::{choice, choice_json, choices, scaling_json, shadows};
use crate::workload::{guardrails, metric, probe, stop_hook};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use windlass_core::settings::Profile;
use windlass_core::workload::StopHook;
use windlass_core::{Guardrails, Metric, PolicyChoice, Probe};

declare! {
    /// A profile. Each field has the form that it has in the start request.
    struct ProfileFields {
        /// The scaling policy, or a list of several.
        nullable scaling_policy: Vec<PolicyChoice> = choices(),
        /// The health policy.
        nullable health_policy: PolicyChoice = choice(),
        /// Shadow policies.
        nullable shadow_policies: Vec<PolicyChoice> = shadows(),
        /// Metrics by name.
        nullable metrics: BTreeMap<String, Metric> = metric::definitions(),
        /// Guardrails.
        nullable guardrails: Guardrails = guardrails::shape(),
        /// The probe.
        nullable probe: Probe = probe::shape(),
        /// A call before a replica is stopped.
        nullable stop_hook: StopHook = stop_hook::shape(),
    }
}

/// Reads a profile.
///
/// # Errors
/// One sentence for each problem, with its place below `section`: `` `profiles.web.probe.http.port`: expected … ``.
pub fn read(section: &str, profile: &Value) -> Result<Profile, Vec<String>> {
    let mut problems = Problems::default();
    let fields = ProfileFields::read(profile, "", &mut problems);
    let checked = fields.and_then(|fields| checked(fields, &mut problems));
    let sentence = |FieldProblem { pointer, detail }: FieldProblem| format!("`{}`: {detail}", place(section, &pointer));
    problems.listed(checked).map_err(|problems| problems.into_iter().map(sentence).collect())
}

fn checked(fields: ProfileFields, problems: &mut Problems) -> Option<Profile> {
    let mut metrics = fields.metrics.given().unwrap_or_default();
    // A mask stands for a secret that is stored, and a file stores none.
    metric::keep_secrets(&mut metrics, &BTreeMap::new(), "/metrics", problems);
    Some(Profile {
        scaling: fields.scaling_policy.given().unwrap_or_default(),
        health: fields.health_policy.given(),
        shadows: fields.shadow_policies.given().unwrap_or_default(),
        metrics,
        guardrails: fields.guardrails.given(),
        probe: fields.probe.given(),
        stop_hook: fields.stop_hook.given(),
    })
}

/// A JSON pointer as the place in a configuration file.
fn place(section: &str, pointer: &str) -> String {
    let mut place = section.to_owned();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            place.push_str(&format!("[{part}]"));
        } else {
            let name = part.replace("~1", "/").replace("~0", "~");
            place.push_str(&format!(".{}", name.escape_debug()));
        }
    }
    place
}

/// A profile in the form that [`read`] reads, with masks in place of secrets.
pub fn json_of(profile: &Profile) -> Value {
    let Profile { scaling, health, shadows, metrics, guardrails, probe, stop_hook } = profile;
    let shadows = (!shadows.is_empty()).then(|| shadows.iter().map(choice_json).collect::<Value>());
    let shown = |(name, metric): (&String, &Metric)| (name.clone(), metric::json_of(metric));
    let metrics = (!metrics.is_empty()).then(|| metrics.iter().map(shown).collect::<Value>());
    let fields = [
        ("scaling_policy", scaling_json(scaling)),
        ("health_policy", health.as_ref().map(choice_json)),
        ("shadow_policies", shadows),
        ("metrics", metrics),
        ("guardrails", guardrails.as_ref().map(guardrails::json_of)),
        ("probe", probe.as_ref().map(probe::json_of)),
        ("stop_hook", stop_hook.as_ref().map(stop_hook::json_of)),
    ];
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    json!(there.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Value {
        json!({
            "scaling_policy": [{"name": "schedule", "config": {"windows": []}}, {"name": "target-tracking", "config": {"a": 0.6}}],
            "health_policy": {"name": "liveness", "config": {"failure-threshold": 2}},
            "shadow_policies": [{"name": "step", "config": {}}],
            "metrics": {"depth": {"json": {"url": "http://127.0.0.1:9090/", "pointer": "/depth"}, "interval": "30s"}},
            "guardrails": {"grace": "1m", "scale_up": {"rates": [{"count": 4, "per": "15s"}]}},
            "probe": {"http": {"port": 80, "path": "/up"}, "interval": "5s"},
            "stop_hook": {"exec": {"command": ["drain"]}, "timeout": "20s"},
        })
    }

    #[test]
    fn a_profile_has_the_fields_of_a_start_and_is_shown_as_it_is_read() {
        let profile = read("profiles.web", &full()).expect("well formed");
        assert_eq!(profile.scaling.len(), 2);
        assert!(profile.health.is_some() && profile.probe.is_some() && profile.stop_hook.is_some());
        assert_eq!(profile.guardrails.as_ref().map(|guardrails| guardrails.grace.as_secs()), Some(60));
        assert_eq!(read("profiles.web", &json_of(&profile)), Ok(profile.clone()));
        assert_eq!(read("profiles.web", &json!({})), Ok(Profile::default()));
        assert_eq!(json_of(&Profile::default()), json!({}));
        // Each field is the start request's own.
        let mut body = full();
        let start = json!({"image": "web", "resources": {"cpu": "1", "memory": "1g"}});
        body.as_object_mut().expect("an object").extend(start.as_object().cloned().expect("an object"));
        let workload = crate::start::workload(&body).expect("well formed");
        assert_eq!((workload.policies.scaling, workload.probe), (profile.scaling, profile.probe));
        assert_eq!((workload.metrics, workload.guardrails), (profile.metrics, profile.guardrails));
    }

    #[test]
    fn a_problem_is_told_with_its_place_in_the_file() {
        let told = |profile: Value| read("profiles.web", &profile).expect_err("refused").join("\n");
        insta::assert_snapshot!(told(json!({
            "min_replicas": 2,
            "scaling_polcy": {},
            "shadow_policies": [{"name": "a"}, {}],
            "guardrails": {"scale_down": {"rates": [{"count": 4, "per": "15"}]}},
            "metrics": {"a/b": {"push": {}}, "load": {"prometheus": {"url": "http://a", "query": "up", "headers": {"x": "***"}}}},
            "probe": {"http": {"port": 0}},
        })), @r"
        `profiles.web.min_replicas`: unknown field; expected `scaling_policy`, `health_policy`, `shadow_policies`, `metrics`, `guardrails`, `probe`, `stop_hook`
        `profiles.web.scaling_polcy`: unknown field; did you mean `scaling_policy`?
        `profiles.web.shadow_policies[1].name`: this field is required
        `profiles.web.metrics.a/b`: a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`
        `profiles.web.guardrails.scale_down.rates[0].per`: expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`
        `profiles.web.probe.http.port`: expected a whole number from 1 to 65535, found `0`
        `profiles.web.metrics.load.prometheus.headers.x`: `***` stands for a stored secret of the same metric and host, and there is none; give the secret
        ");
    }
}
