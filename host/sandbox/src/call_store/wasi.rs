//! WASI 0.2 without access to the machine: clocks that stand still at the observation's time, seeded random numbers, and
//! output that is kept up to a limit. There are no files, environment, arguments or sockets.

use crate::call_store::failure::LimitExceeded;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiView};
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, Timestamp};

/// Adds all of WASI 0.2's command imports. `randomness` finds the random numbers in a store's state.
pub(crate) fn add_to_linker<T: WasiView + Send>(
    linker: &mut Linker<T>,
    randomness: fn(&mut T) -> &mut Randomness,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // wasmtime limits the random bytes of one request. The host's are seeded and limited over the whole call.
    linker.allow_shadowing(true);
    random::add_to_linker::<_, HasSelf<_>>(linker, randomness)?;
    insecure::add_to_linker::<_, HasSelf<_>>(linker, randomness)?;
    insecure_seed::add_to_linker::<_, HasSelf<_>>(linker, randomness)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// WASI's context for one call.
pub(crate) fn context(now: Timestamp, output: &Arc<Mutex<Output>>, limits: &PolicyLimits) -> WasiCtx {
    let sink = Sink { output: Arc::clone(output), limit: usize::try_from(limits.output_bytes).unwrap_or(usize::MAX) };
    let mut builder = WasiCtx::builder();
    builder
        .wall_clock(Still(now))
        .monotonic_clock(Still(now))
        .stdout(sink.clone())
        .stderr(sink)
        .max_random_size(limits.random_bytes)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    builder.build()
}

/// A clock that stands still.
struct Still(Timestamp);

impl HostWallClock for Still {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.0)
    }
}

impl HostMonotonicClock for Still {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        // Go's runtime aborts if this clock shows zero, as it would in `describe`.
        self.0.0.saturating_mul(1_000_000).max(1)
    }
}

/// Seeded random numbers (SplitMix64), limited for each call. The same arguments produce the same numbers, so that a
/// decision can be replayed. They are unfit for secrets.
#[derive(Debug)]
pub(crate) struct Randomness {
    state: u64,
    left: u64,
    limit: u64,
}

impl Randomness {
    /// Random numbers with these texts as their seed.
    pub(crate) fn seeded(texts: &[&[u8]], limits: &PolicyLimits) -> Self {
        let mut hasher = Sha256::new();
        for text in texts {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let digest = hasher.finalize();
        let seed = digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        Self { state: seed, left: limits.random_bytes, limit: limits.random_bytes }
    }

    /// No random numbers, for a component that imports none.
    pub(crate) fn none() -> Self {
        Self { state: 0, left: 0, limit: 0 }
    }

    fn take(&mut self, bytes: u64) -> wasmtime::Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let reason = format!("it requested more than {} random bytes", self.limit);
                Err(LimitExceeded(PolicyFailure::new(FailureKind::Memory, reason)).into())
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.take(count)?;
        let count = usize::try_from(count)?;
        let mut bytes = Vec::with_capacity(count.next_multiple_of(8));
        while bytes.len() < count {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        self.take(8)?;
        Ok(self.next())
    }
}

impl random::Host for Randomness {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure::Host for Randomness {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        self.bytes(count)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.number()
    }
}

impl insecure_seed::Host for Randomness {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.number()?, self.number()?))
    }
}

/// Standard output and standard error of a call.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) kept: Vec<u8>,
    pub(crate) dropped: u64,
}

/// A stream that accepts everything and keeps its beginning, so that too much output neither blocks nor fails the call.
#[derive(Clone)]
struct Sink {
    output: Arc<Mutex<Output>>,
    limit: usize,
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 calls this, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut output = self.output.lock();
        let room = self.limit.saturating_sub(output.kept.len()).min(bytes.len());
        output.kept.extend_from_slice(&bytes[..room]);
        output.dropped += (bytes.len() - room) as u64;
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_follow_from_the_arguments_and_end_at_the_limit() {
        let limits = PolicyLimits { random_bytes: 32, ..PolicyLimits::default() };
        let draw = |texts: &[&[u8]]| Randomness::seeded(texts, &limits).bytes(16).expect("within the limit");
        assert_eq!(draw(&[b"{}", b"a"]), draw(&[b"{}", b"a"]));
        assert_ne!(draw(&[b"{}", b"a"]), draw(&[b"{}", b"b"]));
        assert_ne!(draw(&[b"{}a", b""]), draw(&[b"{}", b"a"]));
        let mut randomness = Randomness::seeded(&[], &limits);
        assert!(randomness.bytes(24).is_ok() && randomness.number().is_ok() && randomness.number().is_err());
    }
}
