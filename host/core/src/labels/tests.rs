//! Tests of reading labels: a table of right and wrong ones, and properties of any.

use super::*;
use proptest::collection::btree_map;
use proptest::prelude::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Reads labels together with `windlass.enable=true`.
fn read(pairs: &[(&str, &str)]) -> Result<ServiceLabels, String> {
    let mut labels = labels(pairs);
    labels.insert(ENABLE.to_owned(), "true".to_owned());
    ServiceLabels::read(&labels).map(|read| read.expect("it is enabled")).map_err(|problems| problems.join("\n"))
}

#[test]
fn two_labels_are_enough_and_the_rest_has_defaults() {
    let plain = ServiceLabels {
        bounds: Bounds::new(1, 5).expect("in order"),
        mode: Mode::Recommend,
        profile: None,
        policy: None,
    };
    assert_eq!(read(&[(MAX, "5")]), Ok(plain.clone()));
    assert_eq!(read(&[(MAX, " 5 "), (MIN, "1"), (MODE, "recommend")]), Ok(plain.clone()));
    // The labels of a clone, of a replica, and of others say nothing about the workload.
    let others =
        [("windlass.clone-of", "ab"), ("windlass.slot", "2"), ("com.example", "x"), (Workload::PROTECTION, "true")];
    assert_eq!(read(&[&[(MAX, "5")][..], &others[..]].concat()), Ok(plain.clone()));
    let all = read(&[
        (MIN, "0"),
        (MAX, "1000"),
        (MODE, "act"),
        (PROFILE, "web"),
        (POLICY, "queue"),
        (POLICY_CONFIG, "{\"a\" : 1}"),
    ]);
    let policy = PolicyChoice { name: "queue".to_owned(), config: "{\"a\":1}".to_owned() };
    let bounds = Bounds::new(0, 1_000).expect("in order");
    let expected = ServiceLabels { bounds, mode: Mode::Act, profile: Some("web".to_owned()), policy: Some(policy) };
    assert_eq!(all, Ok(expected));
    let bare = read(&[(MAX, "5"), (POLICY, "queue")]).expect("well formed");
    assert_eq!(bare.policy.map(|policy| policy.config), Some("{}".to_owned()));
}

#[test]
fn a_service_that_does_not_ask_for_windlass_is_none_of_its_business() {
    for other in [&[][..], &[(ENABLE, "false")], &[(MAX, "5")], &[(ENABLE, "false"), (MAX, "many"), ("windlass.x", "")]]
    {
        assert_eq!(ServiceLabels::read(&labels(other)), Ok(None), "{other:?}");
    }
}

#[test]
fn each_wrong_label_is_named_with_the_right_form() {
    for (wrong, expected) in [
        (&[(ENABLE, "yes"), (MAX, "5")][..], "`windlass.enable` is `yes`; expected `true` or `false`"),
        (&[(ENABLE, "True"), (MAX, "5")], "`windlass.enable` is `True`; expected `true` or `false`"),
        (&[], "`windlass.max` is missing; set it to the most replicas that the service may have"),
        (&[(MAX, "0")], "`windlass.max` is `0`; expected a whole number from 1 to 1000"),
        (&[(MAX, "1001")], "`windlass.max` is `1001`; expected a whole number from 1 to 1000"),
        (&[(MAX, "")], "`windlass.max` is ``; expected a whole number from 1 to 1000"),
        (&[(MAX, "-1")], "`windlass.max` is `-1`; expected a whole number from 1 to 1000"),
        (&[(MAX, "5"), (MIN, "1.5")], "`windlass.min` is `1.5`; expected a whole number from 0 to 1000"),
        (&[(MAX, "3"), (MIN, "5")], "`windlass.min` is 5, above `windlass.max` (3); lower it or raise the maximum"),
        (&[(MAX, "5"), (MODE, "on")], "`windlass.mode` is `on`; expected `recommend` or `act`"),
        (
            &[(MAX, "5"), (PROFILE, "Web")],
            "`windlass.profile` is `Web`; expected a name of 1 to 63 lower-case letters, digits and hyphens",
        ),
        (
            &[(MAX, "5"), (POLICY, "")],
            "`windlass.policy` is ``; expected a name of 1 to 63 lower-case letters, digits and hyphens",
        ),
        (
            &[(MAX, "5"), (POLICY_CONFIG, "{}")],
            "`windlass.policy.config` is set without `windlass.policy`; name the policy, or remove the label",
        ),
        (
            &[(MAX, "5"), (POLICY, "a"), (POLICY_CONFIG, "[1]")],
            "`windlass.policy.config` is `[1]`; expected a JSON object such as `{\"replicas\": 2}`",
        ),
        (
            &[(MAX, "5"), (POLICY, "a"), (POLICY_CONFIG, "{")],
            "`windlass.policy.config` is not JSON: EOF while parsing an object at line 1 column 1; expected an object such \
             as `{}`",
        ),
        (
            &[(MAX, "5"), (Workload::PROTECTION, "1")],
            "`windlass.scale-in-protection` is `1`; expected `true` or `false`",
        ),
        (&[(MAX, "5"), ("windlass.mx", "6")], "unknown label `windlass.mx`; did you mean `windlass.max`?"),
        (
            &[(MAX, "5"), ("windlass.maximum", "6")],
            "unknown label `windlass.maximum`; expected `windlass.enable`, \
             `windlass.min`, `windlass.max`, `windlass.mode`, `windlass.profile`, `windlass.policy`, \
             `windlass.policy.config`, `windlass.scale-in-protection`",
        ),
        (
            &[(MAX, "5"), ("windlass.policy.conf", "{}")],
            "unknown label `windlass.policy.conf`; did you mean `windlass.policy.config`?",
        ),
    ] {
        let mut all = labels(&[(ENABLE, "true")]);
        all.extend(labels(wrong));
        let problems = ServiceLabels::read(&all).expect_err("refused");
        assert_eq!(problems.join("\n"), expected, "{wrong:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let problems =
        read(&[(MIN, "x"), (MODE, "go"), ("windlass.colour", "red"), (POLICY_CONFIG, "1"), (PROFILE, "a b")]);
    let told = problems.expect_err("refused");
    for label in [MIN, MAX, MODE, "windlass.colour", POLICY_CONFIG, PROFILE] {
        assert!(told.lines().any(|line| line.contains(&format!("`{label}`"))), "{label}: {told}");
    }
    assert_eq!(told.lines().count(), 7, "{told}");
    let long = read(&[(MAX, &"9".repeat(100_000))]).expect_err("refused");
    assert!(long.len() < 200, "{long}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the labels are, they are read or refused with sentences that name a label, of a bounded length.
    #[test]
    fn any_labels_are_read_or_refused_with_a_reason(
        names in btree_map("(windlass\\.)?(enable|min|max|mode|profile|policy|policy\\.config|[a-z.-]{0,12})", ".{0,12}|true|[0-9]{1,4}|\\{\\}", 0..10),
    ) {
        let enabled = names.get(ENABLE).map(|value| value.trim());
        match ServiceLabels::read(&names) {
            Ok(None) => prop_assert!(matches!(enabled, None | Some("false"))),
            Ok(Some(read)) => {
                prop_assert_eq!(enabled, Some("true"));
                prop_assert!(read.bounds.min() <= read.bounds.max());
                prop_assert!(names.keys().all(|name| unknown(name).is_none()));
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.contains("`windlass.") && problem.len() < 400));
            }
        }
    }

    /// Right labels are read as they are meant.
    #[test]
    fn right_labels_are_read_as_they_are_meant(min in 0..=Bounds::LIMIT, more in 0..=Bounds::LIMIT, acts in any::<bool>()) {
        let max = (min + more).clamp(1, Bounds::LIMIT);
        let mode = if acts { "act" } else { "recommend" };
        let read = read(&[(MIN, &min.to_string()), (MAX, &max.to_string()), (MODE, mode)]).expect("well formed");
        prop_assert_eq!((read.bounds.min(), read.bounds.max()), (min, max));
        prop_assert_eq!(read.mode == Mode::Act, acts);
    }
}
