//! The rule, without WebAssembly: plain values in, plain values out.

use serde_json::Value;

pub const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "required": ["target-per-replica"],
  "properties": {
    "metric": {"type": "string", "minLength": 1, "default": "queue-depth"},
    "target-per-replica": {"type": "integer", "minimum": 1, "maximum": 1000000},
    "cool-down-seconds": {"type": "integer", "minimum": 0, "maximum": 86400, "default": 300}
  }
}"#;

/// The version of the memory's format, which is its first byte.
const MEMORY_VERSION: u8 = 1;

/// The highest count that the policy proposes.
const MAX_REPLICAS: u32 = 1_000_000;

pub struct Config {
    pub metric: String,
    target: u64,
    cool_down_ms: u64,
}

/// A metric of the whole workload.
pub struct Series<'a> {
    pub newest: Option<f64>,
    pub failure: Option<&'a str>,
}

#[derive(Debug, PartialEq)]
pub struct Answer {
    pub replicas: u32,
    pub reason: String,
    pub memory: Vec<u8>,
    pub evaluate_after: Option<u64>,
}

/// The reason why the data is not sufficient to decide.
#[derive(Debug, PartialEq)]
pub struct Problem(pub String);

/// Parses a configuration. The error names the invalid field.
pub fn configure(text: &str) -> Result<Config, String> {
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        _ => return Err("the configuration is not a JSON object".to_owned()),
    };
    let metric = match object.get("metric") {
        None => "queue-depth".to_owned(),
        Some(Value::String(metric)) => metric.clone(),
        Some(_) => return Err("`metric` must be a string".to_owned()),
    };
    let whole = |name: &str, least: u64, most: u64, default: Option<u64>| {
        let wrong = || format!("`{name}` must be a whole number from {least} to {most}");
        let Some(value) = object.get(name) else { return default.ok_or_else(wrong) };
        // 300, 300.0 and 3e2 are the same number.
        let number = value.as_f64().filter(|number| number.fract() == 0.0);
        let number = number.filter(|number| (least as f64..=most as f64).contains(number)).ok_or_else(wrong)?;
        Ok(number as u64)
    };
    Ok(Config {
        target: whole("target-per-replica", 1, 1_000_000, None)?,
        cool_down_ms: whole("cool-down-seconds", 0, 86_400, Some(300))? * 1_000,
        metric,
    })
}

/// Proposes a count. `now` is in milliseconds since 1970.
pub fn decide(
    config: &Config,
    now: u64,
    current: u32,
    series: Option<Series<'_>>,
    memory: &[u8],
) -> Result<Answer, Problem> {
    let problem = |what: &str| Problem(format!("the metric `{}` {what}", config.metric));
    let series = series.ok_or_else(|| problem("is missing"))?;
    if let Some(failure) = series.failure {
        return Err(problem(&format!("is unavailable: {failure}")));
    }
    let depth = series.newest.ok_or_else(|| problem("has no sample yet"))?;
    if !depth.is_finite() || depth < 0.0 {
        return Err(problem("is not a finite number of 0 or more"));
    }
    let waiting = depth.min(1e15) as u64;
    let needed = u32::try_from(waiting.div_ceil(config.target)).map_or(MAX_REPLICAS, |needed| needed.min(MAX_REPLICAS));
    let reason = format!("{waiting} waiting, {} per replica: the count should be {needed}", config.target);
    let immediately = |reason| Ok(Answer { replicas: needed, reason, memory: Vec::new(), evaluate_after: None });
    if needed >= current {
        return immediately(reason);
    }
    let since = cool_down_start(memory).filter(|since| *since <= now).unwrap_or(now);
    let Some(left) = config.cool_down_ms.checked_sub(now - since).filter(|left| *left > 0) else {
        return immediately(reason);
    };
    let mut memory = vec![MEMORY_VERSION];
    memory.extend(since.to_string().bytes());
    Ok(Answer {
        replicas: current,
        reason: format!("{reason}; scale-in is delayed by another {} s", left.div_ceil(1_000)),
        memory,
        evaluate_after: Some(left),
    })
}

/// Returns the start of the cool-down. Bytes in another format are discarded, because an older revision may have written
/// them.
fn cool_down_start(memory: &[u8]) -> Option<u64> {
    let (version, digits) = memory.split_first()?;
    let fits = *version == MEMORY_VERSION && (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if fits { std::str::from_utf8(digits).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(current: u32, depth: f64, now: u64, memory: &[u8]) -> Answer {
        let config = configure(r#"{"target-per-replica": 25, "cool-down-seconds": 60}"#).unwrap();
        decide(&config, now, current, Some(Series { newest: Some(depth), failure: None }), memory).unwrap()
    }

    #[test]
    fn a_long_queue_scales_up_at_once() {
        let answer = ask(2, 101.0, 1_000, &[]);
        assert_eq!((answer.replicas, answer.memory.len()), (5, 0));
        assert_eq!(answer.reason, "101 waiting, 25 per replica: the count should be 5");
    }

    #[test]
    fn a_short_queue_scales_down_after_the_cool_down() {
        let first = ask(4, 10.0, 1_000, &[]);
        assert_eq!((first.replicas, first.evaluate_after), (4, Some(60_000)));
        let later = ask(4, 10.0, 60_999, &first.memory);
        assert_eq!((later.replicas, later.evaluate_after), (4, Some(1)));
        assert_eq!(ask(4, 10.0, 61_000, &later.memory).replicas, 1);
    }

    #[test]
    fn memory_of_another_form_is_forgotten() {
        for memory in [&b"\x02123"[..], b"\x01", b"\x0112x", b"\x011234567890123456", b"\x0199999"] {
            assert_eq!(ask(4, 10.0, 1_000, memory).evaluate_after, Some(60_000), "{memory:?}");
        }
    }
}
