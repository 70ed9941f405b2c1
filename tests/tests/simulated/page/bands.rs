//! The bands of the charts in a browser.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_band_is_on_the_charts_and_in_words() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&format!("{}?span=24h", site.workload("shop")), WIDE, false).await?;
    for (kind, words) in [
        ("rollout", "generation 2 is rolled out"),
        ("override", "scaling is paused"),
        ("outage", "no replica serves; the target is 4"),
        ("blind", "the engine could not be observed: no socket"),
    ] {
        let drawn = format!(
            "[...document.querySelectorAll('.plot')].every((plot) => [...plot.querySelectorAll('rect.band.{kind} title')] \
             .some((title) => title.textContent === {}))",
            json!(words)
        );
        assert_eq!(tab.eval(&drawn).await?, true, "{kind} is not on every chart");
        let seen = format!(
            "[...document.querySelectorAll('rect.band.{kind}')].every((band) => {{ const box = band.getBoundingClientRect(); \
             return box.width >= 1 && box.height > 50 && !/^rgb\\(0, 0, 0\\)$/.test(getComputedStyle(band).fill); }})"
        );
        assert_eq!(tab.eval(&seen).await?, true, "{kind} cannot be seen");
        let listed = format!(
            "[...document.querySelectorAll('.bands li')].some((it) => it.innerText.includes({}))",
            json!(format!("{kind}, "))
        );
        assert_eq!(tab.eval(&listed).await?, true, "{kind} is not in the list");
        assert!(tab.text(".bands").await?.contains(words), "{kind}");
    }
    complains_only_about(&tab, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_band_begins_and_ends_on_the_page_with_its_cause() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let key = site.start("mail", 1, 3).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.workload("mail"), WIDE, false).await?;
    let bands = "document.querySelector('.bands')?.innerText ?? ''";
    assert_eq!(tab.eval(bands).await?, "");
    site.engine.set_down(Some("no socket"));
    drop(site.controller.reconcile(&key).await);
    tab.until(&format!("({bands}).includes('blind, ') && ({bands}).includes('no socket')")).await?;
    site.engine.set_down(None);
    site.controller.reconcile(&key).await?;
    site.controller.override_policy(&key, false, |overrides| overrides.paused = true).await?;
    tab.until(&format!("({bands}).includes('override, ') && ({bands}).includes('scaling is paused')")).await?;
    // The end of the first one stays, and only the second one lasts.
    site.controller.override_policy(&key, false, |overrides| overrides.paused = false).await?;
    let ends = async || -> anyhow::Result<serde_json::Value> {
        tab.go(&site.workload("mail")).await?;
        tab.eval("[...document.querySelectorAll('.bands li')].map((it) => /to (\\S+):/.exec(it.innerText)[1])").await
    };
    let before = ends().await?;
    assert_eq!(before.as_array().map(Vec::len), Some(2), "{before}");
    assert_eq!(ends().await?, before, "a band that has ended does not grow");
    Ok(())
}
