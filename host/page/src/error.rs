//! The page of a request that was refused or leads nowhere.

use crate::api::Refused;
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::visitor::Visitor;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use maud::html;

/// A refusal as a page. `back` is the page to return to.
pub(crate) fn refused(page: &Page, visitor: &Visitor, refused: &Refused, back: &str) -> Response {
    let title = match refused.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "Not allowed",
        StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => "Not possible now",
        status if status.is_client_error() => "Not accepted",
        _ => "It failed",
    };
    let main = html! {
        h1 { (title) }
        p.banner.bad.refused role="alert" { (refused.detail) }
        p { a.button href=(back) { "Back" } }
    };
    page.page(visitor, refused.status, &Content { title: title.to_owned(), place: Place::None, main, again: None })
}

/// Any other path below `/ui`.
pub(crate) async fn no_page(State(page): State<Page>, visitor: Visitor, uri: Uri) -> Response {
    refused(&page, &visitor, &Refused::new(StatusCode::NOT_FOUND, format!("there is no page at {}", uri.path())), "/")
}
