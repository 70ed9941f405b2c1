//! Words for people: the text of a value, and a number with its noun.

use serde_json::Value;

/// The text of a value. Empty if the value is no text.
pub(super) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number with its noun: `1 replica`, `2 replicas`, `2 passes`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let ending = match (count, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_has_the_singular_or_the_plural_of_its_noun() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "replica")), ["0 replicas", "1 replica", "2 replicas"]);
        assert_eq!([1, 2].map(|count| counted(count, "pass")), ["1 pass", "2 passes"]);
    }

    #[test]
    fn a_value_without_text_is_an_empty_word() {
        assert_eq!((word(&json!("web")), word(&json!(1)), word(&Value::Null)), ("web", "", ""));
    }
}
