//! `GET /tokens`.

use crate::ApiState;
use crate::operation::Operation;
use crate::query::NoQuery;
use crate::tokens::view::TokenView;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

/// Answer of `GET /tokens`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// Every token, also those that have expired, the oldest first. The token of the configuration is not among them.
    tokens: Vec<TokenView>,
}

pub(crate) fn operation() -> Operation {
    Operation::new("List the tokens, without their secrets", list).answer::<TokenList>()
}

async fn list(State(state): State<ApiState>, _: NoQuery) -> Json<TokenList> {
    Json(TokenList { tokens: state.access.tokens.list().iter().map(TokenView::from).collect() })
}
