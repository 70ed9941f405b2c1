//! Serves the API over HTTP/1.1, and bounds what callers can take: connections, requests, header time,
//! body size.

#[cfg(test)]
mod tests;

use crate::drain_body;
use crate::error::Problem;
use crate::request::too_long;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use windlass_core::settings::ApiSettings;

/// Wait after the system refused a connection for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` resolves, then takes no more connections and lets requests in hand
/// end within `settings.shutdown_grace`; what is left then is cut off.
///
/// # Errors
/// When the listener itself cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &ApiSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let service = TowerToHyperService::new(bounded(router, settings));
    let mut http = http1::Builder::new();
    // Counts from the moment a connection waits for a request, so idle ones end too.
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
    let connections = Arc::new(Semaphore::new(settings.connections));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, permit) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                // Callers that hang up or dawdle are no fault of ours.
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(settings.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(requests = tasks.len(), "requests in hand were cut off at shutdown");
    }
    tasks.shutdown().await;
    Ok(())
}

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let permit = connections.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole; waiting to fill a packet would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, permit);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// `router` with the limits on its requests.
pub fn bounded(router: Router, settings: &ApiSettings) -> Router {
    let requests = Arc::new(Semaphore::new(settings.concurrent_requests));
    router
        .layer(from_fn_with_state((settings.body_bytes, settings.upload_bytes), limit_body))
        .layer(from_fn_with_state(requests, limit_requests))
        .layer(from_fn(drain_body::take_in))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http().on_failure(()))
}

async fn limit_body(State((body, upload)): State<(usize, usize)>, request: Request, next: Next) -> Response {
    let uploads = request.method() == Method::PUT && request.uri().path().starts_with("/policies/");
    let limit = if uploads { upload } else { body };
    // A body that says it is too long is not read at all.
    if request.body().size_hint().lower() > limit as u64 {
        return too_long().into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, limit)))).await
}

async fn limit_requests(State(requests): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // Whether the process lives must be told most of all when it has much to do.
    if request.uri().path() == "/health" {
        return next.run(request).await;
    }
    match requests.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            let detail = "too many requests are being served at once; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response()
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("not a text"), "a request panicked");
    Problem::internal().into_response()
}
