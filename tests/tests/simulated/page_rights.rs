//! Every route of the page with every kind of caller: no token, a wrong one, an expired one, a revoked one, each role, a scope.

use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use windlass_core::Timestamp;
use windlass_core::access::{Role, TokenRecord};
use windlass_tests::page_site::PageSite as Site;
use windlass_tests::workloads::workload;

const CONFIGURED: &str = "a-token-of-thirty-two-characters";

/// The callers that a route answers. A change is a request to the API, whose own rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Everybody,
    From(Role),
}

/// Every route: its method, its path as the page registers it, a path that leads to it, and its callers.
const ROUTES: [(&str, &str, &str, For); 17] = [
    ("GET", "/", "/", For::From(Role::Viewer)),
    ("GET", "/ui/workloads/{name}", "/ui/workloads/web", For::From(Role::Viewer)),
    ("GET", "/ui/policies", "/ui/policies", For::From(Role::Viewer)),
    ("GET", "/ui/try/{name}", "/ui/try/web", For::From(Role::Viewer)),
    ("GET", "/ui/containers/{id}/logs", "/ui/containers/CONTAINER/logs", For::From(Role::Viewer)),
    ("GET", "/ui/audit", "/ui/audit", For::From(Role::Admin)),
    ("GET", "/ui/login", "/ui/login", For::Everybody),
    ("GET", "/ui/assets/{file}", "/ui/assets/nothing", For::Everybody),
    ("GET", "/ui/{*rest}", "/ui/nothing", For::From(Role::Viewer)),
    ("POST", "/ui/workloads/{name}/{change}", "/ui/workloads/web/pause", For::From(Role::Operator)),
    ("POST", "/ui/containers/{id}/{change}", "/ui/containers/CONTAINER/protect", For::From(Role::Operator)),
    ("POST", "/ui/policies", "/ui/policies", For::From(Role::Admin)),
    ("POST", "/ui/policies/{name}/{change}", "/ui/policies/nothing/rollback", For::From(Role::Operator)),
    ("POST", "/ui/try/{name}", "/ui/try/web", For::From(Role::Viewer)),
    ("POST", "/ui/try/{name}/cancel", "/ui/try/web/cancel", For::From(Role::Viewer)),
    ("POST", "/ui/logout", "/ui/logout", For::From(Role::Viewer)),
    ("POST", "/ui/login", "/ui/login", For::Everybody),
];

/// A client of the page that follows no redirect.
struct Visitor {
    client: Client,
    url: String,
}

impl Visitor {
    fn new(site: &Site) -> anyhow::Result<Self> {
        let _already = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build()?;
        Ok(Self { client, url: site.url.clone() })
    }

    async fn send(&self, method: &str, path: &str, token: Option<&str>) -> anyhow::Result<Response> {
        let mut request = self.client.request(method.parse::<Method>()?, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if method == "POST" && path == "/ui/policies" {
            let body = "--end\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\nqueue\r\n--end\r\ncontent-disposition: \
                        form-data; name=\"component\"; filename=\"a.wasm\"\r\n\r\nnothing\r\n--end--\r\n";
            request = request.header("content-type", "multipart/form-data; boundary=end").body(body);
        } else if method == "POST" {
            request = request.header("content-type", "application/x-www-form-urlencoded").body("");
        }
        Ok(request.send().await?)
    }

    /// Creates a token. Returns its text and its identifier.
    async fn token(&self, body: &Value) -> anyhow::Result<(String, String)> {
        let request = self.client.post(format!("{}/tokens", self.url)).bearer_auth(CONFIGURED);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await?;
        let created: Value = serde_json::from_str(&answer.text().await?)?;
        let field = |name: &str| created[name].as_str().unwrap_or_else(|| panic!("no {name}: {created}")).to_owned();
        Ok((field("token"), field("id")))
    }
}

/// Whether the answer leads to the form of the log-in.
fn leads_to_login(answer: &Response) -> bool {
    answer.status() == 303 && answer.headers().get("location").is_some_and(|place| place == "/ui/login")
}

#[test]
fn the_routes_of_this_test_are_those_of_the_page() -> anyhow::Result<()> {
    let source = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../host/page/src/lib.rs"))?;
    let texts = source.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/'));
    // The path of the upload is a constant of the API.
    let registered: BTreeSet<&str> = texts.chain([windlass_api::PAGE_UPLOAD]).collect();
    let known: BTreeSet<&str> = ROUTES.iter().map(|(_, path, ..)| *path).collect();
    assert_eq!(known, registered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_page_answers_exactly_the_callers_of_its_role() -> anyhow::Result<()> {
    // A token that expired cannot be created, so one of another site is stored with its end in the past.
    let other = Site::with_token(CONFIGURED).await?;
    let (expired, _) = Visitor::new(&other)?.token(&json!({"name": "bo", "role": "admin"})).await?;
    let records = other.tokens()?.into_iter().map(|record| TokenRecord { expires_at: Some(Timestamp(1)), ..record });
    let site = Site::with_tokens(CONFIGURED, &records.collect::<Vec<_>>()).await?;
    let key = site.start("web", 1, 3).await?;
    let container = site.engine.replicas(&key)[0].name.clone();
    let visitor = Visitor::new(&site)?;
    let role = async |role: Role| visitor.token(&json!({"name": "ann", "role": role.to_string()})).await;
    let (revoked, id) = role(Role::Admin).await?;
    let request = visitor.client.delete(format!("{}/tokens/{id}", visitor.url)).bearer_auth(CONFIGURED);
    assert!(request.send().await?.status().is_success());
    let mut callers = Vec::new();
    for one in [Role::Viewer, Role::Operator, Role::Admin] {
        callers.push((one, role(one).await?.0));
    }
    callers.push((Role::Admin, CONFIGURED.to_owned()));

    for (method, _, path, callers_of) in ROUTES {
        let path = path.replace("CONTAINER", &container);
        for stranger in [None, Some("wrong"), Some(revoked.as_str()), Some(expired.as_str())] {
            let answer = visitor.send(method, &path, stranger).await?;
            let status = answer.status().as_u16();
            let place = format!("{method} {path} {stranger:?}: {status}");
            match callers_of {
                // The form itself says that the token is wrong.
                For::Everybody if method == "POST" => assert!(answer.text().await?.contains("Log in"), "{place}"),
                For::Everybody => assert!(!leads_to_login(&answer) && !matches!(status, 401 | 403), "{place}"),
                For::From(_) if method == "GET" => assert!(leads_to_login(&answer), "{place}"),
                For::From(_) => assert_eq!(status, 401, "{place}"),
            }
        }
        let For::From(needed) = callers_of else { continue };
        for (role, token) in &callers {
            let answer = visitor.send(method, &path, Some(token)).await?;
            let status = answer.status().as_u16();
            let place = format!("{method} {path} {role}: {status}");
            if role.includes(needed) {
                // The log-out leads to the form.
                let is_let_in = method == "POST" || !leads_to_login(&answer);
                assert!(!matches!(status, 401 | 403) && is_let_in && status < 500, "{place}");
            } else {
                assert_eq!(status, 403, "{place}");
            }
        }
    }
    assert!(site.controller.view(&key).is_some_and(|view| view.workload.overrides.paused), "an operator paused it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_visitor_sees_and_changes_their_workloads_only() -> anyhow::Result<()> {
    let site = Site::with_token(CONFIGURED).await?;
    site.start("web", 1, 3).await?;
    let foreign = site.start("foreign", 1, 3).await?;
    let container = site.engine.replicas(&foreign)[0].name.clone();
    let visitor = Visitor::new(&site)?;
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let body = json!({"name": "ann", "role": role.to_string(), "workloads": ["web*"]});
        let (token, _) = visitor.token(&body).await?;
        // A list that was rendered for another caller in the same second is no list for this one.
        let everything = visitor.send("GET", "/", Some(CONFIGURED)).await?.text().await?;
        assert!(everything.contains("foreign"), "{everything}");
        let list = visitor.send("GET", "/", Some(&token)).await?.text().await?;
        assert!(list.contains("web") && !list.contains("foreign"), "{role}: {list}");
        assert_eq!(visitor.send("GET", "/ui/workloads/web", Some(&token)).await?.status(), 200, "{role}");
        for (method, path) in [
            ("GET", "/ui/workloads/foreign".to_owned()),
            ("GET", "/ui/try/foreign".to_owned()),
            ("POST", "/ui/try/foreign".to_owned()),
            ("POST", "/ui/try/foreign/cancel".to_owned()),
            ("POST", "/ui/workloads/foreign/pause".to_owned()),
            ("GET", format!("/ui/containers/{container}/logs")),
            ("POST", format!("/ui/containers/{container}/protect")),
            ("POST", "/ui/policies/nothing/rollback".to_owned()),
            ("POST", "/ui/policies".to_owned()),
            ("GET", "/ui/audit".to_owned()),
        ] {
            let status = visitor.send(method, &path, Some(&token)).await?.status().as_u16();
            assert!(matches!(status, 403 | 404), "{method} {path} {role}: {status}");
        }
    }
    let view = site.controller.view(&foreign).expect("it is there");
    assert!(!view.workload.overrides.paused && view.protected.is_empty(), "nothing was changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spelling_of_an_image_leads_no_limited_visitor_to_its_workload() -> anyhow::Result<()> {
    let site = Site::with_token(CONFIGURED).await?;
    site.controller.start(workload("nginx", 1, 3)?).await?;
    let visitor = Visitor::new(&site)?;
    // The key of the workload is `nginx`, which the glob does not match.
    let body = json!({"name": "ann", "role": "viewer", "workloads": ["nginx:*"]});
    let (token, _) = visitor.token(&body).await?;
    for path in ["/ui/workloads/nginx:latest", "/ui/try/nginx:latest"] {
        assert_eq!(visitor.send("GET", path, Some(CONFIGURED)).await?.status(), 200, "{path}");
        let status = visitor.send("GET", path, Some(&token)).await?.status().as_u16();
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    Ok(())
}
