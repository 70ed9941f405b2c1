//! The columns of the list, and sections that somebody uses while news arrive.

use super::*;
use windlass_core::engine::EngineError;
use windlass_simulated_engine::Call;

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_columns_of_each_workload_and_alerts_on_top() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let shop = windlass_core::WorkloadKey::named("shop")?;
    eventually("the replicas of the shop", LIMIT, async || {
        let ready = site.controller.view(&shop).map_or(0, |view| view.ready());
        if ready >= 2 { Ok(()) } else { Err(format!("{ready} are ready")) }
    })
    .await;
    let key = site.start("paused", 2, 6).await?;
    site.controller.override_policy(&key, false, |overrides| overrides.paused = true).await?;
    let taken = || EngineError::NameTaken("the name of slot 1 belongs to another container".to_owned());
    site.engine.fail(Call::Create, std::iter::repeat_with(taken).take(100));
    // The engine refuses its replica, and the desired state is kept.
    drop(site.start("blocked", 1, 3).await);
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    let heads = tab.eval("[...document.querySelectorAll('.list thead th')].map((head) => head.innerText)").await?;
    let columns = ["Workload", "Engine", "Ready / target", "Last hour", "Health", "Held by", "Last pass"];
    assert_eq!(heads, json!(columns));
    let cells = async |name: &str| -> anyhow::Result<Vec<String>> {
        let row = format!(
            "[...document.querySelectorAll('.list tbody tr')].find((row) => row.cells[0].querySelector('a').innerText === '{name}')"
        );
        let texts =
            tab.eval(&format!("[...{row}.cells].map((cell) => cell.innerText.replace(/\\s+/g, ' ').trim())")).await?;
        Ok(texts.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect())
    };
    let paused = cells("paused").await?;
    assert_eq!(paused[..3], ["paused web:1", "Docker", "2 / 2 2–6"], "{paused:?}");
    assert_eq!((paused[4].as_str(), paused[5].as_str()), ("●●", "pause"), "{paused:?}");
    assert!(paused[6].ends_with(" s") || paused[6].ends_with(" min"), "an age: {paused:?}");
    let shop = tab.eval("[...document.querySelectorAll('.list tbody tr')].find((row) => row.innerText.startsWith('shop')).querySelector('.spark').getAttribute('aria-label')").await?;
    assert!(shop.as_str().is_some_and(|label| label.ends_with(" ready in the last hour")), "{shop}");
    tab.until("document.querySelector('#alerts').innerText.includes('1 alert')").await?;
    let alerts = tab.text("#alerts").await?;
    assert!(alerts.contains("blocked") && alerts.contains("belongs to another container"), "{alerts}");
    let order = "document.querySelector('#alerts').getBoundingClientRect().top < document.querySelector('#list').getBoundingClientRect().top";
    assert_eq!(tab.eval(order).await?, true, "alerts are on top");
    assert!(cells("blocked").await?[0].contains("1 alert"));
    inspect_everywhere(&tab, "workloads-alert").await?;
    complains_only_about(&tab, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_in_use_survive_the_news() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let key = windlass_core::WorkloadKey::named("shop")?;
    let browser = Browser::start().await?;
    let tab = browser.open(&format!("{}?span=24h", site.workload("shop")), WIDE, false).await?;
    tab.until("document.querySelector('#live').className === 'on'").await?;
    // A decision is open and has the focus, a form is half typed, and a part of the configuration is selected.
    tab.eval(
        "(() => { window.stayed = true; const decision = document.querySelectorAll('#decisions .decisions details')[2]; \
         window.opened = decision.id; decision.open = true; document.querySelector('#older').open = true; \
         document.querySelector('#act-force').open = true; document.querySelector('[name=replicas]').value = 11; \
         document.querySelector('#desired').open = true; \
         getSelection().selectAllChildren(document.querySelector('#desired pre')); \
         decision.querySelector('summary').focus({preventScroll: true}); })()",
    )
    .await?;
    let selected = tab.eval("getSelection().toString()").await?;
    assert!(selected.as_str().is_some_and(|text| text.contains("\"max_replicas\": 12")), "{selected}");
    let until = site.controller.now_ms() + 600_000;
    let force = windlass_core::Force { replicas: 9, until: windlass_core::Timestamp(until) };
    site.controller.override_policy(&key, false, |overrides| overrides.force = Some(force)).await?;
    site.controller.scale(&key, windlass_core::Bounds::new(2, 10)?).await?;
    // The news are there.
    tab.until("document.querySelector('#head').innerText.includes('forced count')").await?;
    tab.until("document.querySelector('#decisions .decisions').innerText.includes('an operator forces 9 replicas')")
        .await?;
    for (what, holds) in [
        ("nothing was reloaded", "window.stayed === true"),
        ("the decision is open", "document.getElementById(window.opened).open"),
        ("the older decisions are open", "document.querySelector('#older').open"),
        (
            "the focus stays",
            "document.activeElement === document.getElementById(window.opened).querySelector('summary')",
        ),
        ("the form is open", "document.querySelector('#act-force').open"),
        ("the typed number stays", "document.querySelector('[name=replicas]').value === '11'"),
        ("the configuration is open", "document.querySelector('#desired').open"),
    ] {
        assert_eq!(tab.eval(holds).await?, true, "{what}");
    }
    assert_eq!(tab.eval("getSelection().toString()").await?, selected, "the selection stays");
    // A section that is used no more gets the news.
    tab.eval(
        "getSelection().removeAllRanges(); document.querySelector('#act-force').open = false; \
              document.querySelector('[name=replicas]').value = document.querySelector('[name=replicas]').defaultValue",
    )
    .await?;
    tab.until("document.querySelector('#act').innerText.includes('The count is forced to 9')").await?;
    tab.until("document.querySelector('#desired pre').textContent.includes('\"max_replicas\": 10')").await?;
    assert_eq!(tab.eval("document.querySelector('#desired').open").await?, true, "the configuration is open");
    complains_only_about(&tab, None).await
}
