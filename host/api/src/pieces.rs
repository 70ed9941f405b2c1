//! Answers that are sent in pieces: a long list is never in memory as a whole.

use crate::ApiState;
use crate::error::Problem;
use crate::limits::Peer;
use crate::long_answers::LongAnswer;
use crate::operation::{Description, Part};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::try_unfold;
use windlass_control::ControlError;

/// Bytes after which a piece is sent.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

impl FromRequestParts<ApiState> for LongAnswer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        permit(state, Peer::among(&parts.extensions))
    }
}

/// Begins a long answer.
///
/// # Errors
/// 503 if too many are being sent.
pub(crate) fn permit(state: &ApiState, peer: Peer) -> Result<LongAnswer, Problem> {
    let detail = "too many long answers are being sent; try again";
    let begun = state.long_answers.begin(peer);
    begun.ok_or_else(|| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
}

impl Part for LongAnswer {
    fn describe(_: &mut Description) {}
}

/// A JSON answer. `next` makes one piece at a time, when the client has taken the one before; `None` is the end. If it
/// fails, the connection is closed, so that the client notices.
pub(crate) fn json<S, F, N>(permit: LongAnswer, state: S, next: N) -> Response
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(Bytes, S)>, ControlError>> + Send + 'static,
    N: Fn(S) -> F + Send + 'static,
{
    let pieces = try_unfold((permit, state, next), |(permit, state, next)| async move {
        let piece = next(state).await?;
        Ok::<_, ControlError>(piece.map(|(piece, state)| (piece, (permit, state, next))))
    });
    let pieces = pieces.inspect_err(|error| tracing::error!(%error, "a long answer was cut off"));
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
