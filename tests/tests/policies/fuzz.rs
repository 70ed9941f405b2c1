//! Fuzz targets: each parser of hostile input runs on its seeds and on damaged copies of them.
//!
//! `make test` runs the seeds and a small number of damaged copies, always the same ones. `make fuzz` runs other copies for
//! a time. Each target runs in a process of its own, so that a crash, a hang and an exhausted memory are found, too.

mod cases;
mod check;
mod damage;
mod process;
mod run;
mod seeds;
mod settings;
mod target;
mod targets;

use crate::fuzz::run::run;
use crate::fuzz::target::Target;
use crate::fuzz::targets::{answers, component, configuration, registry, requests, scenario, schema, trace};

#[test]
fn component() {
    run(&component::TARGET);
}

#[test]
fn schema() {
    run(&schema::TARGET);
}

#[test]
fn answers() {
    run(&answers::TARGET);
}

#[test]
fn configuration() {
    run(&configuration::TARGET);
}

#[test]
fn trace() {
    run(&trace::TARGET);
}

#[test]
fn scenario() {
    run(&scenario::TARGET);
}

#[test]
fn requests() {
    run(&requests::TARGET);
}

#[test]
fn registry() {
    run(&registry::TARGET);
}

/// Every target, of which each has a share of the time of `make fuzz`.
const TARGETS: [&Target; 8] = [
    &component::TARGET,
    &schema::TARGET,
    &answers::TARGET,
    &configuration::TARGET,
    &trace::TARGET,
    &scenario::TARGET,
    &requests::TARGET,
    &registry::TARGET,
];
