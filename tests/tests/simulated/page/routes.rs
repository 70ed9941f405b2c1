//! Every route of the page: its content policy, and the requests of other sites that it refuses.
//!
//! The routes are read from the source of the router, so that a new one is tested as well.

use super::*;
use base64::Engine as _;
use reqwest::{Method, RequestBuilder};
use std::collections::BTreeSet;
use windlass_core::policy::PolicyCatalogue;
use windlass_tests::response::client;

const ROUTER: &str = include_str!("../../../../host/page/src/lib.rs");

/// Returns true if a content policy lets a page load its own files only, and allows no script in its text and one style. The tests
/// in the browser show that this style is the style sheet.
fn is_strict(policy: &str) -> bool {
    let style = policy.split("style-src 'sha256-").nth(1).and_then(|rest| rest.split("';").next()).unwrap_or_default();
    let digest = base64::engine::general_purpose::STANDARD.decode(style);
    let expected = format!(
        "default-src 'none'; script-src 'self'; style-src 'sha256-{style}'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    digest.is_ok_and(|digest| digest.len() == 32) && policy == expected
}

/// The paths whose handlers are in `word(…)` in the router, with names in place of their parameters.
fn paths(word: &str, names: &[(&str, &str)]) -> BTreeSet<String> {
    let path = |line: &str| {
        let line = line.replace("windlass_api::PAGE_UPLOAD", "\"/ui/policies\"");
        let path = line.split('"').nth(1).filter(|path| path.starts_with('/'))?.to_owned();
        Some(names.iter().fold(path, |path, (parameter, name)| path.replace(&format!("{{{parameter}}}"), name)))
    };
    let found: BTreeSet<String> =
        ROUTER.lines().filter(|line| line.contains(&format!(" {word}("))).filter_map(path).collect();
    assert!(found.iter().all(|path| !path.contains('{')), "a parameter has no name: {found:?}");
    found
}

/// Names for the parameters of paths.
fn names(container: &str) -> [(&'static str, &str); 5] {
    [("name", "mail"), ("id", container), ("change", "pause"), ("file", "page.css"), ("*rest", "elsewhere")]
}

fn forms(container: &str) -> BTreeSet<String> {
    let forms = paths("post", &names(container));
    assert!(forms.len() >= 8, "{forms:?}");
    forms
}

fn pages(container: &str) -> BTreeSet<String> {
    let pages = paths("get", &names(container));
    assert!(pages.len() >= 9, "{pages:?}");
    pages
}

async fn container(site: &Site) -> anyhow::Result<String> {
    let key = site.start("mail", 1, 3).await?;
    Ok(site.engine.replicas(&key)[0].id.to_string())
}

/// A form as a browser sends it.
fn form(site: &Site, path: &str, body: &str) -> RequestBuilder {
    let request = client().post(format!("{}{path}", site.url));
    if path == "/ui/policies" {
        let part = body.split_once('=').map_or(String::new(), |(name, value)| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        });
        let file =
            "--x\r\nContent-Disposition: form-data; name=\"component\"; filename=\"a.wasm\"\r\n\r\n\0asm\r\n--x--\r\n";
        return request.header("content-type", "multipart/form-data; boundary=x").body(part + file);
    }
    request.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_no_route_answers_another_site() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let container = container(&site).await?;
    let key = windlass_core::WorkloadKey::named("mail")?;
    for path in pages(&container) {
        let answer = client().get(format!("{}{path}", site.url)).header("host", "evil.example").send().await?;
        assert_eq!(answer.status(), 403, "{path} under a foreign name");
        assert!(!answer.text().await?.contains("mail"), "{path}");
    }
    let foreign = [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ];
    for path in forms(&container) {
        for (header, value) in foreign {
            let answer = form(&site, &path, "a=b").header(header, value).send().await?;
            assert_eq!(answer.status(), 403, "{path} with {header}: {value}");
        }
    }
    let view = site.controller.view(&key).expect("the workload");
    assert!(!view.workload.overrides.paused, "a form of another site has paused it");
    // The same form of the page itself is accepted.
    let own = form(&site, "/ui/workloads/mail/pause", "").header("origin", &site.url);
    own.header("sec-fetch-site", "same-origin").send().await?.error_for_status()?;
    assert!(site.controller.view(&key).is_some_and(|view| view.workload.overrides.paused));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_session_no_form_without_its_csrf_token_is_accepted() -> anyhow::Result<()> {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let site = Site::with_token(TOKEN).await?;
    let container = container(&site).await?;
    site.policies.push(windlass_tests::policies::push_of("mine", windlass_builtin::MIN_MAX.to_vec())).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    tab.eval(&format!("document.querySelector('#token').value = '{TOKEN}'")).await?;
    tab.follow(".login button").await?;
    let cookies = tab.cookies().await?;
    let cookie = format!("windlass_session={}", cookies[0]["value"].as_str().unwrap_or_default());
    for path in forms(&container) {
        // The log-in has no session yet. Its form is that of no other site, because the origin is checked.
        if path == "/ui/login" {
            continue;
        }
        for body in ["", "csrf=", "csrf=0123", "a=csrf"] {
            let answer = form(&site, &path, body).header("cookie", &cookie).send().await?;
            assert_eq!(answer.status(), 403, "{path} with {body:?}");
        }
    }
    let login = form(&site, "/ui/login", &format!("token={TOKEN}")).header("origin", "http://evil.example");
    assert_eq!(login.send().await?.status(), 403);
    // Each form that the pages show carries the token.
    let tries = format!("{}/ui/try/mail", site.url);
    for page in [site.url.clone(), site.workload("mail"), format!("{}/ui/policies", site.url), tries] {
        tab.go(&page).await?;
        let forms = "[...document.querySelectorAll('form[method=post]')].map((form) => form.elements.csrf?.value ?? form.action)";
        let tokens = tab.eval(forms).await?;
        let tokens = tokens.as_array().cloned().unwrap_or_default();
        assert!(!tokens.is_empty() && tokens.iter().all(|token| *token == tokens[0]), "{page}: {tokens:?}");
        assert_eq!(tokens[0].as_str().map(str::len), Some(64), "{page}: {tokens:?}");
    }
    assert_eq!(site.policies.list().iter().filter(|info| info.source.is_some()).count(), 1, "nothing was pushed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_the_strict_content_policy() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let container = container(&site).await?;
    let send = async |method: Method, path: &str| -> anyhow::Result<(u16, String, String)> {
        let request = match method {
            Method::GET => client().get(format!("{}{path}", site.url)),
            _ => form(&site, path, "replicas=many"),
        };
        let answer = request.send().await?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Ok((answer.status().as_u16(), header("content-security-policy"), header("content-type")))
    };
    let gets = pages(&container).into_iter().map(|path| (Method::GET, path));
    let posts = forms(&container).into_iter().map(|path| (Method::POST, path));
    let wrong = [(Method::POST, "/ui/workloads/mail/force".to_owned()), (Method::GET, "/ui/workloads/none".to_owned())];
    for (method, path) in gets.chain(posts).chain(wrong) {
        let (status, policy, kind) = send(method.clone(), &path).await?;
        if kind.starts_with("text/html") {
            assert!(is_strict(&policy), "{method} {path}: {status}: {policy}");
        } else {
            // A file that is not there.
            assert_eq!((status, path.starts_with("/ui/assets/")), (404, true), "{method} {path}: {kind}");
            assert!(policy.starts_with("default-src 'none'; "), "{method} {path}: {policy}");
        }
        let is_strict = |policy: &str| !["unsafe", "*", "data:", "http"].iter().any(|word| policy.contains(word));
        assert!(is_strict(&policy), "{method} {path}: {policy}");
    }
    Ok(())
}
