//! `/ui/login` and `/ui/logout`: sessions of people, through `POST /login` and `POST /logout` of the API.

use crate::api::{Refused, Sent};
use crate::forms::{Form, see_other};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::visitor::Visitor;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::html;
use serde_json::json;

/// `GET /ui/login`.
pub(crate) async fn show(State(page): State<Page>, visitor: Visitor) -> Response {
    form(&page, &visitor, None)
}

fn form(page: &Page, visitor: &Visitor, refused: Option<&Refused>) -> Response {
    let main = html! {
        h1 { "Log in" }
        @if let Some(refused) = refused { p.banner.bad role="alert" { (refused.detail) } }
        form method="post" action="/ui/login" {
            label for="token" { "Token" } " "
            input #token type="password" name="token" autocomplete="current-password" required autofocus;
            " " button { "Log in" }
        }
        p { "An administrator creates a token with " code { "windlass token create NAME --role viewer" } "." }
    };
    let status = refused.map_or(StatusCode::OK, |refused| refused.status);
    page.page(visitor, status, &Content { title: "Log in".to_owned(), place: Place::None, main })
}

/// `POST /ui/login`.
pub(crate) async fn log_in(State(page): State<Page>, visitor: Visitor, body: Bytes) -> Response {
    let token = json!({"token": Form::parse(&body).text("token")});
    session(&page, &visitor, "/login", Sent::Json(token))
        .await
        .unwrap_or_else(|refused| form(&page, &visitor, Some(&refused)))
}

/// `POST /ui/logout`.
pub(crate) async fn log_out(State(page): State<Page>, visitor: Visitor) -> Response {
    session(&page, &visitor, "/logout", Sent::Nothing)
        .await
        .unwrap_or_else(|refused| form(&page, &visitor, Some(&refused)))
}

/// Sends a request about the session, and passes its cookie on.
async fn session(page: &Page, visitor: &Visitor, path: &str, body: Sent) -> Result<Response, Refused> {
    let (headers, _) = page.exchange(visitor, Method::POST, path, body).await?;
    let mut response = see_other("/");
    if let Some(cookie) = headers.get(SET_COOKIE) {
        response.headers_mut().insert(SET_COOKIE, cookie.clone());
    }
    Ok(response)
}
