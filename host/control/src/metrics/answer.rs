//! Parses the answers of metric sources: a number, or the reason why there is none.
//!
//! A reason never repeats a part of a document, except the text of an error: a metric may point at any document that this
//! machine reaches, and everyone who may read the API reads the reason.

use serde_json::Value;
use windlass_core::contract::Sample;
use windlass_core::net::SourceResponse;
use windlass_core::{MetricFailure, SourceUrl, Timestamp};

/// The longest answer that is read, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// The most characters of an answer in a failure.
const EXCERPT: usize = 120;

/// The mark at the beginning of a text that some programs write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The result of an instant query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueryResult {
    /// Its value, with the time of the evaluation by the clock of Prometheus.
    pub(crate) sample: Sample,
    /// The reason why the value covers only a part of the data. `None` if it covers all.
    pub(crate) missing: Option<String>,
}

/// The body of a successful response.
pub(crate) fn body(response: &SourceResponse) -> Result<&[u8], MetricFailure> {
    let SourceResponse { status, location, body, .. } = response;
    if status.is_success() {
        return Ok(body);
    }
    let mut why = format!("the server responded with status {status}");
    match location {
        Some(target) if status.is_redirection() => {
            let target = excerpt(&SourceUrl::new(target).masked());
            why.push_str(&format!(
                ", a redirect to `{target}`, which is not followed; give that address if it is right"
            ));
        }
        _ => {
            if let Some(said) = said(body) {
                why.push_str(&format!(": {said}"));
            }
        }
    }
    Err(MetricFailure::Unreachable(why))
}

/// The reason in the body of an error: that of Prometheus, the name of an HTML page, or the first line of a text. `None` for
/// another document, and if the body is empty.
fn said(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(without_mark(body));
    if let Some(page) = html_page(&text) {
        return Some(page);
    }
    let line = match serde_json::from_str::<Value>(&text) {
        Ok(document) => document["error"].as_str()?.to_owned(),
        Err(_) => text.lines().map(str::trim).find(|line| !line.is_empty())?.to_owned(),
    };
    Some(format!("`{}`", excerpt(&line)))
}

/// The value of an instant query: a scalar, or a vector of one element.
pub(crate) fn prometheus(body: &[u8]) -> Result<QueryResult, MetricFailure> {
    let answer: Value = json(body)?;
    if answer["status"] != "success" {
        let error = answer["error"].as_str().filter(|_| answer["status"] == "error");
        let why = error.unwrap_or("its status is not `success`");
        return Err(MetricFailure::Unreadable(format!("Prometheus rejected the query: {}", excerpt(why))));
    }
    let malformed = || MetricFailure::Unreadable("the answer does not have the form of a Prometheus answer".to_owned());
    let missing = missing(&answer);
    let data = &answer["data"];
    let pair = match (data["resultType"].as_str(), &data["result"]) {
        (Some("scalar"), pair) => pair,
        (Some("vector"), Value::Array(elements)) => match elements.as_slice() {
            [] => {
                let why = missing.map(|why| format!(" ({why})")).unwrap_or_default();
                return Err(MetricFailure::Empty(format!("the query found nothing{why}")));
            }
            [element] => &element["value"],
            more => {
                let why = format!("the query found {} series; one is expected, so sum or average them", more.len());
                return Err(MetricFailure::Unreadable(why));
            }
        },
        (Some(kind @ ("matrix" | "string")), _) => {
            return Err(MetricFailure::Unreadable(format!("the query gives a {kind}, not one number")));
        }
        _ => return Err(malformed()),
    };
    let Some(seconds) = pair[0].as_f64().or_else(|| pair[0].as_str()?.parse().ok()) else { return Err(malformed()) };
    let value = match &pair[1] {
        Value::String(text) => number(text)?,
        other => other.as_f64().ok_or_else(malformed)?,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates at both ends")]
    let at = Timestamp((seconds * 1_000.0).round() as u64);
    Ok(QueryResult { sample: Sample { at, value }, missing })
}

/// The reason why an answer lacks data: the warnings of Prometheus and Thanos, or the mark of VictoriaMetrics.
fn missing(answer: &Value) -> Option<String> {
    let warnings = answer["warnings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_partial = answer["isPartial"] == true || answer["data"]["isPartial"] == true;
    let (first, others) = match warnings.split_first() {
        Some((first, others)) => (first.as_str().map_or_else(|| first.to_string(), str::to_owned), others.len()),
        None if is_partial => ("it says that it is partial".to_owned(), 0),
        None => return None,
    };
    let others = if others > 0 { format!(" (and {others} more)") } else { String::new() };
    Some(format!("the source answered in part: {}{others}", excerpt(&first)))
}

/// The number at a JSON pointer.
pub(crate) fn pointed(body: &[u8], pointer: &str) -> Result<f64, MetricFailure> {
    let document: Value = json(body)?;
    match document.pointer(pointer) {
        None => Err(MetricFailure::Missing(format!("nothing is at `{}`", excerpt(pointer)))),
        Some(Value::Null) => Err(MetricFailure::Empty(format!("`{}` is null", excerpt(pointer)))),
        Some(Value::String(text)) if text.trim().is_empty() => {
            Err(MetricFailure::Empty(format!("`{}` is an empty text", excerpt(pointer))))
        }
        Some(found) => {
            let number = found.as_f64().or_else(|| found.as_str()?.trim().parse().ok());
            number.ok_or_else(|| MetricFailure::NotANumber(kind(found)))
        }
    }
}

/// The number that a command printed.
pub(crate) fn printed(output: &str) -> Result<f64, MetricFailure> {
    match output.trim_start_matches('\u{feff}').trim() {
        "" => Err(MetricFailure::Empty("the command printed nothing".to_owned())),
        text => number(text),
    }
}

fn json(body: &[u8]) -> Result<Value, MetricFailure> {
    let body = without_mark(body);
    serde_json::from_slice(body).map_err(|error| {
        MetricFailure::Unreadable(if html_page(&String::from_utf8_lossy(body)).is_some() {
            "the answer is a page of HTML, not JSON; check the address: it may be that of a login or a proxy".to_owned()
        } else {
            format!("the answer is not JSON: {error}")
        })
    })
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// A page of HTML, with its title, if the text is one.
fn html_page(text: &str) -> Option<String> {
    let beginning: String = text.trim_start().chars().take(4_096).collect::<String>().to_ascii_lowercase();
    let is_page = ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| beginning.starts_with(tag))
        || (beginning.starts_with(['<']) && beginning.contains("<html"));
    let title = || {
        let (_, rest) = beginning.split_once("<title")?;
        let begin = text.trim_start().char_indices().nth(beginning.chars().count() - rest.chars().count())?.0;
        let (_, rest) = text.trim_start()[begin..].split_once('>')?;
        Some(rest.split('<').next()?.trim()).filter(|title| !title.is_empty())
    };
    is_page.then(|| match title() {
        Some(title) => format!("a page of HTML (`{}`)", excerpt(title)),
        None => "a page of HTML".to_owned(),
    })
}

/// `NaN`, `+Inf` and `-Inf` are parsed too; the log rejects them.
fn number(text: &str) -> Result<f64, MetricFailure> {
    text.trim().parse().map_err(|_| MetricFailure::NotANumber(text_of(text)))
}

/// The kind of a value that is no number, without the value.
fn kind(value: &Value) -> String {
    match value {
        Value::String(text) => text_of(text),
        Value::Array(elements) => format!("a list of length {}", elements.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Null | Value::Number(_) => "no 64-bit number".to_owned(),
    }
}

fn text_of(text: &str) -> String {
    match text.len() {
        1 => "a text of 1 byte".to_owned(),
        bytes => format!("a text of {bytes} bytes"),
    }
}

fn excerpt(text: &str) -> String {
    text.escape_debug().take(EXCERPT).collect()
}
