//! The parameters in paths.

use crate::error::Problem;
use crate::operation::{Description, Part};
use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};
use windlass_core::WorkloadKey;

/// Stands in descriptions for the names of the resources below `/images/{image}/`.
pub(crate) const RESOURCES: &str = "RESOURCES";

/// The `{image}` of a path: the image or the name of a workload.
pub(crate) struct ImageKey(pub(crate) WorkloadKey);

/// The `{name_or_id}` of a path.
pub(crate) struct ContainerName(pub(crate) String);

/// The `{name}` of a path below `/policies`.
pub(crate) struct PolicyName(pub(crate) String);

/// The `{id}` of a path below `/decisions`.
pub(crate) struct DecisionNumber(pub(crate) i64);

/// A path parameter that is converted from the text of its segment.
trait PathParameter: Sized {
    const NAME: &'static str;
    const MEANING: &'static str;
    /// The schema of its text.
    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }
    fn parse(text: String) -> Result<Self, Problem>;
}

impl PathParameter for ImageKey {
    const NAME: &'static str = "image";
    const MEANING: &'static str = "Image or name of a workload. Slashes may be written as they are, unless the last \
        part of the image itself is RESOURCES: then they are written as `%2F`.";
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(WorkloadKey::stored(text)))
    }
}

impl PathParameter for ContainerName {
    const NAME: &'static str = "name_or_id";
    const MEANING: &'static str =
        "Name of a container, its identifier, or at least the first 12 characters of its identifier.";
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(text))
    }
}

impl PathParameter for PolicyName {
    const NAME: &'static str = "name";
    const MEANING: &'static str = "Name of a policy: 1 to 63 lower-case letters, digits and hyphens.";
    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[a-z0-9-]{1,63}$", "maxLength": 63})
    }
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(text))
    }
}

impl PathParameter for DecisionNumber {
    const NAME: &'static str = "id";
    const MEANING: &'static str = "Number of a decision, from 1.";
    fn schema() -> Value {
        json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX})
    }
    fn parse(text: String) -> Result<Self, Problem> {
        let wrong = || Problem::invalid_at("/path/id", "expected the number of a decision, from 1");
        text.parse().ok().filter(|number| *number >= 1).map(Self).ok_or_else(wrong)
    }
}

macro_rules! extract {
    ($($parameter:ty),+) => { $(
        impl<S: Send + Sync> FromRequestParts<S> for $parameter {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
                Self::parse(segment(parts).await?)
            }
        }

        impl Part for $parameter {
            fn describe(description: &mut Description) {
                description.path_parameters.push(json!({
                    "name": Self::NAME, "in": "path", "required": true, "description": Self::MEANING,
                    "schema": Self::schema(),
                }));
            }
        }
    )+ };
}
extract!(ImageKey, ContainerName, PolicyName, DecisionNumber);

/// The only parameter of a path, with its escapes decoded once.
async fn segment(parts: &mut Parts) -> Result<String, Problem> {
    match parts.extract::<Path<String>>().await {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "the decoded path is not UTF-8")),
    }
}
