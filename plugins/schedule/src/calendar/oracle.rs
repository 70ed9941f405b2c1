//! Compares schedules with an oracle that watches a clock minute by minute, over the clock changes of a year.

use super::*;
use jiff_0_2::civil::DateTime;

/// Zones whose clocks change at night, at midnight, before midnight, by half an hour, around Ramadan, or never.
const ZONES: [&str; 16] = [
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Nuuk",
    "America/Scoresbysund",
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Chatham",
    "Asia/Kolkata",
];

/// Longer than every rule needs to reach a state that does not depend on its first minute.
const WARM_UP: i64 = 36 * DAY;
const DAY: i64 = 1_440;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// How the clock comes to a minute on the wall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    Shown,
    ShownAgain,
    Skipped,
}

/// A minute of the clock.
struct Tick {
    at: Timestamp,
    /// The time that the clock shows.
    shown: DateTime,
    /// The clock has shown this time before.
    is_repeat: bool,
    /// The minutes that the clock skipped just before.
    skipped: Vec<DateTime>,
}

impl Tick {
    /// The minutes on the wall that pass now, in order.
    fn passing(&self) -> impl Iterator<Item = (DateTime, Passed)> {
        let shown = if self.is_repeat { Passed::ShownAgain } else { Passed::Shown };
        self.skipped.iter().map(|time| (*time, Passed::Skipped)).chain([(self.shown, shown)])
    }
}

/// Watches a clock around a time.
fn watch(zone: &TimeZone, around: Timestamp) -> Vec<Tick> {
    let first = around - MINUTE * i32::try_from(WARM_UP + 2 * DAY).expect("small");
    let mut latest = zone.to_datetime(first - MINUTE);
    let ticks = (0..WARM_UP + 4 * DAY).map(|minute| {
        let at = first + SignedDuration::from_mins(minute);
        let shown = zone.to_datetime(at);
        let is_repeat = shown <= latest;
        let mut skipped = Vec::new();
        while latest + MINUTE < shown {
            latest += MINUTE;
            skipped.push(latest);
        }
        latest = latest.max(shown);
        Tick { at, shown, is_repeat, skipped }
    });
    ticks.collect()
}

/// The fields of a cron expression. An empty list is `*`.
#[derive(Debug, Clone, Default)]
struct Fields {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    weekdays: Vec<i8>,
}

impl Fields {
    fn text(&self) -> String {
        let field = |values: &[i8]| {
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            if texts.is_empty() { "*".to_owned() } else { texts.join(",") }
        };
        format!("{} {} {} * {}", field(&self.minutes), field(&self.hours), field(&self.days), field(&self.weekdays))
    }

    fn names(&self, time: DateTime) -> bool {
        let fits = |values: &[i8], value: i8| values.is_empty() || values.contains(&value);
        fits(&self.minutes, time.minute())
            && fits(&self.hours, time.hour())
            && fits(&self.days, time.day())
            && fits(&self.weekdays, time.date().weekday().to_sunday_zero_offset())
    }

    /// Whether the expression happens when this minute passes.
    fn happens(&self, time: DateTime, passed: Passed) -> bool {
        let is_hourly = self.hours.is_empty();
        let counts = match passed {
            Passed::Shown => true,
            Passed::ShownAgain => is_hourly,
            Passed::Skipped => !is_hourly,
        };
        counts && self.names(time)
    }
}

#[derive(Debug, Clone)]
struct Rule {
    begin: Fields,
    /// A number is the duration in minutes.
    end: Result<Fields, i64>,
    on_holidays: OnHolidays,
}

impl Rule {
    /// Whether the rule is active in each minute.
    fn expected(&self, ticks: &[Tick], holidays: &[Date]) -> Vec<bool> {
        let (mut is_active, mut ends) = (false, Timestamp::MIN);
        let states = ticks.iter().map(|tick| {
            for (time, passed) in tick.passing() {
                // A start in the minute of an end follows it.
                is_active &= !self.end.as_ref().is_ok_and(|end| end.happens(time, passed));
                let counts = match self.on_holidays {
                    OnHolidays::Also => true,
                    OnHolidays::Never => !holidays.contains(&time.date()),
                    OnHolidays::Only => holidays.contains(&time.date()),
                };
                if counts && self.begin.happens(time, passed) {
                    match self.end {
                        Ok(_) => is_active = true,
                        Err(minutes) => ends = tick.at + SignedDuration::from_mins(minutes),
                    }
                }
            }
            is_active || tick.at < ends
        });
        states.collect()
    }

    fn calendar(&self, zone: &str, holidays: &[Date]) -> Calendar {
        let until = self.end.as_ref().map(Fields::text);
        let entry = Entry {
            name: "rule".to_owned(),
            cron: self.begin.text(),
            duration_ms: self.end.as_ref().err().map(|minutes| u64::try_from(minutes * 60_000).expect("positive")),
            until: until.ok(),
            min: Some(1),
            max: None,
            on_holidays: self.on_holidays,
        };
        let window = Window::parse(&entry, "rule").expect("a schedule");
        let holidays = holidays.iter().map(|date| Holiday::Once(*date)).collect();
        Calendar::new(zone, vec![window], holidays).expect("a zone")
    }
}

/// Compares a rule with the oracle in every minute after the warm-up: the state at each announced change, and that it lasts
/// until the next one. Around the change of the clock, the state is also read between the announced changes.
fn compare(rule: &Rule, zone: &str, ticks: &[Tick], holidays: &[Date]) {
    let expected = rule.expected(ticks, holidays);
    let calendar = rule.calendar(zone, holidays);
    let change = usize::try_from(WARM_UP + 2 * DAY).expect("positive");
    // A rule that starts every minute announces a change every minute.
    let (mut minute, last) = match rule.begin.minutes.is_empty() {
        true => (change - 150, change + 150),
        false => (usize::try_from(WARM_UP).expect("positive"), ticks.len()),
    };
    while minute < last {
        let at = ticks[minute].at;
        let state = calendar.at(u64::try_from(at.as_millisecond()).expect("after 1970"));
        let lasts = state.changes_after.map_or(ticks.len(), |after| usize::try_from(after / 60_000).expect("minutes"));
        let end = ticks.len().min(minute + lasts.max(1));
        for (tick, expected) in ticks.iter().zip(&expected).take(end).skip(minute) {
            assert_eq!(
                state.min.is_some(),
                *expected,
                "{zone} at {} ({}), state of {at}, holidays {holidays:?}: {rule:?}",
                tick.at,
                tick.shown
            );
        }
        minute = end;
    }
    for around in [-61, -60, -31, -30, -29, -1, 0, 1, 29, 30, 31, 59, 60, 61, 90, 120, 121] {
        let minute = change.checked_add_signed(around).expect("within");
        let state = calendar.at(u64::try_from(ticks[minute].at.as_millisecond()).expect("after 1970"));
        assert_eq!(state.min.is_some(), expected[minute], "{zone} at {}: {rule:?}", ticks[minute].at);
    }
}

/// Pseudo-random numbers, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(u64::try_from(from.len()).expect("few"));
        from[usize::try_from(index).expect("few")]
    }

    fn some<T: Copy>(&mut self, from: &[T], most: u64) -> Vec<T> {
        (0..=self.below(most)).map(|_| self.pick(from)).collect()
    }

    /// Times in the night, where clocks change.
    fn fields(&mut self) -> Fields {
        let minutes = if self.below(12) == 0 { Vec::new() } else { self.some(&[0, 1, 15, 29, 30, 31, 45, 59], 2) };
        let hours =
            if self.below(5) == 0 { Vec::new() } else { self.some(&[0, 0, 1, 1, 2, 2, 3, 4, 22, 23, 23, 12], 2) };
        let (days, weekdays) = match self.below(6) {
            0 => (self.some(&[1, 8, 25, 28, 29], 3), Vec::new()),
            1 | 2 => (Vec::new(), self.some(&[0, 0, 0, 5, 6, 6, 1], 2)),
            _ => (Vec::new(), Vec::new()),
        };
        Fields { minutes, hours, days, weekdays }
    }

    fn rule(&mut self) -> Rule {
        let end =
            if self.below(4) == 0 { Err(self.pick(&[1, 30, 60, 61, 180, 1_440, 1_500])) } else { Ok(self.fields()) };
        Rule {
            begin: self.fields(),
            end,
            on_holidays: self.pick(&[OnHolidays::Also, OnHolidays::Never, OnHolidays::Only]),
        }
    }
}

/// Rules that begin or end in the hour of a change, which is 2:00 in Berlin.
fn usual_rules() -> Vec<Rule> {
    let daily =
        |minutes: &[i8], hours: &[i8]| Fields { minutes: minutes.into(), hours: hours.into(), ..Fields::default() };
    let sundays = |hour| Fields { weekdays: vec![0], ..daily(&[0], &[hour]) };
    let ends = |begin, end| Rule { begin, end: Ok(end), on_holidays: OnHolidays::Also };
    vec![
        ends(sundays(2), sundays(3)),
        ends(sundays(0), sundays(1)),
        ends(daily(&[15], &[2]), daily(&[45], &[2])),
        ends(daily(&[30], &[2]), daily(&[10], &[2])),
        ends(daily(&[0], &[1]), daily(&[30], &[2])),
        ends(daily(&[0, 30], &[2]), daily(&[15], &[2])),
        ends(daily(&[0], &[2, 14]), daily(&[0], &[3, 15])),
        ends(daily(&[0], &[0]), daily(&[0], &[0])),
        ends(daily(&[0], &[23]), daily(&[0], &[0])),
        ends(daily(&[30], &[]), daily(&[45], &[])),
        ends(daily(&[], &[]), daily(&[45], &[2])),
        Rule { begin: daily(&[], &[]), end: Err(1_440), on_holidays: OnHolidays::Never },
    ]
}

#[test]
fn every_minute_around_the_clock_changes_of_a_year_is_that_of_the_oracle() {
    let mut random = Random(0x5eed_2026);
    let mut changes = 0;
    let year: [Timestamp; 2] =
        ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"].map(|time| time.parse().expect("a time"));
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        let found = zone.following(year[0]).map(|change| change.timestamp()).take_while(|change| *change < year[1]);
        let mut moments: Vec<Timestamp> = found.collect();
        changes += moments.len();
        if moments.is_empty() {
            moments.push("2026-03-01T12:00:00Z".parse().expect("a time"));
        }
        for moment in moments {
            let ticks = watch(&zone, moment);
            let date = zone.to_datetime(moment).date();
            let of_change = [date, date.yesterday().expect("a date")];
            let rules = usual_rules().into_iter().chain((0..8).map(|_| random.rule()));
            for (number, rule) in rules.enumerate() {
                let holidays = if number % 2 == 0 { &of_change[..1] } else { &of_change[..] };
                compare(&rule, name, &ticks, holidays);
            }
        }
    }
    assert!(changes >= 28, "{changes} clock changes were compared");
}
