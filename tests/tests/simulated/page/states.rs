//! Images of states that the other tests do not reach: open forms, a policy with a candidate, trouble with the engine.

use super::*;
use windlass_core::policy::{PolicyCatalogue, Push};
use windlass_tests::policies::push_of;

#[tokio::test(flavor = "multi_thread")]
async fn forms_policies_and_troubles_are_readable_everywhere() -> anyhow::Result<()> {
    let site = Site::with_history().await?;
    let built_in = |wanted: &str| {
        let found = windlass_builtin::BUILT_IN.iter().find(|(name, _)| *name == wanted);
        found.expect("a built-in policy").1.to_vec()
    };
    site.policies.push(push_of("mine", built_in("min-max"))).await?;
    site.policies.push(Push { candidate: true, ..push_of("mine", built_in("target-tracking")) }).await?;
    let key = site.start("mail", 3, 6).await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&format!("{}/ui/policies", site.url), WIDE, false).await?;
    tab.eval("for (const form of document.querySelectorAll('#pushed details')) form.open = true").await?;
    inspect_everywhere(&tab, "policies-pushed").await?;

    tab.go(&format!("{}?span=24h", site.workload("shop"))).await?;
    tab.eval(
        "for (const it of document.querySelectorAll('.act, #remedies, #desired')) it.open = true; \
         document.querySelector('#decisions .decisions details').open = true",
    )
    .await?;
    inspect_everywhere(&tab, "workload-open").await?;

    // A replica of each state, and an override.
    let replicas = site.engine.replicas(&key);
    site.controller.override_policy(&key, false, |overrides| overrides.freeze_scale_down = true).await?;
    site.engine.set_phase(&replicas[0].id, windlass_core::Phase::Paused);
    site.engine.kill(&replicas[1].id, 137);
    site.controller.reconcile(&key).await?;
    tab.go(&site.workload("mail")).await?;
    inspect_everywhere(&tab, "workload-troubled").await?;

    tab.go(&format!("{}/?q=nothing-has-this-name", site.url)).await?;
    assert!(tab.text("#list").await?.contains("No workload matches the filter."));
    inspect_everywhere(&tab, "workloads-none-found").await?;

    site.engine.set_down(Some("no socket"));
    drop(site.controller.reconcile(&key).await);
    tab.go(&site.url).await?;
    assert!(tab.text("#banners").await?.contains("The container engine does not answer"));
    inspect_everywhere(&tab, "engine-down").await?;
    // Its lines cannot be read now, and the page says why.
    tab.go(&format!("{}/ui/containers/{}/logs", site.url, replicas[2].id)).await?;
    let refused = tab.text("main").await?;
    assert!(refused.contains("no socket"), "{refused}");
    inspect_everywhere(&tab, "logs-refused").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_installation_and_a_form_that_is_being_sent_have_their_looks() -> anyhow::Result<()> {
    let site = Site::empty().await?;
    let browser = Browser::start().await?;
    let tab = browser.open(&site.url, WIDE, false).await?;
    assert!(tab.text("main").await?.contains("Nothing runs yet"));
    inspect_everywhere(&tab, "empty").await?;
    tab.go(&format!("{}/ui/audit", site.url)).await?;
    inspect_everywhere(&tab, "audit-empty").await?;
    tab.go(&format!("{}/ui/policies", site.url)).await?;
    // The form is sent, and its answer does not come: the page says that it is in progress.
    let send = "(() => { const form = document.querySelector('.drop'); form.noValidate = true; \
                addEventListener('submit', (event) => event.preventDefault(), {once: true}); form.requestSubmit(); })()";
    tab.eval(send).await?;
    assert_eq!(tab.text("#live").await?, "sending…");
    assert_eq!(tab.eval("document.querySelector('.drop').getAttribute('aria-busy')").await?, "true");
    inspect_everywhere(&tab, "sending").await?;
    complains_only_about(&tab, None).await
}
