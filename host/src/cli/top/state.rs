//! The content of the screen of `windlass top`, and its changes by keys, without a terminal.

use crate::cli::table::Table;
use crate::cli::top::fetch::{Range, Row};
use crate::cli::words::counted;
use crate::cli::workload_text::percent;
use serde_json::{Value, json};
use windlass_core::text::plain;

/// Time for which a key forces a count.
const FORCED_FOR: &str = "1h";

/// Lines of the screen that are no rows: the title, the header of the table, and the line with the keys.
const OTHER_LINES: u16 = 3;

/// Lines around a text in place of the table: the title, and the line with the keys.
const LINES_AROUND: u16 = 2;

/// Fewest columns in which a table is drawn.
const NARROWEST: u16 = 40;

/// A key of the keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    /// Leaves an explanation or a question; otherwise ends the command.
    Back,
    /// Ends the command, whatever is shown.
    End,
    Character(char),
}

/// The look of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Title,
    Selected,
    /// A workload that has fewer ready replicas than its target.
    Attention,
}

/// A line of the screen, which fits its width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) style: Style,
}

/// A request of the operator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    End,
    /// A change of the overrides.
    Change {
        workload: String,
        change: Value,
        done: &'static str,
    },
    Explain {
        workload: String,
    },
}

/// A change that waits for `y`.
#[derive(Debug, Clone)]
struct Question {
    text: String,
    request: Request,
}

/// A text in place of the table.
#[derive(Debug)]
struct Page {
    lines: Vec<String>,
    /// Index of the first line on the screen, of the lines broken to its width.
    first: usize,
    /// Number of lines for which the screen has no room: the highest `first`.
    surplus: usize,
}

/// The content of the screen.
#[derive(Debug, Default)]
pub(super) struct State {
    rows: Vec<Row>,
    /// Name of the selected workload, which moves with it.
    selected: Option<String>,
    /// Index of the first row on the screen.
    first: usize,
    /// The reason why the last look failed. `None` if it succeeded.
    failure: Option<String>,
    note: Option<String>,
    question: Option<Question>,
    page: Option<Page>,
}

impl State {
    /// Takes the result of a look at the server. Rows without details keep the ones that they had.
    pub(super) fn looked(&mut self, look: Result<Vec<Row>, String>) {
        match look {
            Ok(rows) => {
                let merged = rows.into_iter().map(|row| match self.rows.iter().find(|old| old.name == row.name) {
                    Some(old) if row.reason.is_empty() => Row {
                        cpu: old.cpu,
                        memory: old.memory,
                        metrics: old.metrics.clone(),
                        reason: old.reason.clone(),
                        ..row
                    },
                    _ => row,
                });
                self.rows = merged.collect();
                self.failure = None;
            }
            Err(why) => self.failure = Some(why),
        }
        let is_there = |name: &String| self.rows.iter().any(|row| row.name == *name);
        if !self.selected.as_ref().is_some_and(is_there) {
            self.selected = self.rows.first().map(|row| row.name.clone());
        }
    }

    /// Shows a sentence until the next key.
    pub(super) fn note(&mut self, text: String) {
        self.note = Some(text);
    }

    /// Shows a text in place of the table until a key is pressed that does not scroll it.
    pub(super) fn show(&mut self, lines: Vec<String>) {
        self.note = None;
        self.page = Some(Page { lines, first: 0, surplus: 0 });
    }

    /// Fits the content to a screen of this size. Returns the rows on it.
    pub(super) fn visible(&mut self, columns: u16, lines: u16) -> Range {
        if let Some(page) = &mut self.page {
            let room = usize::from(lines.saturating_sub(LINES_AROUND)).max(1);
            page.surplus = wrapped(&page.lines, columns).len().saturating_sub(room);
            page.first = page.first.min(page.surplus);
        }
        let count = usize::from(lines.saturating_sub(OTHER_LINES)).max(1);
        let selected = self.selected_index();
        self.first = self.first.min(selected).max((selected + 1).saturating_sub(count));
        Range { first: self.first, count }
    }

    fn selected_index(&self) -> usize {
        let name = self.selected.as_ref();
        self.rows.iter().position(|row| Some(&row.name) == name).unwrap_or_default()
    }

    /// Takes a key. Returns the request that it makes.
    pub(super) fn key(&mut self, key: Key) -> Option<Request> {
        self.note = None;
        if key == Key::End {
            return Some(Request::End);
        }
        // The question is on the screen, also above a text.
        if let Some(Question { request, .. }) = self.question.take() {
            return (key == Key::Character('y')).then_some(request);
        }
        if let Some(page) = self.page.take() {
            self.page = page.after(key);
            return None;
        }
        match key {
            Key::Back | Key::Character('q') => Some(Request::End),
            Key::Up | Key::Character('k') => self.select(-1),
            Key::Down | Key::Character('j') => self.select(1),
            Key::Character('e') => {
                let workload = self.rows.get(self.selected_index())?.name.clone();
                Some(Request::Explain { workload })
            }
            Key::Character(character) => {
                self.question = question(self.rows.get(self.selected_index())?, character);
                None
            }
            Key::End => None,
        }
    }

    fn select(&mut self, by: isize) -> Option<Request> {
        let last = self.rows.len().checked_sub(1)?;
        let next = self.selected_index().saturating_add_signed(by).min(last);
        self.selected = Some(self.rows[next].name.clone());
        None
    }

    /// The lines of the screen, of which there are at most `lines`, each with at most `columns` characters.
    pub(super) fn draw(&self, columns: u16, lines: u16) -> Vec<Line> {
        let mut drawn = vec![Line { text: self.title(), style: Style::Title }];
        match &self.page {
            Some(page) => drawn.extend(wrapped(&page.lines, columns).into_iter().skip(page.first).map(plain_line)),
            None if self.rows.is_empty() => {
                drawn.push(plain_line("there are no workloads; `windlass start -f FILE` starts one".to_owned()));
            }
            None => drawn.extend(self.table(columns, lines)),
        }
        let room = usize::from(lines.saturating_sub(1)).max(1);
        drawn.truncate(room);
        drawn.resize(room, plain_line(String::new()));
        drawn.push(Line { text: self.bottom(), style: Style::Title });
        for line in &mut drawn {
            line.text = plain(&line.text).chars().take(usize::from(columns)).collect();
        }
        drawn
    }

    fn title(&self) -> String {
        match &self.failure {
            Some(why) => format!("the last look failed: {why}"),
            None => {
                let short = self.rows.iter().filter(|row| row.ready < row.target).count();
                let all = counted(self.rows.len() as u64, "workload");
                format!("windlass: {all}, {short} with fewer replicas ready than their target")
            }
        }
    }

    fn bottom(&self) -> String {
        if let Some(Question { text, .. }) = &self.question {
            return format!("{text} (y/n)");
        }
        if let Some(note) = &self.note {
            return note.clone();
        }
        if let Some(page) = &self.page {
            return page.keys();
        }
        "q quit  e explain  p pause  u freeze scale-out  d freeze scale-in  +/- force for an hour  r resume".to_owned()
    }

    fn table(&self, columns: u16, lines: u16) -> Vec<Line> {
        let count = usize::from(lines.saturating_sub(OTHER_LINES)).max(1);
        let rows: Vec<Row> = self.rows.iter().skip(self.first).take(count).cloned().collect();
        // Each row is one line, whose end is cut off: a wrapped table would jump with each sentence.
        let text = table(&rows).fitted(None);
        let style = |index: usize| match index.checked_sub(1).and_then(|row| rows.get(row)) {
            None => Style::Title,
            Some(row) if Some(&row.name) == self.selected.as_ref() => Style::Selected,
            Some(row) if row.ready < row.target => Style::Attention,
            Some(_) => Style::Plain,
        };
        let width = usize::from(columns.max(NARROWEST));
        let cut = |text: &str| text.chars().take(width).collect::<String>();
        text.lines().enumerate().map(|(index, text)| Line { text: cut(text), style: style(index) }).collect()
    }
}

impl Page {
    /// The text after a key. `None` if the key ends it.
    fn after(self, key: Key) -> Option<Self> {
        if self.surplus == 0 {
            return None;
        }
        let first = match key {
            Key::Up | Key::Character('k') => self.first.saturating_sub(1),
            Key::Down | Key::Character('j') => (self.first + 1).min(self.surplus),
            _ => return None,
        };
        Some(Self { first, ..self })
    }

    /// The line with its keys.
    fn keys(&self) -> String {
        if self.surplus == 0 {
            return "any key returns".to_owned();
        }
        let below = counted(self.surplus.saturating_sub(self.first) as u64, "more line");
        format!("up/down scroll  any other key returns  ({below} below)")
    }
}

/// The rows as a table.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&["NAME", "READY", "BOUNDS", "CPU", "MEMORY", "METRICS", "OVERRIDES", "LAST PASS"]);
    for row in rows {
        let metric = |(name, value): &(String, Option<f64>)| match value {
            Some(value) => format!("{name}={value}"),
            None => format!("{name}=?"),
        };
        table.row([
            row.name.clone(),
            format!("{}/{}", row.ready, row.target),
            format!("{}-{}", row.min, row.max),
            percent(&json!(row.cpu)),
            percent(&json!(row.memory)),
            row.metrics.iter().map(metric).collect::<Vec<_>>().join(" "),
            row.overrides(),
            row.reason.clone(),
        ]);
    }
    table
}

fn plain_line(text: String) -> Line {
    Line { text, style: Style::Plain }
}

/// The question before a change of this workload. `None` if the key has no meaning.
fn question(row: &Row, key: char) -> Option<Question> {
    let is_set = |field: &str| row.overrides[field] == true;
    let forced = |count: u64| json!({"force": {"replicas": count, "for": FORCED_FOR}});
    let (text, change, done) = match key {
        'p' if is_set("paused") => ("resume the scaling of", json!({"paused": false}), "scaling is resumed"),
        'p' => ("pause the scaling of", json!({"paused": true}), "scaling is paused"),
        'u' if is_set("freeze_scale_up") => {
            ("thaw the scale-out of", json!({"freeze_scale_up": false}), "scale-out is not frozen any more")
        }
        'u' => ("freeze the scale-out of", json!({"freeze_scale_up": true}), "scale-out is frozen"),
        'd' if is_set("freeze_scale_down") => {
            ("thaw the scale-in of", json!({"freeze_scale_down": false}), "scale-in is not frozen any more")
        }
        'd' => ("freeze the scale-in of", json!({"freeze_scale_down": true}), "scale-in is frozen"),
        '+' => ("force one replica more for an hour of", forced(row.target + 1), "the count is forced"),
        '-' => ("force one replica fewer for an hour of", forced(row.target.checked_sub(1)?), "the count is forced"),
        'r' => {
            let none = json!({"paused": false, "freeze_scale_up": false, "freeze_scale_down": false, "force": null});
            ("remove every override of", none, "the policy decides again")
        }
        _ => return None,
    };
    let workload = row.name.clone();
    Some(Question { text: format!("{text} {workload}?"), request: Request::Change { workload, change, done } })
}

/// The lines of a text, broken at spaces so that each fits.
fn wrapped(page: &[String], columns: u16) -> Vec<String> {
    let width = usize::from(columns.max(NARROWEST));
    let mut lines = Vec::new();
    for line in page {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current += word;
        }
        lines.push(current);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, ready: u64) -> Row {
        Row {
            name: name.to_owned(),
            ready,
            target: 2,
            min: 1,
            max: 5,
            cpu: Some(12.5),
            metrics: vec![("queue".to_owned(), Some(7.0))],
            reason: "2 is within 1 to 5".to_owned(),
            ..Row::default()
        }
    }

    fn state(rows: &[Row]) -> State {
        let mut state = State::default();
        state.looked(Ok(rows.to_vec()));
        state
    }

    fn text(state: &State) -> String {
        state.draw(110, 7).iter().map(|line| format!("{}\n", line.text.trim_end())).collect()
    }

    #[test]
    fn the_table_marks_the_selected_workload_and_those_with_too_few_replicas() {
        let state = state(&[row("db", 2), row("web", 1)]);
        insta::assert_snapshot!(text(&state), @r"
        windlass: 2 workloads, 1 with fewer replicas ready than their target
        NAME  READY  BOUNDS  CPU     MEMORY  METRICS  OVERRIDES  LAST PASS
        db    2/2    1-5     12.5 %  -       queue=7  -          2 is within 1 to 5
        web   1/2    1-5     12.5 %  -       queue=7  -          2 is within 1 to 5


        q quit  e explain  p pause  u freeze scale-out  d freeze scale-in  +/- force for an hour  r resume
        ");
        let styles: Vec<Style> = state.draw(110, 7).iter().map(|line| line.style).collect();
        assert_eq!(styles[1..4], [Style::Title, Style::Selected, Style::Attention]);
        assert!(state.draw(30, 7).iter().all(|line| line.text.chars().count() <= 30));
    }

    #[test]
    fn a_change_is_sent_after_a_question_only() {
        let mut state = state(&[row("db", 2), row("web", 2)]);
        assert_eq!(state.key(Key::Down), None);
        assert_eq!(state.key(Key::Character('p')), None);
        assert!(text(&state).contains("pause the scaling of web? (y/n)"), "{}", text(&state));
        let change =
            Request::Change { workload: "web".to_owned(), change: json!({"paused": true}), done: "scaling is paused" };
        assert_eq!(state.key(Key::Character('y')), Some(change));
        state.key(Key::Character('+'));
        assert_eq!(state.key(Key::Character('n')), None, "the question is left");
        state.key(Key::Character('-'));
        let Some(Request::Change { change, .. }) = state.key(Key::Character('y')) else { panic!("no change") };
        assert_eq!(change, json!({"force": {"replicas": 1, "for": "1h"}}));
        assert_eq!(state.key(Key::Character('z')), None);
        assert_eq!(state.key(Key::Back), Some(Request::End));
    }

    #[test]
    fn a_key_removes_an_override_that_is_set() {
        let overrides = json!({"paused": true, "freeze_scale_up": true, "freeze_scale_down": true});
        let row = Row { overrides, ..row("web", 2) };
        for (key, field) in [('p', "paused"), ('u', "freeze_scale_up"), ('d', "freeze_scale_down")] {
            let Some(Question { request: Request::Change { change, .. }, .. }) = question(&row, key) else {
                panic!("no question for {key}");
            };
            assert_eq!(change, json!({field: false}));
        }
        assert!(question(&Row { target: 0, ..row }, '-').is_none(), "there is no count below 0");
    }

    #[test]
    fn the_selected_workload_stays_selected_and_visible() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let mut state = state(&names.map(|name| row(name, 2)));
        (0..4).for_each(|_| drop(state.key(Key::Down)));
        // Three lines are no rows.
        assert_eq!(state.visible(110, 6), Range { first: 2, count: 3 });
        assert!(text(&state).contains("\ne "), "{}", text(&state));
        state.looked(Ok(["0", "a", "b", "c", "d", "e"].map(|name| row(name, 2)).to_vec()));
        assert_eq!(state.selected.as_deref(), Some("e"));
        assert_eq!(state.visible(110, 6), Range { first: 3, count: 3 });
        state.looked(Ok(vec![row("a", 2)]));
        assert_eq!(state.visible(110, 6).first, 0);
        assert_eq!(state.selected.as_deref(), Some("a"));
        state.looked(Err("cannot reach windlass".to_owned()));
        assert!(text(&state).starts_with("the last look failed: cannot reach windlass\n"), "{}", text(&state));
    }

    #[test]
    fn a_row_out_of_sight_keeps_its_details() {
        let mut state = state(&[row("a", 2)]);
        state.looked(Ok(vec![Row { reason: String::new(), cpu: None, metrics: Vec::new(), ..row("a", 1) }]));
        assert_eq!((state.rows[0].ready, state.rows[0].cpu), (1, Some(12.5)));
    }

    #[test]
    fn an_explanation_is_shown_until_a_key_is_pressed() {
        let mut state = state(&[row("web", 2)]);
        assert_eq!(state.key(Key::Character('e')), Some(Request::Explain { workload: "web".to_owned() }));
        let sentence = format!("web has a target of 2 {}", "because ".repeat(20));
        state.show(vec![sentence.trim().to_owned()]);
        let shown = text(&state);
        assert!(shown.contains("web has a target") && !shown.contains("BOUNDS"), "{shown}");
        assert!(shown.ends_with("any key returns\n"), "{shown}");
        assert_eq!(wrapped(&[sentence.trim().to_owned()], 60).len(), 4);
        assert_eq!(state.key(Key::Character('q')), None, "the key only returns");
        assert!(text(&state).contains("BOUNDS"));
    }

    #[test]
    fn a_long_explanation_is_scrolled() {
        let mut state = state(&[row("web", 2)]);
        state.note("web: sending the request".to_owned());
        state.show((1..=8).map(|number| format!("sentence {number}")).collect());
        let shown = |state: &mut State| {
            // Five of the seven lines are sentences.
            state.visible(110, 7);
            let text = text(state);
            let lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
            (lines[0].clone(), lines[4].clone(), lines[5].clone())
        };
        let expected = |first: u32, last: u32, below: &str| {
            let keys = format!("up/down scroll  any other key returns  ({below} below)");
            (format!("sentence {first}"), format!("sentence {last}"), keys)
        };
        assert_eq!(shown(&mut state), expected(1, 5, "3 more lines"));
        assert_eq!(state.key(Key::Up), None);
        assert_eq!(shown(&mut state), expected(1, 5, "3 more lines"), "there is nothing above");
        for (key, first, below) in [(Key::Down, 2, "2 more lines"), (Key::Character('j'), 3, "1 more line")] {
            assert_eq!(state.key(key), None);
            assert_eq!(shown(&mut state), expected(first, first + 4, below));
        }
        (0..9).for_each(|_| drop(state.key(Key::Down)));
        assert_eq!(shown(&mut state), expected(4, 8, "0 more lines"), "the end stays at the bottom");
        assert_eq!(state.key(Key::Character('k')), None);
        assert_eq!(shown(&mut state), expected(3, 7, "1 more line"));
        // A screen with room for all of it has nothing to scroll.
        state.visible(110, 12);
        assert!(text(&state).ends_with("any key returns\n"), "{}", text(&state));
        assert_eq!(state.key(Key::Down), None);
        assert!(text(&state).contains("BOUNDS"), "{}", text(&state));
    }

    #[test]
    fn one_workload_is_in_the_singular() {
        assert!(text(&state(&[row("web", 2)])).starts_with("windlass: 1 workload, 0 with fewer replicas ready"));
    }
}
