//! Every form by the keyboard alone, and the way of a person without the script.

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use windlass_core::policy::PolicyCatalogue;
use windlass_tests::policies::push_of;

/// A control of a form: the form's address, and the control's name or words.
const CONTROL: &str = "((it) => it?.form ? `${it.form.getAttribute('action')} ${it.name || it.textContent}` : null)";

/// The controls of every form, closed or open.
const CONTROLS: &str = "[...document.forms].flatMap((form) => [...form.elements]).filter((it) => it.type !== 'hidden')";

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const UP: char = '\u{e013}';

async fn press(tab: &Tab<'_>, key: char) -> anyhow::Result<()> {
    tab.press(&key.to_string()).await
}

fn texts(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Moves the focus through the page, and opens each form on the way. Returns the controls that it reached.
async fn walk(tab: &Tab<'_>) -> anyhow::Result<BTreeSet<String>> {
    let mut reached = BTreeSet::new();
    tab.eval("document.activeElement.blur(); window.scrollTo(0, 0)").await?;
    for _ in 0..200 {
        press(tab, TAB).await?;
        let here = format!(
            "((it) => ({{control: {CONTROL}(it), closed: it.matches('.act:not([open]) > summary'), \
             seen: it.getBoundingClientRect().height > 0 || it === document.body, end: it === document.body, \
             marked: getComputedStyle(it).outlineStyle !== 'none' || it.matches('.plot a, main')}}))(document.activeElement)"
        );
        let here = tab.eval(&here).await?;
        if here["end"] == true {
            break;
        }
        assert!(here["seen"] == true && here["marked"] == true, "the focus cannot be seen: {here}");
        reached.extend(here["control"].as_str().map(str::to_owned));
        if here["closed"] == true {
            press(tab, ENTER).await?;
        }
    }
    Ok(reached)
}

/// Moves the focus forward to an element.
async fn tab_to(tab: &Tab<'_>, selector: &str) -> anyhow::Result<()> {
    let is_there = format!("document.activeElement.matches({})", json!(selector));
    for _ in 0..120 {
        press(tab, TAB).await?;
        if tab.eval(&is_there).await? == true {
            return Ok(());
        }
    }
    anyhow::bail!("the keyboard does not lead to {selector}")
}

/// Presses Enter, and waits for the page it leads to.
async fn enter(tab: &Tab<'_>) -> anyhow::Result<()> {
    tab.eval("window.left = true").await?;
    press(tab, ENTER).await?;
    tab.until("document.readyState === 'complete' && !window.left").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_every_control_of_every_form() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let key = site.start("mail", 1, 3).await?;
    for component in ["min-max", "target-tracking"] {
        let wanted = windlass_builtin::BUILT_IN.iter().find(|(name, _)| *name == component);
        site.policies.push(push_of("mine", wanted.expect("a built-in policy").1.to_vec())).await?;
    }
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    let other = format!("{}/ui/policies", site.url);
    for url in [site.url.clone(), site.workload("mail"), format!("{}/ui/try/mail", site.url), other] {
        tab.go(&url).await?;
        let all = texts(&tab.eval(&format!("{CONTROLS}.map({CONTROL})")).await?);
        assert!(!all.is_empty(), "{url} has no form");
        let missing: Vec<String> = all.difference(&walk(&tab).await?).cloned().collect();
        assert!(missing.is_empty(), "{url}: {missing:?}");
        complains_only_about(&tab, None).await?;
    }
    // The forms do what they say.
    tab.go(&site.workload("mail")).await?;
    tab_to(&tab, "#act-force summary").await?;
    press(&tab, ENTER).await?;
    tab_to(&tab, "#act-force [name=replicas]").await?;
    press(&tab, UP).await?;
    tab_to(&tab, "#act-force button").await?;
    enter(&tab).await?;
    assert!(tab.text("main").await?.contains("The count is forced."), "{}", tab.text("main").await?);
    let force = site.controller.view(&key).and_then(|view| view.workload.overrides.force);
    assert_eq!(force.map(|force| force.replicas), Some(2));
    // Escape closes a form, and the focus is where it was opened.
    tab_to(&tab, "#act-pause summary").await?;
    press(&tab, ENTER).await?;
    tab_to(&tab, "#act-pause button").await?;
    press(&tab, '\u{e00c}').await?;
    tab.until("!document.querySelector('#act-pause').open && document.activeElement.matches('#act-pause summary')")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_tries_a_policy_reads_lines_and_logs_out_without_the_script() -> anyhow::Result<()> {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let site = Site::with_token(TOKEN).await?;
    site.start("mail", 1, 3).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, NARROW, false).await?;
    tab.scripts(false).await?;
    tab.go(&site.url).await?;
    // The token is where the focus is, and Enter sends it.
    tab.press(TOKEN).await?;
    enter(&tab).await?;
    assert!(tab.text("#list").await?.contains("mail"));
    assert_eq!(tab.text("#live").await?, "not live: reload for news");
    tab.go(&format!("{}/ui/try/mail", site.url)).await?;
    tab_to(&tab, "#form form button").await?;
    enter(&tab).await?;
    // The browser asks again until the replay has ended.
    tab.until("document.querySelectorAll('#result tbody tr').length >= 1").await?;
    assert!(tab.text("#result").await?.contains("(tried)"));
    tab.go(&site.workload("mail")).await?;
    tab_to(&tab, "#replicas a").await?;
    enter(&tab).await?;
    assert!(tab.text(".log").await?.contains("line 5"));
    tab_to(&tab, "header form button").await?;
    enter(&tab).await?;
    assert_eq!(tab.eval("location.pathname").await?, "/ui/login");
    Ok(())
}
