//! What is made of a proposal before it moves the count: windows, cooldowns, rates. Pure, as `decide` is.
//!
//! The order is that of the Horizontal Pod Autoscaler: the proposals of a window first, then the rates, the bounds
//! last. Unlike there, what was proposed and what was changed is kept over a restart.

#[cfg(test)]
mod tests;

use std::time::Duration;
use windlass_core::{
    Amount, Bounds, Change, Guardrail, Guardrails, HeldBy, History, Proposal, Rate, Select, Stages, Timestamp,
};

/// So many looks without a proposal in a row are a time of which nothing is known. A window may be shorter than an
/// interval: each look would begin it anew.
const LOOKS_MISSED: u32 = 4;

/// A count, how it came about, and what held it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smoothed {
    /// Each stage of the way.
    pub stages: Stages,
    /// What held the count back, and that in words; none: nothing did.
    pub held_back: Option<(HeldBy, String)>,
}

/// Takes a proposal in, and says which count it leads to from `current`, which lies within the bounds.
///
/// The first proposal ever, and the first after a time without any, is taken beside the count there is: a host that knows
/// nothing, or nothing any more, lets nothing shrink within the window. `interval` is the usual time between two looks.
pub fn smooth(
    raw: u32,
    current: u32,
    bounds: Bounds,
    guardrails: &Guardrails,
    history: &mut History,
    interval: Duration,
    now: Timestamp,
) -> Smoothed {
    let gap = guardrails.longest_window().max(interval * LOOKS_MISSED);
    if history.proposals.last().is_none_or(|newest| now.since(newest.at) >= gap) {
        history.proposals = vec![Proposal { at: now, count: current }];
    }
    remember(bounds.clamp(raw), guardrails, history, now);
    let mut held_back = None;
    let agreed = agreed(current, guardrails, &history.proposals, now);
    if agreed != bounds.clamp(raw) {
        let (window, which) = if bounds.clamp(raw) > current {
            (guardrails.up.window, "lowest")
        } else {
            (guardrails.down.window, "highest")
        };
        let why = format!("{agreed} is the {which} proposal of the last {} s", window.as_secs());
        held_back = Some((HeldBy::Window, why));
    }
    let (stabilized, waits) = cooled(agreed, current, guardrails, &history.changes, now);
    held_back = waits.map(|why| (HeldBy::Cooldown, why)).or(held_back);
    let limited = limited(stabilized, current, guardrails, &history.changes, now);
    if limited != stabilized {
        let guardrail = if stabilized > current { &guardrails.up } else { &guardrails.down };
        let by = if guardrail.select == Select::Disabled { HeldBy::Disabled } else { HeldBy::Rate };
        held_back = Some((by, told(guardrail)));
    }
    let bounded = bounds.clamp(limited);
    Smoothed { stages: Stages { raw, stabilized, limited, bounded }, held_back }
}

/// Notes a change of the count, and forgets those that do not matter any more.
pub fn note_change(from: u32, to: u32, guardrails: &Guardrails, history: &mut History, now: Timestamp) {
    let memory = guardrails.longest_memory();
    history.changes.retain(|change| now.since(change.at) < memory);
    if from != to && !memory.is_zero() {
        history.changes.push(Change { at: now, from, to });
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

/// The count, moved no further than the proposals of each window agree.
fn agreed(current: u32, guardrails: &Guardrails, proposals: &[Proposal], now: Timestamp) -> u32 {
    let within = |window: Duration| {
        let within = proposals.iter().filter(move |proposal| now.since(proposal.at) < window);
        within.map(|proposal| proposal.count).chain(proposals.last().map(|newest| newest.count))
    };
    let at_least = within(guardrails.up.window).min().unwrap_or(current);
    let at_most = within(guardrails.down.window).max().unwrap_or(current);
    // Where the windows disagree the count stays.
    if current < at_least {
        at_least
    } else if current > at_most {
        at_most
    } else {
        current
    }
}

/// What cooldowns leave of a step, and how long they last.
fn cooled(
    wanted: u32,
    current: u32,
    guardrails: &Guardrails,
    changes: &[Change],
    now: Timestamp,
) -> (u32, Option<String>) {
    // The time it ends, not the time that is left: what is said stays the same from pass to pass.
    let ends =
        |guardrail: &Guardrail, change: &Change| Some(change.at.plus(guardrail.cooldown)).filter(|end| *end > now);
    let waits = |end: Timestamp, direction: &str| {
        Some(format!("the cooldown after the last step {direction} lasts until {}", end.told()))
    };
    let ups = changes.iter().rev().filter(|change| change.to > change.from);
    if wanted > current
        && let Some(end) = ups.clone().next().and_then(|last| ends(&guardrails.up, last))
    {
        // A larger step than those that wait adds what it is larger by.
        let waiting = ups.take_while(|change| ends(&guardrails.up, change).is_some());
        let added: u32 = waiting.map(|change| change.to - change.from).sum();
        let more = (wanted - current).saturating_sub(added);
        return (current + more, waits(end, "up"));
    }
    // A step up ends the cooldown of those down: only the newest change counts.
    if wanted < current
        && let Some(last) = changes.last().filter(|change| change.to < change.from)
        && let Some(end) = ends(&guardrails.down, last)
    {
        return (current, waits(end, "down"));
    }
    (wanted, None)
}

/// What the rates allow of a step; never a step the other way.
fn limited(wanted: u32, current: u32, guardrails: &Guardrails, changes: &[Change], now: Timestamp) -> u32 {
    if wanted > current {
        let limit = reach(&guardrails.up, |rate| raised(started(current, rate, changes, now), rate.amount));
        let limit = match guardrails.up.select {
            Select::Min => limit.min(),
            Select::Max => limit.max(),
            Select::Disabled => Some(current),
        };
        wanted.min(limit.unwrap_or(wanted).max(current))
    } else if wanted < current {
        let limit = reach(&guardrails.down, |rate| lowered(started(current, rate, changes, now), rate.amount));
        // The one that allows most leaves least.
        let limit = match guardrails.down.select {
            Select::Min => limit.max(),
            Select::Max => limit.min(),
            Select::Disabled => Some(current),
        };
        wanted.max(limit.unwrap_or(wanted).min(current))
    } else {
        current
    }
}

fn reach<'a>(guardrail: &'a Guardrail, limit: impl Fn(&Rate) -> u32 + 'a) -> impl Iterator<Item = u32> + 'a {
    guardrail.rates.iter().map(limit)
}

/// The count when a rate's time began, by the changes of both directions since.
fn started(current: u32, rate: &Rate, changes: &[Change], now: Timestamp) -> u32 {
    let since = changes.iter().filter(|change| now.since(change.at) < rate.per);
    let sum: i64 = since.map(|change| i64::from(change.to) - i64::from(change.from)).sum();
    u32::try_from(i64::from(current) - sum).unwrap_or(0)
}

fn raised(from: u32, amount: Amount) -> u32 {
    match amount {
        Amount::Count(count) => from.saturating_add(count),
        // Of nothing as of one: else what is at zero would stay there.
        Amount::Percent(percent) => from.saturating_add(part(from.max(1), percent)),
    }
}

fn lowered(from: u32, amount: Amount) -> u32 {
    match amount {
        Amount::Count(count) => from.saturating_sub(count),
        // What is left is truncated, so that one percent of three takes one.
        Amount::Percent(percent) => from.saturating_sub(part(from, percent)),
    }
}

/// So many percent, rounded up.
fn part(of: u32, percent: u32) -> u32 {
    u32::try_from((u64::from(of) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
}

fn told(guardrail: &Guardrail) -> String {
    let rate = |rate: &Rate| match rate.amount {
        Amount::Count(count) => format!("{count} in {} s", rate.per.as_secs()),
        Amount::Percent(percent) => format!("{percent} % in {} s", rate.per.as_secs()),
    };
    let rates: Vec<String> = guardrail.rates.iter().map(rate).collect();
    match guardrail.select {
        Select::Max => format!("at most {} is allowed", rates.join(" or ")),
        Select::Min => format!("at most {}, whichever is less, is allowed", rates.join(" or ")),
        Select::Disabled => "this direction is disabled".to_owned(),
    }
}
