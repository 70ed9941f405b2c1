//! The part of `make bench` about the page, on a simulated engine in this process.
//!
//! It measures:
//!
//! - the page and the JSON of 200 workloads, compared with the same JSON served by FastAPI;
//! - the first paint of that page in a browser, and the bytes of a first visit;
//! - a replay of a recorded day ("try it").
//!
//! It needs Python and a browser. `.ci/setup` installs the browser.

mod fastapi;

use crate::fastapi::FastApi;
use anyhow::ensure;
use futures_util::future::try_join_all;
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;
use url::form_urlencoded;
use windlass_tests::benchmark::{median, print_line, run};
use windlass_tests::browser::{Browser, Tab};
use windlass_tests::page_site::{PageSite, TRACKING};
use windlass_tests::response::client;

/// Workloads of the page, and replicas of each.
const WORKLOADS: u32 = 200;
const REPLICAS: u32 = 2;

/// Requests in progress at once.
const CONNECTIONS: usize = 8;

/// The time for which requests are sent to one side, and how often. The sides alternate, so that other work of the machine
/// affects all alike. The result is the median.
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

/// Visits of the page, each without kept files. The first ones are slower, while the browser still begins.
const VISITS: usize = 11;

const REPLAYS: usize = 5;

const AIM_RATIO: f64 = 20.0;
const AIM_PAINT: Duration = Duration::from_millis(100);
const AIM_BYTES: u64 = 150_000;
const AIM_REPLAY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    run("page", measure).await
}

async fn measure() -> anyhow::Result<()> {
    let site = PageSite::empty().await?;
    for index in 0..WORKLOADS {
        site.start(&format!("service-{index:03}"), REPLICAS, 5).await?;
    }
    let url = format!("{}/workloads", site.url);
    let text = client().get(&url).send().await?.error_for_status()?.text().await?;
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fastapi");
    let other = FastApi::start(&environment, &text).await?;
    let same = client().get(&other.url).send().await?.json::<Value>().await? == serde_json::from_str::<Value>(&text)?;
    ensure!(same, "FastAPI serves something else");

    let (mut page, mut json, mut python) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        page.push(time_of_each(&site.url).await?);
        json.push(time_of_each(&url).await?);
        python.push(time_of_each(&other.url).await?);
    }
    drop(other);
    let rate = |times| 1.0 / median(times).as_secs_f64();
    let (page, json, python) = (rate(page), rate(json), rate(python));
    print_line(format!("\n{:<46} {:>12} {:>8} {:>8}", format!("{WORKLOADS} workloads"), "a second", "ratio", "aim"));
    print_line(format!("{:<46} {python:>12.0}", format!("JSON of {} bytes, FastAPI", text.len())));
    for (what, rate) in [("the same JSON, Windlass", json), ("the page, Windlass", page)] {
        print_line(format!("{what:<46} {rate:>12.0} {:>8.1} {:>8}", rate / python, format!("≥ {AIM_RATIO}")));
    }

    let (paint, empty, bytes) = visits(&site.url).await?;
    print_line(format!("\n{:<46} {:>12} {:>17}", "the page in a browser", "", "aim"));
    print_line(format!(
        "{:<46} {:>9.0} ms {:>17}",
        "first paint",
        paint.as_secs_f64() * 1e3,
        format!("≤ {} ms", AIM_PAINT.as_millis())
    ));
    print_line(format!("{:<46} {:>9.0} ms", "first paint of a page with one word", empty.as_secs_f64() * 1e3));
    print_line(format!("{:<46} {bytes:>12} {:>17}", "bytes of a first visit", format!("≤ {AIM_BYTES}")));

    let site = PageSite::with_history().await?;
    let mut times = vec![];
    for _ in 0..REPLAYS {
        times.push(replay(&site).await?);
    }
    let seconds = median(times).as_secs_f64();
    print_line(format!("{:<46} {seconds:>10.2} s {:>17}", "replay of a recorded day", format!("≤ {AIM_REPLAY:?}")));
    Ok(())
}

/// The time of a request: that of a round, divided by the requests that were answered in it.
async fn time_of_each(url: &str) -> anyhow::Result<Duration> {
    // Connections are kept open, unlike those of the tests.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let began = Instant::now();
    let send = |_| async {
        let mut answers = 0_u32;
        while began.elapsed() < ROUND {
            let body = client.get(url).send().await?.error_for_status()?.bytes().await?;
            ensure!(!body.is_empty(), "an empty answer");
            answers += 1;
        }
        Ok(answers)
    };
    let answers = try_join_all((0..CONNECTIONS).map(send)).await?;
    Ok(began.elapsed() / answers.into_iter().sum::<u32>())
}

/// A page that costs the browser as little as a page can.
const WORD: &str = "data:text/html,<p>word";

/// The median time from the start of a visit to the first paint, the same for [`WORD`], and the bytes that a first visit
/// transfers.
async fn visits(url: &str) -> anyhow::Result<(Duration, Duration, u64)> {
    let (browser, mut paints, mut empty, mut bytes) = (Browser::start().await?, vec![], vec![], 0);
    // The start of the browser does not count.
    let tab = browser.open(url, (1_280, 900), false).await?;
    for _ in 0..VISITS {
        empty.push(first_paint(&tab, WORD).await?);
        tab.forget_files().await?;
        paints.push(first_paint(&tab, url).await?);
        let transferred = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
                           .reduce((sum, entry) => sum + entry.transferSize, 0)";
        bytes = tab.eval(transferred).await?.as_u64().unwrap_or_default();
    }
    Ok((median(paints), median(empty), bytes))
}

/// The time from the start of a visit to the first paint.
async fn first_paint(tab: &Tab<'_>, url: &str) -> anyhow::Result<Duration> {
    tab.go(url).await?;
    // A browser may have loaded a page before it paints it.
    tab.until("performance.getEntriesByName('first-contentful-paint').length > 0").await?;
    let paint = tab.eval("performance.getEntriesByName('first-contentful-paint')[0].startTime").await?;
    Ok(Duration::from_secs_f64(paint.as_f64().unwrap_or_default() / 1e3))
}

/// The time from the request for a replay of the recorded day until its result can be read.
async fn replay(site: &PageSite) -> anyhow::Result<Duration> {
    let fields = [("policy", "target-tracking"), ("config", TRACKING), ("load", "metric:orders"), ("hours", "24")];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let began = Instant::now();
    // The client follows the answer to the page of the replay.
    let request = client().post(format!("{}/ui/try/shop", site.url)).body(body);
    let answer =
        request.header("content-type", "application/x-www-form-urlencoded").send().await?.error_for_status()?;
    let page = answer.url().clone();
    loop {
        let answer = client().get(page.clone()).send().await?.error_for_status()?.text().await?;
        // The page asks the browser to come again until it has the result.
        if !answer.contains("http-equiv=\"refresh\"") {
            let time = began.elapsed();
            ensure!(answer.contains("target-tracking (tried)"), "the replay has no result");
            return Ok(time);
        }
    }
}
