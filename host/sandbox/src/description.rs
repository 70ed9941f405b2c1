//! Checks the description of a policy against the contract.

use crate::convert::excerpt;
use crate::schema;
use windlass_core::PolicyChoice;
use windlass_core::contract::Description;

/// Every problem of a description, each a sentence.
pub(crate) fn problems(description: &Description) -> Vec<String> {
    let Description { name, version, summary, config_schema } = description;
    let mut problems = Vec::new();
    if !PolicyChoice::is_name(name) {
        problems
            .push(format!("`name` is `{}`; expected 1 to 63 lower-case letters, digits and hyphens", excerpt(name)));
    }
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |text: &&str| text.parse::<u64>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.len() != 3 || !numbers.iter().all(is_number) || version.len() > 64 {
        problems.push(format!("`version` is `{}`; expected a semantic version such as `1.0.0`", excerpt(version)));
    }
    if summary.len() > 1_024 {
        problems.push(format!("`summary` has {} bytes; expected one line of at most 1024", summary.len()));
    }
    if let Err(why) = schema::parse(config_schema) {
        problems.push(format!("`config-schema` {why}"));
    }
    problems
}
