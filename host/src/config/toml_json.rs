//! Converts values between TOML and JSON.

use serde_json::Value;

/// A TOML value as JSON; `None` if JSON cannot express it.
pub(super) fn json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.clone().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(_) => return None,
        toml::Value::Array(elements) => elements.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        toml::Value::Table(table) => {
            let entries: Option<serde_json::Map<_, _>> =
                table.iter().map(|(name, value)| Some((name.clone(), json(value)?))).collect();
            entries?.into()
        }
    })
}

/// A JSON value as TOML. TOML has no null, so a field or an element that is null is left out. `None` for null.
pub(super) fn toml_of(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => toml::Value::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => toml::Value::Integer(whole),
            None => toml::Value::Float(number.as_f64()?),
        },
        Value::String(text) => toml::Value::String(text.clone()),
        Value::Array(elements) => toml::Value::Array(elements.iter().filter_map(toml_of).collect()),
        Value::Object(map) => {
            toml::Value::Table(map.iter().filter_map(|(name, value)| Some((name.clone(), toml_of(value)?))).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn a_value_returns_as_it_was_without_its_nulls() {
        let document = value!({"a": [1, 2.5, "x", {"b": true}], "c": {"d": null, "e": {}}, "f": null});
        let returned = toml_of(&document).as_ref().and_then(json);
        assert_eq!(returned, Some(value!({"a": [1, 2.5, "x", {"b": true}], "c": {"e": {}}})));
        assert_eq!(toml_of(&Value::Null), None);
        assert_eq!(json(&toml::Value::Float(f64::NAN)), None);
    }
}
