//! Drains the rest of a body that no handler reads, so that the client receives the answer.
//!
//! A connection that is closed with unread bytes is reset. A client that is still sending then reports a broken pipe, and
//! never receives the reason of its rejection (RFC 9112, 9.6).

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Most bytes that are drained.
const MOST: usize = 256 << 20;

/// Time limit of draining, which delays the answer.
const LONGEST: Duration = Duration::from_secs(10);

/// Drains the rest of the body before it returns the answer.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    // A client that sends `expect: 100-continue` has sent nothing, and must not be invited to.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (give_back, mut rest) = oneshot::channel();
    let lend = |body| Body::new(Lent { body, give_back: Some(give_back) });
    let response = next.run(request.map(lend)).await;
    if let Ok(body) = rest.try_recv()
        && tokio::time::timeout(LONGEST, discard(body)).await.is_err()
    {
        tracing::debug!("stopped draining a body that took too long");
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
    use axum::middleware::from_fn;
    use axum::routing::put;
    use futures_util::stream::{self, StreamExt};
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;
    use tower::ServiceExt;

    /// The answer to a request that is rejected unread, and its duration by tokio's paused clock.
    async fn refused(body: Body) -> (StatusCode, Duration) {
        let refuses = Router::new().route("/", put(|| async { StatusCode::PAYLOAD_TOO_LARGE })).layer(from_fn(drain));
        let began = Instant::now();
        let request = Request::put("/").body(body).expect("it is a request");
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
        let (status, waited) = refused(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(waited >= LONGEST && waited < LONGEST + Duration::from_secs(1), "{waited:?}");
    }
}
