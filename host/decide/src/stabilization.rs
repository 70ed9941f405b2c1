//! Windows, cooldowns and rates: how far a proposal moves the count. Pure.
//!
//! The order is that of the Kubernetes Horizontal Pod Autoscaler: the proposals of a window first, then the rates, the
//! bounds last. Unlike there, proposals and changes survive a restart of the host.

#[cfg(test)]
mod tests;

use crate::wording::{length_of, time_of_day};
use std::time::Duration;
use windlass_core::{
    Amount, Bounds, Change, Guardrail, Guardrails, HeldBy, History, Proposal, Rate, Select, Stages, Timestamp,
};

/// After this many intervals without a proposal the host knows nothing about the past. A window may be shorter than an
/// interval; without this minimum, each observation would begin it again.
const INTERVALS_MISSED: u32 = 4;

/// A count, its stages, and the rule that held it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stabilized {
    pub(crate) stages: Stages,
    /// The last rule that held the count back, also in words. `None` if no rule did.
    pub(crate) held_back: Option<(HeldBy, String)>,
}

/// Records a proposal and returns the count that it leads to from `current`, which lies within the bounds.
///
/// The first proposal ever, and the first one after a gap, counts next to the current count: a host that knows nothing
/// about the past lets nothing shrink within the window. `interval` is the usual time between two passes.
pub(crate) fn stabilize(
    raw: u32,
    current: u32,
    bounds: Bounds,
    guardrails: &Guardrails,
    history: &mut History,
    interval: Duration,
    now: Timestamp,
) -> Stabilized {
    let gap = guardrails.longest_window().max(interval * INTERVALS_MISSED);
    if history.proposals.last().is_none_or(|newest| now.since(newest.at) >= gap) {
        history.proposals = vec![Proposal { at: now, count: current }];
    }
    let wanted = bounds.clamp(raw);
    remember(wanted, guardrails, history, now);
    let direction = if wanted > current { Direction::Out } else { Direction::In };
    let agreed = agreed(current, guardrails, &history.proposals, now);
    let mut held_back = None;
    if agreed != wanted {
        let wait = direction.wait(agreed != current);
        let guardrail = direction.guardrail(guardrails);
        held_back = Some((HeldBy::Window, window_rule(&wait, direction, guardrail, &history.proposals, now)));
    }
    let (stabilized, cooldown_ends) = cooled(agreed, current, guardrails, &history.changes, now);
    if let Some(end) = cooldown_ends {
        let wait = direction.wait(stabilized != current);
        let cooldown = direction.guardrail(guardrails).cooldown.as_secs();
        let rule = format!("{wait} waits until {} because of its cooldown of {cooldown} s", time_of_day(end));
        held_back = Some((HeldBy::Cooldown, rule));
    }
    let limited = limited(stabilized, current, guardrails, &history.changes, now);
    if limited != stabilized {
        let guardrail = direction.guardrail(guardrails);
        let by = if guardrail.select == Select::Disabled { HeldBy::Disabled } else { HeldBy::Rate };
        held_back = Some((by, rate_rule(direction, guardrail)));
    }
    let bounded = bounds.clamp(limited);
    Stabilized { stages: Stages { raw, stabilized, limited, bounded }, held_back }
}

/// Records a change of the count, and forgets changes that no rate and no cooldown needs any more.
pub(crate) fn note_change(from: u32, to: u32, guardrails: &Guardrails, history: &mut History, now: Timestamp) {
    let memory = guardrails.longest_memory();
    history.changes.retain(|change| now.since(change.at) < memory);
    if from != to && !memory.is_zero() {
        history.changes.push(Change { at: now, from, to });
    }
}

/// The direction in which a proposal moves the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

impl Direction {
    fn guardrail(self, guardrails: &Guardrails) -> &Guardrail {
        match self {
            Self::Out => &guardrails.up,
            Self::In => &guardrails.down,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Out => "scale-out",
            Self::In => "scale-in",
        }
    }

    /// The subject of a reason to wait.
    fn wait(self, is_further: bool) -> String {
        if is_further { format!("further {}", self.name()) } else { self.name().to_owned() }
    }
}

/// The window that holds the count back, in words, with the time at which the deciding proposal leaves it.
fn window_rule(
    wait: &str,
    direction: Direction,
    guardrail: &Guardrail,
    proposals: &[Proposal],
    now: Timestamp,
) -> String {
    let window = guardrail.window;
    let within = proposals.iter().filter(|proposal| now.since(proposal.at) < window);
    // Of equal ones the newest: it is the last to leave the window.
    let deciding = match direction {
        Direction::Out => within.min_by_key(|proposal| (proposal.count, std::cmp::Reverse(proposal.at))),
        Direction::In => within.max_by_key(|proposal| (proposal.count, proposal.at)),
    };
    let length = length_of(window);
    match deciding {
        Some(Proposal { at, count }) => {
            let until = time_of_day(at.plus(window));
            format!("{wait} waits until {until} because the {length} window still contains a proposal of {count}")
        }
        None => format!("{wait} waits because the proposals of the {length} window disagree"),
    }
}

fn remember(count: u32, guardrails: &Guardrails, history: &mut History, now: Timestamp) {
    let window = guardrails.longest_window();
    let proposals = &mut history.proposals;
    proposals.retain(|proposal| now.since(proposal.at) < window);
    match proposals.last_mut() {
        Some(last) if last.count == count => last.at = now,
        _ => proposals.push(Proposal { at: now, count }),
    }
}

/// The current count, moved as far as all proposals of each window agree.
fn agreed(current: u32, guardrails: &Guardrails, proposals: &[Proposal], now: Timestamp) -> u32 {
    let within = |window: Duration| {
        let within = proposals.iter().filter(move |proposal| now.since(proposal.at) < window);
        within.map(|proposal| proposal.count).chain(proposals.last().map(|newest| newest.count))
    };
    let at_least = within(guardrails.up.window).min().unwrap_or(current);
    let at_most = within(guardrails.down.window).max().unwrap_or(current);
    // If the two windows disagree, the count stays.
    if current < at_least {
        at_least
    } else if current > at_most {
        at_most
    } else {
        current
    }
}

/// The count that the cooldowns allow, and the end of the cooldown that holds it back.
fn cooled(
    wanted: u32,
    current: u32,
    guardrails: &Guardrails,
    changes: &[Change],
    now: Timestamp,
) -> (u32, Option<Timestamp>) {
    let end =
        |guardrail: &Guardrail, change: &Change| Some(change.at.plus(guardrail.cooldown)).filter(|end| *end > now);
    let scale_outs = changes.iter().rev().filter(|change| change.to > change.from);
    if wanted > current
        && let Some(cooldown_ends) = scale_outs.clone().next().and_then(|last| end(&guardrails.up, last))
    {
        // A scale-out that is larger than the earlier ones of the cooldown adds the difference.
        let in_cooldown = scale_outs.take_while(|change| end(&guardrails.up, change).is_some());
        let added: u32 = in_cooldown.map(|change| change.to - change.from).sum();
        let more = (wanted - current).saturating_sub(added);
        return (current + more, Some(cooldown_ends));
    }
    // A scale-out ends the cooldown of scale-ins: only the newest change counts.
    if wanted < current
        && let Some(last) = changes.last().filter(|change| change.to < change.from)
        && let Some(cooldown_ends) = end(&guardrails.down, last)
    {
        return (current, Some(cooldown_ends));
    }
    (wanted, None)
}

/// The count that the rates allow; never a step in the other direction.
fn limited(wanted: u32, current: u32, guardrails: &Guardrails, changes: &[Change], now: Timestamp) -> u32 {
    if wanted > current {
        let limits =
            guardrails.up.rates.iter().map(|rate| raised(count_before(current, rate, changes, now), rate.amount));
        let limit = match guardrails.up.select {
            Select::Min => limits.min(),
            Select::Max => limits.max(),
            Select::Disabled => Some(current),
        };
        wanted.min(limit.unwrap_or(wanted).max(current))
    } else if wanted < current {
        let limits =
            guardrails.down.rates.iter().map(|rate| lowered(count_before(current, rate, changes, now), rate.amount));
        // The rate that allows most leaves least.
        let limit = match guardrails.down.select {
            Select::Min => limits.max(),
            Select::Max => limits.min(),
            Select::Disabled => Some(current),
        };
        wanted.max(limit.unwrap_or(wanted).min(current))
    } else {
        current
    }
}

/// The count at the beginning of a rate's period, by the changes of both directions since.
fn count_before(current: u32, rate: &Rate, changes: &[Change], now: Timestamp) -> u32 {
    let since = changes.iter().filter(|change| now.since(change.at) < rate.per);
    let sum: i64 = since.map(|change| i64::from(change.to) - i64::from(change.from)).sum();
    u32::try_from(i64::from(current) - sum).unwrap_or(0)
}

fn raised(from: u32, amount: Amount) -> u32 {
    match amount {
        Amount::Count(count) => from.saturating_add(count),
        // A percentage of 0 counts as a percentage of 1; otherwise a workload could never leave 0.
        Amount::Percent(percent) => from.saturating_add(part(from.max(1), percent)),
    }
}

fn lowered(from: u32, amount: Amount) -> u32 {
    match amount {
        Amount::Count(count) => from.saturating_sub(count),
        // The rest is truncated, so 1 % of 3 removes 1.
        Amount::Percent(percent) => from.saturating_sub(part(from, percent)),
    }
}

/// A percentage of a count, rounded up.
fn part(of: u32, percent: u32) -> u32 {
    u32::try_from((u64::from(of) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
}

/// The rates that hold the count back, in words.
fn rate_rule(direction: Direction, guardrail: &Guardrail) -> String {
    let name = direction.name();
    let rate = |rate: &Rate| match rate.amount {
        Amount::Count(1) => format!("1 replica per {} s", rate.per.as_secs()),
        Amount::Count(count) => format!("{count} replicas per {} s", rate.per.as_secs()),
        Amount::Percent(percent) => format!("{percent} % per {} s", rate.per.as_secs()),
    };
    let rates: Vec<String> = guardrail.rates.iter().map(rate).collect();
    let which = match guardrail.select {
        Select::Disabled => return format!("{name} is disabled"),
        _ if rates.len() < 2 => String::new(),
        Select::Max => ", whichever is more".to_owned(),
        Select::Min => ", whichever is less".to_owned(),
    };
    format!("{name} is limited to {}{which}", rates.join(" or "))
}
