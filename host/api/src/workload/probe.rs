//! `probe`: how Windlass checks whether a replica answers.

use crate::json::fields::Field;
use crate::json::object::{declare, empty_object, exactly_one, object};
use crate::json::pattern::{any_case, whole};
use crate::json::problems::Problems;
use crate::json::shape::{Shape, command_of, list_of, map_of, parsed_by, port, text, text_of, whole_number};
use crate::json::time::{duration_json, duration_within};
use axum::http::{HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{Expected, HttpProbe, Invalid, Probe, ProbeTarget, StatusRange};

/// Longest time between two probes.
const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);
/// Longest path of a probe, in bytes.
const MAX_PATH: usize = 1_024;
/// Most characters of an expected text, of a header and of a word of a command.
const MAX_TEXT: usize = 4_096;
/// Most headers and codes.
const MOST: usize = 32;
/// Headers about the transport of a message: only the client sets them.
const OWN_HEADERS: [&str; 6] = ["connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"];

/// The name of a header.
const HEADER_NAME: &str = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// The value of a header: visible ASCII, with blanks between words.
const HEADER_VALUE: &str = "^(?:[!-~](?:[ -~]*[!-~])?)?$";
/// A path with a query: visible ASCII without `#`.
const PATH: &str = "^/[!\"$-~]*$";

declare! {
    /// How Windlass checks whether a replica answers: one of `http`, `tcp`, `exec`, `docker` and `none`.
    pub(crate) struct ProbeRequest {
        /// A request over HTTP, and the response that it must get.
        nullable http: HttpProbe = http(),
        /// A TCP connection; it succeeds if it opens.
        nullable tcp: u16 = tcp(),
        /// A command in the replica; it succeeds if it ends with status 0.
        nullable exec: Vec<String> = exec(),
        /// `{}`: the image's own HEALTHCHECK, at its own interval. An image without one is rejected.
        nullable docker: () = empty_object(),
        /// `{}`: no probe, even if the image has a HEALTHCHECK.
        nullable none: () = empty_object(),
        /// Time between two probes. Text such as `10s`, or a number of seconds; 1 s to 1 h. Default: 10 s.
        optional interval: Duration = duration_within(Duration::from_secs(1)..=LONGEST_INTERVAL, "1 s to 1 h"),
        /// Time limit of a probe. Text such as `500ms`, or a number of seconds; 10 ms up to `interval`. Default: 2 s.
        optional timeout: Duration =
            duration_within(Duration::from_millis(10)..=LONGEST_INTERVAL, "10 ms up to `interval`"),
    }
    rules {
        exactly_one(
            &["http", "tcp", "exec", "docker", "none"],
            &[("docker", &["interval", "timeout"]), ("none", &["interval", "timeout"])],
        )
    }
}

declare! {
    /// A TCP probe.
    pub(crate) struct TcpProbeRequest {
        /// Port inside the replica.
        required port: u16 = port(),
    }
}

declare! {
    /// A command in the replica.
    pub(crate) struct ExecProbeRequest {
        /// Program and arguments.
        required command: Vec<String> = command_of(MAX_TEXT),
    }
}

declare! {
    /// An HTTP probe.
    pub(crate) struct HttpProbeRequest {
        /// Port inside the replica.
        required port: u16 = port(),
        /// Begins with `/`.
        optional path: String = path_shape().keyword("default", json!("/")),
        /// Headers of the request, at most 32.
        optional headers: BTreeMap<String, String> = request_headers(&[]),
        /// The response that it must get. Default: a status of 200 to 399.
        optional expect: Expected = expected(),
    }
}

declare! {
    /// The response that an HTTP probe must get.
    pub(crate) struct ExpectedRequest {
        /// Accepted statuses: codes (`204`) and ranges (`"200-299"`), at most 32. Default: 200 to 399.
        optional status: Vec<StatusRange> = statuses(),
        /// Text that the first 64 KiB of the body contain.
        nullable body: String = body(),
        /// Headers that the response has: with this value, or with any value if it is null; at most 32.
        optional headers: BTreeMap<String, Option<String>> = response_headers(),
    }
}

/// Reads a probe.
pub(crate) fn shape() -> Shape<Probe> {
    object().then(ProbeRequest::probe)
}

impl ProbeRequest {
    fn probe(self, pointer: &str, problems: &mut Problems) -> Option<Probe> {
        let Self { http, tcp, exec, docker, none, interval, timeout, .. } = self;
        let there = [http.is_there(), tcp.is_there(), exec.is_there(), docker.is_there(), none.is_there()];
        if there.into_iter().filter(|is_there| *is_there).count() != 1 {
            problems.add(
                pointer,
                "a probe has one of `http` (`{\"port\": 80, \"path\": \"/\"}`), `tcp` (`{\"port\": 80}`), `exec` \
                 (`{\"command\": [\"check\"]}`), `docker` (`{}`: the image's HEALTHCHECK) and `none` (`{}`)",
            );
        }
        let unasked = (docker.given().map(|()| ProbeTarget::Docker)).or(none.given().map(|()| ProbeTarget::None));
        if let Some(target) = unasked {
            for (name, _) in [("interval", &interval), ("timeout", &timeout)].iter().filter(|(_, f)| f.is_there()) {
                problems.add(
                    format!("{pointer}/{name}"),
                    "windlass sends no probe of its own here, so this has no effect; remove it",
                );
            }
            return Some(Probe::usual(target));
        }
        let target = (http.given().map(ProbeTarget::Http))
            .or(tcp.given().map(|port| ProbeTarget::Tcp { port }))
            .or(exec.given().map(|command| ProbeTarget::Exec { command }));
        let (interval, timeout) = times(interval, timeout, pointer, problems)?;
        Some(Probe { target: target?, interval, timeout })
    }
}

fn times(
    interval: Field<Duration>,
    timeout: Field<Duration>,
    pointer: &str,
    problems: &mut Problems,
) -> Option<(Duration, Duration)> {
    let interval = interval.or(Probe::INTERVAL)?;
    let timeout = timeout.or(Probe::TIMEOUT.min(interval))?;
    if timeout > interval {
        problems.add(format!("{pointer}/timeout"), "expected 10 ms up to `interval`");
    }
    Some((interval, timeout))
}

fn tcp() -> Shape<u16> {
    object().then(|request: TcpProbeRequest, _, _| request.port.given())
}

fn exec() -> Shape<Vec<String>> {
    object().then(|request: ExecProbeRequest, _, _| request.command.given())
}

fn http() -> Shape<HttpProbe> {
    object().then(|HttpProbeRequest { port, path, headers, expect, .. }, _, _| {
        Some(HttpProbe {
            port: port.given()?,
            path: path.or("/".to_owned())?,
            headers: headers.or(BTreeMap::new())?,
            expect: expect.or(Expected::default())?,
        })
    })
}

fn expected() -> Shape<Expected> {
    object().then(|ExpectedRequest { status, body, headers, .. }, _, _| {
        Some(Expected { status: status.or(vec![])?, body: body.given(), headers: headers.or(BTreeMap::new())? })
    })
}

/// Headers of a request, by lower-case name.
pub(crate) fn request_headers(own: &'static [&'static str]) -> Shape<BTreeMap<String, String>> {
    let is_own = |name: &str| OWN_HEADERS.contains(&name) || own.contains(&name);
    let headers = map_of(header_value(), move |name, value, pointer, problems| {
        let name = header_name(name, pointer, problems);
        if name.as_deref().is_some_and(is_own) {
            problems.add(pointer, "this header describes the transport of the message; windlass sets it itself");
        }
        Some((name?, value?))
    });
    let own: Vec<String> = OWN_HEADERS.iter().chain(own).map(|name| any_case(name)).collect();
    let names = json!({"pattern": HEADER_NAME, "maxLength": MAX_TEXT, "not": {"pattern": whole(&own)}});
    few(headers, BTreeMap::len, "maxProperties").keyword("propertyNames", names)
}

fn response_headers() -> Shape<BTreeMap<String, Option<String>>> {
    let schema = json!({"type": ["string", "null"], "pattern": HEADER_VALUE, "maxLength": MAX_TEXT});
    let value = Shape::new(schema, |value: &Value, pointer, problems: &mut Problems| match value {
        Value::Null => Some(None),
        value => header_value().read(value, pointer, problems).map(Some),
    });
    let headers = map_of(value, |name, value, pointer, problems| Some((header_name(name, pointer, problems)?, value?)));
    few(headers, BTreeMap::len, "maxProperties")
        .keyword("propertyNames", json!({"pattern": HEADER_NAME, "maxLength": MAX_TEXT}))
}

fn statuses() -> Shape<Vec<StatusRange>> {
    let some = list_of(status_range()).then(|ranges, pointer, problems| {
        if ranges.is_empty() {
            problems.add(pointer, "expected at least one code");
        }
        Some(ranges)
    });
    few(some, Vec::len, "maxItems").keyword("minItems", json!(1))
}

fn body() -> Shape<String> {
    text_of(1..=MAX_TEXT)
}

/// Records a problem if there are more than [`MOST`]; `keyword` says so in the schema.
fn few<T: 'static>(all: Shape<T>, count: impl Fn(&T) -> usize + 'static, keyword: &'static str) -> Shape<T> {
    let limited = all.then(move |all, pointer, problems| {
        if count(&all) > MOST {
            problems.add(pointer, format!("expected at most {MOST}"));
        }
        Some(all)
    });
    limited.keyword(keyword, json!(MOST))
}

/// A code, `204`, or a range, `"200-299"`.
fn status_range() -> Shape<StatusRange> {
    let schema = json!({
        "type": ["integer", "string"], "minimum": 100, "maximum": 599, "pattern": status_ranges(),
        "examples": [204, "200-299"],
    });
    Shape::new(schema, |value, pointer, problems: &mut Problems| {
        let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..600).contains(code) && text.len() == 3);
        let range = match value {
            Value::Number(_) => {
                whole_number(value).and_then(|number| code(&number.to_string())).map(|code| (code, code))
            }
            Value::String(text) => text.split_once('-').and_then(|(first, last)| Some((code(first)?, code(last)?))),
            _ => None,
        };
        let range = range.filter(|(first, last)| first <= last);
        if range.is_none() {
            problems.add(pointer, "expected a code of 100 to 599 such as `204`, or a range such as `\"200-299\"`");
        }
        range.map(|(first, last)| StatusRange { first, last })
    })
}

/// The ranges of statuses that a regular expression can tell from one whose end comes first: from any code to one of a
/// later hundred, and within a hundred from its beginning or to its end.
fn status_ranges() -> String {
    let later = (1..5).map(|hundred| format!("{hundred}[0-9]{{2}}-[{}-5][0-9]{{2}}", hundred + 1));
    let within = (1..=5)
        .flat_map(|hundred| [format!("{hundred}00-{hundred}[0-9]{{2}}"), format!("{hundred}[0-9]{{2}}-{hundred}99")]);
    whole(&later.chain(within).collect::<Vec<_>>())
}

fn header_name(name: &str, pointer: &str, problems: &mut Problems) -> Option<String> {
    let parsed = name.parse::<HeaderName>().ok().filter(|_| name.len() <= MAX_TEXT);
    if parsed.is_none() {
        problems.add(pointer, "expected the name of a header: letters, digits, `-` and the like");
    }
    // Parsing turns its letters to lower case.
    parsed.map(|name| name.as_str().to_owned())
}

fn header_value() -> Shape<String> {
    let value = text().then(|text, pointer, problems| {
        let is_plain = text.len() <= MAX_TEXT && HeaderValue::from_str(&text).is_ok() && text.trim() == text;
        if !is_plain {
            problems.add(
                pointer,
                format!("expected the value of a header: up to {MAX_TEXT} bytes in one line, without blanks around it"),
            );
        }
        Some(text)
    });
    value.pattern(HEADER_VALUE, MAX_TEXT)
}

/// The path of a request to a replica.
pub(crate) fn path_shape() -> Shape<String> {
    parsed_by(path).pattern(PATH, MAX_PATH)
}

/// Parses the path of a request to a replica.
fn path(text: &str) -> Result<String, Invalid> {
    let valid = text.starts_with('/') && text.len() <= MAX_PATH && text.bytes().all(|b| b.is_ascii_graphic());
    if valid && !text.contains('#') {
        Ok(text.to_owned())
    } else {
        Err(Invalid::new(format!(
            "expected a path that begins with `/`, up to {MAX_PATH} bytes, with blanks and the like percent-encoded"
        )))
    }
}

/// A probe in the form of the request.
pub(crate) fn json_of(probe: &Probe) -> Value {
    let mut json = match &probe.target {
        ProbeTarget::Http(http) => json!({"http": http_json(http)}),
        ProbeTarget::Tcp { port } => json!({"tcp": {"port": port}}),
        ProbeTarget::Exec { command } => json!({"exec": {"command": command}}),
        ProbeTarget::Docker => json!({"docker": {}}),
        ProbeTarget::None => json!({"none": {}}),
    };
    if probe.is_asked() {
        json["interval"] = duration_json(probe.interval);
        json["timeout"] = duration_json(probe.timeout);
    }
    json
}

/// An HTTP probe without the fields that have their default.
fn http_json(http: &HttpProbe) -> Value {
    let mut json = json!({"port": http.port, "path": http.path});
    if !http.headers.is_empty() {
        json["headers"] = json!(http.headers);
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
        json["expect"] = Value::Object(expect);
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &Value) -> Result<Probe, String> {
        let mut problems = Problems::default();
        let probe = shape().read(body, "/probe", &mut problems);
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
                (expected["interval"], expected["timeout"]) = (json!("10s"), json!("2s"));
            }
            let probe = parsed(&said).expect("well formed");
            assert_eq!(json_of(&probe), expected);
            assert_eq!(parsed(&json_of(&probe)), Ok(probe), "{said}");
        }
        let upper = parsed(&json!({"http": {"port": 80, "headers": {"X-Probe": "1"}}})).expect("well formed");
        assert_eq!(json_of(&upper)["http"]["headers"], json!({"x-probe": "1"}));
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
          /probe/interval: windlass sends no probe of its own here, so this has no effect; remove it
        {"exec":{"command":[]}}
          /probe/exec/command: expected a program and its arguments
        {"exec":{"command":"check"}}
          /probe/exec/command: expected a list, found `"check"`
        {"http":{"headers":{"Connection":"close","a b":"c","d":"e\n"},"port":80}}
          /probe/http/headers/Connection: this header describes the transport of the message; windlass sets it itself
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
          /probe/http/expect/body: expected 1 to 4096 characters of text without NUL
          /probe/http/expect/headers/etag: expected text, found `5`
        "#);
    }
}
