//! Serves the API over HTTP/1.1 and limits callers: connections and requests, in total and of one peer; header time; body
//! size.

#[cfg(test)]
mod tests;

use crate::body::too_long;
use crate::connections::{self, Connection, Connections};
use crate::drain_body::{self, Drains};
use crate::error::Problem;
use crate::in_flight::{BodyLimits, InFlight};
use crate::limits::{Peer, PerPeer, Slot};
use crate::listeners::Listeners;
use crate::page_headers;
use crate::router::body_limit;
use crate::stream::Stream;
use crate::write_timeout::WriteTimeout;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::util::MapRequest;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use windlass_core::settings::ApiSettings;

/// Pause after a connection could not be accepted, for example because no file descriptor was free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown` resolves. Then it accepts no more connections, and running requests have
/// `settings.shutdown_grace` to end before they are aborted.
///
/// # Errors
/// There is nothing to listen on.
pub async fn serve(
    listeners: impl Into<Listeners>,
    router: Router,
    settings: &ApiSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let listeners = listeners.into();
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to listen on"));
    }
    let router = bounded(router, settings);
    let mut http = http1::Builder::new();
    // Counts from the moment a connection waits for a request, so idle connections end, too.
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
    let connections = Connections::new(settings.connections, settings.connections_per_peer);
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listeners, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let connection = connections.add(peer);
        let of_request = connection.clone();
        let service = MapRequest::new(router.clone(), move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(of_request.clone());
            request
        });
        let service = TowerToHyperService::new(service);
        let stream = TokioIo::new(WriteTimeout::new(stream, settings.write_timeout));
        let served = graceful.watch(http.serve_connection(stream, service));
        tasks.spawn(async move {
            tokio::select! {
                () = connection.must_close() => {}
                ended = served => if let Err(error) = ended {
                    // A caller that hangs up or is too slow is not an error of the server.
                    tracing::debug!(%error, "connection ended");
                }
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    drop(listeners);
    if tokio::time::timeout(settings.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(requests = tasks.len(), "running requests were aborted at shutdown");
    }
    tasks.shutdown().await;
    Ok(())
}

/// The next connection.
async fn accept(listeners: &Listeners, connections: &Connections) -> (Stream, Peer) {
    loop {
        match listeners.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // It may be that no file descriptor is free.
                connections.close_oldest_idle();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// `router` with the limits on its requests.
pub(crate) fn bounded(router: Router, settings: &ApiSettings) -> Router {
    let requests = Requests {
        served: Arc::new(Semaphore::new(settings.concurrent_requests)),
        of_peer: PerPeer::new(settings.requests_per_peer),
        bodies: BodyLimits::new(settings),
    };
    router
        .layer(from_fn_with_state(Arc::new(settings.clone()), limit_body))
        .layer(from_fn_with_state(requests, limit_requests))
        .layer(from_fn_with_state(Drains::new(), drain_body::drain))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .layer(from_fn(page_headers::protect))
        .layer(from_fn(connections::keep))
}

async fn limit_body(State(settings): State<Arc<ApiSettings>>, request: Request, next: Next) -> Response {
    let limit = body_limit(request.method(), request.uri().path(), &settings);
    // A body whose declared length is above the limit is not read.
    if request.body().size_hint().lower() > limit as u64 {
        return too_long().into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, limit)))).await
}

/// The requests in progress.
#[derive(Clone)]
struct Requests {
    /// Without those whose body is still arriving.
    served: Arc<Semaphore>,
    of_peer: Arc<PerPeer>,
    bodies: BodyLimits,
}

async fn limit_requests(State(requests): State<Requests>, mut request: Request, next: Next) -> Response {
    let is_spare = request.extensions().get().is_some_and(Connection::is_spare);
    // A liveness check must not fail because the process is busy.
    if request.uri().path() == "/health" {
        let response = next.run(request).await;
        return if is_spare { closing(response) } else { response };
    }
    let refused = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    if is_spare {
        return closing(refused("too many connections are open; try again"));
    }
    let peer = Peer::among(request.extensions());
    let Some(counted) = requests.of_peer.begin(peer) else {
        return refused("too many requests of this address are in progress; try again");
    };
    let Some(slot) = Slot::take(&requests.served) else {
        return refused("too many requests are being served at once; try again");
    };
    request.extensions_mut().insert(slot.clone());
    InFlight::new(peer, requests.bodies, counted, slot).scope(next.run(request)).await
}

/// An answer after which the connection is closed.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("not a text"), "a request panicked");
    Problem::internal().into_response()
}
