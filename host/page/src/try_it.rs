//! `GET /ui/try/{name}`: another policy on the recorded hours of a workload, before it acts.

mod form;
mod recorded;
pub(crate) mod replay;
mod request;
mod result;
pub(crate) mod runs;

use crate::api::Refused;
use crate::forms::{Form, see_other};
use crate::layout::{Content, Place};
use crate::page::Page;
use crate::try_it::form::Loads;
use crate::try_it::recorded::Recorded;
use crate::try_it::replay::{Input, Tried, replay};
use crate::try_it::request::{Load, Request};
use crate::visitor::Visitor;
use crate::{error, path};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use std::collections::BTreeMap;
use tokio::task::spawn_blocking;
use windlass_control::WorkloadView;
use windlass_core::metric::BuiltIn;
use windlass_core::policy::ShadowPolicy;
use windlass_core::{PolicyChoice, PolicyChoices, PolicyKind, Timestamp, WorkloadKey};
use windlass_simulate::trace::Trace;

/// The capacity of a replica in the examples, as in `windlass simulate`.
const EXAMPLE_CAPACITY: f64 = 100.0;

/// The refusal of a replay when as many as may be are in progress.
const TOO_MANY: &str =
    "two replays are in progress, and no more than two run at once; wait until one has ended, or cancel one";

fn unprocessable(detail: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// `GET /ui/try/{name}?run=7`.
pub(crate) async fn show(
    State(page): State<Page>,
    visitor: Visitor,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(view) = visitor.workload(&page, &name) else { return unknown(&page, &visitor, &name) };
    let name = view.workload.key.to_string();
    let run = query.get("run").and_then(|id| page.runs.find(&name, id.parse().ok()?));
    let lost = query.contains_key("run") && run.is_none();
    let outcome = run.as_ref().and_then(|run| run.outcome());
    let main = html! {
        p.crumbs { a href=(path::workload(&name)) { (name) } }
        h1 { "Try another policy" }
        p { "The simulator replays a load with the policy of your choice. Nothing of the workload changes." }
        section #result aria-label="Result" {
            @match (&run, &outcome) {
                (Some(run), None) => { (progress(&visitor, &name, run.id, run.done())) }
                (_, Some(outcome)) => { @match outcome.as_ref() {
                    Ok(replay) => { (result::show(replay)) }
                    Err(why) => { p.banner.bad role="alert" { "The replay ended: " (why) } }
                } }
                (None, None) => { @if lost { p.banner { "That replay is no longer kept. Begin another one." } } }
            }
        }
        section #form aria-labelledby="form-h" { (form::show(&view, &page.loads(&view), &page.catalogue.list(), &query, &visitor)) }
    };
    let again = (run.is_some() && outcome.is_none()).then_some(1);
    let content = Content { title: format!("Try a policy for {name}"), place: Place::Workloads, main, again };
    page.page(&visitor, StatusCode::OK, &content)
}

fn unknown(page: &Page, visitor: &Visitor, name: &str) -> Response {
    error::refused(page, visitor, &Refused::new(StatusCode::NOT_FOUND, format!("There is no workload {name}.")), "/")
}

fn progress(visitor: &Visitor, name: &str, run: u64, done: f64) -> Markup {
    let percent = format!("{:.0}", done * 100.0);
    html! {
        p { label for="progress" { "Replaying, " (percent) " %" } }
        p { progress #progress max="100" value=(percent) { (percent) " %" } }
        form method="post" action={ (path::try_it(name)) "/cancel" } {
            (visitor.field())
            input type="hidden" name="run" value=(run);
            button { "Cancel" }
        }
    }
}

impl Page {
    /// The recorded loads of a workload that have enough values for a replay.
    fn loads(&self, view: &WorkloadView) -> Loads {
        let key = &view.workload.key;
        let is_recorded = |name: &str| {
            let report = self.controller.metric(key, name, Timestamp(0)).ok().flatten();
            report.is_some_and(|report| report.samples.len() >= recorded::FEWEST)
        };
        let metrics = view.workload.metrics.keys().filter(|name| is_recorded(name)).cloned().collect();
        Loads { metrics, cpu: is_recorded(BuiltIn::CpuUtilization.name()) }
    }

    /// Every metric of a workload with its values since a time.
    fn recorded(&self, key: &WorkloadKey, since: Timestamp) -> Vec<Recorded> {
        let names = self.controller.metric_names(key).unwrap_or_default();
        let reports = names.iter().filter_map(|name| self.controller.metric(key, name, since).ok().flatten());
        reports.map(|report| Recorded { name: report.name, samples: report.samples }).collect()
    }

    /// A scaling policy whose calls do not count for its circuit breaker.
    async fn tried(&self, choice: PolicyChoice) -> Result<Tried, Refused> {
        let now = Timestamp(self.controller.now_ms());
        let checked = self.catalogue.check(PolicyKind::Scaling, &choice, now).await;
        checked.map_err(|error| unprocessable(error.to_string()))?;
        // As a shadow it is called without being counted.
        let choices = PolicyChoices { shadows: vec![choice.clone()], ..PolicyChoices::default() };
        let shadows = self.policies.of(&WorkloadKey::stored(""), &choices, now).shadows;
        let policy = shadows.into_iter().rev().find_map(|shadow| match shadow.policy {
            ShadowPolicy::Scaling(policy) if policy.identity().name == choice.name => Some(policy),
            _ => None,
        });
        let policy =
            policy.ok_or_else(|| unprocessable(format!("policy {} has no revision that may act", choice.name)))?;
        if !policy.identity().replayable {
            let why = format!(
                "policy {} may send requests, and a replay would send them again; try another one",
                choice.name
            );
            return Err(unprocessable(why));
        }
        Ok(Tried { name: choice.name, policy, config: choice.config })
    }
}

/// `POST /ui/try/{name}`.
pub(crate) async fn begin(
    State(page): State<Page>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    let Some(view) = visitor.workload(&page, &name) else { return unknown(&page, &visitor, &name) };
    let back = path::try_it(view.workload.key.as_str());
    match start(&page, view, &Form::parse(&body)).await {
        Ok(run) => see_other(&format!("{back}?run={run}")),
        Err(refused) => error::refused(&page, &visitor, &refused, &back),
    }
}

/// Begins a replay. Returns its number.
async fn start(page: &Page, view: WorkloadView, form: &Form) -> Result<u64, Refused> {
    let request = Request::parse(form).map_err(unprocessable)?;
    let mut policies =
        vec![Tried { name: format!("{} (tried)", request.choice.name), ..page.tried(request.choice.clone()).await? }];
    if let [current] = view.workload.policies.scaling.as_slice() {
        // The current policy may be one that cannot be replayed.
        if let Ok(tried) = page.tried(current.clone()).await {
            policies.insert(0, Tried { name: format!("{} (current)", current.name), ..tried });
        }
    }
    let too_many = || Refused::new(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY);
    let run = page.runs.begin(view.workload.key.as_str()).ok_or_else(too_many)?;
    let id = run.id;
    // Both on threads of their own: they compute for seconds, and the loop must not wait for them.
    let page = page.clone();
    let read = spawn_blocking(move || (run, input(&page, view, &request, policies)));
    let (run, input) =
        read.await.map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the load cannot be read"))?;
    let input = input.map_err(unprocessable)?;
    let runtime = tokio::runtime::Handle::current();
    spawn_blocking(move || {
        let outcome = runtime.block_on(replay(input, run.shared()));
        run.finish(outcome);
    });
    Ok(id)
}

/// The load of a request with the model of a replica.
fn input(page: &Page, view: WorkloadView, request: &Request, policies: Vec<Tried>) -> Result<Input, String> {
    let start_up = request.start_up;
    let metric = match &request.load {
        Load::Shipped(shipped) => {
            let trace = Trace::parse(shipped.text(), Some("load"))?;
            let capacity = request.capacity.unwrap_or(EXAMPLE_CAPACITY);
            return Ok(Input { workload: view.workload, trace, policies, capacity, start_up, recorded: None });
        }
        Load::Cpu => None,
        Load::Metric(name) => Some(name.as_str()),
    };
    let since = Timestamp(page.controller.now_ms().saturating_sub(request.hours * 3_600_000));
    let recorded = page.recorded(&view.workload.key, since);
    let (text, load) = recorded::trace(&recorded, metric)?;
    let trace = Trace::parse(&text, Some(metric.unwrap_or(recorded::CPU)))?;
    let ready = recorded::ready(&recorded);
    let usual = if metric.is_none() { Some(1.0) } else { recorded::capacity(&load, &ready) };
    let capacity =
        request.capacity.or(usual).ok_or("no replica was ready with this load; give the capacity of a replica")?;
    Ok(Input { workload: view.workload, trace, policies, capacity, start_up, recorded: Some((ready, load)) })
}

/// `POST /ui/try/{name}/cancel`.
pub(crate) async fn cancel(
    State(page): State<Page>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    let Some(view) = visitor.workload(&page, &name) else { return unknown(&page, &visitor, &name) };
    let name = view.workload.key.as_str();
    let form = Form::parse(&body);
    let run = form.text("run").parse().ok().and_then(|id| page.runs.find(name, id));
    run.inspect(|run| run.cancel());
    see_other(&format!("{}?run={}", path::try_it(name), path::segment(form.text("run"))))
}
