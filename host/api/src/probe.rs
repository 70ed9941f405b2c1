//! `probe` of a start request: how it is asked whether a replica answers.

use crate::fields;
use crate::fields::{Fields, Problems};
use axum::http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::time::Duration;
use windlass_core::{Expected, HttpProbe, Invalid, Probe, ProbeTarget, StatusRange};

const FIELDS: &[&str] = &["http", "tcp", "exec", "docker", "none", "interval", "timeout"];
const TARGETS: [&str; 5] = ["http", "tcp", "exec", "docker", "none"];
const HTTP: &[&str] = &["port", "path", "headers", "expect"];
const EXPECT: &[&str] = &["status", "body", "headers"];

/// Longest path of a probe, in bytes.
const MAX_PATH: usize = 1_024;
/// Most bytes of a text that is looked for, of a header and of a word of a command.
const MAX_TEXT: usize = 4_096;
/// Most headers and codes.
const MOST: usize = 32;
/// Headers that say how a message is sent: they are the client's own.
const OWN_HEADERS: [&str; 6] = ["connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"];

/// The probe of a body.
pub(crate) fn read(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Probe> {
    let fields = Fields::of(value, pointer, FIELDS, problems)?;
    let named: Vec<&str> = TARGETS.into_iter().filter(|target| fields.has(target)).collect();
    let target = match named.as_slice() {
        [name] => fields.required(name, problems, |value, pointer, problems| target(name, value, pointer, problems)),
        _ => {
            problems.add(
                pointer,
                "a probe has one of `http` (`{\"port\": 80, \"path\": \"/\"}`), `tcp` (`{\"port\": 80}`), `exec` \
                 (`{\"command\": [\"check\"]}`), `docker` (`{}`: the image's HEALTHCHECK) and `none` (`{}`)",
            );
            None
        }
    };
    if matches!(target, Some(ProbeTarget::Docker | ProbeTarget::None)) {
        for name in ["interval", "timeout"].into_iter().filter(|name| fields.has(name)) {
            problems.add(fields.at(name), "nothing is asked by windlass itself, so there is nothing to time");
        }
        return target.map(Probe::usual);
    }
    let interval = fields.or("interval", Probe::INTERVAL, problems, fields::length_of_time);
    let shortest = Probe::TIMEOUT.min(interval.unwrap_or(Probe::INTERVAL));
    let timeout = fields.or("timeout", shortest, problems, fields::length_of_time);
    let (interval, timeout) = (interval?, timeout?);
    if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&interval) {
        problems.add(fields.at("interval"), "expected 1 s to 1 h");
    } else if !(Duration::from_millis(10)..=interval).contains(&timeout) {
        problems.add(fields.at("timeout"), "expected 10 ms up to `interval`");
    }
    Some(Probe { target: target?, interval, timeout })
}

fn target(name: &str, value: &Value, pointer: &str, problems: &mut Problems) -> Option<ProbeTarget> {
    match name {
        "http" => http(value, pointer, problems).map(ProbeTarget::Http),
        "tcp" => {
            let fields = Fields::of(value, pointer, &["port"], problems)?;
            let port = fields.required("port", problems, fields::whole(1..=65_535));
            Some(ProbeTarget::Tcp { port: port? })
        }
        "exec" => {
            let fields = Fields::of(value, pointer, &["command"], problems)?;
            let command = fields.required("command", problems, fields::command)?;
            if command.iter().any(|word| word.len() > MAX_TEXT) {
                problems.add(fields.at("command"), format!("a word has at most {MAX_TEXT} bytes"));
            }
            Some(ProbeTarget::Exec { command })
        }
        "docker" => Fields::of(value, pointer, &[], problems).map(|_| ProbeTarget::Docker),
        _ => Fields::of(value, pointer, &[], problems).map(|_| ProbeTarget::None),
    }
}

fn http(value: &Value, pointer: &str, problems: &mut Problems) -> Option<HttpProbe> {
    let fields = Fields::of(value, pointer, HTTP, problems)?;
    let port = fields.required("port", problems, fields::whole(1..=65_535));
    let path = fields.or("path", "/".to_owned(), problems, fields::parsed_by(path));
    let headers = fields.or("headers", Default::default(), problems, |value, pointer, problems| {
        let read = fields::map_of(|name, value, pointer, problems| {
            let name = header_name(name, pointer, problems);
            if name.as_deref().is_some_and(|name| OWN_HEADERS.contains(&name)) {
                problems.add(pointer, "this header says how a message is sent; it cannot be chosen");
            }
            Some((name?, header_value(value, pointer, problems)?))
        });
        limited(read(value, pointer, problems)?, |headers| headers.len(), pointer, problems)
    });
    let expect = fields.or("expect", Expected::default(), problems, expected);
    Some(HttpProbe { port: port?, path: path?, headers: headers?, expect: expect? })
}

fn expected(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Expected> {
    let fields = Fields::of(value, pointer, EXPECT, problems)?;
    let status = fields.or("status", Vec::new(), problems, |value, pointer, problems| {
        let ranges = fields::list_of(status_range)(value, pointer, problems)?;
        if ranges.is_empty() {
            problems.add(pointer, "expected at least one code");
        }
        limited(ranges, Vec::len, pointer, problems)
    });
    let body = fields.nullable("body", problems, |value, pointer, problems| {
        let text = fields::text(value, pointer, problems)?;
        if text.is_empty() || text.len() > MAX_TEXT {
            problems.add(pointer, format!("expected 1 to {MAX_TEXT} bytes of text"));
        }
        Some(text)
    });
    let headers = fields.or("headers", Default::default(), problems, |value, pointer, problems| {
        let read = fields::map_of(|name, value, pointer, problems| {
            let name = header_name(name, pointer, problems);
            let value = if value.is_null() { Some(None) } else { header_value(value, pointer, problems).map(Some) };
            Some((name?, value?))
        });
        limited(read(value, pointer, problems)?, |headers| headers.len(), pointer, problems)
    });
    Some(Expected { status: status?, body, headers: headers? })
}

/// Notes that there are too many.
fn limited<T>(all: T, count: impl Fn(&T) -> usize, pointer: &str, problems: &mut Problems) -> Option<T> {
    if count(&all) > MOST {
        problems.add(pointer, format!("expected at most {MOST}"));
    }
    Some(all)
}

/// A code, `204`, or a range, `"200-299"`.
fn status_range(value: &Value, pointer: &str, problems: &mut Problems) -> Option<StatusRange> {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..600).contains(code) && text.len() == 3);
    let range = match value {
        Value::Number(number) => code(&number.to_string()).map(|code| (code, code)),
        Value::String(text) => text.split_once('-').and_then(|(first, last)| Some((code(first)?, code(last)?))),
        _ => None,
    };
    let range = range.filter(|(first, last)| first <= last);
    if range.is_none() {
        problems.add(pointer, "expected a code of 100 to 599 such as `204`, or a range such as `\"200-299\"`");
    }
    range.map(|(first, last)| StatusRange { first, last })
}

fn header_name(name: &str, pointer: &str, problems: &mut Problems) -> Option<String> {
    let parsed = name.parse::<HeaderName>().ok().filter(|_| name.len() <= MAX_TEXT);
    if parsed.is_none() {
        problems.add(pointer, "expected the name of a header: letters, digits, `-` and the like");
    }
    // Its letters are lower case whatever was written.
    parsed.map(|name| name.as_str().to_owned())
}

fn header_value(value: &Value, pointer: &str, problems: &mut Problems) -> Option<String> {
    let text = fields::text(value, pointer, problems)?;
    let is_plain = text.len() <= MAX_TEXT && HeaderValue::from_str(&text).is_ok() && text.trim() == text;
    if !is_plain {
        problems.add(
            pointer,
            format!("expected the value of a header: up to {MAX_TEXT} bytes in one line, without blanks around it"),
        );
    }
    Some(text)
}

pub(crate) fn path(text: &str) -> Result<String, Invalid> {
    let valid = text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(|b| b.is_ascii_graphic());
    if valid && !text.contains('#') {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(format!(
            "expected a path that begins with `/`, up to {MAX_PATH} bytes, with blanks and the like percent-encoded"
        )))
    }
}

/// A probe in the form of the start request; lengths of time in seconds.
pub(crate) fn shown(probe: &Probe) -> Value {
    let mut shown = match &probe.target {
        ProbeTarget::Http(http) => json!({"http": shown_http(http)}),
        ProbeTarget::Tcp { port } => json!({"tcp": {"port": port}}),
        ProbeTarget::Exec { command } => json!({"exec": {"command": command}}),
        ProbeTarget::Docker => json!({"docker": {}}),
        ProbeTarget::None => json!({"none": {}}),
    };
    if probe.is_asked() {
        shown["interval"] = json!(probe.interval.as_secs_f64());
        shown["timeout"] = json!(probe.timeout.as_secs_f64());
    }
    shown
}

/// What was left out is left out again.
fn shown_http(http: &HttpProbe) -> Value {
    let mut shown = json!({"port": http.port, "path": http.path});
    if !http.headers.is_empty() {
        shown["headers"] = json!(http.headers);
    }
    let mut expect = Map::new();
    let Expected { status, body, headers } = &http.expect;
    if !status.is_empty() {
        let range = |range: &StatusRange| match (range.first, range.last) {
            (first, last) if first == last => json!(first),
            (first, last) => json!(format!("{first}-{last}")),
        };
        expect.insert("status".to_owned(), status.iter().map(range).collect());
    }
    if let Some(body) = body {
        expect.insert("body".to_owned(), json!(body));
    }
    if !headers.is_empty() {
        expect.insert("headers".to_owned(), json!(headers));
    }
    if !expect.is_empty() {
        shown["expect"] = Value::Object(expect);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &Value) -> Result<Probe, String> {
        let mut problems = Problems::default();
        let probe = read(body, "/probe", &mut problems);
        problems.finish(probe).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn every_form_is_shown_as_it_was_said() {
        for (said, times) in [
            (json!({"http": {"port": 80, "path": "/"}}), true),
            (
                json!({"http": {"port": 80, "path": "/up", "headers": {"host": "shop.example"}, "expect": {
                    "status": ["200-299", 401], "body": "well", "headers": {"x-ready": "yes", "etag": null},
                }}}),
                true,
            ),
            (json!({"tcp": {"port": 5432}}), true),
            (json!({"exec": {"command": ["pg_isready", "-q"]}}), true),
            (json!({"docker": {}}), false),
            (json!({"none": {}}), false),
        ] {
            let mut expected = said.clone();
            if times {
                (expected["interval"], expected["timeout"]) = (json!(10.0), json!(2.0));
            }
            let probe = parsed(&said).expect("well formed");
            assert_eq!(shown(&probe), expected);
            assert_eq!(parsed(&shown(&probe)), Ok(probe), "{said}");
        }
        let upper = parsed(&json!({"http": {"port": 80, "headers": {"X-Probe": "1"}}})).expect("well formed");
        assert_eq!(shown(&upper)["http"]["headers"], json!({"x-probe": "1"}));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_place() {
        let mut said = vec![];
        for probe in [
            json!({"docker": {}, "none": {}}),
            json!({"docker": {"port": 1}}),
            json!({"none": {}, "interval": "5s"}),
            json!({"exec": {"command": []}}),
            json!({"exec": {"command": "check"}}),
            json!({"http": {"port": 80, "headers": {"Connection": "close", "a b": "c", "d": "e\n"}}}),
            json!({"http": {"port": 80, "expect": {"status": []}}}),
            json!({"http": {"port": 80, "expect": {"status": [99, 600, "2xx", "299-200", "200-299", "200", 20.5]}}}),
            json!({"http": {"port": 80, "expect": {"body": "", "headers": {"etag": 5}, "code": 200}}}),
        ] {
            said.push(format!("{probe}\n  {}", parsed(&probe).expect_err("refused").replace("; /", "\n  /")));
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        {"docker":{},"none":{}}
          /probe: a probe has one of `http` (`{"port": 80, "path": "/"}`), `tcp` (`{"port": 80}`), `exec` (`{"command": ["check"]}`), `docker` (`{}`: the image's HEALTHCHECK) and `none` (`{}`)
        {"docker":{"port":1}}
          /probe/docker/port: unknown field; none is expected here
        {"interval":"5s","none":{}}
          /probe/interval: nothing is asked by windlass itself, so there is nothing to time
        {"exec":{"command":[]}}
          /probe/exec/command: expected a program and its arguments
        {"exec":{"command":"check"}}
          /probe/exec/command: expected a list, found `"check"`
        {"http":{"headers":{"Connection":"close","a b":"c","d":"e\n"},"port":80}}
          /probe/http/headers/Connection: this header says how a message is sent; it cannot be chosen
          /probe/http/headers/a b: expected the name of a header: letters, digits, `-` and the like
          /probe/http/headers/d: expected the value of a header: up to 4096 bytes in one line, without blanks around it
        {"http":{"expect":{"status":[]},"port":80}}
          /probe/http/expect/status: expected at least one code
        {"http":{"expect":{"status":[99,600,"2xx","299-200","200-299","200",20.5]},"port":80}}
          /probe/http/expect/status/0: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
          /probe/http/expect/status/1: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
          /probe/http/expect/status/2: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
          /probe/http/expect/status/3: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
          /probe/http/expect/status/5: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
          /probe/http/expect/status/6: expected a code of 100 to 599 such as `204`, or a range such as `"200-299"`
        {"http":{"expect":{"body":"","code":200,"headers":{"etag":5}},"port":80}}
          /probe/http/expect/code: unknown field; did you mean `body`?
          /probe/http/expect/body: expected 1 to 4096 bytes of text
          /probe/http/expect/headers/etag: expected text, found `5`
        "#);
    }
}
