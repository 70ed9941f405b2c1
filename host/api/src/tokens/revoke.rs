//! `DELETE /tokens/{id}`.

use crate::ApiState;
use crate::access::trail;
use crate::error::Problem;
use crate::operation::Operation;
use crate::path::TokenId;
use crate::query::NoQuery;
use crate::tokens::view::TokenView;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// Answer of `DELETE /tokens/{id}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedToken {
    /// Always true.
    revoked: bool,
    /// The token.
    #[serde(flatten)]
    view: TokenView,
}

pub(crate) fn operation() -> Operation {
    let summary = "Revoke a token: it lets nobody in from now on, and its sessions end";
    Operation::new(summary, revoke).answer::<RevokedToken>().errors(&[404])
}

async fn revoke(
    State(state): State<ApiState>,
    TokenId(id): TokenId,
    _: NoQuery,
) -> Result<Json<RevokedToken>, Problem> {
    let view = TokenView::from(&state.access.revoke(&id).await?);
    if let Some(pending) = trail::current() {
        pending.describe(Some(json!(view)), None);
    }
    Ok(Json(RevokedToken { revoked: true, view }))
}
