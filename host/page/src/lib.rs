//! The page for people, at `/`: HTML from templates, one style sheet, one script, and charts as SVG.
//!
//! A handler reads the published state of the control loop, or asks the API within the process (`api`). Each number on the page
//! comes from a pure function (`row`, `counts`, `chart`, `decisions`, `try_it`); a template only arranges them. Everything works
//! without the script, which adds news without a reload, the filter as you type and the moment under the pointer.

mod api;
mod assets;
mod chart;
mod counts;
mod decisions;
mod error;
#[cfg(test)]
mod fixtures;
mod forms;
mod interim;
mod layout;
mod page;
mod path;
mod policies;
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
use axum::routing::{get, post};
use std::sync::Arc;
use windlass_api::ApiState;
use windlass_core::policy::PolicySource;

/// The API of a state, with the page next to it. Must be called within a tokio runtime.
///
/// `policies` are the policies as workloads call them.
pub fn router(state: ApiState, policies: Arc<dyn PolicySource>) -> Router {
    let settings = Arc::clone(&state.settings);
    let (controller, catalogue) = (state.controller.clone(), Arc::clone(&state.policies));
    let api = windlass_api::router(state);
    let pages = pages(Page::new(controller, catalogue, policies, api.clone()));
    windlass_api::with_pages(api, pages, settings)
}

fn pages(page: Page) -> Router {
    Router::new()
        .route("/", get(workloads::show))
        .route("/ui/workloads/{name}", get(workload::show))
        .route("/ui/workloads/{name}/{change}", post(forms::change_workload))
        .route("/ui/containers/{id}/{change}", post(forms::change_container))
        .route(windlass_api::PAGE_UPLOAD, get(policies::show).post(upload::push))
        .route("/ui/policies/{name}/{change}", post(forms::change_policy))
        .route("/ui/try/{name}", get(try_it::show).post(try_it::begin))
        .route("/ui/try/{name}/cancel", post(try_it::cancel))
        .route("/ui/assets/{file}", get(assets::serve))
        .route("/ui/{*rest}", get(error::no_page))
        .with_state(page)
}
