//! The caller of a page: what it may see and change.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use maud::{Markup, html};
use std::convert::Infallible;
use windlass_api::Inner;
use windlass_core::WorkloadKey;

/// The caller of a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visitor {
    /// Its requests to the API.
    pub(crate) inner: Inner,
    /// Its name, if it has a session.
    pub(crate) session: Option<String>,
    /// Whether it may pause, freeze, force, scale, promote and roll back.
    pub(crate) may_operate: bool,
    /// Whether it may remove replicas and policies, and push policies.
    pub(crate) may_administer: bool,
    /// The text that each form of its session carries.
    pub(crate) csrf: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let inner = parts.extensions.get::<Inner>().cloned().unwrap_or_default();
        Ok(Self { inner, session: None, may_operate: true, may_administer: true, csrf: None })
    }
}

impl Visitor {
    /// Whether it may see a workload.
    pub(crate) fn sees(&self, _key: &WorkloadKey) -> bool {
        true
    }

    /// The field that each of its forms has.
    pub(crate) fn field(&self) -> Markup {
        html! { @if let Some(csrf) = &self.csrf { input type="hidden" name="csrf" value=(csrf); } }
    }
}
