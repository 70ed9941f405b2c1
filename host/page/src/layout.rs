//! The frame of every page: its head, navigation, banners and foot.

use crate::assets::{ICON, SCRIPT, STYLE, style_source};
use crate::page::Page;
use crate::visitor::Visitor;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::LazyLock;
use windlass_control::Readiness;

/// A page loads its own files only, and has no script in its text, and no style but the style sheet.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src {}; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        style_source()
    );
    HeaderValue::try_from(policy).expect("visible characters")
});

/// The entry of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Workloads,
    Policies,
    Audit,
    None,
}

/// The content of a page.
pub(crate) struct Content {
    pub(crate) title: String,
    pub(crate) place: Place,
    pub(crate) main: Markup,
    /// The seconds after which it is requested again, because it is about something in progress.
    pub(crate) again: Option<u32>,
}

impl Page {
    /// A page with its frame.
    pub(crate) fn page(&self, visitor: &Visitor, status: StatusCode, content: &Content) -> Response {
        answer(status, frame(visitor, content, &self.controller.readiness()))
    }
}

/// A document with the headers of every page.
fn answer(status: StatusCode, document: Markup) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        // With `no-referrer`, a browser would send `Origin: null` with a form, which is refused.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, document.into_string()).into_response()
}

fn frame(visitor: &Visitor, content: &Content, readiness: &Readiness) -> Markup {
    let current = |place: Place| (content.place == place).then_some("page");
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (content.title) " · Windlass" }
                link rel="icon" href=(ICON.path());
                style { (PreEscaped(STYLE)) }
                script src=(SCRIPT.path()) defer {}
                // The script requests it by itself, without a reload.
                @if let Some(seconds) = content.again { noscript { meta http-equiv="refresh" content=(seconds); } }
            }
            body data-event=(visitor.last_event) data-again=[content.again] {
                a.skip href="#main" { "Skip to the content" }
                header {
                    a.brand href="/" { "Windlass" }
                    nav aria-label="Pages" {
                        @if visitor.is_known {
                            a href="/" aria-current=[current(Place::Workloads)] { "Workloads" }
                            a href="/ui/policies" aria-current=[current(Place::Policies)] { "Policies" }
                        }
                        @if visitor.may_administer_everything() { a href="/ui/audit" aria-current=[current(Place::Audit)] { "Audit" } }
                        a href="/docs" { "API" }
                    }
                    @if visitor.is_known { span #live role="status" { "not live: reload for news" } }
                    @if let Some(name) = &visitor.session {
                        form method="post" action="/ui/logout" { (visitor.field()) (name) " " button { "Log out" } }
                    }
                }
                div #banners { @if visitor.is_known { (banners(readiness)) } }
                main #main tabindex="-1" { (content.main) }
                footer { "Times are UTC." }
            }
        }
    }
}

/// The conditions that concern every page: the engine does not answer, or another Windlass acts.
fn banners(readiness: &Readiness) -> Markup {
    html! {
        @if let Some(trouble) = &readiness.engine {
            p.banner.bad role="alert" {
                b { "The container engine does not answer. " } (trouble)
                " The replicas stay as they are, and this page shows the last observation."
            }
        }
        @if let Some(standby) = &readiness.standby {
            p.banner role="status" { b { "Standby. " } (standby) "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(readiness: &Readiness) -> String {
        of(&Visitor { is_known: true, ..Visitor::default() }, readiness)
    }

    fn of(visitor: &Visitor, readiness: &Readiness) -> String {
        let content =
            Content { title: "A <b>".to_owned(), place: Place::Policies, main: html! { p { "x" } }, again: Some(7) };
        frame(visitor, &content, readiness).into_string()
    }

    #[test]
    fn a_page_names_where_it_is_and_has_no_code_in_its_text() {
        let ready = Readiness { engine: None, late: Vec::new(), standby: None };
        let text = text(&ready);
        assert!(text.contains("<title>A &lt;b&gt; · Windlass</title>"), "{text}");
        assert!(text.contains("<a href=\"/ui/policies\" aria-current=\"page\">"), "{text}");
        assert_eq!(text.matches("aria-current=").count(), 1);
        assert!(
            !text.contains("style=") && !text.contains("onclick") && text.contains("<script src=\"/ui/assets/page.")
        );
        assert!(!text.contains("class=\"banner"), "nothing is wrong");
        assert!(text.contains("<noscript><meta http-equiv=\"refresh\" content=\"7\"></noscript>"), "{text}");
    }

    #[test]
    fn trouble_with_the_engine_is_said_on_every_page() {
        let trouble =
            Readiness { engine: Some("no socket".to_owned()), late: Vec::new(), standby: Some("b acts".to_owned()) };
        let text = text(&trouble);
        assert!(text.contains("role=\"alert\"><b>The container engine does not answer. </b>no socket"), "{text}");
        assert!(text.contains("<b>Standby. </b>b acts."), "{text}");
        let stranger = of(&Visitor::default(), &trouble);
        assert!(
            !stranger.contains("no socket") && !stranger.contains("b acts"),
            "a stranger learns nothing: {stranger}"
        );
    }
}
