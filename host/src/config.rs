//! The configuration: `windlass.toml`, overridden by environment and flags, checked into a [`Config`].
//!
//! It has two stages. `raw` parses the file with serde; an unknown key is an error that names the nearest known key.
//! `load` checks every value and builds the settings in [`windlass_core::settings`].
//! `values` parses the values that are written with a unit.

mod agents;
mod discovery;
mod listen;
mod load;
mod network;
mod parse;
mod profiles;
mod raw;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod toml_json;
mod types;
mod values;

pub use crate::config::load::{engine, listen, load, network, policies};
pub use crate::config::types::{Config, ConfigError, LogFormat, LogSettings, Overrides, Surroundings};
