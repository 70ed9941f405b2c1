//! "Try it" in a browser: its loads, progress, cancellation and refusals, and the passes of the loop meanwhile.

use super::*;
use windlass_core::WorkloadKey;
use windlass_core::policy::PolicyCatalogue;
use windlass_tests::hostile;
use windlass_tests::page_site::ASKER;
use windlass_tests::policies::push_of;

/// A policy whose replay of a day takes minutes: each of its decisions computes for about 20 ms.
const SLOW: &str = "slow";

async fn push_slow(site: &Site) -> anyhow::Result<()> {
    site.policies.push(push_of(SLOW, hostile::spins(40_000_000).build())).await?;
    Ok(())
}

fn try_page(site: &Site, workload: &str) -> String {
    format!("{}/ui/try/{workload}", site.url)
}

/// Fills the form with a policy without configuration, and a load.
async fn choose(tab: &Tab<'_>, policy: &str, load: &str) -> anyhow::Result<()> {
    let set = format!(
        "for (const [name, value] of Object.entries({})) document.querySelector(`#form [name=${{name}}]`).value = value",
        json!({"policy": policy, "load": load, "config": "{}"})
    );
    tab.eval(&set).await.map(drop)
}

/// Begins a replay of the slow policy without a browser. Returns the address of its page.
async fn begin_slow(site: &Site, workload: &str) -> anyhow::Result<String> {
    let body = format!("policy={SLOW}&load=trace:two-peaks&config=%7B%7D");
    let request = windlass_tests::response::client().post(try_page(site, workload)).body(body);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
    Ok(answer.error_for_status()?.url().to_string())
}

async fn cancel(site: &Site, workload: &str, page: &str) -> anyhow::Result<()> {
    let run = page.rsplit_once("run=").map_or("", |(_, run)| run);
    let request = windlass_tests::response::client().post(format!("{}/cancel", try_page(site, workload)));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(format!("run={run}"));
    request.send().await?.error_for_status()?;
    Ok(())
}

async fn text(page: &str) -> anyhow::Result<String> {
    Ok(windlass_tests::response::client().get(page).send().await?.text().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_shows_its_progress_and_ends_when_it_is_cancelled() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    push_slow(&site).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&try_page(&site, "shop"), WIDE, false).await?;
    choose(&tab, SLOW, "trace:two-peaks").await?;
    tab.follow("#form form button").await?;
    // The current policy is replayed first. It is fast, and half of the work.
    tab.until("document.querySelector('#progress')?.value >= 50").await?;
    inspect_everywhere(&tab, "trying").await?;
    // The next replay can be prepared meanwhile: news of the progress leaves the form alone, and nothing is reloaded.
    tab.eval("window.stayed = true; document.querySelector('#form textarea').value = 'half'").await?;
    let percent = tab.eval("document.querySelector('#progress').value").await?;
    tab.until(&format!("document.querySelector('#progress').value > {percent}")).await?;
    assert_eq!(tab.eval("window.stayed && document.querySelector('#form textarea').value").await?, "half");
    let percent = tab.eval("document.querySelector('#progress').value").await?;
    assert!(percent.as_f64().is_some_and(|percent| percent < 100.0), "{percent}");
    tab.follow("#result form button").await?;
    tab.until("document.querySelector('#result').innerText.includes('it was cancelled')").await?;
    assert_eq!(tab.eval("document.querySelectorAll('#progress, #result form').length").await?, 0);
    inspect_everywhere(&tab, "cancelled").await?;
    complains_only_about(&tab, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_goes_on_while_two_replays_compute_and_a_third_is_refused_with_a_sentence() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    push_slow(&site).await?;
    let key = WorkloadKey::named("shop")?;
    let passes = || site.controller.view(&key).map_or(0, |view| view.counters.passes);
    let runs = [begin_slow(&site, "shop").await?, begin_slow(&site, "shop").await?];
    let before = passes();
    // Nothing but the timer wakes the workload, every 5 s.
    eventually("passes", LIMIT, async || {
        let made = passes() - before;
        if made >= 2 { Ok(()) } else { Err(format!("{made} passes")) }
    })
    .await;
    for run in &runs {
        assert!(
            text(run).await?.contains("Replaying, "),
            "the replay was over before the passes: {}",
            text(run).await?
        );
    }
    let browser = Browser::start().await?;
    let tab = browser.open(&try_page(&site, "shop"), WIDE, false).await?;
    choose(&tab, SLOW, "trace:two-peaks").await?;
    tab.follow("#form form button").await?;
    let refused = tab.text("main").await?;
    assert!(refused.contains("Not possible now"), "{refused}");
    assert!(refused.contains("no more than two run at once; wait until one has ended, or cancel one"), "{refused}");
    inspect_everywhere(&tab, "replays-full").await?;
    complains_only_about(&tab, Some(503)).await?;
    for run in &runs {
        cancel(&site, "shop", run).await?;
        eventually("the end of the replay", LIMIT, async || {
            let page = text(run).await.map_err(|error| error.to_string())?;
            if page.contains("it was cancelled") { Ok(()) } else { Err(page) }
        })
        .await;
    }
    // There is room again.
    let run = begin_slow(&site, "shop").await?;
    cancel(&site, "shop", &run).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_history_an_example_that_comes_with_windlass_is_replayed() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    site.start("mail", 1, 5).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&try_page(&site, "mail"), NARROW, false).await?;
    let form = tab.text("#form").await?;
    assert!(form.contains("No load of this workload is recorded for long enough yet"), "{form}");
    // The form as it is: nothing needs to be chosen.
    tab.follow("#form form button").await?;
    tab.until("document.querySelectorAll('#result tbody tr').length >= 1").await?;
    let result = tab.text("#result").await?;
    assert!(result.contains("(tried)") && result.contains("capacity of 100 a replica"), "{result}");
    assert!(!result.contains("recorded"), "nothing was recorded: {result}");
    inspect_everywhere(&tab, "tried-example").await?;
    complains_only_about(&tab, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_cpu_use_is_a_load_and_a_policy_that_sends_requests_is_refused() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let asks = hostile::asks("127.0.0.1:1", "/", 1).build();
    site.policies.push(push_of(ASKER, asks)).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&try_page(&site, "shop"), WIDE, false).await?;
    choose(&tab, "min-max", "cpu").await?;
    tab.eval("document.querySelector('[name=hours]').value = '6'").await?;
    tab.follow("#form form button").await?;
    tab.until("document.querySelectorAll('#result tbody tr').length === 3").await?;
    let result = tab.text("#result").await?;
    assert!(result.contains("recorded") && result.contains("at a capacity of 1 a replica"), "{result}");
    complains_only_about(&tab, None).await?;
    for (policy, sentence) in [
        (ASKER, "policy asker may send requests, and a replay would send them again; try another one"),
        ("target-tracking", "metrics"),
    ] {
        tab.go(&try_page(&site, "shop")).await?;
        choose(&tab, policy, "cpu").await?;
        tab.follow("#form form button").await?;
        let refused = tab.text("main").await?;
        assert!(refused.contains("Not accepted") && refused.contains(sentence), "{refused}");
        complains_only_about(&tab, Some(422)).await?;
    }
    Ok(())
}
