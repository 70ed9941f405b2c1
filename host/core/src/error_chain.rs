//! Formats an error with its causes.

use std::error::Error;

/// An error and its causes in one line, separated by `: `. A cause that the line already contains is left out.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The text of the innermost cause: `connection refused` instead of `error sending request`.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let next = |cause: &&'a (dyn Error + 'static)| -> Option<&'a (dyn Error + 'static)> { (*cause).source() };
    std::iter::successors(error.source(), next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (first, rest) = texts.split_first().expect("an error has a text");
        Layer { text: first, source: (!rest.is_empty()).then(|| Box::new(layers(rest))) }
    }

    #[test]
    fn causes_follow_in_order_without_repetition() {
        let error = layers(&["cannot pull: not found", "not found", "status 404"]);
        assert_eq!(error_chain(&error), "cannot pull: not found: status 404");
        assert_eq!(root_cause(&error), "status 404");
        assert_eq!(root_cause(&layers(&["alone"])), "alone");
    }
}
