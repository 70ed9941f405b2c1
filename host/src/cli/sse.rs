//! Server-sent events: turns the lines of a stream into events.

/// One event of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StreamEvent {
    /// The last identifier of the stream. `None` before the first one.
    pub(super) id: Option<String>,
    /// Its kind; `message` if the stream names none.
    pub(super) kind: String,
    /// Its data, one line for each field of it.
    pub(super) data: String,
}

/// The state of a stream between two lines.
#[derive(Debug, Default)]
pub(super) struct Parser {
    id: Option<String>,
    kind: String,
    data: Vec<String>,
}

impl Parser {
    /// Takes one line without its end. An empty line ends an event.
    pub(super) fn line(&mut self, line: &str) -> Option<StreamEvent> {
        if line.is_empty() {
            let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
            // An event without data is none.
            return (!data.is_empty()).then(|| StreamEvent {
                id: self.id.clone(),
                kind: if kind.is_empty() { "message".to_owned() } else { kind },
                data: data.join("\n"),
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.kind),
            "data" => self.data.push(value.to_owned()),
            // A comment keeps the connection alive; other fields are ignored.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_standard_says() {
        let stream = ": hello\n\nid: 7\nevent: decision\ndata: {\"a\":\ndata: 1}\n\ndata:two\nretry: 5\n\nevent: empty\n\n\
                      id\ndata\n\n";
        let mut parser = Parser::default();
        let events: Vec<StreamEvent> = stream.lines().filter_map(|line| parser.line(line)).collect();
        let event = |id: &str, kind: &str, data: &str| StreamEvent {
            id: Some(id.to_owned()),
            kind: kind.to_owned(),
            data: data.to_owned(),
        };
        let expected = [event("7", "decision", "{\"a\":\n1}"), event("7", "message", "two"), event("", "message", "")];
        assert_eq!(events, expected);
    }
}
