//! The query of a series: since, until and step, and the steps that they mean.

use crate::error::Problem;
use crate::json::pattern::durations;
use crate::json::time::time_schema;
use crate::query::{Parameters, time, wrong};
use serde_json::{Value, json};
use std::ops::RangeInclusive;
use std::time::Duration;
use windlass_core::Timestamp;
use windlass_core::series::Steps;
use windlass_core::text::{duration, show_duration};
use windlass_core::time::millis;

/// Most points of a line.
const MOST_POINTS: u64 = 1_000;

/// Most points of a line whose step is not given.
const USUAL_POINTS: u64 = 400;

/// The default of `since`, before `until`.
const DEFAULT_PERIOD: Duration = Duration::from_secs(3_600);

/// The allowed lengths of a step.
const STEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// The lengths of a step that are chosen, in seconds: those that people read on an axis.
const USUAL_STEPS: [u64; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];

/// Query of `GET /workloads/{name}/series`.
#[derive(Default)]
pub(crate) struct Period {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    step: Option<Duration>,
}

impl Parameters for Period {
    fn described() -> Vec<(&'static str, &'static str, Value)> {
        let step = json!({"type": "string", "pattern": durations(&STEP), "examples": ["30s"]});
        vec![
            (
                "since",
                "The beginning: RFC 3339, or milliseconds since the Unix epoch. Default: an hour before `until`.",
                time_schema(),
            ),
            ("until", "The end, in the same form. Default: now.", time_schema()),
            (
                "step",
                "The length of a step, 1 s to 1 day, such as `30s`; a line has at most 1,000 steps. Default: chosen so that a \
                 line has at most 400.",
                step,
            ),
        ]
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Problem> {
        match name {
            "since" => self.since = Some(time(name, &value)?),
            "until" => self.until = Some(time(name, &value)?),
            _ => {
                let step = duration(&value).ok().filter(|step| STEP.contains(step));
                let expected = "expected a length of time from `1s` to `1day`, such as `30s`";
                self.step = Some(step.ok_or_else(|| wrong(name, expected))?);
            }
        }
        Ok(())
    }
}

impl Period {
    /// The steps, which begin at multiples of their length since the epoch, so that a later answer has the same ones.
    pub(crate) fn steps(&self, now: Timestamp) -> Result<Steps, Problem> {
        let until = self.until.unwrap_or(now);
        let since = self.since.unwrap_or_else(|| until.minus(DEFAULT_PERIOD));
        if since >= until {
            let until = until.to_rfc3339();
            let detail = match self.until {
                Some(_) => format!("expected a time before `until` ({until})"),
                None => format!("expected a time before now ({until})"),
            };
            return Err(wrong("since", detail));
        }
        let count = |step: Duration| {
            let step = millis(step);
            let first = since.0 - since.0 % step;
            ((until.0 - first).div_ceil(step), Timestamp(first))
        };
        if let Some(step) = self.step {
            let (points, first) = count(step);
            if points > MOST_POINTS {
                let least = (until.0 - since.0).div_ceil(1_000).div_ceil(MOST_POINTS - 1);
                let detail = format!(
                    "`{}` gives {points} points, and a line has at most {MOST_POINTS}; expected at least `{}`",
                    show_duration(step),
                    show_duration(Duration::from_secs(least))
                );
                return Err(wrong("step", detail));
            }
            return Ok(steps(first, step, points));
        }
        let usual = USUAL_STEPS.into_iter().map(Duration::from_secs);
        let chosen = usual.map(|step| (step, count(step))).find(|(_, (points, _))| *points <= USUAL_POINTS);
        let (step, (points, first)) = chosen.unwrap_or_else(|| {
            // Whole days.
            let days = (until.0 - since.0).div_ceil(millis(*STEP.end())).div_ceil(USUAL_POINTS - 1).max(1);
            let step = *STEP.end() * u32::try_from(days).unwrap_or(u32::MAX);
            (step, count(step))
        });
        Ok(steps(first, step, points))
    }
}

fn steps(since: Timestamp, step: Duration, points: u64) -> Steps {
    Steps { since, step: millis(step), count: usize::try_from(points.min(MOST_POINTS)).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_767_225_607_000);

    fn of(query: &[(&str, &str)]) -> Result<(String, usize, u64), String> {
        let mut period = Period::default();
        for (name, value) in query {
            period.set(name, (*value).to_owned()).map_err(|problem| problem.detail().to_owned())?;
        }
        let steps = period.steps(NOW).map_err(|problem| problem.detail().to_owned())?;
        assert!(steps.until() >= period.until.unwrap_or(NOW), "the end is covered");
        Ok((show_duration(Duration::from_millis(steps.step)), steps.count, steps.since.0 % steps.step))
    }

    #[test]
    fn a_step_is_chosen_that_people_read_on_an_axis() {
        assert_eq!(of(&[]), Ok(("10s".to_owned(), 361, 0)));
        for (since, step, count) in [
            ("2025-12-31T18:00:00Z", "1m", 361),
            ("2025-12-31T00:00:00Z", "5m", 289),
            ("2025-12-25T00:00:00Z", "30m", 337),
            ("2025-12-04T00:00:00Z", "2h", 337),
            ("2025-01-01T00:00:00Z", "1day", 366),
            ("2000-01-01T00:00:00Z", "24days", 397),
        ] {
            assert_eq!(
                of(&[("since", since)]).map(|(step, count, _)| (step, count)),
                Ok((step.to_owned(), count)),
                "{since}"
            );
        }
    }

    #[test]
    fn each_wrong_part_of_a_period_is_named() {
        let since = ("since", "2025-12-31T23:00:00Z");
        assert_eq!(of(&[since, ("step", "30s")]), Ok(("30s".to_owned(), 121, 0)));
        assert_eq!(
            of(&[since, ("step", "1s")]),
            Err("/query/step: `1s` gives 3607 points, and a line has at most 1000; expected at least `4s`".to_owned())
        );
        assert_eq!(of(&[since, ("step", "4s")]).map(|(_, count, _)| count), Ok(902));
        assert_eq!(
            of(&[("since", "2026-02-01T00:00:00Z")]),
            Err("/query/since: expected a time before now (2026-01-01T00:00:07Z)".to_owned())
        );
        assert_eq!(
            of(&[since, ("until", "2025-12-31T23:00:00Z")]),
            Err("/query/since: expected a time before `until` (2025-12-31T23:00:00Z)".to_owned())
        );
        let expected = "/query/step: expected a length of time from `1s` to `1day`, such as `30s`";
        for step in ["0s", "999ms", "2days", "often", "-1s", ""] {
            assert_eq!(of(&[("step", step)]), Err(expected.to_owned()), "{step}");
        }
        let time = "expected a time such as `2026-01-01T12:00:00Z`, or milliseconds since the Unix epoch";
        assert_eq!(of(&[("until", "noon")]), Err(format!("/query/until: {time}")));
    }
}
