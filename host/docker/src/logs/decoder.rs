//! Decodes the engine's stream of a log: frames of both streams, or the plain output of a terminal, with the time before
//! each message.

use std::collections::VecDeque;
use windlass_core::Timestamp;
use windlass_core::engine::EngineError;
use windlass_core::logs::{LONGEST_LINE, LogLine, LogStream};

/// Bytes of the header of a frame: its stream, three zeros, and its length.
const HEADER: usize = 8;

type Decoded = VecDeque<Result<LogLine, EngineError>>;

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Stream(LogStream),
    /// An error of the engine, for example because the node of a task does not answer.
    Error,
}

/// Decodes parts that are cut anywhere. It holds one line at most.
#[derive(Debug)]
pub(crate) struct Decoder {
    has_terminal: bool,
    /// The header of the next frame, as far as it has come.
    header: Vec<u8>,
    source: Source,
    /// Bytes of the current frame that are still to come.
    left: usize,
    line: Vec<u8>,
    /// Whether the time of a message comes before the text of the line.
    begins_with_time: bool,
    /// The time of the current message.
    at: Option<Timestamp>,
}

impl Decoder {
    pub(crate) fn new(has_terminal: bool) -> Self {
        Self {
            has_terminal,
            header: Vec::new(),
            source: Source::Stream(LogStream::Stdout),
            left: 0,
            line: Vec::new(),
            begins_with_time: true,
            at: None,
        }
    }

    /// Decodes one part.
    pub(crate) fn decode(&mut self, mut part: &[u8], lines: &mut Decoded) {
        if self.has_terminal {
            return self.text(part, lines);
        }
        while !part.is_empty() {
            if self.left == 0 {
                let (taken, rest) = part.split_at(part.len().min(HEADER - self.header.len()));
                self.header.extend_from_slice(taken);
                part = rest;
                if self.header.len() == HEADER {
                    self.begin_frame();
                }
                continue;
            }
            let (taken, rest) = part.split_at(part.len().min(self.left));
            self.left -= taken.len();
            self.text(taken, lines);
            part = rest;
            // A message ends with its frame, also if its line goes on in the next one.
            if self.left == 0 {
                self.end(lines);
            }
        }
    }

    /// Ends the last line.
    pub(crate) fn end(&mut self, lines: &mut Decoded) {
        if !self.line.is_empty() {
            self.finish(lines);
        }
        self.begins_with_time = true;
    }

    fn begin_frame(&mut self) {
        self.source = match self.header[0] {
            3 => Source::Error,
            2 => Source::Stream(LogStream::Stderr),
            _ => Source::Stream(LogStream::Stdout),
        };
        self.left = self.header[4..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        self.header.clear();
        self.begins_with_time = self.source != Source::Error;
    }

    fn text(&mut self, mut text: &[u8], lines: &mut Decoded) {
        while !text.is_empty() {
            let room = LONGEST_LINE - self.line.len();
            let end = text.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(text.len()).min(room);
            self.line.extend_from_slice(&text[..taken]);
            text = &text[taken..];
            if end == Some(taken) {
                text = &text[1..];
                self.finish(lines);
                // Each message of a terminal is one line; a frame may have several.
                self.begins_with_time = self.has_terminal;
            } else if !text.is_empty() {
                self.finish(lines);
                self.begins_with_time = false;
            }
        }
    }

    /// Adds the line, or a part of a longer one.
    fn finish(&mut self, lines: &mut Decoded) {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        let stream = match self.source {
            Source::Stream(stream) => stream,
            Source::Error => {
                lines.push_back(Err(EngineError::Refused(text)));
                return;
            }
        };
        let timed = text.split_once(' ').filter(|_| self.begins_with_time);
        let timed = timed.and_then(|(time, rest)| Some((Timestamp::from_rfc3339(time)?, rest.to_owned())));
        let text = match timed {
            Some((at, text)) => {
                self.at = Some(at);
                text
            }
            None => text,
        };
        lines.push_back(Ok(LogLine { at: self.at, stream, text }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-01T00:00:00.123456789Z";

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    /// The lines of a log that comes in parts of this many bytes.
    fn decoded(has_terminal: bool, log: &[u8], parts: usize) -> Vec<Result<(LogStream, bool, String), String>> {
        let mut decoder = Decoder::new(has_terminal);
        let mut lines = Decoded::new();
        for part in log.chunks(parts) {
            decoder.decode(part, &mut lines);
        }
        decoder.end(&mut lines);
        let known = |at| at == Some(Timestamp(1_767_225_600_123));
        let line = |line: LogLine| (line.stream, known(line.at), line.text);
        lines.into_iter().map(|read| read.map(line).map_err(|error| error.to_string())).collect()
    }

    #[test]
    fn both_streams_are_decoded_however_they_are_cut() {
        use LogStream::{Stderr, Stdout};
        let log = [
            frame(1, &format!("{TIME} one two\n")),
            frame(2, &format!("{TIME} \u{1b}[31mred\n")),
            frame(1, &format!("{TIME} \n")),
            frame(1, &format!("{TIME} begun")),
            frame(1, "no time\nand more\n"),
            frame(3, "node `b` does not answer"),
        ]
        .concat();
        let line = |stream, text: &str| Ok((stream, true, text.to_owned()));
        let expected = [
            line(Stdout, "one two"),
            line(Stderr, "\u{1b}[31mred"),
            line(Stdout, ""),
            line(Stdout, "begun"),
            line(Stdout, "no time"),
            line(Stdout, "and more"),
            Err("node `b` does not answer".to_owned()),
        ];
        for parts in [1, 3, 7, 64, 10_000] {
            assert_eq!(decoded(false, &log, parts), expected, "{parts} bytes at once");
        }
    }

    #[test]
    fn a_terminal_has_no_frames() {
        let log = format!("{TIME} one\r\n{TIME} \u{1}two\r\n{TIME} three");
        let line = |text: &str| Ok((LogStream::Stdout, true, text.to_owned()));
        for parts in [1, 5, 1_000] {
            assert_eq!(decoded(true, log.as_bytes(), parts), [line("one"), line("\u{1}two"), line("three")]);
        }
    }

    #[test]
    fn a_line_without_end_is_cut_into_lines_of_bounded_length() {
        let long = "x".repeat(40_000);
        for (has_terminal, log) in
            [(false, frame(1, &format!("{TIME} {long}\n"))), (true, format!("{TIME} {long}").into_bytes())]
        {
            for parts in [1_000, 100_000] {
                let lines = decoded(has_terminal, &log, parts);
                let texts: Vec<&String> = lines.iter().map(|line| &line.as_ref().unwrap().2).collect();
                assert!(texts.iter().all(|text| text.len() <= LONGEST_LINE), "{has_terminal} {parts}");
                assert!(lines.iter().all(|line| line.as_ref().unwrap().1), "each part has the time");
                assert_eq!(texts.into_iter().map(String::as_str).collect::<String>(), long);
            }
        }
        // The length of a frame is the engine's word: nothing is reserved for it.
        let mut decoder = Decoder::new(false);
        let mut lines = Decoded::new();
        decoder.decode(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], &mut lines);
        for _ in 0..1_000 {
            decoder.decode(&[b'x'; 1_000], &mut lines);
            assert!(decoder.line.capacity() <= 4 * LONGEST_LINE, "{}", decoder.line.capacity());
        }
        assert_eq!(lines.len(), 1_000_000 / LONGEST_LINE);
    }
}
