//! Windows, cooldowns and rates. A case is a list of (second, proposal) and the resulting counts.

use crate::stabilization::*;

const BASE: u64 = 1_000_000_000;
const INTERVAL: Duration = Duration::from_secs(15);

/// The counts that follow from these proposals, beginning at `current`.
fn steered(guardrails: &Guardrails, current: u32, story: &[(u64, u32)]) -> Vec<u32> {
    let bounds = Bounds::new(0, 100).expect("bounds");
    let (mut history, mut current) = (History::default(), current);
    let mut counts = Vec::new();
    for (second, raw) in story {
        let now = Timestamp(BASE + second * 1_000);
        let to = stabilize(*raw, current, bounds, guardrails, &mut history, INTERVAL, now).stages.bounded;
        note_change(current, to, guardrails, &mut history, now);
        current = to;
        counts.push(current);
    }
    counts
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rate(amount: Amount, per: u64) -> Rate {
    Rate { amount, per: seconds(per) }
}

#[test]
fn the_count_falls_to_the_highest_proposal_of_the_window_and_rises_at_once() {
    let guardrails = Guardrails::default();
    // The current count stands for the time before, so nothing shrinks within the first window.
    assert_eq!(steered(&guardrails, 6, &[(0, 2), (100, 2), (299, 2), (300, 2)]), [6, 6, 6, 2]);
    assert_eq!(steered(&guardrails, 6, &[(0, 2), (200, 4), (301, 2), (499, 2), (500, 2)]), [6, 6, 4, 4, 2]);
    assert_eq!(steered(&guardrails, 2, &[(0, 3), (15, 2), (30, 6)]), [3, 3, 6]);
}

#[test]
fn a_time_without_proposals_begins_the_window_anew() {
    let guardrails = Guardrails::default();
    assert_eq!(steered(&guardrails, 8, &[(0, 8), (600, 2), (899, 2), (900, 2)]), [8, 8, 8, 2]);
    // With a window shorter than the interval, one interval is no gap.
    let mut short = Guardrails::none();
    short.down.window = seconds(5);
    assert_eq!(steered(&short, 8, &[(0, 2), (15, 2), (30, 2)]), [8, 2, 2]);
}

#[test]
fn where_the_windows_disagree_the_count_stays() {
    let mut guardrails = Guardrails::none();
    (guardrails.up.window, guardrails.down.window) = (seconds(60), seconds(60));
    assert_eq!(steered(&guardrails, 5, &[(0, 8), (15, 2), (30, 9), (45, 3)]), [5, 5, 5, 5]);
    assert_eq!(steered(&guardrails, 5, &[(0, 8), (30, 7), (61, 9)]), [5, 5, 7]);
}

#[test]
fn a_jump_is_spread_by_the_rate_that_allows_most() {
    let guardrails = Guardrails::default();
    assert_eq!(steered(&guardrails, 1, &[(0, 50), (14, 50), (15, 50), (30, 50), (45, 50)]), [5, 5, 10, 20, 40]);
    let slow = Guardrails { up: Guardrail { select: Select::Min, ..guardrails.up.clone() }, ..guardrails };
    assert_eq!(steered(&slow, 1, &[(0, 50), (15, 50), (30, 50), (45, 50)]), [2, 4, 8, 12]);
    assert_eq!(steered(&slow, 0, &[(0, 50), (15, 50)]), [1, 2], "a percentage leads from zero");
}

#[test]
fn percents_round_up_on_the_way_up_and_leave_no_part_on_the_way_down() {
    let mut guardrails = Guardrails::none();
    guardrails.up.rates = vec![rate(Amount::Percent(1), 60)];
    guardrails.down.rates = vec![rate(Amount::Percent(10), 60)];
    assert_eq!(steered(&guardrails, 3, &[(0, 9), (30, 9), (60, 9)]), [4, 4, 5]);
    assert_eq!(steered(&guardrails, 25, &[(0, 0), (30, 0), (60, 0)]), [22, 22, 19]);
}

#[test]
fn a_rate_counts_changes_of_both_directions_and_never_turns_a_step_round() {
    let mut guardrails = Guardrails::none();
    guardrails.up.rates = vec![rate(Amount::Count(2), 60)];
    // Up 2, down 1: the period began with 5, so 7 is allowed again.
    assert_eq!(steered(&guardrails, 5, &[(0, 9), (10, 6), (20, 9), (70, 9)]), [7, 6, 7, 8]);
    // An operator raised the count further than the rate allows: it stays and does not fall.
    let mut history = History { changes: vec![Change { at: Timestamp(BASE), from: 2, to: 8 }], ..History::default() };
    let bounds = Bounds::new(0, 100).expect("bounds");
    let stabilized = stabilize(9, 8, bounds, &guardrails, &mut history, INTERVAL, Timestamp(BASE + 1_000));
    assert_eq!(stabilized.stages.bounded, 8);
}

#[test]
fn the_way_to_nothing_is_as_gradual_as_any_other() {
    let mut guardrails = Guardrails::none();
    guardrails.down.rates = vec![rate(Amount::Count(2), 60)];
    assert_eq!(steered(&guardrails, 5, &[(0, 0), (30, 0), (60, 0), (120, 0)]), [3, 3, 1, 0]);
    guardrails.down.rates = vec![rate(Amount::Percent(50), 60)];
    assert_eq!(steered(&guardrails, 5, &[(0, 0), (60, 0), (120, 0)]), [2, 1, 0]);
    guardrails.down.window = seconds(300);
    assert_eq!(steered(&guardrails, 1, &[(0, 0), (299, 0), (300, 0)]), [1, 1, 0]);
}

#[test]
fn a_disabled_direction_does_not_move() {
    let mut guardrails = Guardrails::none();
    guardrails.down.select = Select::Disabled;
    assert_eq!(steered(&guardrails, 5, &[(0, 1), (15, 7), (30, 1)]), [5, 7, 7]);
    guardrails.up.select = Select::Disabled;
    assert_eq!(steered(&guardrails, 5, &[(0, 9)]), [5]);
}

#[test]
fn a_cooldown_waits_but_for_a_larger_step_up_which_ends_that_of_steps_down() {
    let mut guardrails = Guardrails::none();
    (guardrails.up.cooldown, guardrails.down.cooldown) = (seconds(60), seconds(60));
    // Two, then three: only one more, however often it is proposed.
    assert_eq!(steered(&guardrails, 4, &[(0, 6), (20, 8), (30, 9), (45, 9), (90, 9)]), [6, 6, 7, 7, 9]);
    assert_eq!(steered(&guardrails, 6, &[(0, 5), (20, 4), (60, 4)]), [5, 5, 4]);
    assert_eq!(steered(&guardrails, 6, &[(0, 5), (20, 6), (30, 3)]), [5, 6, 3]);
}

#[test]
fn what_held_the_count_back_is_told() {
    let bounds = Bounds::new(1, 10).expect("bounds");
    let rule = |guardrails: &Guardrails, raw, history: &mut History| {
        let held_back = stabilize(raw, 5, bounds, guardrails, history, INTERVAL, Timestamp(BASE)).held_back;
        held_back.map(|(_, why)| why)
    };
    let defaults = Guardrails::default();
    assert_eq!(
        rule(&defaults, 2, &mut History::default()).as_deref(),
        Some("scale-in waits until 13:51:40Z because the 5-minute window still contains a proposal of 5")
    );
    assert_eq!(rule(&defaults, 7, &mut History::default()), None);
    assert_eq!(rule(&defaults, 50, &mut History::default()), None, "the bounds have their own reason");
    let mut slow = Guardrails::none();
    slow.up.rates = vec![rate(Amount::Count(1), 60), rate(Amount::Percent(10), 60)];
    let why = rule(&slow, 9, &mut History::default());
    assert_eq!(why.as_deref(), Some("scale-out is limited to 1 replica per 60 s or 10 % per 60 s, whichever is more"));
    slow.up.cooldown = seconds(60);
    let mut history = History::default();
    note_change(4, 5, &slow, &mut history, Timestamp(BASE - 20_500));
    let why = rule(&slow, 6, &mut history);
    assert_eq!(why.as_deref(), Some("scale-out waits until 13:47:19Z because of its cooldown of 60 s"));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No step goes against the direction of the proposal, and every count is within the bounds.
        #[test]
        fn no_step_goes_further_or_the_other_way(
            current in 0u32..30,
            proposals in prop::collection::vec((0u64..60, 0u32..40), 1..30),
        ) {
            let bounds = Bounds::new(0, 30).expect("bounds");
            let guardrails = Guardrails::default();
            let (mut history, mut current, mut second) = (History::default(), current, 0);
            for (later, raw) in proposals {
                second += later;
                let now = Timestamp(BASE + second * 1_000);
                let to = stabilize(raw, current, bounds, &guardrails, &mut history, INTERVAL, now).stages.bounded;
                let wanted = bounds.clamp(raw);
                prop_assert!(to == current || (to > current && to <= wanted) || (to < current && to >= wanted));
                note_change(current, to, &guardrails, &mut history, now);
                current = to;
                let within = |proposal: &Proposal| now.since(proposal.at) < seconds(300);
                prop_assert!(history.proposals.iter().all(within), "old proposals are forgotten");
            }
        }
    }
}
