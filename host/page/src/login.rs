//! `GET /ui/login`: log in with a token; and log out.

use crate::api::Sent;
use crate::error;
use crate::forms::{Form, see_other};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::visitor::Visitor;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::json;

/// The path of the form.
pub(crate) const PATH: &str = "/ui/login";

/// `GET /ui/login`.
pub(crate) async fn show(State(page): State<Page>, visitor: Visitor) -> Response {
    answer(&page, &visitor, StatusCode::OK, None)
}

/// `POST /ui/login`, with the field `token`.
pub(crate) async fn log_in(State(page): State<Page>, visitor: Visitor, body: Bytes) -> Response {
    let token = json!({"token": Form::parse(&body).text("token")});
    match page.ask(&visitor, Method::POST, "/login", None, Sent::Json(token)).await {
        Ok(asked) => with_cookie(see_other("/"), &asked),
        Err(refused) => answer(&page, &visitor, refused.status, Some(&refused.detail)),
    }
}

/// `POST /ui/logout`.
pub(crate) async fn log_out(State(page): State<Page>, visitor: Visitor) -> Response {
    match page.ask(&visitor, Method::POST, "/logout", visitor.csrf.as_deref(), Sent::Nothing).await {
        Ok(asked) => with_cookie(see_other(PATH), &asked),
        Err(refused) => error::refused(&page, &visitor, &refused, "/"),
    }
}

/// The answer with the cookie of the API's answer.
fn with_cookie(mut answer: Response, asked: &Response) -> Response {
    if let Some(cookie) = asked.headers().get(SET_COOKIE) {
        answer.headers_mut().insert(SET_COOKIE, cookie.clone());
    }
    answer
}

fn answer(page: &Page, visitor: &Visitor, status: StatusCode, problem: Option<&str>) -> Response {
    let content = Content { title: "Log in".to_owned(), place: Place::None, main: form(problem), again: None };
    page.page(visitor, status, &content)
}

fn form(problem: Option<&str>) -> Markup {
    html! {
        h1 { "Log in" }
        @if let Some(problem) = problem { p.banner.bad role="alert" { (problem) } }
        form.login method="post" action=(PATH) {
            p { label for="token" { "Token" } }
            p { input #token type="password" name="token" autocomplete="current-password" required autofocus size="40"; }
            button { "Log in" }
        }
        p.none { "An administrator makes a token with " code { "windlass token create" } ". The session ends when you log out, 30 minutes after you last used a page, or after 12 hours." }
    }
}

/// Leads a browser without a session to the form, in place of an error.
pub(crate) async fn lead(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_page = request.method() == Method::GET && (path == "/" || path.starts_with("/ui/"));
    let response = next.run(request).await;
    if is_page && response.status() == StatusCode::UNAUTHORIZED { see_other(PATH) } else { response }
}
