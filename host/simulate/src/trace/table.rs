//! Traces as CSV, in the forms that spreadsheets, dashboards and scripts write.

use crate::trace::columns::{Column, Columns};
use crate::trace::numbers::{Mark, Survey, is_missing, is_number, parse};
use crate::trace::times::{Times, is_time};
use csv::StringRecord;
use windlass_core::Timestamp;

/// Delimiters between cells, the least ambiguous first.
const DELIMITERS: [u8; 3] = [b'\t', b';', b','];

/// First character of a comment.
const COMMENT: char = '#';

/// The most cells of a table, with those of columns without a name.
const MAX_CELLS: usize = 40_000_000;

/// Rows that are in reverse order by chance are fewer.
const MIN_REVERSED: usize = 3;

/// Reads a table: the first column is the time, the others are values.
///
/// # Errors
/// One sentence with the line.
pub(crate) fn read(text: &str) -> Result<Columns, String> {
    let table = Table::of(text)?;
    let mut notes = Vec::new();
    let header = table.header(&mut notes)?;
    let mark = table.mark(header.skips, &mut notes)?;
    let mut all: Vec<Column> = header.names.into_iter().map(|name| (name, Vec::new())).collect();
    let (mut times, mut order, mut lines) = (Times::default(), Order::default(), Vec::new());
    for row in table.rows().skip(header.skips) {
        let Row { cells, line } = row?;
        let at = times.read(&cells[0]).map_err(|why| format!("line {line}: {why}"))?;
        order.add(at, &cells[0], line);
        check_width(&cells, all.len() + 1, line, table.delimiter)?;
        if lines.len().saturating_mul(all.len()) > MAX_CELLS {
            return Err(format!("line {line}: the trace has more than {MAX_CELLS} cells; shorten it"));
        }
        for ((name, values), cell) in all.iter_mut().zip(cells.iter().skip(1)) {
            let value = if is_missing(cell) {
                None
            } else {
                Some(parse(cell, mark).ok_or_else(|| {
                    format!(
                        "line {line}: `{cell}` in column `{name}` is not a number; leave the cell empty if the value is \
                         missing"
                    )
                })?)
            };
            values.push((at, value));
        }
        lines.push(line);
    }
    if let Some(note) = order.check()? {
        all.iter_mut().for_each(|(_, values)| values.reverse());
        lines.reverse();
        notes.push(note);
    }
    notes.extend(times.note());
    for (index, (name, values)) in all.iter_mut().enumerate() {
        if name.is_empty() && values.iter().any(|(_, value)| value.is_some()) {
            *name = positional(index);
        }
    }
    // A spreadsheet adds columns without a name and without values.
    all.retain(|(name, _)| !name.is_empty());
    Ok(Columns { all, lines, notes })
}

/// The text of a table, and how its cells are separated.
struct Table<'a> {
    text: &'a str,
    delimiter: u8,
    /// Lines before the text.
    skipped_lines: u64,
}

/// A row with at least one value.
struct Row {
    cells: StringRecord,
    line: u64,
}

/// The names of the columns after the first.
struct Header {
    names: Vec<String>,
    /// Rows that the header takes: 1, or 0 if the file has none.
    skips: usize,
}

impl<'a> Table<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let first = first.trim_end_matches('\r').trim_matches('"');
        let named = first.get(..4).filter(|key| key.eq_ignore_ascii_case("sep=")).map(|_| &first[4..]);
        match named.map(str::as_bytes) {
            None => Ok(Self { text, delimiter: delimiter(text), skipped_lines: 0 }),
            Some(b"\\t") => Ok(Self { text: rest, delimiter: b'\t', skipped_lines: 1 }),
            Some(&[delimiter]) => Ok(Self { text: rest, delimiter, skipped_lines: 1 }),
            Some(_) => Err(format!("line 1: `{first}` must name one character, as in `sep=;`")),
        }
    }

    /// The rows except those without any value, which spreadsheets append.
    fn rows(&self) -> impl Iterator<Item = Result<Row, String>> {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(COMMENT as u8))
            .delimiter(self.delimiter)
            .from_reader(self.text.as_bytes());
        let rows = reader.into_records().map(|record| {
            let cells = record.map_err(|error| error.to_string())?;
            let line = cells.position().map_or(1, |position| self.line_of(position));
            Ok(Row { cells, line })
        });
        rows.filter(|row| row.as_ref().map_or(true, |row| row.cells.iter().any(|cell| !cell.is_empty())))
    }

    /// The line on which a record begins. The reader reports the end of the record before, but empty lines and comments
    /// may lie between the two.
    fn line_of(&self, position: &csv::Position) -> u64 {
        let begin = usize::try_from(position.byte()).unwrap_or(usize::MAX);
        let mut line = position.line() + self.skipped_lines;
        let mut rest = self.text.get(begin..).unwrap_or_default();
        while let Some((before, after)) = rest.split_once('\n') {
            if !(before.trim_end_matches('\r').is_empty() || before.starts_with(COMMENT)) {
                break;
            }
            (line, rest) = (line + 1, after);
        }
        line
    }

    fn header(&self, notes: &mut Vec<String>) -> Result<Header, String> {
        let first = self.rows().next().transpose()?;
        let Some(Row { cells, line }) = first else { return Ok(Header { names: Vec::new(), skips: 0 }) };
        if cells.len() < 2 {
            let place = if line > 1 { format!(" of line {line}") } else { String::new() };
            return Err(format!("the header{place} names no column of values; expected `time,NAME,…`"));
        }
        let is_row = is_time(&cells[0]) && cells.iter().skip(1).all(is_number);
        if !is_row {
            return Ok(Header { names: cells.iter().skip(1).map(str::to_owned).collect(), skips: 1 });
        }
        let names: Vec<String> =
            (0..cells.len() - 1).map(|index| if index == 0 { "load".to_owned() } else { positional(index) }).collect();
        let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        notes.push(format!("the file has no header; its columns after the time are called {listed}"));
        Ok(Header { names, skips: 0 })
    }

    fn mark(&self, skips: usize, notes: &mut Vec<String>) -> Result<Mark, String> {
        let mut survey = Survey::default();
        for row in self.rows().skip(skips) {
            let Row { cells, line } = row?;
            cells.iter().skip(1).for_each(|cell| survey.add(cell, line));
        }
        let (mark, note) = survey.mark(self.delimiter)?;
        notes.extend(note);
        Ok(mark)
    }
}

/// The name of a column without one: its number in the file, which counts the column of times.
fn positional(index: usize) -> String {
    format!("column{}", index + 2)
}

/// The delimiter that the first two lines have equally often; otherwise one that the first line has.
fn delimiter(text: &str) -> u8 {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(COMMENT));
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    let count = |line: &str, delimiter: u8| {
        let mut is_quoted = false;
        let outside = line.bytes().filter(|byte| {
            is_quoted ^= *byte == b'"';
            !is_quoted && *byte == delimiter
        });
        outside.count()
    };
    let candidates = || DELIMITERS.into_iter().filter(|delimiter| count(first, *delimiter) > 0);
    let equal = candidates().find(|it| second.is_none_or(|second| count(second, *it) == count(first, *it)));
    equal.or_else(|| candidates().next()).unwrap_or(b',')
}

/// Checks that a row has as many cells as the header. Empty cells beyond the header's are accepted.
fn check_width(cells: &StringRecord, width: usize, line: u64, delimiter: u8) -> Result<(), String> {
    let has_more = cells.iter().skip(width).any(|cell| !cell.is_empty());
    if cells.len() >= width && !has_more {
        return Ok(());
    }
    let hint = if has_more && delimiter == b',' { "; a number with a comma needs quotes" } else { "" };
    Err(format!("line {line}: expected {width} cells as in the first row, found {}{hint}", cells.len()))
}

/// Checks that the times increase.
#[derive(Default)]
struct Order {
    rows: usize,
    last: Option<(Timestamp, String, u64)>,
    /// The first pair of rows in the wrong order, as a sentence.
    wrong: Option<String>,
    /// Pairs of rows whose times decrease.
    decreasing: usize,
}

impl Order {
    fn add(&mut self, at: Timestamp, text: &str, line: u64) {
        self.rows += 1;
        if let Some((before, before_text, before_line)) = &self.last {
            if at < *before {
                self.decreasing += 1;
            }
            if at == *before && self.wrong.is_none() {
                self.wrong = Some(format!(
                    "line {line}: the time `{text}` is the same as in line {before_line}; expected one row for each time"
                ));
            } else if at < *before && self.wrong.is_none() {
                self.wrong = Some(format!(
                    "line {line}: the time `{text}` is before `{before_text}` in line {before_line}; sort the rows by time"
                ));
            }
        }
        self.last = Some((at, text.to_owned(), line));
    }

    /// A note if all rows are in reverse order. `None` if they are in order.
    fn check(self) -> Result<Option<String>, String> {
        let is_reversed = self.rows >= MIN_REVERSED && self.decreasing == self.rows - 1;
        match self.wrong {
            Some(_) if is_reversed => {
                Ok(Some("the rows begin with the newest; they are read in reverse order".to_owned()))
            }
            Some(why) => Err(why),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BEGINNING;

    /// The columns' names, the seconds since the start with the values of each row, and the notes.
    type Content = (Vec<String>, Vec<(u64, Vec<Option<f64>>)>, Vec<String>);

    fn content(text: &str) -> Content {
        let columns = read(text).unwrap_or_else(|why| panic!("{text:?}: {why}"));
        let names = columns.all.iter().map(|(name, _)| name.clone()).collect();
        let rows = (0..columns.lines.len()).map(|row| {
            let at = columns.all[0].1[row].0;
            ((at.0 - BEGINNING.0) / 1_000, columns.all.iter().map(|(_, values)| values[row].1).collect())
        });
        (names, rows.collect(), columns.notes)
    }

    #[test]
    fn every_delimiter_is_recognized() {
        let expected = (["load".to_owned(), "b".to_owned()].to_vec(), vec![(0, vec![Some(1.0), None])], Vec::new());
        for text in [
            "time,load,b\n0,1,\n",
            "time;load;b\r\n0;1;\r\n",
            "time\tload\tb\n0\t1\t\n",
            "sep=;\ntime;load;b\n0;1;\n",
            "\"sep=|\"\r\ntime|load|b\r\n0|1|\r\n",
            "SEP=\t\ntime\tload\tb\n0\t1\t\n",
            "# a; comment\n\ntime,load,b\n0,1,\n",
            "\"time\",\"load\",\"b\"\n\"0\",\"1\",\"\"\n",
            "time,load,b,,\n0,1,,,\n,,,,\n",
            "time,load,b\n0,1,NaN,\n",
        ] {
            assert_eq!(content(text), expected, "{text:?}");
        }
        let (names, ..) = content("\"time\",\"rate(a{b=\"\"c;d\"\"})\"\n0,1\n");
        assert_eq!(names, [r#"rate(a{b="c;d"})"#]);
        let (names, rows, _) = content("time,load,,b\n0,1,2,3\n");
        assert_eq!(
            (names, rows),
            (["load", "column3", "b"].map(str::to_owned).to_vec(), vec![(0, vec![Some(1.0), Some(2.0), Some(3.0)])])
        );
    }

    #[test]
    fn decimal_commas_and_quoted_thousands_are_read_and_reported() {
        let (_, rows, notes) = content("time;load\n0;1.234,5\n60;0,25\n");
        assert_eq!(rows, [(0, vec![Some(1_234.5)]), (60, vec![Some(0.25)])]);
        assert_eq!(notes, ["numbers such as `1.234,5` have a decimal comma"]);
        let (_, rows, notes) = content("time,load\n0,\"1,234\"\n60,\"12\"\n");
        assert_eq!(rows, [(0, vec![Some(1_234.0)]), (60, vec![Some(12.0)])]);
        assert_eq!(notes, ["commas in numbers such as `1,234` are read as separators of thousands"]);
        let (_, rows, notes) = content("time,load\n0,\"1,234.5\"\n");
        assert_eq!((rows, notes.len()), (vec![(0, vec![Some(1_234.5)])], 0));
    }

    #[test]
    fn a_file_without_a_header_loses_no_row_and_it_is_reported() {
        let (names, rows, notes) = content("0,5\n60,6\n");
        assert_eq!((names, rows), (vec!["load".to_owned()], vec![(0, vec![Some(5.0)]), (60, vec![Some(6.0)])]));
        assert_eq!(notes, ["the file has no header; its columns after the time are called `load`"]);
        let (names, rows, notes) = content("2026-01-01T00:00:00Z;1,5;\n2026-01-01T00:01:00Z;2;3\n");
        assert_eq!(names, ["load", "column3"]);
        assert_eq!(rows, [(0, vec![Some(1.5), None]), (60, vec![Some(2.0), Some(3.0)])]);
        assert_eq!(notes[0], "the file has no header; its columns after the time are called `load`, `column3`");
    }

    #[test]
    fn rows_in_reverse_order_are_turned_and_it_is_reported() {
        let columns = read("time,load\n120,3\n60,2\n0,1\n").expect("a table");
        assert_eq!(columns.lines, [4, 3, 2]);
        assert_eq!(columns.all[0].1.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [1.0, 2.0, 3.0].map(Some));
        assert_eq!(columns.notes, ["the rows begin with the newest; they are read in reverse order"]);
    }

    #[test]
    fn a_wrong_row_is_named_by_its_line() {
        for (text, why) in [
            ("time\n0\n", "the header names no column of values; expected `time,NAME,…`"),
            ("time,load\nnoon,3\n", "line 2: `noon` is not a time; "),
            ("time,load\n# a\n\n0,1\n# b\nnoon,3\n", "line 6: `noon` is not a time; "),
            ("sep=,\r\ntime,load\r\n0,1\r\n# b\r\n\r\nnoon,3\r\n", "line 6: `noon` is not a time; "),
            (
                "time,load\n\"0\",\"1\"\n5,many\n",
                "line 3: `many` in column `load` is not a number; leave the cell empty",
            ),
            ("time,load\n0,1\n60,2\n30,3\n", "line 4: the time `30` is before `60` in line 3; sort the rows by time"),
            ("time,load\n5,1\n0,2\n", "line 3: the time `0` is before `5` in line 2; sort the rows by time"),
            (
                "time,load\n2026-01-01,1\n\n2026-01-01,2\n",
                "line 4: the time `2026-01-01` is the same as in line 2; expected one row for each time",
            ),
            (
                "time,load\n0,1,5\n",
                "line 2: expected 2 cells as in the first row, found 3; a number with a comma needs quotes",
            ),
            ("time;load\n0\n", "line 2: expected 2 cells as in the first row, found 1"),
            ("sep=;;\ntime;load\n", "line 1: `sep=;;` must name one character, as in `sep=;`"),
        ] {
            let told = read(text).expect_err(text);
            assert!(told.starts_with(why), "{text:?}: {told}");
        }
    }
}
