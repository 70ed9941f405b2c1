//! The form of a replay: the policy to try, the load, and the model of a replica.

use crate::forms::Form;
use std::time::Duration;
use windlass_core::PolicyChoice;
use windlass_core::text::duration;

/// The load to replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Load {
    /// The recorded CPU use: utilization times ready replicas. A replica serves 1 of it.
    Cpu,
    /// A recorded metric of the workload.
    Metric(String),
    /// A trace that comes with Windlass.
    Shipped(Shipped),
}

/// A trace that comes with Windlass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shipped {
    TwoPeaks,
    FlashCrowd,
    Sawtooth,
}

impl Shipped {
    pub(crate) const ALL: [Self; 3] = [Self::TwoPeaks, Self::FlashCrowd, Self::Sawtooth];

    /// Its value in the form.
    pub(crate) fn value(self) -> &'static str {
        match self {
            Self::TwoPeaks => "trace:two-peaks",
            Self::FlashCrowd => "trace:flash-crowd",
            Self::Sawtooth => "trace:sawtooth",
        }
    }

    /// Its name in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::TwoPeaks => "example: a day with two peaks",
            Self::FlashCrowd => "example: a flash crowd in two hours",
            Self::Sawtooth => "example: four hours of rises that drop at once",
        }
    }

    /// Its text, as `windlass simulate` reads it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::TwoPeaks => include_str!("../../../../examples/traces/two-peaks.csv"),
            Self::FlashCrowd => include_str!("../../../../examples/traces/flash-crowd.csv"),
            Self::Sawtooth => include_str!("../../../../examples/traces/sawtooth.csv"),
        }
    }
}

/// The hours that can be replayed.
pub(crate) const HOURS: [(u64, &str); 4] =
    [(1, "the last hour"), (6, "the last 6 hours"), (24, "the last day"), (168, "the last 7 days")];

/// A replay as the form requests it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    pub(crate) choice: PolicyChoice,
    pub(crate) load: Load,
    pub(crate) hours: u64,
    /// Units of load that a replica serves. `None`: as recorded.
    pub(crate) capacity: Option<f64>,
    pub(crate) start_up: Duration,
}

/// The longest start of a replica.
const LONGEST_START: Duration = Duration::from_secs(3_600);

impl Request {
    /// The request of a form.
    ///
    /// # Errors
    /// One sentence about the first field that is wrong.
    pub(crate) fn parse(form: &Form) -> Result<Self, String> {
        let name = form.text("policy");
        if name.is_empty() {
            return Err("choose a policy".to_owned());
        }
        let config = Some(form.text("config")).filter(|config| !config.is_empty()).unwrap_or("{}");
        serde_json::from_str::<serde_json::Value>(config)
            .map_err(|error| format!("the configuration is not JSON: {error}"))?;
        let load = match form.text("load") {
            "" | "cpu" => Load::Cpu,
            text => match Shipped::ALL.into_iter().find(|shipped| shipped.value() == text) {
                Some(shipped) => Load::Shipped(shipped),
                None => Load::Metric(text.strip_prefix("metric:").unwrap_or(text).to_owned()),
            },
        };
        let hours = form.text("hours").parse().ok().filter(|hours| HOURS.iter().any(|(known, _)| known == hours));
        let capacity = match form.text("capacity") {
            "" => None,
            text => Some(capacity(text).ok_or_else(|| format!("the capacity is `{text}`; expected a number above 0"))?),
        };
        let start_up = match form.text("start_up") {
            "" => Duration::from_secs(30),
            text => duration(text).map_err(|error| error.to_string())?,
        };
        if start_up > LONGEST_START {
            return Err("a replica must start within an hour; give a shorter start".to_owned());
        }
        let choice = PolicyChoice { name: name.to_owned(), config: config.to_owned() };
        Ok(Self { choice, load, hours: hours.unwrap_or(24), capacity, start_up })
    }
}

fn capacity(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        Request::parse(&Form::parse(text.as_bytes()))
    }

    #[test]
    fn a_form_says_what_to_replay() {
        let request =
            parse("policy=queue&config=%7B%22a%22%3A1%7D&load=metric:orders&hours=6&capacity=2.5&start_up=1m");
        let expected = Request {
            choice: PolicyChoice { name: "queue".to_owned(), config: "{\"a\":1}".to_owned() },
            load: Load::Metric("orders".to_owned()),
            hours: 6,
            capacity: Some(2.5),
            start_up: Duration::from_secs(60),
        };
        assert_eq!(request, Ok(expected));
        let usual = parse("policy=queue").expect("the rest has defaults");
        assert_eq!((usual.load, usual.hours, usual.capacity), (Load::Cpu, 24, None));
        let shipped = parse("policy=queue&load=trace:sawtooth").expect("a trace");
        assert_eq!(shipped.load, Load::Shipped(Shipped::Sawtooth));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (form, sentence) in [
            ("", "choose a policy"),
            ("policy=a&config={", "the configuration is not JSON"),
            ("policy=a&capacity=0", "the capacity is `0`; expected a number above 0"),
            ("policy=a&capacity=inf", "the capacity is `inf`"),
            ("policy=a&start_up=soon", "`soon` is not a length of time"),
            ("policy=a&start_up=2h", "a replica must start within an hour"),
        ] {
            let refused = parse(form).expect_err("refused");
            assert!(refused.starts_with(sentence), "{form}: {refused}");
        }
    }
}
