//! `resources`: the limits of each replica, and whether it runs.

use crate::json::object::{declare, object};
use crate::json::pattern::{numbers, whole};
use crate::json::shape::{Shape, one_of, parsed};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use windlass_core::quantity::{Cpu, Memory};
use windlass_core::workload::{DesiredStatus, Resources};

/// The words for [`DesiredStatus`].
pub(crate) const STATUS: &[(&str, DesiredStatus)] =
    &[("running", DesiredStatus::Running), ("stopped", DesiredStatus::Stopped)];

declare! {
    /// The limits of each replica, and whether it runs.
    pub(crate) struct ResourcesRequest {
        /// Cores (`0.5`) or thousandths of a core (`500m`), from 0.01 to the number of the engine's CPUs.
        required cpu: Cpu = parsed().pattern(&cpu_pattern(), LONGEST),
        /// Bytes with `k`, `m` or `g`, powers of 1024: `512m`, `1g`; at least `6m`.
        required memory: Memory = memory().pattern(&memory_pattern(), LONGEST),
        /// `running` or `stopped`. `stopped` keeps one replica, created and not started.
        optional status: DesiredStatus = one_of(STATUS).keyword("default", json!("running")),
    }
}

/// Most characters of an amount in the schema.
const LONGEST: usize = 24;

/// Thousandths of a core, or cores, from a hundredth of a core on.
fn cpu_pattern() -> String {
    let cores = format!(r"{}(?:\.[0-9]{{1,9}})?", numbers(1..=1_023));
    whole(&[format!("{}m", numbers(10..=1_024_000)), r"0\.(?:0[1-9]|[1-9])[0-9]{0,7}".to_owned(), cores])
}

/// Bytes, or powers of 1024 of them, from 6 MiB on, the least that an engine takes.
fn memory_pattern() -> String {
    let unit = |letter: &str, least: u64, most: u64| {
        format!(r"{}(?:\.[0-9]{{1,9}})?{letter}(?:[iI]?[bB])?", numbers(least..=most))
    };
    whole(&[
        format!("{}[bB]?", numbers(6 << 20..=1 << 50)),
        unit("[kK]", 6 << 10, 1 << 40),
        unit("[mM]", 6, 1 << 30),
        unit("[gG]", 1, 1 << 20),
        unit("[tT]", 1, 1 << 10),
        r"0\.(?:0[1-9]|[1-9])[0-9]{0,7}[gG](?:[iI]?[bB])?".to_owned(),
    ])
}

/// An amount of memory that an engine accepts as a limit.
fn memory() -> Shape<Memory> {
    parsed().then(|memory: Memory, pointer, problems| {
        if memory.bytes() < Memory::LEAST {
            problems.add(pointer, format!("`{memory}` is less than a container needs; expected at least `6m`"));
        }
        Some(memory)
    })
}

/// Reads resources.
pub(crate) fn shape() -> Shape<Resources> {
    object().then(|ResourcesRequest { cpu, memory, status, .. }, _, _| {
        Some(Resources { cpu: cpu.given()?, memory: memory.given()?, status: status.or(DesiredStatus::default())? })
    })
}

/// The limits of each replica, in the form of the start request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ResourcesView {
    /// CPU as it was requested: `0.5` or `500m`.
    pub(crate) cpu: String,
    /// Memory as it was requested: `512m`, `1g`.
    pub(crate) memory: String,
    /// `running` or `stopped`.
    #[schema(value_type = String)]
    pub(crate) status: DesiredStatus,
}

impl From<&Resources> for ResourcesView {
    fn from(resources: &Resources) -> Self {
        Self { cpu: resources.cpu.to_string(), memory: resources.memory.to_string(), status: resources.status }
    }
}
