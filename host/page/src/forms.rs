//! The changes that a form of the page requests, as requests to the API.

use crate::api::{Refused, Sent};
use crate::page::Page;
use crate::visitor::Visitor;
use crate::{error, path};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::form_urlencoded;

/// The fields of a form.
pub(crate) struct Form(BTreeMap<String, String>);

impl Form {
    /// The fields in a body.
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// A field; empty if the form has none of this name.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|text| text.trim()).unwrap_or_default()
    }

    /// A field as a number. If it is none, the text: the API says what is wrong with it.
    pub(crate) fn number(&self, name: &str) -> Value {
        let text = self.text(name);
        text.parse::<u64>().map_or_else(|_| json!(text), |number| json!(number))
    }
}

/// A request to the API: its method, the resource below the workload or container, and its body.
type Request = (Method, &'static str, Option<Value>);

/// The request of a change of a workload. `None` if there is no such change.
fn workload_request(change: &str, form: &Form) -> Option<Request> {
    let overrides = |body: Value| Some((Method::PATCH, "/overrides", Some(body)));
    match change {
        "pause" => overrides(json!({"paused": true})),
        "resume" => overrides(json!({"paused": false})),
        "freeze-up" => overrides(json!({"freeze_scale_up": true})),
        "unfreeze-up" => overrides(json!({"freeze_scale_up": false})),
        "freeze-down" => overrides(json!({"freeze_scale_down": true})),
        "unfreeze-down" => overrides(json!({"freeze_scale_down": false})),
        "force" => overrides(json!({"force": {"replicas": form.number("replicas"), "for": form.text("for")}})),
        "end-force" => overrides(json!({"force": null})),
        "scale" => {
            let body =
                json!({"min_replicas": form.number("min_replicas"), "max_replicas": form.number("max_replicas")});
            Some((Method::POST, "/scale", Some(body)))
        }
        "reconcile" => Some((Method::POST, "/reconcile", None)),
        _ => None,
    }
}

/// The request of a change of a container. `None` if there is no such change.
fn container_request(change: &str) -> Option<Request> {
    let patch = |body: Value| Some((Method::PATCH, "", Some(body)));
    match change {
        "hold" => patch(json!({"status": "stopped"})),
        "start" => patch(json!({"status": "running"})),
        "protect" => patch(json!({"scale_in_protection": true})),
        "unprotect" => patch(json!({"scale_in_protection": false})),
        "remove" => Some((Method::DELETE, "?force=true", None)),
        _ => None,
    }
}

/// The request of a change of a policy. `None` if there is no such change.
fn policy_request(change: &str, form: &Form) -> Option<(Method, String)> {
    match change {
        // The number is a part of the query: the API says what is wrong with it.
        "promote" => Some((Method::POST, format!("/promote?revision={}", path::segment(form.text("revision"))))),
        "rollback" => Some((Method::POST, "/rollback".to_owned())),
        "refresh" => Some((Method::POST, "/refresh".to_owned())),
        "delete" => Some((Method::DELETE, String::new())),
        _ => None,
    }
}

/// The sentence after a change. `None` if there is no such change.
pub(crate) fn done(change: &str) -> Option<&'static str> {
    Some(match change {
        "pause" => "Scaling is paused.",
        "resume" => "Scaling is resumed.",
        "freeze-up" => "Scale-out is frozen.",
        "unfreeze-up" => "Scale-out is allowed again.",
        "freeze-down" => "Scale-in is frozen.",
        "unfreeze-down" => "Scale-in is allowed again.",
        "force" => "The count is forced.",
        "end-force" => "The forced count has ended.",
        "scale" => "The bounds are changed.",
        "reconcile" => "A pass was made.",
        "hold" => "The container is stopped and held.",
        "start" => "The container is started.",
        "protect" => "The container is protected from scale-in.",
        "unprotect" => "The container is no longer protected.",
        "remove" => "The container is removed.",
        "promote" => "The revision is promoted.",
        "rollback" => "The revision before acts again.",
        "refresh" => "The policy is fetched again.",
        "delete" => "The policy is removed.",
        "push" => "The component is pushed.",
        _ => return None,
    })
}

/// `POST /ui/workloads/{name}/{change}`.
pub(crate) async fn change_workload(
    State(page): State<Page>,
    caller: Visitor,
    Path((name, change)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let request = workload_request(&change, &form);
    let request = request.map(|(method, resource, body)| (method, path::api_workload(&name, resource), body));
    finish(&page, &caller, request, &change, &path::workload(&name)).await
}

/// `POST /ui/containers/{id}/{change}`; the field `workload` is the page to return to.
pub(crate) async fn change_container(
    State(page): State<Page>,
    caller: Visitor,
    Path((id, change)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let request = container_request(&change);
    let request =
        request.map(|(method, query, body)| (method, format!("/containers/{}{query}", path::segment(&id)), body));
    finish(&page, &caller, request, &change, &path::workload(form.text("workload"))).await
}

/// `POST /ui/policies/{name}/{change}`.
pub(crate) async fn change_policy(
    State(page): State<Page>,
    caller: Visitor,
    Path((name, change)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let form = Form::parse(&body);
    let request = policy_request(&change, &form);
    let request = request.map(|(method, rest)| (method, format!("/policies/{}{rest}", path::segment(&name)), None));
    finish(&page, &caller, request, &change, windlass_api::PAGE_UPLOAD).await
}

/// Sends the request, and returns to a page, which says what was done.
async fn finish(
    page: &Page,
    caller: &Visitor,
    request: Option<(Method, String, Option<Value>)>,
    change: &str,
    back: &str,
) -> Response {
    let Some((method, path, body)) = request else {
        let unknown = Refused::new(StatusCode::NOT_FOUND, "there is no such change; go back and reload the page");
        return error::refused(page, caller, &unknown, back);
    };
    let body = body.map_or(Sent::Nothing, Sent::Json);
    match page.send(caller, method, &path, body).await {
        Ok(_) => see_other(&format!("{back}?done={change}")),
        Err(refused) => error::refused(page, caller, &refused, back),
    }
}

/// Sends the browser to another page with `GET`, so that a reload does not repeat the change.
pub(crate) fn see_other(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, location.to_owned())]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: [&str; 10] = [
        "pause",
        "resume",
        "freeze-up",
        "unfreeze-up",
        "freeze-down",
        "unfreeze-down",
        "force",
        "end-force",
        "scale",
        "reconcile",
    ];
    const CONTAINER: [&str; 5] = ["hold", "start", "protect", "unprotect", "remove"];

    #[test]
    fn each_change_is_a_request_and_has_its_sentence() {
        let form = Form::parse(b"");
        for change in WORKLOAD {
            assert!(workload_request(change, &form).is_some() && done(change).is_some(), "{change}");
        }
        for change in CONTAINER {
            assert!(container_request(change).is_some() && done(change).is_some(), "{change}");
        }
        for change in ["promote", "rollback", "refresh", "delete"] {
            assert!(policy_request(change, &form).is_some() && done(change).is_some(), "{change}");
        }
        assert!(workload_request("hold", &form).is_none() && container_request("pause").is_none());
        assert_eq!(done("<script>"), None, "a link cannot put words on the page");
    }

    #[test]
    fn each_change_says_to_the_api_what_its_button_says() {
        let form = Form::parse(b"");
        for (change, body) in [
            ("pause", json!({"paused": true})),
            ("resume", json!({"paused": false})),
            ("freeze-up", json!({"freeze_scale_up": true})),
            ("unfreeze-up", json!({"freeze_scale_up": false})),
            ("freeze-down", json!({"freeze_scale_down": true})),
            ("unfreeze-down", json!({"freeze_scale_down": false})),
            ("end-force", json!({"force": null})),
        ] {
            assert_eq!(workload_request(change, &form), Some((Method::PATCH, "/overrides", Some(body))), "{change}");
        }
        for (change, request) in [
            ("hold", (Method::PATCH, "", Some(json!({"status": "stopped"})))),
            ("start", (Method::PATCH, "", Some(json!({"status": "running"})))),
            ("protect", (Method::PATCH, "", Some(json!({"scale_in_protection": true})))),
            ("unprotect", (Method::PATCH, "", Some(json!({"scale_in_protection": false})))),
            ("remove", (Method::DELETE, "?force=true", None)),
        ] {
            assert_eq!(container_request(change), Some(request), "{change}");
        }
    }

    #[test]
    fn the_fields_of_a_form_become_the_body() {
        let form = Form::parse(b"replicas=4&for=+30m+&min_replicas=1&max_replicas=many");
        let (method, resource, body) = workload_request("force", &form).expect("a change");
        assert_eq!((method, resource), (Method::PATCH, "/overrides"));
        assert_eq!(body, Some(json!({"force": {"replicas": 4, "for": "30m"}})));
        let body = workload_request("scale", &form).and_then(|(.., body)| body);
        assert_eq!(body, Some(json!({"min_replicas": 1, "max_replicas": "many"})), "the API says what is wrong");
    }
}
