//! Runs a target and reports: the number of cases and their speed, and each input on which it failed.

use crate::fuzz::TARGETS;
use crate::fuzz::cases::Cases;
use crate::fuzz::process::{self, Ended, Progress, Task, Until};
use crate::fuzz::seeds::{failures, root};
use crate::fuzz::settings::Settings;
use crate::fuzz::target::Target;
use anyhow::Context;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// The time limit of one case. In a run of `make test`, cases take milliseconds.
const CASE_LIMIT: Duration = Duration::from_secs(20);

/// A target that failed on this many inputs does not run on.
const MOST_FAILURES: usize = 5;

/// Runs a target as the environment requires.
///
/// # Panics
/// If the target fails on an input.
pub(crate) fn run(target: &Target) {
    if let Some((task, progress)) = process::task() {
        return process::carry_out(target, &task, &progress);
    }
    let settings = Settings::of_environment();
    if settings.target.as_ref().is_some_and(|only| only != target.name) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let failures = runtime.block_on(async {
        match &settings.input {
            Some(input) => repeat(target, &root().join(input)).await,
            None => search(target, &settings).await,
        }
    });
    let failures = failures.expect("the cases can be run");
    assert!(failures.is_empty(), "fuzz target `{}`:\n{}", target.name, failures.join("\n\n"));
}

/// Runs one input. Returns its failure.
async fn repeat(target: &Target, input: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::metadata(input).with_context(|| format!("FUZZ_INPUT is `{}`", input.display()))?;
    let ended = alone(target, input, CASE_LIMIT).await?;
    Ok(ended.failure.into_iter().collect())
}

/// Runs one input in a process of its own.
async fn alone(target: &Target, input: &Path, limit: Duration) -> anyhow::Result<Ended> {
    let task = Task { seed: 0, from: 0, until: Until::Case(1), input: Some(input.to_owned()) };
    process::begin(target, &task, limit).await
}

/// Runs the cases. Returns the failures.
async fn search(target: &Target, settings: &Settings) -> anyhow::Result<Vec<String>> {
    let cases = Cases::of(target, settings.seed);
    let targets = settings.target.as_ref().map_or(TARGETS.len(), |_| 1);
    let share = settings.time.map(|time| time / u32::try_from(targets).unwrap_or(u32::MAX));
    let (begin, mut failures) = (Instant::now(), Vec::new());
    let mut total = Progress::default();
    while failures.len() < MOST_FAILURES {
        let until = match share {
            None => Until::Case(cases.seeds() + target.cases),
            Some(share) => Until::Time(share.saturating_sub(begin.elapsed())),
        };
        let task = Task { seed: settings.seed, from: total.number, until, input: None };
        let Ended { progress, failure } = process::begin(target, &task, CASE_LIMIT).await?;
        total = Progress {
            number: progress.number,
            slowest: total.slowest.max(progress.slowest),
            valid: total.valid + progress.valid,
        };
        let Some(why) = failure else { break };
        failures.push(failed(target, &cases, settings.seed, total.number, &why).await?);
        total.number += 1;
    }
    if share.is_some() {
        report(target, settings.seed, total, begin.elapsed(), failures.len());
    }
    Ok(failures)
}

#[expect(clippy::print_stdout, reason = "`make fuzz` is for the person who reads it")]
fn report(target: &Target, seed: u64, total: Progress, time: Duration, failures: usize) {
    let Progress { number: cases, slowest, valid } = total;
    #[expect(clippy::cast_precision_loss, reason = "a speed needs few digits")]
    let speed = cases as f64 / time.as_secs_f64().max(0.001);
    println!(
        "{:<13} seed {seed}: {cases} cases ({valid} valid) in {:.1} s, {speed:.0} a second, the slowest {} ms; {failures} failed",
        target.name,
        time.as_secs_f64(),
        slowest.as_millis()
    );
}

/// Keeps the input of a failed case, and describes the failure with the command that repeats it.
async fn failed(target: &Target, cases: &Cases, seed: u64, number: u64, why: &str) -> anyhow::Result<String> {
    let folder = failures(target.name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{seed}-{number}"));
    std::fs::write(&file, cases.input(number))?;
    let alone = alone(target, &file, CASE_LIMIT).await?;
    let shown = format!("tests/fuzz/corpus/failures/{}/{seed}-{number}", target.name);
    if alone.failure.is_none() {
        let name = target.name;
        return Ok(format!(
            "failed after the cases before it, not alone: case {number} of seed {seed}, {shown}\nrepeat it: make fuzz \
             FUZZ_TARGET={name} FUZZ_SEED={seed}\n{why}"
        ));
    }
    if number >= cases.seeds() && !why.contains("did not end") {
        let smaller = smallest(cases, number, async |input| {
            std::fs::write(&file, input)?;
            Ok(self::alone(target, &file, CASE_LIMIT).await?.failure.is_some())
        });
        let smaller = smaller.await?;
        std::fs::write(&file, smaller)?;
    }
    Ok(format!("failed on {shown} (case {number} of seed {seed})\nrepeat it: make fuzz FUZZ_INPUT={shown}\n{why}"))
}

/// The input of a failing case without the changes that it fails without.
async fn smallest(
    cases: &Cases,
    number: u64,
    mut fails: impl AsyncFnMut(&[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<u8>> {
    let mut damage = cases.damage(number);
    let mut at = 0;
    while at < damage.changes() {
        let less = damage.without(at);
        if fails(&cases.damaged(&less)).await? {
            (damage, at) = (less, 0);
        } else {
            at += 1;
        }
    }
    Ok(cases.damaged(&damage))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Target = Target {
        name: "run::tests::sample",
        cases: 0,
        seeds: || vec![b"one, two, three".to_vec()],
        words: &["hostile"],
        start: || Box::new(|_| true),
    };

    fn is_hostile(input: &[u8]) -> bool {
        input.windows(7).any(|part| part == b"hostile")
    }

    #[tokio::test]
    async fn the_damage_of_a_failing_case_becomes_smaller() {
        let cases = Cases::of(&SAMPLE, 1);
        let is_long = |number: &u64| cases.input(*number).len() > 60 && is_hostile(&cases.input(*number));
        let number = (1..100_000).find(is_long).expect("some damage inserts the word and more");
        let smaller = smallest(&cases, number, async |input| Ok(is_hostile(input))).await.expect("an input");
        assert!(is_hostile(&smaller) && smaller.len() < 30, "{}", String::from_utf8_lossy(&smaller));
    }

    #[test]
    fn the_same_seed_makes_the_same_cases() {
        let inputs = |seed| {
            let cases = Cases::of(&SAMPLE, seed);
            (0..50).map(|number| cases.input(number)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert_eq!(inputs(7)[0], b"one, two, three");
    }
}
