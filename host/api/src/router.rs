//! Every endpoint on one screen, with the role that it needs and the objects that it concerns.
//!
//! A new endpoint is one line here and one file, whose `operation` has the handler. The parser, the body limit and the
//! OpenAPI description come from the handler's arguments. A route without a line in these tables answers nobody.

use crate::access::admit::{self, Stranger};
use crate::access::guard::{self, Guard, check_known};
use crate::access::rules::Concerns::{Checked, Container, Everything, Workload};
use crate::access::rules::{Concerns, Need, PAGE_UPLOAD, Page, Pages, Rule, Rules};
use crate::access::web::is_change;
use crate::error::Problem;
use crate::openapi::Document;
use crate::operation::Operation;
use crate::{
    ApiState, audit, containers, decisions, discovery, events, openapi, openmetrics, paths, policies, session, start,
    status, tokens, workloads,
};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::MethodFilter;
use axum::{Extension, Router};
use std::sync::{Arc, LazyLock};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};
use windlass_core::access::Role;
use windlass_core::settings::ApiSettings;

/// An operation with its method and path.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) need: Need,
    pub(crate) concerns: Concerns,
    pub(crate) operation: Operation,
}

impl Endpoint {
    fn rule(&self) -> Rule {
        let is_recorded = is_change(&self.method) && self.need != PUBLIC && self.operation.is_recorded;
        let recorded = is_recorded.then_some(self.operation.summary);
        Rule { need: self.need, concerns: self.concerns, recorded }
    }
}

fn on(method: Method, path: &str, need: Need, concerns: Concerns, operation: Operation) -> Endpoint {
    Endpoint { method, path: path.to_owned(), need, concerns, operation }
}

const PUBLIC: Need = Need::Public;
/// Reads.
const VIEWER: Need = Need::Role(Role::Viewer);
/// Pauses, freezes, forces, scales, promotes, rolls back, reconciles, holds replicas, and pushes metrics.
const OPERATOR: Need = Need::Role(Role::Operator);
/// Declares and deletes, pushes policies, and manages tokens.
const ADMIN: Need = Need::Role(Role::Admin);

/// The files of the page at `/docs`, which contain nothing about this installation.
const DOCUMENTATION: [&str; 3] = ["/docs", "/docs/", "/docs/{*rest}"];

/// The paths of a workload. The second one is that of earlier versions; it leads to managed workloads only.
pub(crate) const WORKLOAD_PATHS: [&str; 2] = ["/workloads/{name}", "/images/{image}"];

/// Every endpoint, in the order of the OpenAPI document.
#[rustfmt::skip]
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        on(Method::GET, "/health", PUBLIC, Checked, status::health_operation()),
        on(Method::GET, "/ready", PUBLIC, Checked, status::ready_operation()),
        on(Method::GET, "/metrics", VIEWER, Checked, openmetrics::operation()),
        on(Method::GET, "/discovery/prometheus", VIEWER, Checked, discovery::operation()),
        on(Method::GET, "/policies", VIEWER, Checked, policies::list::operation()),
        on(Method::GET, "/policies/{name}", VIEWER, Checked, policies::show::operation()),
        on(Method::PUT, "/policies/{name}", ADMIN, Everything, policies::push::operation()),
        on(Method::DELETE, "/policies/{name}", ADMIN, Everything, policies::remove::operation()),
        on(Method::POST, "/policies/{name}/refresh", ADMIN, Everything, policies::refresh::operation()),
        on(Method::POST, "/policies/{name}/promote", OPERATOR, Everything, policies::promote::operation()),
        on(Method::POST, "/policies/{name}/rollback", OPERATOR, Everything, policies::roll_back::operation()),
        on(Method::POST, "/start/container", ADMIN, Checked, start::operation()),
        on(Method::GET, "/containers", VIEWER, Checked, containers::list::operation()),
        on(Method::PATCH, "/containers/{name_or_id}", OPERATOR, Container, containers::change::operation()),
        on(Method::DELETE, "/containers/{name_or_id}", ADMIN, Container, containers::delete::operation()),
        on(Method::GET, "/containers/{name_or_id}/logs", VIEWER, Container, containers::logs::operation()),
        on(Method::GET, "/decisions/{id}", VIEWER, Checked, decisions::operation()),
        on(Method::GET, "/events", VIEWER, Checked, events::operation()),
        on(Method::GET, "/workloads", VIEWER, Checked, workloads::list::operation()),
        on(Method::GET, "/images", VIEWER, Checked, workloads::images::operation()),
        on(Method::GET, "/tokens", ADMIN, Everything, tokens::list::operation()),
        on(Method::POST, "/tokens", ADMIN, Everything, tokens::create::operation()),
        on(Method::DELETE, "/tokens/{id}", ADMIN, Everything, tokens::revoke::operation()),
        on(Method::GET, "/audit", ADMIN, Everything, audit::operation()),
        on(Method::POST, "/login", PUBLIC, Checked, session::login::operation()),
        on(Method::POST, "/logout", VIEWER, Checked, session::logout::operation().unrecorded()),
        on(Method::GET, "/openapi.json", PUBLIC, Checked, openapi::operation()),
    ];
    endpoints.extend(WORKLOAD_PATHS.into_iter().flat_map(of_workload));
    endpoints
}

/// A workload and its resources at one of [`WORKLOAD_PATHS`].
#[rustfmt::skip]
fn of_workload(path: &str) -> Vec<Endpoint> {
    let below = |method, resource: &str, need, operation| {
        on(method, &format!("{path}{resource}"), need, Workload, operation)
    };
    vec![
        below(Method::GET, "", VIEWER, workloads::show::operation()),
        below(Method::DELETE, "", ADMIN, workloads::delete::operation()),
        below(Method::POST, "/scale", OPERATOR, workloads::scale::operation()),
        below(Method::POST, "/reconcile", OPERATOR, workloads::reconcile::operation()),
        below(Method::POST, "/rollback", OPERATOR, workloads::roll_back::operation()),
        below(Method::PUT, "/policy", ADMIN, workloads::policy::operation()),
        below(Method::GET, "/containers", VIEWER, workloads::containers::operation()),
        below(Method::GET, "/health", VIEWER, workloads::health::operation()),
        below(Method::PUT, "/guardrails", ADMIN, workloads::guardrails::operation()),
        below(Method::PATCH, "/overrides", OPERATOR, workloads::overrides::operation()),
        below(Method::GET, "/metrics", VIEWER, workloads::metrics::show::operation()),
        below(Method::PUT, "/metrics", ADMIN, workloads::metrics::define::operation()),
        below(Method::POST, "/metrics", OPERATOR, workloads::metrics::push::operation()),
        below(Method::GET, "/decisions", VIEWER, workloads::decisions::operation()),
        below(Method::GET, "/series", VIEWER, workloads::series::operation()),
        below(Method::GET, "/shadows", VIEWER, workloads::shadows::operation()),
    ]
}

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    router_with(state, Pages::default())
}

/// The API and other pages as a service. The callers and rules of the pages are checked as those of the API.
pub fn router_with(state: ApiState, pages: Pages) -> Router {
    let admit = from_fn_with_state(Arc::clone(&state.access), admit::admit);
    let document = Document(Arc::new(document()));
    let mut rules = Rules::default();
    let mut routes = Router::new();
    for endpoint in endpoints() {
        rules.add(endpoint.method.clone(), &endpoint.path, endpoint.rule());
        let filter = MethodFilter::try_from(endpoint.method).expect("the table has standard methods only");
        routes = routes.route(&endpoint.path, endpoint.operation.serve(filter));
    }
    let routes = routes.layer(Extension(document)).merge(SwaggerUi::new("/docs").config(page()));
    for path in DOCUMENTATION {
        rules.add(Method::GET, path, Rule { need: PUBLIC, concerns: Checked, recorded: None });
    }
    let mut routes = routes.with_state(state.clone());
    for Page { method, path, rule, handler } in pages.0 {
        rules.add(method, path, rule);
        routes = routes.route(path, handler);
    }
    let guard = from_fn_with_state(Guard { rules: Arc::new(rules), state }, guard::guard);
    let routes = routes.route_layer(guard).fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    // The key is folded before routing, and callers are identified before both.
    let fold = MapRequestLayer::new(|request: Request<_>| paths::fold_key(request, &RESOURCES));
    let service = ServiceBuilder::new().layer(fold).service(routes);
    Router::new().fallback_service(service).layer(admit)
}

/// The OpenAPI document.
pub(crate) fn document() -> serde_json::Value {
    let operations = endpoints().into_iter();
    let operations = operations.map(|endpoint| (endpoint.method, endpoint.path, endpoint.need, endpoint.operation));
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

/// The bytes of that form without the component.
const FORM_BYTES: usize = 4_096;

/// The most bytes of the body of a request.
pub(crate) fn body_limit(method: &Method, path: &str, settings: &ApiSettings) -> usize {
    // A component in a form, with the rest of the form.
    if method == Method::POST && path == PAGE_UPLOAD {
        return settings.upload_bytes.saturating_add(FORM_BYTES);
    }
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

/// Only known callers learn which resources exist.
async fn not_found(stranger: Option<Extension<Stranger>>, uri: Uri) -> Problem {
    if let Err(problem) = check_known(stranger.map(|Extension(stranger)| stranger)) {
        return problem;
    }
    let detail = format!("there is no resource at `{}`; `/docs` lists every resource", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

async fn method_not_allowed(stranger: Option<Extension<Stranger>>, method: Method) -> Problem {
    if let Err(problem) = check_known(stranger.map(|Extension(stranger)| stranger)) {
        return problem;
    }
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
        assert_eq!(limit(Method::POST, PAGE_UPLOAD), 2 + FORM_BYTES);
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
