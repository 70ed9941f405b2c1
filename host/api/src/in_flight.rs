//! The share of the limits that a request holds: until its answer, and until the end of everything that it began.
//!
//! A caller that hangs up does not end a change that must be finished. The change keeps the share meanwhile, so that a caller
//! cannot begin more of them than it may have requests in progress.

use crate::error::Problem;
use crate::limits::{Counted, Peer, PerPeer, Slot};
use axum::http::StatusCode;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_core::settings::ApiSettings;

/// Bytes that a JSON value takes in memory in addition to its text, about: an element of a map with one entry takes most.
const VALUE_BYTES: usize = 256;

/// Values that a JSON body may always have. The largest request that the API describes has 10,000.
const LEAST_VALUES: usize = 16_384;

/// Bytes of bodies that may always be in memory.
const LEAST_BYTES: usize = 64 << 20;

/// The most bytes and values of JSON bodies.
#[derive(Debug, Clone)]
pub(crate) struct BodyLimits {
    /// Values of one body.
    pub(crate) values: usize,
    in_memory: Arc<Semaphore>,
    of_peer: Arc<PerPeer>,
}

impl BodyLimits {
    /// The limits for the longest body that the settings allow.
    pub(crate) fn new(settings: &ApiSettings) -> Self {
        let values = LEAST_VALUES.max(settings.body_bytes / 64);
        let largest = settings.body_bytes.saturating_add(values.saturating_mul(VALUE_BYTES));
        let bytes = LEAST_BYTES.max(largest.saturating_mul(4)).min(Semaphore::MAX_PERMITS);
        // One peer cannot use up the memory for the others.
        Self { values, in_memory: Arc::new(Semaphore::new(bytes)), of_peer: PerPeer::new(bytes / 2) }
    }
}

/// The share of one request.
#[derive(Debug)]
pub(crate) struct InFlight {
    peer: Peer,
    bodies: BodyLimits,
    held: Mutex<Vec<(OwnedSemaphorePermit, Counted)>>,
    _counted: Counted,
    _slot: Slot,
}

tokio::task_local! {
    static CURRENT: Arc<InFlight>;
}

impl InFlight {
    pub(crate) fn new(peer: Peer, bodies: BodyLimits, counted: Counted, slot: Slot) -> Arc<Self> {
        Arc::new(Self { peer, bodies, held: Mutex::default(), _counted: counted, _slot: slot })
    }

    /// Runs a part of the request.
    pub(crate) async fn scope<T>(self: Arc<Self>, part: impl Future<Output = T>) -> T {
        CURRENT.scope(self, part).await
    }
}

/// The share of the request that the current task serves. `None` outside of requests.
pub(crate) fn current() -> Option<Arc<InFlight>> {
    CURRENT.try_with(Arc::clone).ok()
}

/// Holds memory for bytes of a JSON body that have arrived, until the request has ended.
///
/// # Errors
/// 503 if the bodies in memory have the most bytes.
pub(crate) fn hold_bytes(bytes: usize) -> Result<(), Problem> {
    let Some(request) = current().filter(|_| bytes > 0) else { return Ok(()) };
    let too_many = || {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the requests in progress have too many bytes of JSON; try again")
    };
    let counted = request.bodies.of_peer.begin_some(request.peer, bytes).ok_or_else(too_many)?;
    let count = u32::try_from(bytes).unwrap_or(u32::MAX);
    let permit = Arc::clone(&request.bodies.in_memory).try_acquire_many_owned(count).map_err(|_| too_many())?;
    request.held.lock().push((permit, counted));
    Ok(())
}

/// Holds memory for the values of a JSON body, before it is parsed.
///
/// # Errors
/// 413 if it has too many values; otherwise as [`hold_bytes`].
pub(crate) fn hold_values(body: &[u8]) -> Result<(), Problem> {
    let most = current().map_or(LEAST_VALUES, |request| request.bodies.values);
    let values = count_values(body);
    if values > most {
        let detail = format!("the body has {values} JSON values; at most {most} are accepted");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    hold_bytes(values * VALUE_BYTES)
}

/// The number of values in a JSON text, or more: one for each comma and each bracket that opens, outside of strings.
fn count_values(text: &[u8]) -> usize {
    let mut bytes = text.iter();
    let mut count = 1;
    while let Some(byte) = bytes.next() {
        match byte {
            b',' | b'[' | b'{' => count += 1,
            b'"' => loop {
                match bytes.next() {
                    Some(b'\\') => drop(bytes.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_strings() {
        assert_eq!(count_values(b"1"), 1);
        assert_eq!(count_values(br#"[1, 2, {"a": [3]}]"#), 6);
        assert_eq!(count_values(br#"{"a,[{\"": "\\", "b": ",,,"}"#), 3);
        assert_eq!(count_values(br#""[,[,"#), 1);
    }

    fn request(settings: &ApiSettings, bodies: &BodyLimits, peer: &str) -> Arc<InFlight> {
        let peer = Peer::of(peer.parse().expect("an address"));
        let counted = PerPeer::new(settings.requests_per_peer).begin(peer).expect("a request");
        let slot = Slot::take(&Arc::new(Semaphore::new(1))).expect("a slot");
        InFlight::new(peer, bodies.clone(), counted, slot)
    }

    #[tokio::test]
    async fn bodies_in_memory_are_bounded_for_each_peer_and_for_all() {
        let settings = ApiSettings::default();
        let bodies = BodyLimits::new(&settings);
        let half = LEAST_BYTES / 2;
        let [first, second, other] = ["10.0.0.1", "10.0.0.1", "10.0.0.2"].map(|peer| request(&settings, &bodies, peer));
        let hold = async |request: &Arc<InFlight>, bytes| {
            Arc::clone(request).scope(async { hold_bytes(bytes).map_err(|problem| problem.status().as_u16()) }).await
        };
        assert_eq!(hold(&first, half).await, Ok(()));
        assert_eq!(hold(&second, 1).await, Err(503));
        assert_eq!(hold(&other, half).await, Ok(()));
        let third = request(&settings, &bodies, "10.0.0.3");
        assert_eq!(hold(&third, 1).await, Err(503));
        // A change that the request began keeps its share after the request.
        let began = Arc::clone(&first).scope(async { current() }).await;
        drop(first);
        assert_eq!(hold(&second, 1).await, Err(503));
        drop(began);
        assert_eq!(hold(&second, 1).await, Ok(()));
    }

    #[tokio::test]
    async fn a_body_has_a_bounded_number_of_values() {
        let body = format!("[{}1]", "{},".repeat(LEAST_VALUES));
        assert_eq!(hold_values(body.as_bytes()).map_err(|problem| problem.status().as_u16()), Err(413));
        assert_eq!(hold_values(&body.as_bytes()[..1_000]), Ok(()));
    }
}
