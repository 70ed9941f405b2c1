//! The lines of a container or of a task, as the engine keeps them.

mod decoder;

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::logs::decoder::Decoder;
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use std::collections::VecDeque;
use windlass_core::engine::{EngineError, LogLines};
use windlass_core::logs::{LogLine, LogQuery};

/// The lines at a path such as `/containers/ID/logs`. `has_terminal`: its output is one stream.
///
/// # Errors
/// The engine's answer.
pub(crate) async fn lines(
    engine: &EngineClient,
    path: &str,
    query: LogQuery,
    has_terminal: bool,
) -> Result<LogLines, CallError> {
    let tail = query.tail.map_or("all".to_owned(), |tail| tail.to_string());
    let since = query.since.map_or("0".to_owned(), |since| format!("{}.{:03}000000", since.0 / 1_000, since.0 % 1_000));
    let follow = query.follow;
    let path = format!("{path}?stdout=1&stderr=1&timestamps=1&follow={follow}&tail={tail}&since={since}");
    let parts = engine.open("read the log of a replica", &path, follow).await?;
    let reading = Reading { parts, decoder: Decoder::new(has_terminal), pending: VecDeque::new(), is_over: false };
    Ok(unfold(reading, Reading::next).boxed())
}

/// A log that is read.
struct Reading {
    parts: BoxStream<'static, Result<Bytes, CallError>>,
    decoder: Decoder,
    /// Lines of the last part.
    pending: VecDeque<Result<LogLine, EngineError>>,
    is_over: bool,
}

impl Reading {
    /// The next line, and the rest of the log.
    async fn next(mut self) -> Option<(Result<LogLine, EngineError>, Self)> {
        while self.pending.is_empty() {
            if self.is_over {
                return None;
            }
            match self.parts.next().await {
                Some(Ok(part)) => self.decoder.decode(&part, &mut self.pending),
                Some(Err(error)) => {
                    self.is_over = true;
                    self.pending.push_back(Err(error.into()));
                }
                None => {
                    self.is_over = true;
                    self.decoder.end(&mut self.pending);
                }
            }
        }
        let line = self.pending.pop_front()?;
        self.is_over |= line.is_err();
        if line.is_err() {
            self.pending.clear();
        }
        Some((line, self))
    }
}
