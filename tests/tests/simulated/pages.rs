//! Pages next to the API, as another crate adds them: their rules, their caller, and a log-in by a form.

use axum::Extension;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use windlass_api::access::{Caller, Concerns, Need, Pages};
use windlass_api::{ApiState, router_with};
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::WorkloadKey;
use windlass_core::access::Role;
use windlass_core::settings::{ApiSettings, ControlSettings};
use windlass_discovery::Discovery;
use windlass_network::NetClient;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::policies::registry;

const TOKEN: &str = "0123456789abcdef";

/// Logs in with the field `token` of a form.
async fn log_in(state: ApiState, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1_000).await.expect("a body");
    let token = String::from_utf8_lossy(&body).replace("token=", "");
    match state.access.log_in(&parts.extensions, &parts.headers, &token) {
        Ok((login, caller)) => ([(SET_COOKIE, login.cookie)], format!("{}", caller.role)).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Shows the caller, and whether it may see two workloads.
async fn show(Extension(caller): Extension<Caller>) -> String {
    let sees = |key: &str| caller.scope.includes(&WorkloadKey::stored(key));
    format!("{} {} {} {} {}", caller.name, caller.role, sees("web"), sees("api"), caller.csrf().unwrap_or("none"))
}

fn pages(state: &ApiState) -> Pages {
    use axum::http::Method;
    let (viewer, checked) = (Need::Role(Role::Viewer), Concerns::Checked);
    let (login, logout) = (state.clone(), state.clone());
    let log_out = move |request: Request| async move {
        let removed = logout.access.log_out(request.headers());
        ([(SET_COOKIE, removed)], "ended")
    };
    Pages::default()
        .on(Method::POST, "/ui/login", Need::Public, checked, post(move |request| log_in(login, request)))
        .on(Method::POST, "/ui/logout", viewer, checked, post(log_out))
        .on(Method::GET, "/ui/me", viewer, checked, get(show))
        .on(Method::GET, "/ui/workloads/{name}", viewer, Concerns::Workload, get(|| async { "a workload" }))
}

async fn serve() -> anyhow::Result<(SocketAddr, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(&directory.path().join("data"), 10)?);
    let registry = registry();
    let controller = Controller::begin(Parts {
        engine: Arc::new(SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO)).into(),
        store: Arc::<SqliteStore>::clone(&store),
        policies: registry.clone(),
        net: NetClient::new()?,
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock: Clock::System,
    })?;
    let settings = ApiSettings { token: Some(TOKEN.to_owned()), ..ApiSettings::default() };
    let discovery = Discovery::new(controller.clone(), None);
    let state = ApiState::new(controller, registry, discovery, Arc::new(settings.clone())).with_tokens(store)?;
    let router = router_with(state.clone(), pages(&state));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { windlass_api::serve(listener, router, &settings, std::future::pending()).await });
    Ok((address, directory))
}

#[tokio::test]
async fn a_page_learns_its_caller_and_is_open_to_no_other() -> anyhow::Result<()> {
    let (address, _directory) = serve().await?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build()?;
    let url = |path: &str| format!("http://{address}{path}");
    let created = client.post(url("/tokens")).bearer_auth(TOKEN).json(&serde_json::json!({
        "name": "ann", "role": "operator", "workloads": ["web*"],
    }));
    let created: serde_json::Value = created.send().await?.json().await?;
    let token = created["token"].as_str().unwrap_or_default().to_owned();
    for path in ["/ui/me", "/ui/workloads/web"] {
        assert_eq!(client.get(url(path)).send().await?.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let refused = client.post(url("/ui/login")).body("token=wrong").send().await?;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let response = client.post(url("/ui/login")).body(format!("token={token}")).send().await?;
    let cookie = response.headers()[SET_COOKIE].to_str()?.split(';').next().unwrap_or_default().to_owned();
    assert_eq!(response.text().await?, "operator");
    let me = client.get(url("/ui/me")).header("cookie", &cookie).send().await?.text().await?;
    let csrf = me.strip_prefix("ann operator true false ").unwrap_or_default().to_owned();
    assert!(csrf.len() == 64, "{me}");
    for (path, status) in [("/ui/workloads/web-2", 200), ("/ui/workloads/api", 403)] {
        assert_eq!(client.get(url(path)).header("cookie", &cookie).send().await?.status(), status, "{path}");
    }
    let logout = || client.post(url("/ui/logout")).header("cookie", &cookie);
    assert_eq!(logout().send().await?.status(), StatusCode::FORBIDDEN);
    let form = "application/x-www-form-urlencoded";
    let ended = logout().header("content-type", form).body(format!("csrf={csrf}")).send().await?;
    assert_eq!(ended.text().await?, "ended");
    assert_eq!(client.get(url("/ui/me")).header("cookie", &cookie).send().await?.status(), StatusCode::UNAUTHORIZED);
    // Without a session, a caller needs no CSRF token.
    let me = client.get(url("/ui/me")).bearer_auth(TOKEN).send().await?.text().await?;
    assert_eq!(me, "the configured token admin true true none");
    Ok(())
}
