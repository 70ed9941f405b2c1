//! `windlass policy bench`: measures a policy on this machine, with the limits and the engine of production.

use crate::cli::format::Output;
use crate::cli::policy_call::CONFIGURING;
use crate::cli::sample_observation;
use crate::cli::sandbox_args::{SandboxArgs, now, read_component, with_hints};
use crate::cli::words::counted;
use anyhow::Context;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::PolicyKind;
use windlass_sandbox::cache::Cache;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::PolicyComponent;
use windlass_sandbox::engine::PolicyEngine;

/// Calls before the measured ones: they map pages and fill caches.
const WARM_UP: u32 = 20;

/// The figures.
#[derive(Debug, Serialize)]
struct Measured {
    /// Size of the component in bytes.
    size_bytes: u64,
    /// Time to compile the component in a child process, which happens once, in milliseconds.
    compile_ms: f64,
    /// Time to check, link and describe it, with its code from the cache, in milliseconds.
    load_ms: f64,
    /// Resident memory of this process that loading and the calls added, in bytes.
    resident_bytes: u64,
    /// Most linear memory that one call had, in bytes.
    call_memory_bytes: u64,
    /// Calls with each number of replicas.
    calls: u32,
    /// Times of the calls, each in a new instance.
    fresh_call: Vec<Times>,
}

/// Percentiles of the time of a call, in microseconds.
#[derive(Debug, Serialize)]
struct Times {
    replicas: u32,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// Loads a policy and calls it `calls` times with each number of replicas. Returns the figures in the chosen form.
pub(super) async fn bench(
    file: &Path,
    config: &str,
    calls: u32,
    output: Output,
    sandbox: &SandboxArgs,
) -> anyhow::Result<String> {
    let limits = sandbox.limits()?;
    let bytes = read_component(file, &limits)?;
    let size_bytes = bytes.len() as u64;
    let folder = tempfile::tempdir().context("cannot create a temporary folder for the compiled code")?;
    let engine = Arc::new(sandbox.with_network(PolicyEngine::new(limits)?)?);
    let compiler = || anyhow::Ok(Compiler::this_program().with_cache(Cache::open(folder.path())?));
    let digest = windlass_sandbox::component::digest(&bytes);
    let began = Instant::now();
    // If compiling fails, loading fails below with a better message.
    let _code_or_error = compiler()?.compile(&engine, engine.limits(), &bytes, &digest).await;
    let compile = began.elapsed();

    let resident_before = resident()?;
    let (again, began) = (compiler()?, Instant::now());
    let loaded = PolicyComponent::load(&engine, &again, None, Arc::clone(&bytes)).await;
    let policy = loaded.map_err(|error| with_hints(file, &bytes, &error))?;
    let load = began.elapsed();
    drop(bytes);
    let metrics = policy.configure(config, now()).await.answer.context(CONFIGURING)?;
    let mut measured = Measured {
        size_bytes,
        compile_ms: milliseconds(compile),
        load_ms: milliseconds(load),
        resident_bytes: 0,
        call_memory_bytes: 0,
        calls,
        fresh_call: Vec::new(),
    };
    for replicas in [10, 100] {
        let (scaling, health) =
            (sample_observation::scaling(replicas, &metrics, now()), sample_observation::health(replicas, now()));
        let mut times = Vec::new();
        for number in 0..calls.saturating_add(WARM_UP) {
            let began = Instant::now();
            let usage = match policy.kind() {
                PolicyKind::Scaling => {
                    let called = policy.decide(config, &scaling).await;
                    called.answer.context("the policy returned no decision")?;
                    called.usage
                }
                PolicyKind::Health => {
                    let called = policy.evaluate(config, &health).await;
                    called.answer.context("the policy returned no report")?;
                    called.usage
                }
            };
            if number >= WARM_UP {
                times.push(began.elapsed());
            }
            measured.call_memory_bytes = measured.call_memory_bytes.max(usage.memory_bytes);
        }
        measured.fresh_call.push(percentiles(replicas, times));
    }
    measured.resident_bytes = resident()?.saturating_sub(resident_before);
    let (document, text) = (serde_json::to_value(&measured)?, summary(&measured)?);
    output.show(&document, &[policy.description().name.clone()], || text)
}

fn summary(measured: &Measured) -> anyhow::Result<String> {
    let mib = |bytes: u64| Duration::from_nanos(bytes).as_secs_f64() * 1e9 / f64::from(1 << 20);
    let mut text = String::new();
    writeln!(text, "component  {} bytes", measured.size_bytes)?;
    writeln!(text, "compile    {:.0} ms, once, in a child process", measured.compile_ms)?;
    writeln!(text, "load       {:.1} ms, with its code from the cache", measured.load_ms)?;
    writeln!(
        text,
        "memory     {:.1} MiB resident while loaded, {:.1} MiB in a call",
        mib(measured.resident_bytes),
        mib(measured.call_memory_bytes)
    )?;
    let calls = counted(u64::from(measured.calls), "call");
    for Times { replicas, p50_us, p90_us, p99_us, max_us } in &measured.fresh_call {
        writeln!(
            text,
            "call       {replicas} replicas: p50 {p50_us:.1} µs, p90 {p90_us:.1} µs, p99 {p99_us:.1} µs, max {max_us:.1} µs ({calls})"
        )?;
    }
    Ok(text)
}

/// Nearest-rank percentiles of at least one time.
fn percentiles(replicas: u32, mut times: Vec<Duration>) -> Times {
    times.sort_unstable();
    let at = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    Times { replicas, p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Resident memory of this process in bytes, as Linux reports it.
fn resident() -> anyhow::Result<u64> {
    const FILE: &str = "/proc/self/statm";
    let text = std::fs::read_to_string(FILE).with_context(|| format!("cannot read `{FILE}`"))?;
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.with_context(|| format!("`{FILE}` has no second number"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times = (1..=200).rev().map(Duration::from_micros).collect();
        let Times { p50_us, p90_us, p99_us, max_us, .. } = percentiles(1, times);
        assert_eq!([p50_us, p90_us, p99_us, max_us].map(f64::round), [100.0, 180.0, 198.0, 200.0]);
        let one = percentiles(1, vec![Duration::from_micros(7)]);
        assert_eq!([one.p50_us, one.max_us].map(f64::round), [7.0, 7.0]);
    }
}
