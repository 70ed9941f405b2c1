//! `[profiles.NAME]`: settings of workloads that labels of services name. Their form is that of the start request, which
//! the API reads.

use crate::config::toml_json::{json, toml_of};
use std::collections::BTreeMap;
use windlass_api::profile;
use windlass_core::PolicyChoice;
use windlass_core::settings::Profile;

/// Checks all sections.
pub(super) fn profiles(raw: &BTreeMap<String, toml::Table>, problems: &mut Vec<String>) -> BTreeMap<String, Profile> {
    let mut profiles = BTreeMap::new();
    for (name, table) in raw {
        let section = format!("profiles.{}", name.escape_debug());
        if !PolicyChoice::is_name(name) {
            problems.push(format!(
                "`{section}`: the name of a profile must be 1 to 63 lower-case letters, digits and hyphens"
            ));
        }
        let Some(value) = json(&toml::Value::Table(table.clone())) else {
            problems.push(format!("`{section}` has a date or a number that JSON cannot express; write a date as text"));
            continue;
        };
        match profile::read(&section, &value) {
            Ok(profile) => drop(profiles.insert(name.clone(), profile)),
            Err(found) => problems.extend(found),
        }
    }
    profiles
}

/// The sections of profiles, with masks in place of secrets.
pub(super) fn tables(profiles: &BTreeMap<String, Profile>) -> BTreeMap<String, toml::Table> {
    let table = |profile: &Profile| match toml_of(&profile::json_of(profile)) {
        Some(toml::Value::Table(table)) => table,
        _ => toml::Table::new(),
    };
    profiles.iter().map(|(name, profile)| (name.clone(), table(profile))).collect()
}
