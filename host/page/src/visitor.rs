//! The caller of a page: what it may see and change.

use crate::page::Page;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use maud::{Markup, html};
use std::convert::Infallible;
use windlass_api::Inner;
use windlass_api::access::{Caller, Scope};
use windlass_control::WorkloadView;
use windlass_core::WorkloadKey;
use windlass_core::access::Role;

/// The caller of a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visitor {
    /// Its requests to the API.
    pub(crate) inner: Inner,
    /// True if the caller is known. A stranger sees the log-in only, and nothing about this installation.
    pub(crate) is_known: bool,
    /// Its name, if it has a session.
    pub(crate) session: Option<String>,
    /// True if it may pause, freeze, force and scale the workloads that it sees.
    pub(crate) may_operate: bool,
    /// True if it may remove the replicas that it sees.
    pub(crate) may_administer: bool,
    /// The text that each form of its session carries.
    pub(crate) csrf: Option<String>,
    /// The workloads that it may see.
    pub(crate) scope: Scope,
    /// The newest event when its request came. The page shows what happened until then, and its stream begins there.
    pub(crate) last_event: u64,
}

impl FromRequestParts<Page> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, page: &Page) -> Result<Self, Infallible> {
        let inner = parts.extensions.get::<Inner>().cloned().unwrap_or_default();
        let Some(caller) = parts.extensions.get::<Caller>() else { return Ok(Self { inner, ..Self::default() }) };
        let csrf = caller.csrf().map(str::to_owned);
        Ok(Self {
            inner,
            is_known: true,
            session: csrf.is_some().then(|| caller.name.to_string()),
            may_operate: caller.role.includes(Role::Operator),
            may_administer: caller.role.includes(Role::Admin),
            csrf,
            scope: caller.scope.clone(),
            last_event: page.controller.events().last(),
        })
    }
}

impl Visitor {
    /// Returns true if it may see a workload.
    pub(crate) fn sees(&self, key: &WorkloadKey) -> bool {
        self.scope.includes(key)
    }

    /// Returns true if it may promote a revision of a policy, or roll back. A policy belongs to all workloads.
    pub(crate) fn may_change_policies(&self) -> bool {
        self.may_operate && self.scope.is_everything()
    }

    /// Returns true if it may push and remove policies, and read the record of changes.
    pub(crate) fn may_administer_everything(&self) -> bool {
        self.may_administer && self.scope.is_everything()
    }

    /// A workload by its name or another spelling of its image. `None` if it is not there, or not for this visitor.
    pub(crate) fn workload(&self, page: &Page, name: &str) -> Option<WorkloadView> {
        page.controller.view(&WorkloadKey::stored(name)).filter(|view| self.sees(&view.workload.key))
    }

    /// The field that each of its forms has.
    pub(crate) fn field(&self) -> Markup {
        html! { @if let Some(csrf) = &self.csrf { input type="hidden" name="csrf" value=(csrf); } }
    }
}
