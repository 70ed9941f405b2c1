//! The stream of `GET /events`: server-sent events.

use crate::streams::{OpenStream, unbuffered};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use windlass_control::events::{Event, EventReader, Read};

/// Time between two comments that keep the connection open while nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Time after which a browser connects again.
const RETRY: Duration = Duration::from_secs(1);

/// The stream to one reader.
struct Open {
    reader: EventReader,
    /// Events that were read and not sent yet.
    pending: VecDeque<Arc<Event>>,
    /// Whether the end was sent.
    is_over: bool,
    _permit: OpenStream,
}

/// Sends the events of a reader until it leaves, falls behind, has `ended` its rights, or Windlass shuts down.
pub(crate) fn serve(
    reader: EventReader,
    permit: OpenStream,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let open = Open { reader, pending: VecDeque::new(), is_over: false, _permit: permit };
    let begin = sse::Event::default().retry(RETRY).comment("the events of Windlass");
    let begun = futures_util::stream::iter([Ok::<_, Infallible>(begin)]);
    let all = begun.chain(unfold(open, Open::next)).take_until(ended);
    unbuffered(Sse::new(all).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

impl Open {
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        if self.pending.is_empty() {
            match self.reader.next().await {
                Read::Events(events) => self.pending.extend(events),
                Read::Missed => {
                    let text = "events before the next one are not kept any more; read the current state again";
                    return Some((Ok(notice("missed", text)), self));
                }
                Read::Dropped => {
                    self.is_over = true;
                    let text = "this reader was too slow, and events that it did not read are not kept any more; \
                                connect again, and read the current state";
                    return Some((Ok(notice("dropped", text)), self));
                }
                Read::Over => return None,
            }
        }
        let event = self.pending.pop_front()?;
        let sent = sse::Event::default().id(event.id.to_string()).event(event.kind.as_str()).data(&event.json);
        Some((Ok(sent), self))
    }
}

/// A notice about the stream itself. It has no `id`, so a reader that connects again continues at the right place.
fn notice(event: &str, text: &str) -> sse::Event {
    sse::Event::default().event(event).data(json!({"text": text}).to_string())
}
