//! Compiles components to machine code: in a child process with limits, one at a time, with a cache on disk.
//!
//! A hostile file does most harm when it is compiled: 1.4 MB can take 37 s and 500 MB of memory. Compiling cannot be
//! cancelled, but a process can be killed. The process has no privileges, in case the file takes it over.

use crate::cache::Cache;
use crate::confinement::{RunsAs, confine};
use crate::convert::excerpt;
use crate::engine;
use crate::engine::PolicyEngine;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Mutex;
use windlass_core::settings::PolicyLimits;

/// Name of the hidden command that [`run_child`] serves.
pub const CHILD_COMMAND: &str = "compile-policy";

/// Start of the child's input. It differs from anything a person would type, who then gets an explanation.
const HEADER: [u8; 8] = *b"wlcomp1\n";

/// Length of the header and the two limits after it, in bytes.
const HEADER_BYTES: usize = 24;

/// Threads of the child.
const CHILD_THREADS: u64 = 2;

/// A component that could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// wasmtime rejects the component.
    #[error("it is not a valid component: {0}")]
    Invalid(String),
    /// It uses the asynchronous part of the component model.
    #[error(
        "it is built for component-model async (WASI 0.3), which this host does not offer; build it for WASI 0.2 with \
         synchronous functions, in Rust with the target `wasm32-wasip2`"
    )]
    Async,
    /// Compiling exceeded its time limit.
    #[error("compiling it took longer than {} s", .0.as_secs())]
    Time(Duration),
    /// The child ended as a process does that reached its memory limit.
    #[error("compiling it failed ({status}), most likely because it needs more than {memory_bytes} bytes of memory")]
    Memory {
        /// Exit status of the child.
        status: String,
        /// Its limit of address space in bytes.
        memory_bytes: u64,
    },
    /// The child could not be run.
    #[error("cannot run the compiler process: {0}")]
    Child(String),
}

impl CompileError {
    /// The error for a component that wasmtime rejects. It names the feature of WebAssembly that the host lacks.
    fn rejected(why: &str) -> Self {
        let is_missing = |part: &str| why.contains("component model") && why.contains(part) && why.contains(" feature");
        if is_missing("async") || is_missing("error-context") { Self::Async } else { Self::Invalid(excerpt(why)) }
    }
}

/// Compiles components.
pub struct Compiler {
    mode: Mode,
    cache: Option<Cache>,
    /// Held while compiling, so that several hostile files do not add up.
    compiling: Mutex<()>,
}

enum Mode {
    Child { program: PathBuf },
    InProcess,
}

impl Compiler {
    /// Compiles in a child process of this program, which must be `windlass` itself.
    pub fn this_program() -> Self {
        // The path that it was started from may hold a newer program by now.
        Self::child(PathBuf::from("/proc/self/exe"))
    }

    /// Compiles in a child process of `program`, which must be a `windlass` of the same build.
    pub fn child(program: PathBuf) -> Self {
        Self { mode: Mode::Child { program }, cache: None, compiling: Mutex::new(()) }
    }

    /// Compiles in this process without limits: for benchmarks and tests with known components.
    pub fn in_process() -> Self {
        Self { mode: Mode::InProcess, cache: None, compiling: Mutex::new(()) }
    }

    /// Keeps machine code in this cache.
    #[must_use]
    pub fn with_cache(self, cache: Cache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Machine code for `engine`, from the cache or compiled now. `digest` is the component's, in hexadecimal.
    ///
    /// # Errors
    /// If the component is invalid or compiling it exceeds a limit.
    pub async fn compile(
        &self,
        engine: &PolicyEngine,
        limits: &PolicyLimits,
        component: &Arc<[u8]>,
        digest: &str,
    ) -> Result<Vec<u8>, CompileError> {
        let name = entry(engine, digest);
        // A cached component does not wait for one that is being compiled.
        if let Some(code) = self.cached(&name).await {
            return Ok(code);
        }
        let _one_at_a_time = self.compiling.lock().await;
        if let Some(code) = self.cached(&name).await {
            return Ok(code);
        }
        let code = match &self.mode {
            Mode::Child { program } => compile_in_child(program, limits, component).await?,
            Mode::InProcess => {
                let component = Arc::clone(component);
                let wasmtime = engine.wasmtime().clone();
                let compiled = tokio::task::spawn_blocking(move || wasmtime.precompile_component(&component)).await;
                compiled
                    .map_err(|error| CompileError::Child(error.to_string()))?
                    .map_err(|error| CompileError::rejected(&format!("{error:#}")))?
            }
        };
        if let Some(cache) = &self.cache {
            return Ok(cache.save(name, code).await);
        }
        Ok(code)
    }

    /// Compiles a component into the cache, unless the cache has its machine code. Without a cache it does nothing.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub async fn prepare(
        &self,
        engine: &PolicyEngine,
        limits: &PolicyLimits,
        component: &[u8],
        digest: &str,
    ) -> Result<(), CompileError> {
        match &self.cache {
            Some(cache) if !cache.contains(entry(engine, digest)).await => {
                self.compile(engine, limits, &Arc::from(component), digest).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Bytes of all machine code in the cache. 0 without a cache.
    pub async fn cached_bytes(&self) -> u64 {
        match &self.cache {
            Some(cache) => cache.bytes().await,
            None => 0,
        }
    }

    async fn cached(&self, name: &str) -> Option<Vec<u8>> {
        self.cache.as_ref()?.load(name.to_owned()).await
    }

    /// Removes machine code from the cache, except for `engine` and components with these digests, in hexadecimal.
    pub async fn keep_only(&self, engine: &PolicyEngine, digests: impl Iterator<Item = &str>) {
        if let Some(cache) = &self.cache {
            cache.keep_only(digests.map(|digest| entry(engine, digest)).collect()).await;
        }
    }
}

/// Name of the cache entry of a component for an engine.
fn entry(engine: &PolicyEngine, digest: &str) -> String {
    format!("{digest}-{:016x}", engine.compatibility())
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("cached", &self.cache.is_some()).finish_non_exhaustive()
    }
}

/// The beginning of the child's input: its limits, which the component follows.
pub fn child_header(limits: &PolicyLimits) -> [u8; HEADER_BYTES] {
    let seconds = limits.compile_time.as_secs().max(1);
    let mut header = [0; HEADER_BYTES];
    let parts = [HEADER, limits.compile_memory_bytes.to_le_bytes(), seconds.to_le_bytes()];
    header.copy_from_slice(parts.as_flattened());
    header
}

async fn compile_in_child(
    program: &PathBuf,
    limits: &PolicyLimits,
    component: &Arc<[u8]>,
) -> Result<Vec<u8>, CompileError> {
    let io = |error: std::io::Error| CompileError::Child(error.to_string());
    let mut child = Command::new(program)
        .arg(CHILD_COMMAND)
        .env_clear()
        .env("RAYON_NUM_THREADS", CHILD_THREADS.to_string())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let mut stdin = child.stdin.take().ok_or_else(|| CompileError::Child("it has no standard input".to_owned()))?;
    let stdout = child.stdout.take().ok_or_else(|| CompileError::Child("it has no standard output".to_owned()))?;
    let stderr = child.stderr.take().ok_or_else(|| CompileError::Child("it has no standard error".to_owned()))?;

    let write = async {
        stdin.write_all(&child_header(limits)).await?;
        stdin.write_all(component).await?;
        stdin.shutdown().await?;
        drop(stdin);
        std::io::Result::Ok(())
    };
    // The machine code comes from the child's memory, so it cannot be larger than that.
    let mut code = Vec::new();
    let mut stdout = stdout.take(limits.compile_memory_bytes);
    let read = stdout.read_to_end(&mut code);
    let mut complaint = Vec::new();
    let mut stderr = stderr.take(16 << 10);
    let listen = stderr.read_to_end(&mut complaint);
    let talk = async {
        // A child that rejects its input stops reading it. Its exit status gives the reason.
        let (_, read, listen) = futures_util::future::join3(write, read, listen).await;
        read?;
        listen?;
        child.wait().await
    };
    let talked = tokio::time::timeout(limits.compile_time, talk).await;
    match talked {
        Ok(status) => {
            let status = status.map_err(io)?;
            if !status.success() {
                return Err(child_failure(status, &complaint, limits));
            }
            if !complaint.is_empty() {
                tracing::warn!(
                    warning = excerpt(&String::from_utf8_lossy(&complaint)),
                    "the compiler process has a privilege"
                );
            }
            Ok(code)
        }
        Err(_) => {
            if let Err(error) = child.kill().await {
                tracing::warn!(error = %error, "cannot end the compiling process");
            }
            Err(CompileError::Time(limits.compile_time))
        }
    }
}

fn child_failure(status: ExitStatus, complaint: &[u8], limits: &PolicyLimits) -> CompileError {
    use std::os::unix::process::ExitStatusExt;
    let complaint = String::from_utf8_lossy(complaint);
    let complaint = complaint.trim();
    let too_little_memory =
        || CompileError::Memory { status: status.to_string(), memory_bytes: limits.compile_memory_bytes };
    match (status.code(), status.signal()) {
        (Some(1), _) => CompileError::rejected(complaint),
        // The address space has no room for the stack of a thread, so rayon panics.
        (Some(PANICKED), _) if complaint.contains("ThreadPoolBuildError") => too_little_memory(),
        // The kernel sends these when the processor time is used up.
        (_, Some(signal)) if signal == libc_signal::XCPU || signal == libc_signal::KILL => {
            CompileError::Time(limits.compile_time)
        }
        (_, Some(_)) => too_little_memory(),
        _ => CompileError::Child(format!("{status}: {}", excerpt(complaint))),
    }
}

/// Exit code of a Rust program that panicked.
const PANICKED: i32 = 101;

/// Numbers of the two signals that end a process without processor time.
mod libc_signal {
    pub(crate) const XCPU: i32 = rustix::process::Signal::XCPU.as_raw();
    pub(crate) const KILL: i32 = rustix::process::Signal::KILL.as_raw();
}

/// Runs the child: reads limits and a component from standard input, limits and confines its own process, and writes machine
/// code to standard output. If the component is invalid, it writes the reason to standard error and exits with status 1.
pub fn run_child() -> ExitCode {
    match compile_standard_input() {
        Ok(()) => ExitCode::SUCCESS,
        Err(ChildError::Invalid(why)) => {
            complain(&why);
            ExitCode::from(1)
        }
        Err(ChildError::Other(why)) => {
            complain(&why);
            ExitCode::from(2)
        }
    }
}

enum ChildError {
    Invalid(String),
    Other(String),
}

fn complain(why: &str) {
    // If this fails, there is no other way to report it.
    let _unreported = writeln!(std::io::stderr(), "{why}");
}

fn compile_standard_input() -> Result<(), ChildError> {
    let other = |error: &dyn std::fmt::Display| ChildError::Other(error.to_string());
    let mut input = std::io::stdin().lock();
    let mut header = [0; HEADER_BYTES];
    input.read_exact(&mut header).map_err(|_| {
        ChildError::Other(
            "only `windlass` itself runs this command; push a component with `windlass policy push`".to_owned(),
        )
    })?;
    let (name, numbers) = header.split_at(HEADER.len());
    if name != HEADER {
        return Err(ChildError::Other(
            "only `windlass` itself runs this command; push a component with `windlass policy push`".to_owned(),
        ));
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (memory_bytes, seconds) = (number(&numbers[..8]), number(&numbers[8..]));
    limit_this_process(memory_bytes, seconds).map_err(|error| other(&error))?;
    if confine().map_err(|error| other(&error))? == RunsAs::Root {
        complain(
            "it runs as root without capabilities: let Windlass change users (CAP_SETUID, CAP_SETGID), or run it as a user of its own",
        );
    }
    let mut component = Vec::new();
    input.read_to_end(&mut component).map_err(|error| other(&error))?;
    let engine = engine::compiling().map_err(|error| other(&error))?;
    let code = engine.precompile_component(&component).map_err(|error| ChildError::Invalid(format!("{error:#}")))?;
    let mut output = std::io::stdout().lock();
    output.write_all(&code).and_then(|()| output.flush()).map_err(|error| other(&error))
}

/// Niceness of the child: the host's policy calls have priority.
const NICENESS: i32 = 10;

/// Limits the memory and time of this process, forbids files and core dumps, and lowers its priority.
fn limit_this_process(memory_bytes: u64, seconds: u64) -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    nice(NICENESS)?;
    let processor_seconds = seconds.saturating_mul(CHILD_THREADS);
    let bounds = [
        (Resource::As, memory_bytes),
        (Resource::Cpu, processor_seconds),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, 64),
    ];
    for (resource, bound) in bounds {
        setrlimit(resource, Rlimit { current: Some(bound), maximum: Some(bound) })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn a_child_without_room_for_its_threads_lacks_memory() {
        let limits = PolicyLimits::default();
        let failure =
            |complaint: &str| child_failure(ExitStatus::from_raw(PANICKED << 8), complaint.as_bytes(), &limits);
        let complaint =
            "thread 'main' panicked: The global thread pool has not been initialized.: ThreadPoolBuildError { … }";
        assert!(matches!(failure(complaint), CompileError::Memory { .. }));
        assert!(matches!(failure("thread 'main' panicked: overflow"), CompileError::Child(_)));
    }
}
