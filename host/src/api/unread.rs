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
pub(super) async fn take_in(request: Request, next: Next) -> Response {
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
