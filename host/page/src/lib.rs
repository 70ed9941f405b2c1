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
mod login;
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
use axum::http::Method;
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;
use windlass_api::access::{Concerns, Need, Pages};
use windlass_api::{ApiState, PAGE_UPLOAD};
use windlass_core::access::Role;
use windlass_core::policy::PolicySource;

/// The API of a state, with the page next to it. Must be called within a tokio runtime.
///
/// `policies` are the policies as workloads call them.
pub fn router(state: ApiState, policies: Arc<dyn PolicySource>) -> Router {
    let (controller, catalogue) = (state.controller.clone(), Arc::clone(&state.policies));
    let api = windlass_api::router(state.clone());
    windlass_api::router_with(state, pages(&Page::new(controller, catalogue, policies, api)))
}

/// The routes with the roles that they need. The API checks each change again.
#[rustfmt::skip]
fn pages(page: &Page) -> Pages {
    let (public, viewer) = (Need::Public, Need::Role(Role::Viewer));
    let (operator, admin) = (Need::Role(Role::Operator), Need::Role(Role::Admin));
    let (read, write) = (Method::GET, Method::POST);
    let table: Vec<(&Method, &'static str, Need, MethodRouter<Page>)> = vec![
        (&read, "/", viewer, get(workloads::show)),
        (&read, "/ui/workloads/{name}", viewer, get(workload::show)),
        (&write, "/ui/workloads/{name}/{change}", operator, post(forms::change_workload)),
        (&write, "/ui/containers/{id}/{change}", operator, post(forms::change_container)),
        (&read, PAGE_UPLOAD, viewer, get(policies::show)),
        (&write, PAGE_UPLOAD, admin, post(upload::push)),
        (&write, "/ui/policies/{name}/{change}", operator, post(forms::change_policy)),
        (&read, "/ui/try/{name}", viewer, get(try_it::show)),
        (&write, "/ui/try/{name}", viewer, post(try_it::begin)),
        (&write, "/ui/try/{name}/cancel", viewer, post(try_it::cancel)),
        (&read, "/ui/login", public, get(login::show)),
        (&write, "/ui/login", public, post(login::log_in)),
        (&write, "/ui/logout", viewer, post(login::log_out)),
        (&read, "/ui/assets/{file}", public, get(assets::serve)),
        (&read, "/ui/{*rest}", viewer, get(error::no_page)),
    ];
    table.into_iter().fold(Pages::default(), |pages, (method, path, need, handler)| {
        pages.on(method.clone(), path, need, Concerns::Checked, handler.with_state(page.clone()))
    })
}
