//! Parses the answers of metric sources: a number, or the reason why there is none.

use serde_json::Value;
use windlass_core::contract::Sample;
use windlass_core::{MetricFailure, Timestamp};

/// The longest answer that is read, in bytes.
pub(crate) const LONGEST: u64 = 1 << 20;

/// The value of an instant query: a scalar, or a vector of one element.
pub(crate) fn prometheus(body: &[u8]) -> Result<Sample, MetricFailure> {
    let answer: Value = json(body)?;
    if answer["status"] != "success" {
        let why = answer["error"].as_str().unwrap_or("its status is not `success`");
        return Err(MetricFailure::Unreadable(format!("Prometheus rejected the query: {}", excerpt(why))));
    }
    let data = &answer["data"];
    let pair = match (data["resultType"].as_str(), &data["result"]) {
        (Some("scalar"), pair) => pair,
        (Some("vector"), Value::Array(elements)) => match elements.as_slice() {
            [] => return Err(MetricFailure::Empty("the query found nothing".to_owned())),
            [element] => &element["value"],
            more => {
                let why = format!("the query found {} series; one is expected, so sum or average them", more.len());
                return Err(MetricFailure::Unreadable(why));
            }
        },
        (kind, _) => {
            let kind = kind.unwrap_or("nothing");
            return Err(MetricFailure::Unreadable(format!("the query gives a {}, not one number", excerpt(kind))));
        }
    };
    let (Some(seconds), Some(text)) = (pair[0].as_f64(), pair[1].as_str()) else {
        return Err(MetricFailure::Unreadable("the answer does not have the form of a Prometheus answer".to_owned()));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates at both ends")]
    let at = Timestamp((seconds * 1_000.0).round() as u64);
    Ok(Sample { at, value: number(text)? })
}

/// The number at a JSON pointer.
pub(crate) fn pointed(body: &[u8], pointer: &str) -> Result<f64, MetricFailure> {
    let document: Value = json(body)?;
    match document.pointer(pointer) {
        None => Err(MetricFailure::Missing(format!("nothing is at `{}`", excerpt(pointer)))),
        Some(Value::Null) => Err(MetricFailure::Empty(format!("`{}` is null", excerpt(pointer)))),
        Some(found) => found.as_f64().ok_or_else(|| MetricFailure::NotANumber(excerpt(&found.to_string()))),
    }
}

/// The number that a command printed.
pub(crate) fn printed(output: &str) -> Result<f64, MetricFailure> {
    match output.trim() {
        "" => Err(MetricFailure::Empty("the command printed nothing".to_owned())),
        text => number(text),
    }
}

fn json(body: &[u8]) -> Result<Value, MetricFailure> {
    serde_json::from_slice(body).map_err(|error| MetricFailure::Unreadable(format!("the answer is not JSON: {error}")))
}

/// `NaN`, `+Inf` and `-Inf` are parsed too; the log rejects them.
fn number(text: &str) -> Result<f64, MetricFailure> {
    text.parse().map_err(|_| MetricFailure::NotANumber(format!("`{}`", excerpt(text))))
}

fn excerpt(text: &str) -> String {
    text.escape_debug().take(80).collect()
}
