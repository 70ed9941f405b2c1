//! The page for people, at `/`: HTML from templates, one style sheet, one script, and charts as SVG.
//!
//! A handler reads the published state of the control loop, or asks the API within the process (`api`). Each number on the page
//! comes from a pure function (`row`, `counts`, `chart`, `decisions`, `try_it`); a template only arranges them. Everything works
//! without the script, which adds news without a reload, the filter as you type and the moment under the pointer.

mod api;
mod assets;
mod audit;
mod chart;
mod counts;
mod decisions;
mod error;
#[cfg(test)]
mod fixtures;
mod forms;
mod layout;
mod login;
mod logs;
mod page;
mod path;
mod policies;
mod pruned;
mod rendered;
mod replicas;
mod row;
mod series;
mod try_it;
mod upload;
mod visitor;
mod words;
mod workload;
mod workloads;

use crate::page::Page;
use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use windlass_api::ApiState;
use windlass_api::access::{Concerns, Need, Pages};
use windlass_core::access::Role;
use windlass_core::policy::PolicySource;

/// The API of a state, with the page next to it. Must be called within a tokio runtime.
///
/// `policies` are the policies as workloads call them.
pub fn router(state: ApiState, policies: Arc<dyn PolicySource>) -> Router {
    let api = windlass_api::router(state.clone());
    let page = Page::new(&state, policies, api);
    windlass_api::with_inner(windlass_api::router_with(state, pages(&page))).layer(from_fn(login::lead))
}

/// Compresses pages and files for browsers that ask for it. A list of 200 workloads takes a tenth of its bytes then.
///
/// The length of a compressed page that repeats a part of its address could betray its CSRF token. No other site can make a
/// browser ask for a page with a session, because the cookie is `SameSite=Strict`.
fn compressed() -> CompressionLayer {
    CompressionLayer::new().quality(CompressionLevel::Fastest)
}

/// The routes with their rules. A change is a request to the API, whose own rule says which role and workload it needs.
#[rustfmt::skip]
fn pages(page: &Page) -> Pages {
    let (public, viewer) = (Need::Public, Need::Role(Role::Viewer));
    let route = |pages: Pages, method, path, need, handler: MethodRouter<Page>| {
        pages.on(method, path, need, Concerns::Checked, handler.with_state(page.clone()).layer(compressed()))
    };
    let mut pages = Pages::default();
    for (path, need, handler) in [
        ("/", viewer, get(workloads::show)),
        ("/ui/workloads/{name}", viewer, get(workload::show)),
        (windlass_api::PAGE_UPLOAD, viewer, get(policies::show)),
        ("/ui/try/{name}", viewer, get(try_it::show)),
        ("/ui/containers/{id}/logs", viewer, get(logs::show)),
        ("/ui/audit", Need::Role(Role::Admin), get(audit::show)),
        ("/ui/login", public, get(login::show)),
        ("/ui/assets/{file}", public, get(assets::serve)),
        ("/ui/{*rest}", viewer, get(error::no_page)),
    ] {
        pages = route(pages, Method::GET, path, need, handler);
    }
    for (path, handler) in [
        ("/ui/workloads/{name}/{change}", post(forms::change_workload)),
        ("/ui/containers/{id}/{change}", post(forms::change_container)),
        (windlass_api::PAGE_UPLOAD, post(upload::push)),
        ("/ui/policies/{name}/{change}", post(forms::change_policy)),
        ("/ui/try/{name}", post(try_it::begin)),
        ("/ui/try/{name}/cancel", post(try_it::cancel)),
    ] {
        pages = route(pages, Method::POST, path, viewer, handler);
    }
    pages = route(pages, Method::POST, "/ui/logout", viewer, post(login::log_out));
    route(pages, Method::POST, "/ui/login", public, post(login::log_in))
}
