//! Takes in what a caller still sends of a body that nobody reads, so that it hears the answer.
//!
//! A connection that is closed while bytes of it are unread is reset, and a caller that is still sending reports
//! a broken pipe and never sees why it was refused (RFC 9112, 9.6).

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

/// Bytes that are taken in and thrown away, at most.
const MOST: usize = 256 << 20;

/// Time that may take; the answer waits for it.
const LONGEST: Duration = Duration::from_secs(10);

/// Answers, and takes in what is left of the body before that.
pub(crate) async fn take_in(request: Request, next: Next) -> Response {
    // Who asks first whether to send has sent nothing, and must not be told to.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (give_back, mut left) = oneshot::channel();
    let lend = |body| Body::new(Lent { body, give_back: Some(give_back) });
    let response = next.run(request.map(lend)).await;
    if let Ok(body) = left.try_recv()
        && tokio::time::timeout(LONGEST, throw_away(body)).await.is_err()
    {
        tracing::debug!("a body that nobody reads is not waited for");
    }
    response
}

async fn throw_away(mut body: Body) {
    let mut taken = 0;
    while let Some(Ok(frame)) = body.frame().await {
        taken += frame.data_ref().map_or(0, Bytes::len);
        if taken > MOST {
            return;
        }
    }
}

/// A body that is given back when its reader lets go of it.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            // Nobody waits for it where the request itself was dropped.
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

    /// What is answered to a request that is refused unread, and how long that takes by a clock that stands still but for
    /// what is waited for.
    async fn refused(body: Body) -> (StatusCode, Duration) {
        let refuses = Router::new().route("/", put(|| async { StatusCode::PAYLOAD_TOO_LARGE })).layer(from_fn(take_in));
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
