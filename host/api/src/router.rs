//! Every endpoint on one screen.
//!
//! A new endpoint is one line here and one file, whose `operation` has the handler. The parser, the body limit and the
//! OpenAPI description come from the handler's arguments.

use crate::error::Problem;
use crate::openapi::Document;
use crate::operation::Operation;
use crate::{
    ApiState, auth, containers, decisions, discovery, events, openapi, openmetrics, paths, policies, start, status,
    workloads,
};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::MethodFilter;
use axum::{Extension, Router};
use std::sync::{Arc, LazyLock};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};
use windlass_core::settings::ApiSettings;

/// An operation with its method and path.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) operation: Operation,
}

fn on(method: Method, path: &str, operation: Operation) -> Endpoint {
    Endpoint { method, path: path.to_owned(), operation }
}

/// The paths of a workload. The second one is that of earlier versions; it leads to managed workloads only.
pub(crate) const WORKLOAD_PATHS: [&str; 2] = ["/workloads/{name}", "/images/{image}"];

/// Every endpoint, in the order of the OpenAPI document.
#[rustfmt::skip]
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        on(Method::GET, "/health", status::health_operation()),
        on(Method::GET, "/ready", status::ready_operation()),
        on(Method::GET, "/metrics", openmetrics::operation()),
        on(Method::GET, "/discovery/prometheus", discovery::operation()),
        on(Method::GET, "/policies", policies::list::operation()),
        on(Method::GET, "/policies/{name}", policies::show::operation()),
        on(Method::PUT, "/policies/{name}", policies::push::operation()),
        on(Method::DELETE, "/policies/{name}", policies::remove::operation()),
        on(Method::POST, "/policies/{name}/refresh", policies::refresh::operation()),
        on(Method::POST, "/policies/{name}/promote", policies::promote::operation()),
        on(Method::POST, "/policies/{name}/rollback", policies::roll_back::operation()),
        on(Method::POST, "/start/container", start::operation()),
        on(Method::GET, "/containers", containers::list::operation()),
        on(Method::PATCH, "/containers/{name_or_id}", containers::change::operation()),
        on(Method::DELETE, "/containers/{name_or_id}", containers::delete::operation()),
        on(Method::GET, "/containers/{name_or_id}/logs", containers::logs::operation()),
        on(Method::GET, "/decisions/{id}", decisions::operation()),
        on(Method::GET, "/events", events::operation()),
        on(Method::GET, "/workloads", workloads::list::operation()),
        on(Method::GET, "/images", workloads::images::operation()),
        on(Method::GET, "/openapi.json", openapi::operation()),
    ];
    endpoints.extend(WORKLOAD_PATHS.into_iter().flat_map(of_workload));
    endpoints
}

/// A workload and its resources at one of [`WORKLOAD_PATHS`].
#[rustfmt::skip]
fn of_workload(path: &str) -> Vec<Endpoint> {
    let below = |method, resource: &str, operation| on(method, &format!("{path}{resource}"), operation);
    vec![
        below(Method::GET, "", workloads::show::operation()),
        below(Method::DELETE, "", workloads::delete::operation()),
        below(Method::POST, "/scale", workloads::scale::operation()),
        below(Method::POST, "/reconcile", workloads::reconcile::operation()),
        below(Method::POST, "/rollback", workloads::roll_back::operation()),
        below(Method::PUT, "/policy", workloads::policy::operation()),
        below(Method::GET, "/containers", workloads::containers::operation()),
        below(Method::GET, "/health", workloads::health::operation()),
        below(Method::PUT, "/guardrails", workloads::guardrails::operation()),
        below(Method::PATCH, "/overrides", workloads::overrides::operation()),
        below(Method::GET, "/metrics", workloads::metrics::show::operation()),
        below(Method::PUT, "/metrics", workloads::metrics::define::operation()),
        below(Method::POST, "/metrics", workloads::metrics::push::operation()),
        below(Method::GET, "/decisions", workloads::decisions::operation()),
        below(Method::GET, "/series", workloads::series::operation()),
        below(Method::GET, "/shadows", workloads::shadows::operation()),
    ]
}

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    let admit = from_fn_with_state(state.settings.clone(), auth::admit);
    let document = Document(Arc::new(document()));
    let mut routes = Router::new();
    for Endpoint { method, path, operation } in endpoints() {
        let filter = MethodFilter::try_from(method).expect("the table has standard methods only");
        routes = routes.route(&path, operation.serve(filter));
    }
    let routes = routes
        .layer(Extension(document))
        .merge(SwaggerUi::new("/docs").config(page()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state);
    // The key is folded before routing, and callers are admitted before both.
    let fold = MapRequestLayer::new(|request: Request<_>| paths::fold_key(request, &RESOURCES));
    let service = ServiceBuilder::new().layer(fold).service(routes);
    Router::new().fallback_service(service).layer(admit)
}

/// The OpenAPI document.
pub(crate) fn document() -> serde_json::Value {
    let operations = endpoints().into_iter().map(|endpoint| (endpoint.method, endpoint.path, endpoint.operation));
    openapi::document(operations, &RESOURCES)
}

/// The names of the resources of a workload: the last segments of their paths.
pub(crate) static RESOURCES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let paths = of_workload("").into_iter().map(|endpoint| endpoint.path);
    let mut names: Vec<String> = paths.filter_map(|path| Some(path.strip_prefix('/')?.to_owned())).collect();
    names.sort_unstable();
    names.dedup();
    names
});

/// The endpoints whose body is a component.
static UPLOADS: LazyLock<Vec<(Method, String)>> = LazyLock::new(|| {
    let uploads = endpoints().into_iter().filter(|endpoint| endpoint.operation.description.is_upload);
    uploads.map(|endpoint| (endpoint.method, endpoint.path)).collect()
});

/// The most bytes of the body of a request.
pub(crate) fn body_limit(method: &Method, path: &str, settings: &ApiSettings) -> usize {
    let is_upload = UPLOADS.iter().any(|(upload, pattern)| upload == method && matches(pattern, path));
    if is_upload { settings.upload_bytes } else { settings.body_bytes }
}

/// Whether a path has the segments of a pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut segments, mut found) = (pattern.split('/'), path.split('/'));
    loop {
        match (segments.next(), found.next()) {
            (None, None) => return true,
            (Some(segment), Some(text)) if segment.starts_with('{') || segment == text => {}
            _ => return false,
        }
    }
}

/// The page at `/docs`. It does not send the description to a validator on the network.
fn page() -> Config<'static> {
    Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true).persist_authorization(false)
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is no resource at `{}`; `/docs` lists every resource", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("method {method} is not allowed here; the header `allow` lists the allowed ones");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_uploaded_component_may_be_larger_than_other_bodies() {
        let settings = ApiSettings { body_bytes: 1, upload_bytes: 2, ..ApiSettings::default() };
        let limit = |method, path| body_limit(&method, path, &settings);
        assert_eq!(limit(Method::PUT, "/policies/queue"), 2);
        for (method, path) in [
            (Method::GET, "/policies/queue"),
            (Method::PUT, "/policies"),
            (Method::PUT, "/policies/a/b"),
            (Method::POST, "/policies/queue/promote"),
            (Method::POST, "/start/container"),
            (Method::PUT, "/nowhere"),
        ] {
            assert_eq!(limit(method.clone(), path), 1, "{method} {path}");
        }
    }
}
