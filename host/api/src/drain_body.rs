//! Drains the rest of a body that no handler reads, so that the client receives the answer.
//!
//! A connection that is closed with unread bytes is reset. A client that is still sending then reports a broken pipe, and
//! never receives the reason of its rejection (RFC 9112, 9.6).

use crate::connections::Connection;
use crate::limits::{Counted, Peer, PerPeer};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Most bytes that are drained.
const MOST: usize = 256 << 20;

/// Time limit of draining, which delays the answer.
const LONGEST: Duration = Duration::from_secs(10);

/// Most bodies that are drained at once, and most of one peer. The others are not drained, so that their connections end.
const DRAINS: usize = 256;
const DRAINS_OF_PEER: usize = 64;

/// The bodies that are being drained.
#[derive(Debug, Clone)]
pub(crate) struct Drains {
    all: Arc<Semaphore>,
    of_peer: Arc<PerPeer>,
}

impl Drains {
    pub(crate) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(DRAINS)), of_peer: PerPeer::new(DRAINS_OF_PEER) }
    }

    /// The place of a body. `None` if the most bodies are being drained.
    fn begin(&self, peer: Peer) -> Option<(Counted, OwnedSemaphorePermit)> {
        self.of_peer.begin(peer).zip(Arc::clone(&self.all).try_acquire_owned().ok())
    }
}

/// Drains the rest of the body before it returns the answer.
pub(crate) async fn drain(State(drains): State<Drains>, request: Request, next: Next) -> Response {
    let peer = Peer::among(request.extensions());
    let connection = request.extensions().get::<Connection>().cloned();
    let is_spare = connection.as_ref().is_some_and(Connection::is_spare);
    // A client that sends `expect: 100-continue` has sent nothing, and must not be invited to.
    if is_spare || request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (give_back, mut rest) = oneshot::channel();
    let lend = |body| Body::new(Lent { body, give_back: Some(give_back) });
    let response = next.run(request.map(lend)).await;
    if let Ok(body) = rest.try_recv()
        && !body.is_end_stream()
        && let Some(_place) = drains.begin(peer)
    {
        let _closable = connection.as_ref().map(Connection::drain);
        if tokio::time::timeout(LONGEST, discard(body)).await.is_err() {
            tracing::debug!("stopped draining a body that took too long");
        }
    }
    response
}

async fn discard(mut body: Body) {
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await {
        discarded += frame.data_ref().map_or(0, Bytes::len);
        if discarded > MOST {
            return;
        }
    }
}

/// A body that is returned when its reader drops it.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            // If the request itself was dropped, nothing receives the body.
            let _ = give_back.send(std::mem::take(&mut self.body));
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::put;
    use futures_util::stream::{self, StreamExt};
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;
    use tower::ServiceExt;

    /// The answer to a request that is rejected unread, and its duration by tokio's paused clock.
    async fn refused(body: Body) -> (StatusCode, Duration) {
        refused_of(&Drains::new(), "10.0.0.1", body).await
    }

    async fn refused_of(drains: &Drains, peer: &str, body: Body) -> (StatusCode, Duration) {
        let refuses = Router::new().route("/", put(|| async { StatusCode::PAYLOAD_TOO_LARGE }));
        let refuses = refuses.layer(from_fn_with_state(drains.clone(), drain));
        let began = Instant::now();
        let peer = Peer::of(peer.parse().expect("an address"));
        let request = Request::put("/").extension(peer).body(body).expect("it is a request");
        let answer = tokio::time::timeout(2 * LONGEST, refuses.oneshot(request)).await;
        let answer = answer.expect("it is answered some time").expect("a router answers");
        (answer.status(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_goes_on_and_on_is_taken_in_up_to_a_number_of_bytes() {
        const PIECE: usize = 1 << 20;
        let taken = Arc::new(AtomicUsize::default());
        let counted = Arc::clone(&taken);
        let piece = Bytes::from_static(&[0; PIECE]);
        let pieces = stream::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(piece.clone())
        });
        let pieces = pieces.take(2 * MOST / PIECE);
        assert_eq!(refused(Body::from_stream(pieces)).await, (StatusCode::PAYLOAD_TOO_LARGE, Duration::ZERO));
        assert_eq!(taken.load(Ordering::Relaxed), MOST / PIECE + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_go_on_is_waited_for_a_while() {
        let (status, waited) = refused(silent()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(waited >= LONGEST && waited < LONGEST + Duration::from_secs(1), "{waited:?}");
    }

    fn silent() -> Body {
        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_of_one_peer_past_the_most_are_not_drained() {
        let drains = Drains::new();
        let places: Vec<_> = (0..DRAINS_OF_PEER).map(|_| drains.begin(Peer::of([10, 0, 0, 1].into()))).collect();
        assert!(places.iter().all(Option::is_some));
        let (_, waited) = refused_of(&drains, "10.0.0.1", silent()).await;
        assert_eq!(waited, Duration::ZERO);
        let (_, waited) = refused_of(&drains, "10.0.0.2", silent()).await;
        assert!(waited >= LONGEST, "{waited:?}");
        let others: Vec<_> = (2..=DRAINS).map(|peer| drains.begin(Peer::User(u32::try_from(peer).ok()))).collect();
        assert_eq!(others.iter().flatten().count(), DRAINS - DRAINS_OF_PEER);
        let (_, waited) = refused_of(&drains, "10.0.0.2", silent()).await;
        assert_eq!(waited, Duration::ZERO);
    }
}
