//! Serves the API over HTTP/1.1 and limits callers: connections and requests, in total and of one peer; header time; body
//! size.

#[cfg(test)]
mod tests;

use crate::body::too_long;
use crate::drain_body;
use crate::error::Problem;
use crate::limits::{Peer, PerPeer, Slot};
use crate::page_headers;
use crate::router::body_limit;
use crate::write_timeout::WriteTimeout;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
/// The listener itself cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &ApiSettings,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let router = bounded(router, settings);
    let mut http = http1::Builder::new();
    // Counts from the moment a connection waits for a request, so idle connections end, too.
    http.timer(TokioTimer::new()).header_read_timeout(settings.header_timeout);
    let connections = Arc::new(Semaphore::new(settings.connections));
    let of_peer = PerPeer::new(settings.connections_per_peer);
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = &mut shutdown => break,
        };
        let Some(counted) = of_peer.begin(peer) else {
            tracing::debug!(?peer, "closed a connection, because its peer has too many");
            continue;
        };
        let service = MapRequest::new(router.clone(), move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let service = TowerToHyperService::new(service);
        let stream = WriteTimeout::new(stream, settings.write_timeout);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                // A caller that hangs up or is too slow is not an error of the server.
                tracing::debug!(%error, "connection ended");
            }
            drop((permit, counted));
        });
        while tasks.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(settings.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(requests = tasks.len(), "running requests were aborted at shutdown");
    }
    tasks.shutdown().await;
    Ok(())
}

/// The next connection, as soon as the limit allows one.
async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> (TcpStream, Peer, OwnedSemaphorePermit) {
    let permit = connections.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Answers are small and sent at once; waiting for a full packet would only delay them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return (stream, Peer::of(address.ip()), permit);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
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
    };
    router
        .layer(from_fn_with_state(Arc::new(settings.clone()), limit_body))
        .layer(from_fn_with_state(requests, limit_requests))
        .layer(from_fn(drain_body::drain))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(TraceLayer::new_for_http().on_failure(()))
        .layer(from_fn(page_headers::protect))
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
}

async fn limit_requests(State(requests): State<Requests>, mut request: Request, next: Next) -> Response {
    // A liveness check must not fail because the process is busy.
    if request.uri().path() == "/health" {
        return next.run(request).await;
    }
    let refused = |detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
    let Some(_counted) = requests.of_peer.begin(Peer::among(request.extensions())) else {
        return refused("too many requests of this address are in progress; try again");
    };
    let Some(slot) = Slot::take(&requests.served) else {
        return refused("too many requests are being served at once; try again");
    };
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    drop(slot);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the signature is tower-http's")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("not a text"), "a request panicked");
    Problem::internal().into_response()
}
