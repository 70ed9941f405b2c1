//! `POST /ui/policies`: a component from a form, dropped or chosen.

use crate::api::{Refused, Sent};
use crate::page::Page;
use crate::visitor::Visitor;
use crate::{error, forms, path};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use multer::Multipart;
use std::collections::BTreeMap;
use std::sync::Arc;
use windlass_api::PAGE_UPLOAD;

/// The fields of the form, and its file.
struct Upload {
    fields: BTreeMap<String, String>,
    component: Bytes,
}

/// `POST /ui/policies`.
pub(crate) async fn push(State(page): State<Page>, caller: Visitor, headers: HeaderMap, body: Body) -> Response {
    if !caller.may_administer_everything() {
        // Before the component arrives, which takes one of few places.
        let why = "a push needs the role admin for all workloads";
        return error::refused(&page, &caller, &Refused::new(StatusCode::FORBIDDEN, why), PAGE_UPLOAD);
    }
    let pushed = match Arc::clone(&page.uploads).try_acquire_owned() {
        Ok(_permit) => send(&page, &caller, &headers, body).await,
        Err(_) => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "other components are being uploaded; try again")),
    };
    match pushed {
        Ok(()) => forms::see_other(&format!("{PAGE_UPLOAD}?done=push")),
        Err(refused) => error::refused(&page, &caller, &refused, PAGE_UPLOAD),
    }
}

async fn send(page: &Page, caller: &Visitor, headers: &HeaderMap, body: Body) -> Result<(), Refused> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let Upload { fields, component } = read(kind, body).await?;
    let text = |name: &str| fields.get(name).map(|text| text.trim()).unwrap_or_default();
    if component.is_empty() {
        return Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "no file is chosen; choose a component (.wasm)"));
    }
    let name = Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| text("file_stem"));
    let path = format!("/policies/{}{}", path::segment(name), query(text("as"), text("memory")));
    let csrf = fields.get("csrf").map(String::as_str);
    // The guard does not read this form, so the API checks the token that it carries.
    page.send_with(caller, Method::PUT, &path, csrf, Sent::Wasm(component)).await.map(drop)
}

/// The query of a push with these choices.
fn query(register_as: &str, memory: &str) -> &'static str {
    match (register_as, memory) {
        ("candidate", "reset") => "?candidate=true&memory=reset",
        ("candidate", _) => "?candidate=true",
        (_, "reset") => "?memory=reset",
        _ => "",
    }
}

/// Reads the form. The server limits its bytes.
async fn read(kind: &str, body: Body) -> Result<Upload, Refused> {
    let wrong =
        |error: multer::Error| Refused::new(StatusCode::BAD_REQUEST, format!("the form cannot be read: {error}"));
    let boundary = multer::parse_boundary(kind).map_err(wrong)?;
    let mut form = Multipart::new(body.into_data_stream(), boundary);
    let mut upload = Upload { fields: BTreeMap::new(), component: Bytes::new() };
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name == "component" {
            let stem = field.file_name().and_then(|file| file.rsplit(['/', '\\']).next());
            let stem = stem.map(|file| file.trim_end_matches(".wasm").to_owned()).unwrap_or_default();
            upload.fields.insert("file_stem".to_owned(), stem);
            upload.component = field.bytes().await.map_err(wrong)?;
        } else {
            upload.fields.insert(name, field.text().await.map_err(wrong)?);
        }
    }
    Ok(upload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_of_a_push_reaches_the_api() {
        assert_eq!(query("acting", "keep"), "");
        assert_eq!(query("acting", "reset"), "?memory=reset");
        assert_eq!(query("candidate", "keep"), "?candidate=true");
        assert_eq!(query("candidate", "reset"), "?candidate=true&memory=reset");
    }

    #[tokio::test]
    async fn a_form_has_the_component_and_the_name_of_its_file() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"as\"\r\n\r\ncandidate\r\n--x\r\nContent-Disposition: form-data; \
                    name=\"component\"; filename=\"queue.wasm\"\r\nContent-Type: application/wasm\r\n\r\n\0asm\r\n--x--\r\n";
        let upload = read("multipart/form-data; boundary=x", Body::from(body)).await.expect("a form");
        assert_eq!((upload.component.as_ref(), upload.fields["as"].as_str()), (&b"\0asm"[..], "candidate"));
        assert_eq!(upload.fields["file_stem"], "queue");
        let refused = async |kind: &str, body: &'static str| {
            read(kind, Body::from(body)).await.err().map(|refused| refused.status)
        };
        assert_eq!(refused("text/plain", "").await, Some(StatusCode::BAD_REQUEST));
        assert_eq!(refused("multipart/form-data; boundary=x", "--x\r\nbroken").await, Some(StatusCode::BAD_REQUEST));
    }
}
