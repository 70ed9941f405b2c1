//! Declares a JSON object once: the Rust struct, the names that it accepts, its reader and its OpenAPI schema.

use crate::json::fields::Fields;
use crate::json::problems::Problems;
use crate::json::shape::{Schemas, Shape};
use serde_json::{Map, Value, json};

/// A JSON object declared with [`declare!`].
pub(crate) trait Object: Sized + 'static {
    /// The name of its schema.
    const NAME: &'static str;

    /// The names of the fields that it reads, in the order of their declaration.
    fn names() -> Vec<&'static str>;

    /// Reads the object at `pointer`. Wrong fields are recorded, and the others are still read. Returns `None` if the
    /// value is not an object.
    fn read(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Self>;

    /// Its OpenAPI schema.
    fn schema(schemas: &mut Schemas) -> Value;

    /// The read-only fields that the request contained.
    fn read_only(&self) -> &Map<String, Value>;
}

/// The shape of an object.
pub(crate) fn object<T: Object>() -> Shape<T> {
    Shape::with_schema(reference::<T>, T::read)
}

/// The shape of an object that is read later, when more is known: its fields are not checked yet.
pub(crate) fn unread<T: Object>() -> Shape<Value> {
    Shape::with_schema(reference::<T>, |value, _, _| Some(value.clone()))
}

/// Adds the schema of an object to `schemas` and returns a reference to it.
pub(crate) fn reference<T: Object>(schemas: &mut Schemas) -> Value {
    if !schemas.contains_key(T::NAME) {
        let schema = T::schema(schemas);
        schemas.insert(T::NAME.to_owned(), schema);
    }
    json!({"$ref": format!("#/components/schemas/{}", T::NAME)})
}

/// The JSON name of a Rust field, which is written `r#name` if the name is a keyword.
pub(crate) fn name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// A field for the schema: its name, the function that reads it, its documentation and its schema.
pub(crate) type Property = (&'static str, &'static str, &'static str, Value);

/// The rule that exactly one of these fields is there and not null; the fields in `without` are then absent.
pub(crate) fn exactly_one(fields: &[&str], without: &[(&str, &[&str])]) -> Value {
    let alternatives = fields.iter().map(|field| {
        let forbidden = without.iter().filter(|(of, _)| of == field).flat_map(|(_, names)| names.iter());
        let others = fields.iter().filter(|other| other != &field).chain(forbidden);
        let mut properties: Map<String, Value> =
            others.map(|other| ((*other).to_owned(), json!({"type": "null"}))).collect();
        properties.insert((*field).to_owned(), json!({"not": {"type": "null"}}));
        json!({"required": [field], "properties": properties})
    });
    json!({"oneOf": alternatives.collect::<Vec<_>>()})
}

/// The rule that at least one of these fields is there.
pub(crate) fn at_least_one(fields: &[&str]) -> Value {
    json!({"anyOf": fields.iter().map(|field| json!({"required": [field]})).collect::<Vec<_>>()})
}

/// The schema of an object. `rules` are further keywords of it.
pub(crate) fn describe(about: &str, fields: Vec<Property>, read_only: &[(&str, &str)], rules: Option<Value>) -> Value {
    let required: Vec<&str> = fields.iter().filter(|(_, kind, ..)| *kind == "required").map(|field| field.0).collect();
    let mut properties = Map::new();
    for (name, kind, documentation, schema) in fields {
        let mut schema = if kind == "nullable" { json!({"oneOf": [schema, {"type": "null"}]}) } else { schema };
        schema["description"] = json!(paragraph(documentation));
        properties.insert(name.to_owned(), schema);
    }
    for (name, documentation) in read_only {
        properties.insert((*name).to_owned(), json!({"readOnly": true, "description": documentation}));
    }
    let mut schema = json!({
        "type": "object",
        "description": paragraph(about),
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Value::Object(schema), Some(Value::Object(rules))) = (&mut schema, rules) {
        schema.extend(rules);
    }
    schema
}

/// The lines of a doc comment as one.
fn paragraph(documentation: &str) -> String {
    documentation.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// Declares an object: `KIND NAME: TYPE = SHAPE` for each field, where KIND is `required`, `optional` or `nullable`.
///
/// Fields under `read_only` are accepted, so that the answer of a `GET` can be sent back, and not read. `rules` are further
/// keywords of the schema, which `then` checks where the shape is made.
macro_rules! declare {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $name:ident {
            $( $(#[doc = $documentation:literal])+ $kind:ident $field:ident: $type:ty = $shape:expr, )+
        }
        $( read_only { $( $constant:literal: $meaning:literal, )+ } )?
        $( rules { $rules:expr } )?
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        $visibility struct $name {
            $( $(#[doc = $documentation])+ pub(crate) $field: $crate::json::fields::Field<$type>, )+
            read_only: serde_json::Map<String, serde_json::Value>,
        }

        impl $crate::json::object::Object for $name {
            const NAME: &'static str = stringify!($name);

            fn names() -> Vec<&'static str> {
                vec![$( $crate::json::object::name(stringify!($field)) ),+]
            }

            fn read(
                value: &serde_json::Value,
                pointer: &str,
                problems: &mut $crate::json::problems::Problems,
            ) -> Option<Self> {
                let read_only: &[&str] = &[$( $( $constant ),+ )?];
                let fields =
                    $crate::json::fields::Fields::of(value, pointer, &Self::names(), read_only, problems)?;
                Some(Self {
                    $( $field: fields.$kind($crate::json::object::name(stringify!($field)), problems, &$shape), )+
                    read_only: fields.raw(read_only),
                })
            }

            fn schema(schemas: &mut $crate::json::shape::Schemas) -> serde_json::Value {
                let fields = vec![$( (
                    $crate::json::object::name(stringify!($field)),
                    stringify!($kind),
                    concat!($( $documentation, "\n" ),+),
                    { let shape: $crate::json::shape::Shape<$type> = $shape; shape.schema(schemas) },
                ) ),+];
                let read_only: &[(&str, &str)] = &[$( $( ($constant, $meaning) ),+ )?];
                let rules: Option<serde_json::Value> = None$( .or(Some($rules)) )?;
                $crate::json::object::describe(concat!($( $about, "\n" ),+), fields, read_only, rules)
            }

            fn read_only(&self) -> &serde_json::Map<String, serde_json::Value> {
                &self.read_only
            }
        }
    };
}
pub(crate) use declare;

/// The shape of `{}`.
pub(crate) fn empty_object() -> Shape<()> {
    Shape::new(json!({"type": "object", "additionalProperties": false}), |value, pointer, problems| {
        Fields::of(value, pointer, &[], &[], problems).map(|_| ())
    })
}
