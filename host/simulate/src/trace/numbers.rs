//! Numbers as files have them: with a decimal point or a decimal comma, and with separators of thousands.

/// Cells without a value, in lower case.
const MISSING: [&str; 8] = ["", "-", "n/a", "na", "nan", "none", "null", "undefined"];

/// Separators of thousands besides the mark that is not the decimal one.
const SEPARATORS: [char; 7] = ['\'', '\u{2019}', '_', ' ', '\u{a0}', '\u{2009}', '\u{202f}'];

/// The decimal mark of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Point,
    Comma,
}

/// The meaning of the marks in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The number has no mark, or cannot be read with either.
    None,
    /// Only this decimal mark makes it a number.
    Only(Mark),
    /// `1,234`: 1.234 or 1234.
    UnclearComma,
    /// `1.234`: 1.234 or 1234.
    UnclearPoint,
}

/// Finds the decimal mark of a file from all its numbers.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    point: Option<Place>,
    comma: Option<Place>,
    unclear_comma: Option<Place>,
    unclear_point: Option<Place>,
}

/// A number and its line.
type Place = (String, u64);

impl Survey {
    /// Adds a number.
    pub(crate) fn add(&mut self, text: &str, line: u64) {
        let place = match meaning(text) {
            Meaning::None => return,
            Meaning::Only(Mark::Point) => &mut self.point,
            Meaning::Only(Mark::Comma) => &mut self.comma,
            Meaning::UnclearComma => &mut self.unclear_comma,
            Meaning::UnclearPoint => &mut self.unclear_point,
        };
        place.get_or_insert_with(|| (text.to_owned(), line));
    }

    /// The decimal mark, and a note if the file did not settle it. `delimiter` is the one between cells: files with `;`
    /// have decimal commas, and in files with `,` a quoted number has commas between thousands.
    ///
    /// # Errors
    /// If the numbers contradict each other, or none of them settles it.
    pub(crate) fn mark(&self, delimiter: u8) -> Result<(Mark, Option<String>), String> {
        match (&self.point, &self.comma, &self.unclear_comma) {
            (Some((point, of_point)), Some((comma, of_comma)), _) => Err(format!(
                "line {of_comma}: `{comma}` has a decimal comma, but `{point}` in line {of_point} has a decimal point; \
                 write all numbers with a decimal point"
            )),
            (None, Some((comma, _)), _) => {
                Ok((Mark::Comma, Some(format!("numbers such as `{comma}` have a decimal comma"))))
            }
            (None, None, Some((comma, line))) => match delimiter {
                b';' if self.unclear_point.is_none() => {
                    let note = format!("numbers such as `{comma}` are read with a decimal comma");
                    Ok((Mark::Comma, Some(note)))
                }
                b',' if self.unclear_point.is_none() => {
                    let note = format!("commas in numbers such as `{comma}` are read as separators of thousands");
                    Ok((Mark::Point, Some(note)))
                }
                _ => Err(format!(
                    "line {line}: the comma in `{comma}` may be a decimal comma or a separator of thousands; write the \
                     number without it"
                )),
            },
            _ => Ok((Mark::Point, None)),
        }
    }
}

/// Returns true if a cell has no value.
pub(crate) fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|missing| text.eq_ignore_ascii_case(missing))
}

/// Returns true if a cell is a number with any decimal mark, or has no value.
pub(crate) fn is_number(text: &str) -> bool {
    is_missing(text) || parse(text, Mark::Point).is_some() || parse(text, Mark::Comma).is_some()
}

/// The number in a cell.
pub(crate) fn parse(text: &str, mark: Mark) -> Option<f64> {
    let (decimal, thousands) = match mark {
        Mark::Point => ('.', ','),
        Mark::Comma => (',', '.'),
    };
    let end = text.find([decimal, 'e', 'E']).unwrap_or(text.len());
    let (whole, rest) = text.split_at(end);
    let is_separator = |c: char| c == thousands || SEPARATORS.contains(&c);
    let digits = if whole.contains(is_separator) {
        let mut groups = whole.trim_start_matches(['+', '-']).split(is_separator);
        let is_first_group = |group: &str| (1..=3).contains(&group.len());
        (groups.next().is_some_and(is_first_group) && groups.all(|group| group.len() == 3))
            .then(|| whole.replace(is_separator, ""))?
    } else {
        whole.to_owned()
    };
    let number: f64 = format!("{digits}{}", rest.replacen(decimal, ".", 1)).parse().ok()?;
    number.is_finite().then_some(number)
}

fn meaning(text: &str) -> Meaning {
    if !text.contains([',', '.']) {
        return Meaning::None;
    }
    let (point, comma) = (parse(text, Mark::Point), parse(text, Mark::Comma));
    match (point, comma) {
        (None, None) => Meaning::None,
        (Some(_), None) => Meaning::Only(Mark::Point),
        (None, Some(_)) => Meaning::Only(Mark::Comma),
        // Nobody separates the thousands of a number that begins with 0.
        _ if text.trim_start_matches(['+', '-']).starts_with('0') => {
            Meaning::Only(if text.contains(',') { Mark::Comma } else { Mark::Point })
        }
        _ if text.contains(',') => Meaning::UnclearComma,
        _ => Meaning::UnclearPoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(numbers: &[&str], delimiter: u8) -> Result<Mark, String> {
        let mut survey = Survey::default();
        for (number, line) in numbers.iter().zip(2..) {
            survey.add(number, line);
        }
        survey.mark(delimiter).map(|(mark, _)| mark)
    }

    #[test]
    fn numbers_are_read_with_either_mark_and_with_thousands() {
        for (text, mark, number) in [
            ("12", Mark::Point, 12.0),
            ("-1.5e3", Mark::Point, -1_500.0),
            (".5", Mark::Point, 0.5),
            ("1,234", Mark::Point, 1_234.0),
            ("1,234,567.5", Mark::Point, 1_234_567.5),
            ("1,5", Mark::Comma, 1.5),
            ("1.234,5", Mark::Comma, 1_234.5),
            ("1.234.567", Mark::Comma, 1_234_567.0),
            ("1\u{202f}234,5", Mark::Comma, 1_234.5),
            ("1'234.5", Mark::Point, 1_234.5),
            ("1 234", Mark::Point, 1_234.0),
        ] {
            assert_eq!(parse(text, mark), Some(number), "{text}");
        }
        for text in ["many", "1,5", "1,23,456", "inf", "5 %", "12,3456", "1.2.3", ",123"] {
            assert_eq!(parse(text, Mark::Point), None, "{text}");
        }
        assert!(["", "-", "NaN", "null", "N/A"].into_iter().all(is_missing) && !is_missing("0"));
    }

    #[test]
    fn the_decimal_mark_is_taken_from_all_numbers() {
        for (numbers, delimiter, expected) in [
            (&["1,5", "2"][..], b';', Mark::Comma),
            (&["1,234", "0,5"], b';', Mark::Comma),
            (&["1,234"], b';', Mark::Comma),
            (&["1.234", "2.718"], b';', Mark::Point),
            (&["1.234", "2,5"], b';', Mark::Comma),
            (&["1,234", "2.5"], b'\t', Mark::Point),
            (&["1,234"], b',', Mark::Point),
            (&["1,234", "1,5"], b',', Mark::Comma),
            (&["5", "x"], b',', Mark::Point),
        ] {
            assert_eq!(mark(numbers, delimiter), Ok(expected), "{numbers:?}");
        }
    }

    #[test]
    fn numbers_that_may_mean_two_things_are_rejected_with_their_line() {
        for (numbers, delimiter) in [(&["7", "1,234"][..], b'\t'), (&["1.234", "1,234"], b';')] {
            let why = mark(numbers, delimiter).expect_err("unclear");
            assert!(why.starts_with("line 3: the comma in `1,234` may be a decimal comma or a separator"), "{why}");
        }
        let why = mark(&["2.5", "1,5"], b';').expect_err("both");
        assert_eq!(
            why,
            "line 3: `1,5` has a decimal comma, but `2.5` in line 2 has a decimal point; write all numbers with a decimal point"
        );
    }
}
