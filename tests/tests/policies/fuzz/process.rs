//! Runs cases in a process of their own, and finds the case at which it ends or hangs.

use crate::fuzz::cases::Cases;
use crate::fuzz::target::Target;
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;

/// The variable with the [`Task`] of a process.
const TASK: &str = "WINDLASS_FUZZ_TASK";

/// Memory that a process may write to, in bytes. Address space that is only reserved does not count.
const MEMORY_BYTES: u64 = 2 << 30;

/// The most bytes of a failed process's output that are shown.
const SHOWN_BYTES: usize = 2_000;

/// The work of a process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The seed of the damage.
    pub(crate) seed: u64,
    /// The number of the first case.
    pub(crate) from: u64,
    /// The end of the work.
    pub(crate) until: Until,
    /// The only input. `None` for the cases.
    pub(crate) input: Option<PathBuf>,
}

/// The end of a process's work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Until {
    /// The number of the first case that does not run.
    Case(u64),
    /// The time from the first case on.
    Time(Duration),
}

impl Until {
    fn is_over(self, number: u64, begin: Instant) -> bool {
        match self {
            Self::Case(end) => number >= end,
            Self::Time(time) => begin.elapsed() >= time,
        }
    }
}

/// The state of a process, in a file of which each field is a little-endian number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of the case that runs. After the last one, the number of the case that would follow.
    pub(crate) number: u64,
    /// The time of the slowest case.
    pub(crate) slowest: Duration,
    /// The number of valid inputs.
    pub(crate) valid: u64,
}

impl Progress {
    fn write(self, file: &File) {
        let slowest = u64::try_from(self.slowest.as_micros()).unwrap_or(u64::MAX);
        let bytes = [self.number, slowest, self.valid].map(u64::to_le_bytes).concat();
        file.write_all_at(&bytes, 0).expect("the progress can be written");
    }

    fn read(file: &File) -> anyhow::Result<Self> {
        let number = |at: u64| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, at).map(|()| u64::from_le_bytes(bytes))
        };
        Ok(Self { number: number(0)?, slowest: Duration::from_micros(number(8)?), valid: number(16)? })
    }
}

/// The end of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its last state.
    pub(crate) progress: Progress,
    /// Why its last case failed. `None` if every case passed.
    pub(crate) failure: Option<String>,
}

/// The task of this process. `None` if it is not a process of [`begin`].
pub(crate) fn task() -> Option<(Task, File)> {
    let text = std::env::var(TASK).ok()?;
    let (task, progress): (Task, PathBuf) = serde_json::from_str(&text).expect("a task");
    Some((task, File::options().write(true).open(progress).expect("the file of the progress")))
}

/// Carries out a task in this process, which a failing case ends.
pub(crate) fn carry_out(target: &Target, task: &Task, file: &File) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(MEMORY_BYTES), maximum: Some(MEMORY_BYTES) };
    setrlimit(Resource::Data, limit).expect("a lower limit is always allowed");
    // A panic in any thread is a failure, also one that is caught.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let mut parse = (target.start)();
    if let Some(input) = &task.input {
        let _valid = parse(&std::fs::read(input).expect("the input is readable"));
        return;
    }
    let cases = Cases::of(target, task.seed);
    let (mut progress, begin) = (Progress { number: task.from, ..Progress::default() }, Instant::now());
    while !task.until.is_over(progress.number, begin) {
        let input = cases.input(progress.number);
        progress.write(file);
        let case = Instant::now();
        progress.valid += u64::from(parse(&input));
        progress.slowest = progress.slowest.max(case.elapsed());
        progress.number += 1;
        // Damaged copies of invalid seeds would not reach much of the parser.
        let is_last_seed = task.from == 0 && progress.number == cases.seeds();
        assert!(!is_last_seed || 2 * progress.valid >= cases.seeds(), "only {} seeds are valid", progress.valid);
    }
    progress.write(file);
}

/// Carries out a task in a new process. A case that takes longer than `limit`, and certainly one that takes twice as long,
/// is a failure.
pub(crate) async fn begin(target: &Target, task: &Task, limit: Duration) -> anyhow::Result<Ended> {
    let folder = tempfile::tempdir()?;
    let (progress_path, output_path) = (folder.path().join("progress"), folder.path().join("output"));
    std::fs::write(&progress_path, [0; 24])?;
    let progress = File::open(&progress_path)?;
    let test = format!("fuzz::{}", target.name);
    let mut child = Command::new(std::env::current_exe()?)
        .args([&test, "--exact", "--nocapture"])
        .env(TASK, serde_json::to_string(&(task, &progress_path))?)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&output_path)?)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a process for the cases")?;
    let mut last = None;
    let failure = loop {
        let now = Progress::read(&progress)?;
        if last == Some(now) {
            child.kill().await?;
            break Some(format!("it did not end within {} s", limit.as_secs()));
        }
        last = Some(now);
        if let Ok(status) = tokio::time::timeout(limit, child.wait()).await {
            let status = status?;
            break (!status.success()).then(|| format!("{status}\n{}", shown(&output_path)));
        }
    };
    let progress = Progress::read(&progress)?;
    ensure!(failure.is_some() || task.input.is_some() || progress.number > 0, "`{test}` is not a test of this program");
    Ok(Ended { progress, failure })
}

/// The beginning of a process's output. A panic begins with its message.
fn shown(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).trim().to_owned()
}
