//! The server of `windlass agent`: the resource use of a node's containers, over TLS and with a token.
//!
//! It has the limits and the check of the token of the API, and none of its resources.

#[cfg(test)]
mod tests;

use crate::access::admit::{self, Access, Stranger};
use crate::access::caller::Caller;
use crate::access::guard::check_known;
use crate::error::Problem;
use crate::listeners::Listeners;
use crate::server;
use crate::tls::Tls;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use windlass_core::access::Role;
use windlass_core::node_usage::NodeUsage;
use windlass_core::settings::{ApiSettings, LocalAccess};
use windlass_core::{Listen, Secret, Timestamp};

/// Serves `GET /usage` to callers with the token, and `GET /health` to everyone, until `shutdown` resolves. `usage` is called
/// for each request, and must not block.
///
/// # Errors
/// The listener has no address.
pub async fn serve_agent(
    listener: TcpListener,
    tls: Tls,
    token: &Secret,
    usage: impl Fn() -> NodeUsage + Clone + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let settings = settings(listener.local_addr()?.into(), token);
    let listeners = Listeners { tls: Some(tls), ..listener.into() };
    let router = router(usage, Arc::new(settings.clone()));
    server::serve(listeners, router, &settings, shutdown).await
}

/// Every caller needs the token. The limits are those of a server with one regular caller.
fn settings(listen: Listen, token: &Secret) -> ApiSettings {
    ApiSettings {
        listen,
        token: Some(token.reveal().to_owned()),
        local: Some(LocalAccess::Off),
        body_bytes: 1 << 10,
        upload_bytes: 1 << 10,
        header_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        concurrent_requests: 16,
        requests_per_peer: 8,
        connections: 64,
        connections_per_peer: 16,
        shutdown_grace: Duration::from_secs(5),
        ..ApiSettings::default()
    }
}

fn router(usage: impl Fn() -> NodeUsage + Clone + Send + Sync + 'static, settings: Arc<ApiSettings>) -> Router {
    // The token of agents has no other role, here and in the API. No time is needed, because it does not expire.
    let access = Access::new(settings, Role::Agent, Timestamp::default);
    let needs_token = Router::new()
        .route("/usage", get(move || async move { Json(usage()) }))
        .fallback(not_found)
        .layer(from_fn(needs_agent));
    let open = Router::new().route("/health", get(|| async { Json(json!({"ok": true})) }));
    open.merge(needs_token).layer(from_fn_with_state(Arc::new(access), admit::admit))
}

/// Passes on the requests of callers with the role of agents.
async fn needs_agent(request: Request, next: Next) -> Response {
    let checked = match request.extensions().get::<Caller>() {
        Some(caller) => caller.check_role(Role::Agent),
        None => check_known(request.extensions().get::<Stranger>().cloned()),
    };
    match checked {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is no resource at `{}`; an agent has `/usage` and `/health`", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}
