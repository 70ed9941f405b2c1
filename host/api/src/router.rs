//! Every route on one screen.

use crate::error::Problem;
use crate::{
    ApiState, auth, containers, discovery, guardrails, images, metrics, openapi, openmetrics, overrides, paths,
    policies, start, status,
};
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, patch, post, put};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    let admit = from_fn_with_state(state.settings.clone(), auth::admit);
    let routes = Router::new()
        .route("/health", get(status::health))
        .route("/ready", get(status::ready))
        .route("/metrics", get(openmetrics::show))
        .route("/discovery/prometheus", get(discovery::prometheus))
        .route("/policies", get(policies::list))
        .route("/policies/{name}", get(policies::show).put(policies::push).delete(policies::remove))
        .route("/policies/{name}/refresh", post(policies::refresh))
        .route("/policies/{name}/promote", post(policies::promote))
        .route("/policies/{name}/rollback", post(policies::roll_back))
        .route("/start/container", post(start::start))
        .route("/containers", get(containers::list))
        .route("/containers/{name_or_id}", patch(containers::change).delete(containers::delete))
        .route("/images", get(images::list))
        .route("/images/{image}", get(images::show).delete(images::delete))
        .route("/images/{image}/scale", post(images::scale))
        .route("/images/{image}/reconcile", post(images::reconcile))
        .route("/images/{image}/policy", put(images::assign))
        .route("/images/{image}/containers", get(images::containers))
        .route("/images/{image}/health", get(images::health))
        .route("/images/{image}/guardrails", put(guardrails::guard))
        .route("/images/{image}/overrides", patch(overrides::change))
        .route("/images/{image}/metrics", get(metrics::show).put(metrics::define).post(metrics::push))
        .route("/images/{image}/decisions", get(images::decisions))
        .route("/decisions/{id}", get(images::decision))
        .route("/images/{image}/shadows", get(images::shadows))
        .route("/openapi.json", get(openapi::serve))
        .merge(SwaggerUi::new("/docs").config(page()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state);
    // Paths are folded before they are routed, callers admitted before paths are looked at.
    let service = ServiceBuilder::new().layer(MapRequestLayer::new(paths::fold_image)).service(routes);
    Router::new().fallback_service(service).layer(admit)
}

/// The page at `/docs`; it asks nobody on the network whether the description is valid.
fn page() -> Config<'static> {
    Config::from("/openapi.json").validator_url("none").try_it_out_enabled(true).persist_authorization(false)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("nothing is at `{}`; `/docs` tells what there is", uri.path()))
}

async fn method_not_allowed(method: Method) -> Problem {
    let detail = format!("method {method} is not served here; the header `allow` says which are");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
