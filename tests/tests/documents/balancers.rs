//! The example templates for load balancers keep their form, whatever the workloads are called and labelled.
//!
//! `make closed-loop` asks the real HAProxy and nginx the same.

use proptest::prelude::{ProptestConfig, TestCaseError, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeSet;
use windlass_discovery::Workload;
use windlass_tests::balancers::{HOSTILE_NAMES, LABEL, haproxy, list, lists, nginx};

/// The text of a quoted word as HAProxy and nginx read it. `None` if the word does not end with the text.
fn unquoted(word: &str) -> Option<String> {
    let mut characters = word.strip_prefix('"')?.chars();
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => text.push(characters.next().filter(|next| matches!(next, '"' | '\\'))?),
            '$' | '%' => return None,
            character if character.is_control() => return None,
            character => text.push(character),
        }
    }
}

/// Checks that a word is the label's text except for the characters that cannot be quoted.
fn check_label(word: &str, workload: &Workload) -> Result<(), TestCaseError> {
    let text = unquoted(word);
    prop_assert!(text.is_some(), "{word}");
    let text = text.unwrap_or_default();
    let label = Some(&workload.labels[LABEL]).filter(|label| !label.is_empty()).map_or("_", String::as_str);
    prop_assert_eq!(text.chars().count(), label.chars().count().min(1_000));
    let is_kept = |(shown, given): (char, char)| shown == given || shown == '_';
    prop_assert!(text.chars().zip(label.chars()).all(is_kept), "{text:?} is not {label:?}");
    Ok(())
}

/// Checks that the names are plain, and unique also if letter case does not count.
fn check_names(names: &[&str], workloads: &[Workload]) -> Result<(), TestCaseError> {
    let is_plain =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    prop_assert_eq!(names.len(), workloads.len());
    for (name, workload) in names.iter().zip(workloads) {
        prop_assert!(is_plain(name), "{name:?} of {:?}", workload.name);
        prop_assert_eq!(*name, &workload.identifier);
    }
    let distinct: BTreeSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    prop_assert_eq!(distinct.len(), workloads.len());
    Ok(())
}

/// The lines except comments and empty ones.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn check_haproxy(workloads: &[Workload]) -> Result<(), TestCaseError> {
    let text = haproxy().and_then(|template| template.render(workloads)).map_err(TestCaseError::fail)?;
    let (mut backends, mut rules, mut servers) = (Vec::new(), Vec::new(), 0);
    for line in lines(&text) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["global"]
            | ["defaults"]
            | ["frontend", "http"]
            | ["maxconn" | "mode" | "retries" | "bind" | "balance", _]
            | ["option", "redispatch"]
            | ["timeout", _, _] => {}
            ["use_backend", name, "if", "{", "hdr_beg(host)", "-i", "--", host, "}"] => {
                prop_assert_eq!(*host, format!("{name}."));
                rules.push(*name);
            }
            ["backend", name] => backends.push(*name),
            ["server", name, address] => {
                prop_assert!(name.starts_with('s') && address.ends_with(":80"), "{line}");
                servers += 1;
            }
            ["http-response", "set-header", "x-team", ..] => {
                let word = line.strip_prefix("http-response set-header x-team ").unwrap_or_default();
                check_label(word, &workloads[backends.len() - 1])?;
            }
            _ => prop_assert!(false, "another line: {line}"),
        }
    }
    check_names(&backends, workloads)?;
    prop_assert_eq!(servers, workloads.iter().map(|workload| workload.targets.len()).sum::<usize>());
    // The rule of a name comes after those of the names that begin with it.
    for (index, rule) in rules.iter().enumerate() {
        let hides = |later: &&str| later.to_ascii_lowercase().starts_with(&format!("{}.", rule.to_ascii_lowercase()));
        prop_assert!(!rules[index + 1..].iter().any(hides), "{rules:?}");
    }
    prop_assert_eq!(rules.into_iter().collect::<BTreeSet<_>>(), backends.into_iter().collect::<BTreeSet<_>>());
    Ok(())
}

fn check_nginx(workloads: &[Workload]) -> Result<(), TestCaseError> {
    let text = nginx().and_then(|template| template.render(workloads)).map_err(TestCaseError::fail)?;
    let (mut upstreams, mut maps) = (Vec::new(), 0);
    for line in lines(&text) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["upstream", name, "{"] => upstreams.push(*name),
            ["server", address] => prop_assert!(address.ends_with(":80;"), "{line}"),
            ["server", "127.0.0.1:1", "down;"] | ["}"] => {}
            ["map", "$host", _, "{", "default", ..] => {
                let end = line.strip_suffix("; }").and_then(|line| line.split_once(" { default "));
                prop_assert!(end.is_some(), "{line}");
                check_label(end.map_or("", |(_, word)| word), &workloads[maps])?;
                maps += 1;
            }
            _ => prop_assert!(false, "another line: {line}"),
        }
    }
    prop_assert_eq!(maps, workloads.len());
    check_names(&upstreams, workloads)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_name_and_no_label_changes_the_form_of_the_configurations(workloads in lists()) {
        check_haproxy(&workloads)?;
        check_nginx(&workloads)?;
    }
}

#[test]
fn all_hostile_names_at_once_change_nothing() {
    let all: Vec<(String, String, u32)> = HOSTILE_NAMES.map(|name| (name.to_owned(), name.to_owned(), 1)).to_vec();
    let workloads = list(&all);
    check_haproxy(&workloads).and_then(|()| check_nginx(&workloads)).unwrap_or_else(|why| panic!("{why}"));
}
