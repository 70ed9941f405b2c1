//! The stream of events as the page shows it: a lost connection, a reader that is too slow, and the missed news.

use super::*;

/// Records each state of the connection that the page shows, and stops the page's own clock: news come by the stream only.
const WATCH: &str = "(() => { window.stayed = true; window.states = []; const live = document.querySelector('#live'); \
                     new MutationObserver(() => states.push(live.className)).observe(live, {attributes: true}); })()";

/// Stops the page's clock, so that news come through the stream only.
const NO_CLOCK: &str = "window.setInterval = () => 0";

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_shows_and_ends_with_the_missed_news() -> anyhow::Result<()> {
    let mut site = Site::empty().await?;
    site.start("mail", 1, 3).await?;
    let browser = Browser::start().await?;
    let tab = browser.open("about:blank", WIDE, false).await?;
    tab.run_first(NO_CLOCK).await?;
    tab.go(&site.url).await?;
    tab.until("document.querySelector('#live').className === 'on'").await?;
    tab.eval(WATCH).await?;
    site.fall_silent().await?;
    tab.until("document.querySelector('#live').innerText === 'disconnected: what you see may be old'").await?;
    assert!(tab.text("#list").await?.contains("mail"), "the last observation stays");
    site.start("search", 1, 3).await?;
    site.answer().await?;
    tab.until("document.querySelector('#live').innerText === 'live'").await?;
    tab.until("document.querySelector('#list').innerText.includes('search')").await?;
    assert_eq!(tab.eval("window.stayed").await?, true, "nothing was reloaded");
    // The stream is back, too.
    site.start("billing", 1, 3).await?;
    tab.until("document.querySelector('#list').innerText.includes('billing')").await
}

/// Keeps the streams that the page opens.
const KEEP: &str = "(() => { window.sources = []; const Plain = EventSource; window.EventSource = class extends Plain { \
                    constructor(...all) { super(...all); window.sources.push(this); } }; })()";

// The tests of the API show that the server drops a reader that is too slow, with this event.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_dropped_says_so_and_follows_again_with_what_it_missed() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    site.start("mail", 1, 3).await?;
    let browser = Browser::start().await?;
    let tab = browser.open("about:blank", WIDE, false).await?;
    tab.run_first(KEEP).await?;
    tab.run_first(NO_CLOCK).await?;
    tab.go(&site.url).await?;
    tab.until("document.querySelector('#live').className === 'on'").await?;
    tab.eval(WATCH).await?;
    tab.eval("sources[0].dispatchEvent(new MessageEvent('dropped', {data: '{}'}))").await?;
    assert_eq!(tab.eval("sources[0].readyState").await?, 2, "the page reads no more of it");
    tab.until("window.states.includes('off')").await?;
    site.start("search", 1, 3).await?;
    tab.until("sources.length === 2 && document.querySelector('#live').className === 'on'").await?;
    tab.until("document.querySelector('#list').innerText.includes('search')").await?;
    site.start("billing", 1, 3).await?;
    tab.until("document.querySelector('#list').innerText.includes('billing')").await?;
    assert_eq!(tab.eval("window.stayed").await?, true, "nothing was reloaded");
    complains_only_about(&tab, None).await
}
