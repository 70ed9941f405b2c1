//! The settings of a run, from the environment: `make fuzz` passes them on.

use std::path::PathBuf;
use std::time::Duration;

/// The seed of the damage in a run of `make test`.
const ORDINARY_SEED: u64 = 1;

/// The settings of a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The time of all targets together. `None` for the number of cases that `make test` runs.
    pub(crate) time: Option<Duration>,
    /// The only target to run. `None` for every target.
    pub(crate) target: Option<String>,
    /// The seed of the damage.
    pub(crate) seed: u64,
    /// The only input to run. `None` for seeds and damaged copies.
    pub(crate) input: Option<PathBuf>,
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    let text = variable(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`; expected a whole number, 0 or more")))
}

impl Settings {
    /// The settings in the environment. A timed run without `FUZZ_SEED` has the time of day as its seed.
    pub(crate) fn of_environment() -> Self {
        let time = number("FUZZ_SECONDS").map(Duration::from_secs);
        let now = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
        let seed = number("FUZZ_SEED").unwrap_or_else(|| if time.is_some() { now() } else { ORDINARY_SEED });
        let input = variable("FUZZ_INPUT").map(PathBuf::from);
        // The input's folder has the name of its target.
        let of_input = input.as_ref().and_then(|path| path.parent()?.file_name()?.to_str());
        let target = of_input.map(str::to_owned).or_else(|| variable("FUZZ_TARGET"));
        Self { time, target, seed, input }
    }
}
