//! An answer in lines that may never end: a stream of events, or the log of a container.

use crate::client::ClientError;
use crate::remote::error::RemoteError;

/// Most bytes of a line.
const LONGEST_LINE: usize = 1 << 20;

/// The lines of an answer, as they arrive.
#[derive(Debug)]
pub struct Lines {
    response: reqwest::Response,
    server: String,
    /// Bytes that arrived, from the beginning of a line on.
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(response: reqwest::Response, server: String) -> Self {
        Self { response, server, pending: Vec::new() }
    }

    /// The next line without its end. `None` at the end of the answer.
    ///
    /// Dropping the future loses nothing: the bytes that arrived stay for the next call.
    ///
    /// # Errors
    /// If the connection breaks, or a line has more than 1 MiB.
    pub async fn next(&mut self) -> Result<Option<String>, RemoteError> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(text(&line)));
            }
            if self.pending.len() > LONGEST_LINE {
                let why = "it sent a line of more than 1 MiB".to_owned();
                return Err(RemoteError::NotWindlass { server: self.server.clone(), why });
            }
            let broken = |error| RemoteError::Unreachable {
                server: self.server.clone(),
                error: ClientError::from(error).into(),
            };
            match self.response.chunk().await.map_err(broken)? {
                Some(chunk) => self.pending.extend_from_slice(&chunk),
                None if self.pending.is_empty() => return Ok(None),
                None => return Ok(Some(text(&std::mem::take(&mut self.pending)))),
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: Vec<u8>) -> Lines {
        Lines::new(http::Response::new(body).into(), "http://here".to_owned())
    }

    #[tokio::test]
    async fn an_answer_is_read_in_lines_with_and_without_an_end() {
        let mut lines = lines(b"one\r\n\ntwo\xff\nthree".to_vec());
        for line in ["one", "", "two\u{fffd}", "three"] {
            assert_eq!(lines.next().await.expect("a line").as_deref(), Some(line));
        }
        assert_eq!(lines.next().await.expect("the end"), None);
    }

    #[tokio::test]
    async fn a_line_without_end_does_not_fill_the_memory() {
        let error = lines(vec![b'a'; LONGEST_LINE + 1]).next().await.expect_err("too long");
        assert!(error.to_string().contains("a line of more than 1 MiB"), "{error}");
    }
}
