//! The page of a replica's lines, with and without the script.

use super::*;
use windlass_core::logs::LogStream;

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_replica_are_a_page_that_follows() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let key = site.start("mail", 1, 3).await?;
    let replica = site.engine.replicas(&key)[0].clone();
    site.engine.print(
        &replica.id,
        LogStream::Stderr,
        &format!("<b>disk</b> \u{1b}[31mfull\u{1b}[0m {}", "x/".repeat(400)),
    );
    let browser = Browser::start().await?;
    let tab = browser.open(&site.workload("mail"), NARROW, false).await?;
    tab.follow("#replicas a").await?;
    assert_eq!(tab.text("h1").await?, format!("Logs of {}", replica.name));
    let last = "document.querySelector('.log li:last-child')";
    let text = tab.text(".log li:last-child").await?;
    assert!(text.contains("err") && text.contains("<b>disk</b> full x/x/"), "{text}");
    // The end is what a reader sees first, and a long line does not make the page wider.
    let is_seen = format!(
        "(() => {{ const [line, box] = [{last}, document.querySelector('.log')].map((it) => it.getBoundingClientRect()); \
         return line.bottom <= box.bottom + 1 && line.bottom > box.top; }})()"
    );
    assert_eq!(tab.eval(&is_seen).await?, true);
    inspect_everywhere(&tab, "logs").await?;
    // A log that is not followed stays as it is.
    assert_eq!(tab.text("#live").await?, "not live: reload for news");
    tab.follow(".spans a").await?;
    // Its second word is for screen readers.
    let chosen = "document.querySelector('.spans [aria-current]').textContent";
    assert_eq!(tab.eval(chosen).await?, "50 lines");
    tab.follow(".acts a").await?;
    assert_eq!(tab.text(".acts a").await?, "Stop following");
    assert_eq!(tab.eval(chosen).await?, "50 lines", "the choice stays");
    tab.eval("window.stayed = true").await?;
    site.engine.print(&replica.id, LogStream::Stdout, "a later line");
    tab.until(&format!("{last}.innerText.includes('a later line')")).await?;
    assert_eq!(tab.eval("window.stayed").await?, true, "nothing was reloaded");
    inspect_everywhere(&tab, "logs-followed").await?;
    // A reader who selects a line keeps it.
    tab.eval("getSelection().selectAllChildren(document.querySelector('.log li'))").await?;
    let selected = tab.eval("getSelection().toString()").await?;
    site.engine.print(&replica.id, LogStream::Stdout, "one more");
    tab.eval("window.fetched = 0; const real = fetch; window.fetch = (...all) => { fetched++; return real(...all); }")
        .await?;
    tab.until("window.fetched >= 2").await?;
    assert_eq!(tab.eval("getSelection().toString()").await?, selected);
    tab.eval("getSelection().removeAllRanges()").await?;
    tab.until(&format!("{last}.innerText.includes('one more')")).await?;
    tab.follow(".crumbs a:last-child").await?;
    assert_eq!(tab.text("h1").await?, "mail");
    complains_only_about(&tab, None).await?;

    // Without the script, the browser asks again by itself.
    tab.scripts(false).await?;
    tab.go(&format!("{}/ui/containers/{}/logs?follow=true", site.url, replica.id)).await?;
    site.engine.print(&replica.id, LogStream::Stdout, "without a script");
    tab.until(&format!("{last}?.innerText.includes('without a script') ?? false")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_are_for_callers_of_the_workload_only_and_a_container_that_is_gone_says_so() -> anyhow::Result<()> {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let site = Site::with_token(TOKEN).await?;
    let keys = [site.start("mail", 1, 3).await?, site.start("search", 1, 3).await?];
    let [mail, search] = keys.map(|key| site.engine.replicas(&key)[0].id.to_string());
    let client = windlass_tests::response::client();
    let body = json!({"name": "eve", "role": "viewer", "workloads": ["search"]});
    let made = client.post(format!("{}/tokens", site.url)).bearer_auth(TOKEN).json(&body).send().await?;
    let made: serde_json::Value = made.error_for_status()?.json().await?;
    let get = async |token: &str, id: &str| {
        let page = client.get(format!("{}/ui/containers/{id}/logs", site.url)).bearer_auth(token).send().await?;
        anyhow::Ok((page.status().as_u16(), page.text().await?))
    };
    let eve = made["token"].as_str().unwrap_or_default();
    let (status, page) = get(eve, &search).await?;
    assert!(status == 200 && page.contains("line 5</span>"), "{status}: {page}");
    let (status, page) = get(eve, &mail).await?;
    assert!(matches!(status, 403 | 404) && !page.contains("line 5") && !page.contains("mail-"), "{status}: {page}");
    let (status, page) = get(TOKEN, "0123456789abcdef").await?;
    assert!(status == 404 && page.contains("Not found"), "{status}: {page}");
    // Each page of lines ends its connection, which does not count among those of requests.
    let answer = client.get(format!("{}/ui/containers/{search}/logs", site.url)).bearer_auth(TOKEN).send().await?;
    assert_eq!(answer.headers()["connection"], "close");
    Ok(())
}
