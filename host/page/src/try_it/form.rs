//! The form of a replay.

use crate::path;
use crate::try_it::request::{HOURS, Shipped};
use crate::visitor::Visitor;
use maud::{Markup, html};
use std::collections::BTreeMap;
use windlass_control::WorkloadView;
use windlass_core::PolicyKind;
use windlass_core::policy::PolicyInfo;

/// The recorded loads that can be replayed.
pub(crate) struct Loads {
    /// The workload's own metrics.
    pub(crate) metrics: Vec<String>,
    /// The recorded CPU use can be replayed.
    pub(crate) cpu: bool,
}

/// The form, with the current policy as its first choice. The first load is a recorded one, or an example if there is none.
pub(crate) fn show(
    view: &WorkloadView,
    loads: &Loads,
    policies: &[PolicyInfo],
    query: &BTreeMap<String, String>,
    visitor: &Visitor,
) -> Markup {
    let current = view.workload.policies.scaling.first();
    let chosen = query.get("policy").map(String::as_str).or(current.map(|choice| choice.name.as_str()));
    let config = current.map_or("{}", |choice| choice.config.as_str());
    let scaling = policies.iter().filter(|info| info.kind == PolicyKind::Scaling);
    html! {
        h2 #form-h { "Replay" }
        @if loads.metrics.is_empty() && !loads.cpu {
            p { "No load of this workload is recorded for long enough yet. An example that comes with Windlass is chosen." }
        }
        form method="post" action=(path::try_it(view.workload.key.as_str())) {
            (visitor.field())
            div.fields {
                label { "Policy" select name="policy" required {
                    @for info in scaling { option value=(info.name) selected[chosen == Some(info.name.as_str())] { (info.name) } }
                } }
                label { "Load" select name="load" {
                    @for name in &loads.metrics { option value={ "metric:" (name) } { "recorded metric " (name) } }
                    @if loads.cpu { option value="cpu" { "recorded CPU use" } }
                    @for shipped in Shipped::ALL { option value=(shipped.value()) { (shipped.words()) } }
                } }
                label { "Recorded hours" select name="hours" {
                    @for (hours, words) in HOURS { option value=(hours) selected[hours == 24] { (words) } }
                } }
                label { "Load that one replica serves" input name="capacity" inputmode="decimal" placeholder="as recorded"; }
                label { "Start of a replica" input name="start_up" placeholder="30s"; }
                label.wide { "Configuration, as JSON" textarea name="config" rows="4" spellcheck="false" { (config) } }
            }
            button { "Replay" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::view;
    use windlass_core::PolicyChoice;

    #[test]
    fn the_current_configuration_is_where_one_begins() {
        let mut view = view();
        view.workload.policies.scaling =
            vec![PolicyChoice { name: "queue".to_owned(), config: "{\"a\": \"<b>\"}".to_owned() }];
        let of = |metrics: &[&str], cpu| {
            let loads = Loads { metrics: metrics.iter().map(|name| (*name).to_owned()).collect(), cpu };
            show(&view, &loads, &[], &BTreeMap::new(), &Visitor::default()).into_string()
        };
        let text = of(&["orders"], true);
        assert!(text.contains("{&quot;a&quot;: &quot;&lt;b&gt;&quot;}</textarea>"), "{text}");
        let first = |text: &str| {
            let load = text.split("<select name=\"load\"><option value=\"").nth(1).expect("the load");
            load.split('"').next().unwrap_or_default().to_owned()
        };
        assert_eq!(first(&text), "metric:orders");
        assert_eq!(first(&of(&[], true)), "cpu");
        let without = of(&[], false);
        assert!(first(&without) == "trace:two-peaks" && without.contains("An example"), "{without}");
    }
}
