//! One operation of the API: its handler, and the OpenAPI description derived from the handler's arguments.

use crate::ApiState;
use crate::json::shape::Schemas;
use axum::Extension;
use axum::extract::State;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// An operation: a handler with its description.
pub(crate) struct Operation {
    /// One line about it.
    pub(crate) summary: &'static str,
    /// Its parameters, body and answers.
    pub(crate) description: Description,
    /// Whether a change is recorded in the audit record.
    pub(crate) is_recorded: bool,
    serve: Box<dyn FnOnce(MethodFilter) -> MethodRouter<ApiState>>,
}

/// The parameters, the body and the answers of an operation.
#[derive(Default)]
pub(crate) struct Description {
    /// The parameter in the path, without its name.
    pub(crate) path_parameter: Option<Value>,
    /// Parameters in the query and the headers.
    pub(crate) parameters: Vec<Value>,
    /// The content of the request, by media type; `None` if it has no body.
    pub(crate) body: Option<Value>,
    /// Whether the body is a component, which may be larger than other bodies.
    pub(crate) is_upload: bool,
    /// The successful answers by status: description and content.
    pub(crate) answers: BTreeMap<u16, (&'static str, Value)>,
    /// The statuses of its errors.
    pub(crate) errors: BTreeSet<u16>,
    /// The schemas that it refers to.
    pub(crate) schemas: Schemas,
}

/// An argument of a handler, which describes itself.
pub(crate) trait Part {
    /// Adds itself to the description.
    fn describe(description: &mut Description);
}

/// The arguments of a handler, in the form of axum's handler trait.
pub(crate) trait Parts {
    /// Adds every argument to the description.
    fn describe(description: &mut Description);
}

macro_rules! parts {
    ($($part:ident)+) => {
        impl<Marker, $($part: Part),+> Parts for (Marker, $($part,)+) {
            fn describe(description: &mut Description) {
                $( $part::describe(description); )+
            }
        }
    };
}
parts!(A);
parts!(A B);
parts!(A B C);
parts!(A B C D);
parts!(A B C D E);

impl Part for State<ApiState> {
    fn describe(_: &mut Description) {}
}

impl<T> Part for Extension<T> {
    fn describe(_: &mut Description) {}
}

impl<T> Part for Option<Extension<T>> {
    fn describe(_: &mut Description) {}
}

impl Operation {
    /// An operation whose errors are those of every operation and of its arguments.
    pub(crate) fn new<H, T>(summary: &'static str, handler: H) -> Self
    where
        H: Handler<T, ApiState>,
        T: Parts + 'static,
    {
        let mut description = Description::default();
        T::describe(&mut description);
        description.errors.extend([401, 403, 500, 503]);
        Self { summary, description, is_recorded: true, serve: Box::new(move |filter| on(filter, handler)) }
    }

    /// Adds the JSON of a successful answer.
    pub(crate) fn answer<T: ToSchema>(self) -> Self {
        self.answer_with::<T>(200, "Done")
    }

    /// Adds the JSON of an answer with this status.
    pub(crate) fn answer_with<T: ToSchema>(mut self, status: u16, meaning: &'static str) -> Self {
        let mut found = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut found);
        for (name, schema) in found {
            self.description.schemas.entry(name).or_insert_with(|| json!(schema));
        }
        let schema = json!({"$ref": format!("#/components/schemas/{}", T::name())});
        self.content(status, meaning, json!({"application/json": {"schema": schema}}))
    }

    /// Adds a successful answer of another media type, or JSON without a schema.
    pub(crate) fn answer_as(self, media_type: &str) -> Self {
        let mut content = json!({});
        content[media_type] = json!({});
        self.content(200, "Done", content)
    }

    /// Adds another media type of the successful answer.
    pub(crate) fn or_as(mut self, media_type: &str) -> Self {
        if let Some((_, content)) = self.description.answers.get_mut(&200) {
            content[media_type] = json!({});
        }
        self
    }

    fn content(mut self, status: u16, meaning: &'static str, content: Value) -> Self {
        self.description.answers.insert(status, (meaning, content));
        self
    }

    /// Leaves the requests out of the audit record, because they are data and change no setting.
    pub(crate) fn unrecorded(self) -> Self {
        Self { is_recorded: false, ..self }
    }

    /// Adds errors.
    pub(crate) fn errors(mut self, statuses: &[u16]) -> Self {
        self.description.errors.extend(statuses);
        self
    }

    /// The handler, for the router.
    pub(crate) fn serve(self, filter: MethodFilter) -> MethodRouter<ApiState> {
        (self.serve)(filter)
    }
}
