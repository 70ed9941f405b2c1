//! The page in a real browser: what an operator sees, and what they can do, with and without the script.

mod bands;
mod keyboard;
mod logs;
mod routes;
mod session;
mod states;
mod stream;
mod try_it;
mod use_of_sections;

use fantoccini::key::Key;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_core::Replica;
use windlass_tests::browser::{Browser, Tab};
use windlass_tests::page_site::{PageSite as Site, TRACKING};
use windlass_tests::wait::eventually;

const LIMIT: Duration = Duration::from_secs(30);

/// Sizes in CSS pixels: a desk and a phone.
const WIDE: (u32, u32) = (1_280, 900);
const NARROW: (u32, u32) = (360, 740);

/// Roles of the accessibility tree whose elements need a name.
const CONTROLS: [&str; 10] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "combobox",
    "spinbutton",
    "checkbox",
    "DisclosureTriangle",
    "image",
    "progressbar",
];

/// The folder of the images that each run keeps.
fn images() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/page");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Checks that the pages of a tab complained about answers of this status, which the console reports as errors, and about
/// nothing else.
async fn complains_only_about(tab: &Tab<'_>, status: Option<u16>) -> anyhow::Result<()> {
    let is_expected = |text: &String| status.is_some_and(|status| text.contains(&format!("a status of {status}")));
    let (expected, others): (Vec<_>, Vec<_>) = tab.complaints().await?.into_iter().partition(is_expected);
    assert_eq!(expected.is_empty(), status.is_none(), "{expected:#?}");
    assert!(others.is_empty(), "{others:#?}");
    Ok(())
}

/// Does what [`inspect`] does in light and dark, on a desk and on a phone.
async fn inspect_everywhere(tab: &Tab<'_>, name: &str) -> anyhow::Result<()> {
    for (is_dark, scheme) in [(true, "dark"), (false, "light")] {
        tab.darken(is_dark).await?;
        for (size, width) in [(NARROW, "narrow"), (WIDE, "wide")] {
            tab.resize(size).await?;
            inspect(tab, &format!("{name}-{scheme}-{width}")).await?;
        }
    }
    Ok(())
}

/// Keeps an image of a page, and checks what can be read, heard and reached on it.
async fn inspect(tab: &Tab<'_>, name: &str) -> anyhow::Result<()> {
    tab.screenshot(&images().join(format!("{name}.png"))).await?;
    let problems = tab.eval(include_str!("page/checks.js")).await?;
    assert_eq!(problems, json!([]), "{name}");
    let nodes = tab.accessible().await?;
    let unnamed: Vec<_> =
        nodes.iter().filter(|(role, name)| CONTROLS.contains(&role.as_str()) && name.is_empty()).collect();
    assert!(unnamed.is_empty(), "{name}: {unnamed:?}");
    let has = |wanted: &str| nodes.iter().any(|(role, _)| role == wanted);
    for landmark in ["banner", "navigation", "main", "contentinfo", "heading"] {
        assert!(has(landmark), "{name} has no {landmark}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_clean_and_readable_in_light_and_dark_wide_and_narrow() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let browser = Browser::start().await?;
    for name in ["billing", "mail", "search"] {
        site.start(name, 1, 6).await?;
    }
    let key = site.start("imports", 2, 4).await?;
    site.controller.override_policy(&key, false, |overrides| overrides.paused = true).await?;
    let pages = [
        ("workloads", site.url.clone()),
        ("workload", format!("{}?span=24h", site.workload("shop"))),
        ("policies", format!("{}/ui/policies", site.url)),
        ("try", format!("{}/ui/try/shop", site.url)),
        ("missing", site.workload("nothing")),
    ];
    for (is_dark, scheme) in [(false, "light"), (true, "dark")] {
        let tab = browser.open(&site.url, WIDE, is_dark).await?;
        for (name, url) in &pages {
            tab.resize(WIDE).await?;
            tab.go(url).await?;
            inspect(&tab, &format!("{name}-{scheme}-wide")).await?;
            tab.resize(NARROW).await?;
            inspect(&tab, &format!("{name}-{scheme}-narrow")).await?;
        }
        // The page that was not found is one answer of 404, which the console reports.
        complains_only_about(&tab, Some(404)).await?;
    }
    let empty = Site::empty().await?;
    let tab = browser.open(&empty.url, NARROW, false).await?;
    assert!(tab.text("main").await?.contains("Nothing runs yet"), "{}", tab.text("main").await?);
    inspect(&tab, "empty-light-narrow").await?;
    complains_only_about(&tab, None).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_killed_replica_come_back_and_takes_over() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let browser = Browser::start().await?;
    let key = site.start("mail", 2, 6).await?;
    let tab = browser.open(&site.workload("mail"), WIDE, false).await?;
    tab.until("document.querySelectorAll('table.replicas tbody tr').length === 2").await?;
    // A replica dies and another one takes its place, without a reload: the stream says so, not the clock.
    tab.until("document.querySelector('#live').className === 'on'").await?;
    tab.eval("for (let timer = 0; timer < 10000; timer++) clearInterval(timer)").await?;
    tab.eval("window.stayed = true").await?;
    let before: Vec<String> = site.engine.replicas(&key).into_iter().map(|replica| replica.name).collect();
    site.engine.vanish(&site.engine.replicas(&key)[0].id);
    site.controller.reconcile(&key).await?;
    let after: Vec<Replica> = site.engine.replicas(&key);
    let new = after.iter().find(|replica| !before.contains(&replica.name)).expect("a new replica");
    tab.until(&format!("document.querySelector('#replicas').innerText.includes({})", json!(new.name))).await?;
    assert_eq!(tab.eval("window.stayed").await?, true);
    // Pause: the form opens, says what it does, and the page says that it was done.
    tab.click("#act-pause summary").await?;
    tab.follow("#act-pause button").await?;
    assert!(tab.text("main").await?.contains("Scaling is paused."));
    assert!(site.controller.view(&key).is_some_and(|view| view.workload.overrides.paused));
    // Force, with an end.
    tab.eval("document.querySelector('#act-force').open = true; document.querySelector('[name=replicas]').value = 4")
        .await?;
    tab.follow("#act-force button").await?;
    eventually("the forced count", LIMIT, async || {
        let running = site.engine.replicas(&key).len();
        if running == 4 { Ok(()) } else { Err(format!("{running} replicas")) }
    })
    .await;
    tab.until("document.querySelector('#act').innerText.includes('The count is forced to 4 until')").await?;
    // A request that the API refuses is a sentence, not a blank page.
    tab.eval(
        "document.querySelector('#act-scale').open = true; document.querySelector('[name=min_replicas]').value = 9",
    )
    .await?;
    tab.follow("#act-scale button").await?;
    let refused = tab.text("main").await?;
    assert!(refused.contains("Not accepted") && refused.contains("min_replicas"), "{refused}");
    complains_only_about(&tab, Some(422)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_is_tried_on_the_recorded_day_and_a_broken_one_is_refused() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&format!("{}/ui/try/shop", site.url), WIDE, false).await?;
    tab.eval(&format!("document.querySelector('[name=policy]').value = 'target-tracking'; document.querySelector('[name=hours]').value = '6'; document.querySelector('[name=config]').value = {}", json!(TRACKING))).await?;
    tab.follow("#form form button").await?;
    tab.until("document.querySelectorAll('#result tbody tr').length === 3").await?;
    let result = tab.text("#result").await?;
    for part in ["recorded", "target-tracking (current)", "target-tracking (tried)", "needed", "min"] {
        assert!(result.contains(part), "{part} is missing: {result}");
    }
    inspect_everywhere(&tab, "tried").await?;
    // The moment under the pointer has the decision's sentence.
    tab.go(&format!("{}?span=24h", site.workload("shop"))).await?;
    let point = "(() => { const plot = document.querySelector('.plot'); const box = plot.getBoundingClientRect(); \
                 plot.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: box.left + box.width / 2})); })()";
    tab.eval(point).await?;
    let moment = tab.text("#moment").await?;
    assert!(moment.contains("UTC target ") && moment.contains("orders at 100 a replica (raw "), "{moment}");
    assert_eq!(
        site.controller.view(&windlass_core::WorkloadKey::named("shop")?).map(|view| view
            .workload
            .policies
            .scaling
            .len()),
        Some(1)
    );
    let folder = tempfile::tempdir()?;
    let broken = folder.path().join("broken.wasm");
    std::fs::write(&broken, "no component")?;
    tab.go(&format!("{}/ui/policies", site.url)).await?;
    tab.choose_file("[name=component]", &broken).await?;
    tab.follow(".drop button").await?;
    let refused = tab.text("main").await?;
    assert!(refused.contains("Not accepted") && refused.contains("not a WebAssembly component"), "{refused}");
    // A file that is dropped is chosen.
    tab.go(&format!("{}/ui/policies", site.url)).await?;
    let drop = "(() => { const files = new DataTransfer(); files.items.add(new File(['x'], 'dropped.wasm')); \
                document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, \
                dataTransfer: files})); return document.querySelector('[name=component]').files[0].name; })()";
    assert_eq!(tab.eval(drop).await?, "dropped.wasm");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_pushed_compared_promoted_and_rolled_back() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let browser = Browser::start().await?;
    let folder = tempfile::tempdir()?;
    let tab = browser.open(&format!("{}/ui/policies", site.url), WIDE, false).await?;
    let built_in = |wanted: &str| windlass_builtin::BUILT_IN.iter().find(|(name, _)| *name == wanted);
    for (component, role) in [("min-max", "acting"), ("target-tracking", "candidate")] {
        let file = folder.path().join(format!("{component}.wasm"));
        std::fs::write(&file, built_in(component).expect("a built-in policy").1)?;
        tab.choose_file("[name=component]", &file).await?;
        let fields = format!(
            "document.querySelector('[name=name]').value = 'mine'; document.querySelector('[name=as]').value = '{role}'"
        );
        tab.eval(&fields).await?;
        tab.follow(".drop button").await?;
    }
    let state = async || tab.text("#pushed article > p:nth-of-type(2)").await;
    assert_eq!(state().await?, "Revision 1 acts, and 2 is the candidate.");
    tab.click("#p-mine-2 summary").await?;
    tab.follow("#p-mine-2 button").await?;
    assert_eq!(state().await?, "Revision 2 acts.");
    tab.click("#p-mine-rollback summary").await?;
    tab.follow("#p-mine-rollback button").await?;
    assert_eq!(state().await?, "Revision 1 acts.");
    complains_only_about(&tab, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_without_its_script_and_by_keyboard() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let browser = Browser::start().await?;
    let key = site.start("mail", 1, 3).await?;
    site.start("search", 1, 3).await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    tab.scripts(false).await?;
    tab.go(&format!("{}/?q=mai", site.url)).await?;
    let list = tab.text("#list").await?;
    assert!(list.contains("mail") && !list.contains("search") && list.contains("1 workload of 2"), "{list}");
    tab.go(&site.workload("mail")).await?;
    tab.click("#act-freeze-up summary").await?;
    tab.follow("#act-freeze-up button").await?;
    assert!(site.controller.view(&key).is_some_and(|view| view.workload.overrides.freeze_scale_up));
    // With the script: the keyboard alone reaches the filter, which works as it is typed.
    tab.scripts(true).await?;
    tab.go(&site.url).await?;
    for _ in 0..12 {
        tab.press(&char::from(Key::Tab).to_string()).await?;
        if tab.eval("document.activeElement.id").await? == "q" {
            break;
        }
    }
    tab.press("sear").await?;
    tab.until("[...document.querySelectorAll('table.list tbody tr')].filter((row) => !row.hidden).length === 1")
        .await?;
    assert!(tab.text("table.list").await?.contains("search"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_and_changes_only_what_their_role_allows() -> anyhow::Result<()> {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let site = Site::with_token(TOKEN).await?;
    let browser = Browser::start().await?;
    let key = site.start("mail", 1, 3).await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    let log_in = async |token: &str| {
        tab.eval(&format!("document.querySelector('#token').value = {}", json!(token))).await?;
        tab.follow(".login button").await
    };
    // A stranger is led to the form.
    assert!(tab.eval("location.pathname").await? == "/ui/login" && !tab.text("main").await?.contains("mail"));
    inspect_everywhere(&tab, "login").await?;
    log_in("wrong").await?;
    assert!(tab.text("main").await?.contains("the token is wrong"), "{}", tab.text("main").await?);
    log_in(TOKEN).await?;
    tab.until("document.querySelector('table.list')?.innerText.includes('mail') ?? false").await?;
    // A form carries the token against requests of other sites.
    tab.go(&site.workload("mail")).await?;
    tab.click("#act-pause summary").await?;
    tab.follow("#act-pause button").await?;
    assert!(site.controller.view(&key).is_some_and(|view| view.workload.overrides.paused));
    let forged = "fetch('/ui/workloads/mail/resume', {method: 'POST'}).then((answer) => answer.status)";
    assert_eq!(tab.eval(forged).await?, 403);
    // The form with a component carries it, too, although the server reads that form in pieces.
    tab.go(&format!("{}/ui/policies", site.url)).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.wasm");
    std::fs::write(&file, windlass_builtin::MIN_MAX)?;
    tab.choose_file("[name=component]", &file).await?;
    let forged = "(() => { const form = new FormData(document.querySelector('.drop')); form.delete('csrf'); \
                  return fetch('/ui/policies', {method: 'POST', body: form}).then((answer) => answer.status); })()";
    assert_eq!(tab.eval(forged).await?, 403);
    assert!(tab.text("#pushed").await?.contains("No policy is pushed"));
    tab.follow(".drop button").await?;
    assert!(tab.text("#pushed").await?.contains("Revision 1 acts."));
    // The change is in the record, with its caller.
    tab.go(&format!("{}/ui/audit", site.url)).await?;
    let audit = tab.text("main").await?;
    assert!(audit.contains("/workloads/mail/overrides") && audit.contains("the configured token"), "{audit}");
    inspect_everywhere(&tab, "audit").await?;
    let create = "fetch('/tokens', {method: 'POST', body: JSON.stringify({name: 'eve', role: 'viewer', workloads: ['search']}), \
                  headers: {'content-type': 'application/json', 'x-csrf-token': document.querySelector('[name=csrf]').value}}) \
                  .then((answer) => answer.json()).then((answer) => answer.token)";
    let viewer = tab.eval(create).await?;
    site.start("search", 1, 3).await?;
    tab.follow("header form button").await?;
    assert_eq!(tab.eval("location.pathname").await?, "/ui/login");
    log_in(viewer.as_str().expect("a token")).await?;
    let list = tab.text("#list").await?;
    assert!(list.contains("search") && !list.contains("mail"), "{list}");
    tab.go(&site.workload("search")).await?;
    assert_eq!(tab.eval("document.querySelectorAll('main form').length").await?, 0, "a viewer changes nothing");
    tab.go(&site.workload("mail")).await?;
    assert!(tab.text("main").await?.contains("There is no workload mail"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_engine_and_of_windlass_is_visible() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let browser = Browser::start().await?;
    let key = site.start("mail", 1, 3).await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    tab.until("document.querySelector('#live').className === 'on'").await?;
    site.engine.set_down(Some("no socket"));
    // A pass notices it. The page says so without a reload.
    drop(site.controller.reconcile(&key).await);
    tab.until("document.querySelector('#banners').innerText.includes('The container engine does not answer')").await?;
    site.engine.set_down(None);
    tab.until("document.querySelector('#banners').innerText === ''").await?;
    complains_only_about(&tab, None).await?;
    drop(site);
    tab.until("document.querySelector('#live').innerText.includes('disconnected')").await?;
    inspect_everywhere(&tab, "disconnected").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_workloads_are_one_light_page() -> anyhow::Result<()> {
    // Two replicas and the line of an hour each, as after a usual day.
    let site = Site::with_services(200).await?;
    eventually("the passes of all", LIMIT, async || {
        let ready = site.controller.views().iter().filter(|view| view.ready() >= 2).count();
        if ready == 200 { Ok(()) } else { Err(format!("{ready} workloads have their replicas")) }
    })
    .await;
    let client = windlass_tests::response::client();
    let page = client.get(&site.url).send().await?;
    let policy = page.headers().get("content-security-policy").and_then(|policy| policy.to_str().ok());
    let policy = policy.unwrap_or_default().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("data:"), "{policy}");
    let page = page.text().await?;
    let plain = page.len();
    let files: Vec<&str> = page.split('"').filter(|text| text.starts_with("/ui/assets/")).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        let answer = client.get(format!("{}{file}", site.url)).send().await?;
        let cached = answer.headers().get("cache-control").and_then(|value| value.to_str().ok());
        assert_eq!(cached, Some("public, max-age=31536000, immutable"), "{file}");
    }
    assert_eq!((page.matches("<tr>").count(), page.matches("class=\"spark\"").count()), (201, 200));
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    // The bytes that the browser transferred for the page and its files, with their headers.
    let transferred = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
                       .filter((entry) => entry.initiatorType !== 'fetch').reduce((sum, entry) => sum + entry.transferSize, 0)";
    let bytes = tab.eval(transferred).await?.as_u64().unwrap_or(u64::MAX);
    let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1";
    eprintln!("{bytes} bytes ({plain} of HTML unpacked), first paint after {} ms", tab.eval(paint).await?);
    assert!((10_000..150_000).contains(&bytes), "{bytes} bytes");
    // A reader without compression gets the same page, which is no larger than a photograph.
    assert!(plain < 300_000, "{plain} bytes of HTML");
    // The browser lays out only the rows on its screen.
    let is_drawn =
        "document.querySelector('.list tbody tr:last-child a').checkVisibility({contentVisibilityAuto: true})";
    assert_eq!(tab.eval(is_drawn).await?, json!(false));
    tab.eval("document.querySelector('.list tbody tr:last-child').scrollIntoView()").await?;
    tab.until(is_drawn).await?;
    inspect(&tab, "two-hundred-light-wide").await?;
    complains_only_about(&tab, None).await?;
    Ok(())
}
