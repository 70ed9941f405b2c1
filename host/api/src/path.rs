//! The parameters in paths.

use crate::ApiState;
use crate::error::Problem;
use crate::operation::{Description, Part};
use axum::RequestPartsExt;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::{Value, json};
use windlass_control::RefusedService;
use windlass_core::{Declaration, WorkloadKey};

/// Stands in descriptions for the names of the resources of a workload.
pub(crate) const RESOURCES: &str = "RESOURCES";

/// The beginning of the paths of managed workloads, which earlier versions had only.
const BY_IMAGE: &str = "/images/";

/// The `{name}` of a path below `/workloads`, or the `{image}` of one below `/images`: the key of a workload.
pub(crate) struct WorkloadPath(pub(crate) WorkloadKey);

/// The `{name_or_id}` of a path.
pub(crate) struct ContainerName(pub(crate) String);

/// The `{name}` of a path below `/policies`.
pub(crate) struct PolicyName(pub(crate) String);

/// The `{id}` of a path below `/decisions`.
pub(crate) struct DecisionNumber(pub(crate) i64);

/// The `{id}` of a path below `/tokens`.
pub(crate) struct TokenId(pub(crate) String);

/// A path parameter that is converted from the text of its segment.
trait PathParameter: Sized {
    const MEANING: &'static str;
    /// The schema of its text.
    fn schema() -> Value {
        json!({"type": "string", "minLength": 1})
    }
    fn parse(text: String) -> Result<Self, Problem>;
}

impl PathParameter for WorkloadPath {
    const MEANING: &'static str = "Image or name of a workload. Slashes may be written as they are, unless the last \
        part of the image itself is RESOURCES: then they are written as `%2F`.";
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(WorkloadKey::stored(text)))
    }
}

/// Why a path leads to no workload although its key is known: an adopted workload below `/images`, or a service that is left
/// alone. `None` if neither is the case.
fn wrong_path(
    path: &str,
    key: &WorkloadKey,
    known: Option<&Declaration>,
    refused: &[RefusedService],
) -> Option<String> {
    match known {
        Some(declaration) if path.starts_with(BY_IMAGE) && declaration.is_adopted() => {
            Some(format!("labels declare workload `{key}`; its path is `/workloads/{key}`"))
        }
        Some(_) => None,
        None if path.starts_with(BY_IMAGE) => None,
        None => {
            let service = refused.iter().find(|service| service.key == *key)?;
            Some(format!("workload `{key}` is not adopted: {}", service.reason))
        }
    }
}

impl PathParameter for ContainerName {
    const MEANING: &'static str =
        "Name of a container, its identifier, or at least the first 12 characters of its identifier.";
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(text))
    }
}

impl PathParameter for PolicyName {
    const MEANING: &'static str = "Name of a policy: 1 to 63 lower-case letters, digits and hyphens.";
    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[a-z0-9-]{1,63}$", "maxLength": 63})
    }
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(text))
    }
}

impl PathParameter for TokenId {
    const MEANING: &'static str = "Identifier of a token: the part of its text between `wl_` and the next `_`.";
    fn parse(text: String) -> Result<Self, Problem> {
        Ok(Self(text))
    }
}

impl PathParameter for DecisionNumber {
    const MEANING: &'static str = "Number of a decision, from 1.";
    fn schema() -> Value {
        json!({"type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX})
    }
    fn parse(text: String) -> Result<Self, Problem> {
        let wrong = || Problem::invalid_at("/path/id", "expected the number of a decision, from 1");
        text.parse().ok().filter(|number| *number >= 1).map(Self).ok_or_else(wrong)
    }
}

impl FromRequestParts<ApiState> for WorkloadPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let Self(key) = Self::parse(segment(parts).await?)?;
        let known = state.controller.declaration(&key);
        let refused = if known.is_none() { state.controller.refused_services() } else { Vec::new() };
        match wrong_path(parts.uri.path(), &key, known.as_ref(), &refused) {
            Some(detail) => Err(Problem::new(StatusCode::NOT_FOUND, detail)),
            None => Ok(Self(key)),
        }
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
    )+ };
}
extract!(ContainerName, PolicyName, DecisionNumber, TokenId);

impl<P: PathParameter> Part for P {
    /// The path of the endpoint has the name of the parameter.
    fn describe(description: &mut Description) {
        description.path_parameter =
            Some(json!({"in": "path", "required": true, "description": P::MEANING, "schema": P::schema()}));
    }
}

/// The only parameter of a path, with its escapes decoded once.
async fn segment(parts: &mut Parts) -> Result<String, Problem> {
    match parts.extract::<Path<String>>().await {
        Ok(Path(text)) => Ok(text),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "the decoded path is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_that_is_elsewhere_or_left_alone_is_named() {
        let compose = Declaration::Compose { project: "shop".to_owned(), service: "web".to_owned() };
        let refused = [RefusedService {
            key: WorkloadKey::stored("shop-db"),
            declaration: compose.clone(),
            reason: "`windlass.max` is `many`; expected 1 to 1000".to_owned(),
        }];
        let wrong = |path: &str, key: &str, known: Option<&Declaration>| {
            wrong_path(path, &WorkloadKey::stored(key), known, &refused).unwrap_or_default()
        };
        assert_eq!(
            wrong("/images/shop-web/scale", "shop-web", Some(&compose)),
            "labels declare workload `shop-web`; its path is `/workloads/shop-web`"
        );
        assert_eq!(wrong("/workloads/shop-web", "shop-web", Some(&compose)), "");
        for path in ["/images/nginx", "/workloads/nginx"] {
            assert_eq!(wrong(path, "nginx", Some(&Declaration::Api)), "");
            assert_eq!(wrong(path, "nginx", None), "");
        }
        assert_eq!(
            wrong("/workloads/shop-db", "shop-db", None),
            "workload `shop-db` is not adopted: `windlass.max` is `many`; expected 1 to 1000"
        );
        assert_eq!(wrong("/images/shop-db", "shop-db", None), "");
    }
}
