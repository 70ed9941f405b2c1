//! The lines of simulated replicas: some old ones, those that a test printed, and one a second for a reader that follows.

use futures_util::stream::{StreamExt, iter, unfold};
use std::time::Duration;
use windlass_core::Timestamp;
use windlass_core::engine::LogLines;
use windlass_core::logs::{LogLine, LogQuery, LogStream};

/// Lines that a replica has printed.
const OLD_LINES: u32 = 5;

/// Time between two lines.
const BETWEEN: Duration = Duration::from_secs(1);

/// The lines of a replica of this name that printed some more.
pub(crate) fn lines(name: &str, printed: &[LogLine], query: LogQuery, now: Timestamp) -> LogLines {
    let line = {
        let name = name.to_owned();
        move |number: u32, at: Timestamp| {
            let stream = if number.is_multiple_of(5) { LogStream::Stderr } else { LogStream::Stdout };
            LogLine { at: Some(at), stream, text: format!("{name}: line {number}") }
        }
    };
    let old = (1..=OLD_LINES).map(|number| line(number, now.minus(BETWEEN * (OLD_LINES - number))));
    let old: Vec<LogLine> = old.chain(printed.iter().cloned()).filter(|line| line.at >= query.since).collect();
    let tail = query.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
    let skipped = old.len().saturating_sub(tail);
    let old = iter(old.into_iter().skip(skipped).map(Ok));
    if !query.follow {
        return old.boxed();
    }
    let new = unfold((OLD_LINES + 1, line), move |(number, line)| async move {
        tokio::time::sleep(BETWEEN).await;
        let at = now.plus(BETWEEN * (number - OLD_LINES));
        Some((Ok(line(number, at)), (number + 1, line)))
    });
    old.chain(new).boxed()
}
