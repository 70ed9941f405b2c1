//! The forms with which an operator takes over: pause, freeze, force, scale. A form opens before it can be sent, which is its
//! confirmation, with and without the script.

use crate::path;
use crate::visitor::Visitor;
use maud::{Markup, html};
use windlass_control::WorkloadView;
use windlass_core::{Overrides, Timestamp};

/// The overrides in force, and the forms.
pub(crate) fn bar(view: &WorkloadView, now: Timestamp, visitor: &Visitor) -> Markup {
    let overrides = view.workload.overrides;
    let (min, max) = (view.workload.bounds.min(), view.workload.bounds.max());
    let form = |change: &str, title: &str, sentence: &str, fields: Markup, word: &str| {
        html! {
            details.act id={ "act-" (change) } {
                summary { (title) }
                form method="post" action={ (path::workload(view.workload.key.as_str())) "/" (change) } {
                    (visitor.field())
                    p { (sentence) }
                    (fields)
                    button { (word) }
                }
            }
        }
    };
    html! {
        (in_force(overrides, now))
        div.acts {
            @if visitor.may_operate {
            @if overrides.paused {
                (form("resume", "Resume…", "The policy changes the count again.", html! {}, "Resume scaling"))
            } @else {
                (form("pause", "Pause…", "The count stays where it is until you resume. Unhealthy replicas are still repaired.", html! {}, "Pause scaling"))
            }
            @if overrides.force.is_some() {
                (form("end-force", "End force…", "The policy decides about the count again.", html! {}, "End the forced count"))
            } @else {
                (form("force", "Force…", "A count for a time, whatever the policy proposes, within the bounds.", force_fields(view.target, min, max), "Force the count"))
            }
            @if overrides.freeze_scale_up {
                (form("unfreeze-up", "Allow scale-out…", "The count may rise again.", html! {}, "Allow scale-out"))
            } @else {
                (form("freeze-up", "Freeze scale-out…", "The count does not rise until you allow it.", html! {}, "Freeze scale-out"))
            }
            @if overrides.freeze_scale_down {
                (form("unfreeze-down", "Allow scale-in…", "The count may fall again.", html! {}, "Allow scale-in"))
            } @else {
                (form("freeze-down", "Freeze scale-in…", "The count does not fall until you allow it.", html! {}, "Freeze scale-in"))
            }
            (form("scale", "Bounds…", "The fewest and the most replicas. The count moves into the new bounds.", bounds_fields(min, max), "Change the bounds"))
            }
            @if visitor.may_operate {
                (form("reconcile", "Pass now…", "A pass observes the engine and decides at once, instead of at its next time.", html! {}, "Make a pass"))
            }
            a.button href=(path::try_it(view.workload.key.as_str())) { "Try another policy" }
        }
    }
}

fn force_fields(target: u32, min: u32, max: u32) -> Markup {
    html! {
        label { "Replicas " input type="number" name="replicas" value=(target) min=(min) max=(max) required; }
        label { "For "
            select name="for" {
                option value="15m" { "15 minutes" } option value="1h" selected { "1 hour" } option value="4h" { "4 hours" }
                option value="1d" { "1 day" } option value="7d" { "7 days" }
            }
        }
    }
}

fn bounds_fields(min: u32, max: u32) -> Markup {
    html! {
        label { "Minimum " input type="number" name="min_replicas" value=(min) min="0" max="1000" required; }
        label { "Maximum " input type="number" name="max_replicas" value=(max) min="1" max="1000" required; }
    }
}

/// The overrides in force in sentences.
fn in_force(overrides: Overrides, now: Timestamp) -> Markup {
    html! {
        @if overrides.is_anything() {
            p.banner role="status" {
                @if overrides.paused { "Scaling is paused. " }
                @if overrides.freeze_scale_up { "Scale-out is frozen. " }
                @if overrides.freeze_scale_down { "Scale-in is frozen. " }
                @if let Some(force) = overrides.force {
                    "The count is forced to " b { (force.replicas) } " until " (force.until.to_rfc3339()) ", "
                    "in " (crate::words::age(force.until.since(now))) ". "
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::view;
    use windlass_core::Force;

    #[test]
    fn each_override_in_force_can_be_ended_and_each_other_one_begun() {
        let mut view = view();
        let operator = Visitor { may_operate: true, csrf: Some("c5".to_owned()), ..Visitor::default() };
        let actions = |view: &WorkloadView| {
            let text = bar(view, Timestamp(0), &operator).into_string();
            let actions = text.split("action=\"/ui/workloads/web%3A1/").skip(1);
            actions.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(actions(&view), ["pause", "force", "freeze-up", "freeze-down", "scale", "reconcile"]);
        view.workload.overrides = Overrides {
            paused: true,
            freeze_scale_up: true,
            freeze_scale_down: true,
            force: Some(Force { replicas: 3, until: Timestamp(600_000) }),
        };
        assert_eq!(actions(&view), ["resume", "end-force", "unfreeze-up", "unfreeze-down", "scale", "reconcile"]);
        assert!(
            !bar(&view, Timestamp(0), &Visitor::default()).into_string().contains("<form"),
            "a viewer changes nothing"
        );
        let text = bar(&view, Timestamp(0), &operator).into_string();
        assert_eq!(text.matches("<form").count(), text.matches("name=\"csrf\" value=\"c5\"").count());
        assert!(text.contains("forced to <b>3</b> until 1970-01-01T00:10:00Z, in 10 min."), "{text}");
    }
}
