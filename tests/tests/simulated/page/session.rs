//! Sessions of a browser: too many log-ins, the cookie with TLS, its rotation and its end.

use super::*;
use serde_json::Value;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

async fn log_in(tab: &Tab<'_>, token: &str) -> anyhow::Result<()> {
    tab.until("document.querySelector('#token') !== null").await?;
    tab.eval(&format!("document.querySelector('#token').value = {}", json!(token))).await?;
    tab.follow(".login button").await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_tokens_close_the_log_in_with_a_sentence() -> anyhow::Result<()> {
    let site = Site::with_token(TOKEN).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    for attempt in 1..=10 {
        log_in(&tab, "wrong").await?;
        let refused = tab.text("main").await?;
        assert!(refused.contains("the token is wrong"), "attempt {attempt}: {refused}");
    }
    complains_only_about(&tab, Some(401)).await?;
    // The right one does not help any more: otherwise guessing would.
    log_in(&tab, TOKEN).await?;
    let refused = tab.text("main").await?;
    assert!(refused.contains("too many failed log-ins from this address; try again in "), "{refused}");
    assert_eq!(tab.eval("location.pathname").await?, "/ui/login");
    assert!(tab.cookies().await?.is_empty(), "no session has begun");
    inspect_everywhere(&tab, "login-closed").await?;
    complains_only_about(&tab, Some(429)).await
}

/// The only cookie of a tab.
async fn session(tab: &Tab<'_>) -> anyhow::Result<Value> {
    let cookies = tab.cookies().await?;
    anyhow::ensure!(cookies.len() == 1, "{cookies:?}");
    Ok(cookies[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_the_cookie_is_secure_rotates_at_each_log_in_and_ends_at_the_log_out() -> anyhow::Result<()> {
    let site = Site::with_tls(TOKEN).await?;
    site.start("mail", 1, 3).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    // Its provider of TLS is that of the process.
    windlass_tests::response::client();
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none()).build()?;
    let is_open = async |cookie: &Value| -> anyhow::Result<bool> {
        let pair = format!("windlass_session={}", cookie["value"].as_str().unwrap_or_default());
        let answer = client.get(&site.url).header("cookie", pair).send().await?;
        let leads = answer.headers().get("location").is_some_and(|location| location == "/ui/login");
        anyhow::ensure!(answer.status() == if leads { 303 } else { 200 }, "{answer:?}");
        Ok(!leads)
    };
    log_in(&tab, TOKEN).await?;
    tab.until("document.querySelector('#list')?.innerText.includes('mail') ?? false").await?;
    let first = session(&tab).await?;
    for (property, value) in [
        ("name", json!("windlass_session")),
        ("secure", json!(true)),
        ("httpOnly", json!(true)),
        ("sameSite", json!("Strict")),
        ("path", json!("/")),
    ] {
        assert_eq!(first[property], value, "{first}");
    }
    assert_eq!(tab.eval("document.cookie").await?, "", "no script reads it");
    assert!(is_open(&first).await?);
    // Events come through the stream of the session.
    tab.until("document.querySelector('#live').className === 'on'").await?;

    tab.go(&format!("{}/ui/login", site.url)).await?;
    log_in(&tab, TOKEN).await?;
    let second = session(&tab).await?;
    assert_ne!(first["value"], second["value"]);
    assert!(!is_open(&first).await? && is_open(&second).await?, "a log-in ends the session before it");

    tab.follow("header form button").await?;
    assert_eq!(tab.eval("location.pathname").await?, "/ui/login");
    assert!(tab.cookies().await?.is_empty(), "the browser forgets it");
    assert!(!is_open(&second).await?, "and so does Windlass");
    complains_only_about(&tab, None).await
}
