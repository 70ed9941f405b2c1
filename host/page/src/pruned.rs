//! Recorded decisions without the parts that no page shows: a page of them has megabytes of observations.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// The fields that no page shows, wherever they are in a decision.
const LEFT_OUT: [&str; 3] = ["config", "health", "memory"];

/// A document without these fields. Of an observation it has only the metrics, and of their samples only the newest.
pub(crate) struct Pruned(pub(crate) Value);

impl<'de> Deserialize<'de> for Pruned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Part { is_observation: false }.deserialize(deserializer).map(Self)
    }
}

/// A part of a document.
struct Part {
    is_observation: bool,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(element) = list.next_element_seed(Self { is_observation: false })? {
            all.push(element);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let is_left_out = LEFT_OUT.contains(&name.as_str()) || (self.is_observation && name != "metrics");
            if is_left_out {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let mut value = map.next_value_seed(Self { is_observation: name == "observation" })?;
            if name == "samples"
                && let Some(samples) = value.as_array_mut()
            {
                samples.drain(..samples.len().saturating_sub(1));
            }
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_decision_keeps_what_a_page_shows() {
        let decision = json!({"decisions": [{
            "id": 7, "target": 3, "recommended": null, "rate": -1.5, "left": -2, "ok": true,
            "health": {"observation": {"replicas": [1, 2, 3]}},
            "scaling": {
                "config": {"a": 1},
                "answer": {"replicas": 3, "memory": [1, 2]},
                "observation": {"replicas": [{"id": "a"}], "metrics": [
                    {"name": "queue", "samples": [{"at": 1, "value": 2}, {"at": 2, "value": 4}]},
                    {"name": "orders", "samples": []},
                    {"name": "omitted", "samples": null},
                ]},
            },
        }], "next": 5});
        let Pruned(pruned) = serde_json::from_str(&decision.to_string()).expect("JSON");
        let expected = json!({"decisions": [{
            "id": 7, "target": 3, "recommended": null, "rate": -1.5, "left": -2, "ok": true,
            "scaling": {
                "answer": {"replicas": 3},
                "observation": {"metrics": [
                    {"name": "queue", "samples": [{"at": 2, "value": 4}]},
                    {"name": "orders", "samples": []},
                    {"name": "omitted", "samples": null},
                ]},
            },
        }], "next": 5});
        assert_eq!(pruned, expected);
    }
}
