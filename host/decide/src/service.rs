//! The plan of a workload whose replicas the engine keeps: a Swarm places, restarts and heals them, and the host sets their
//! number. Pure.
//!
//! The count follows the same rules as that of any workload (`replica_count`). The plan has at most one step, and none of
//! repair.

use crate::dependencies::note_dependencies;
use crate::planner::Planner;
use crate::replica_count::{CountInputs, ReplicaCount, replica_count};
use crate::scale_in::Worth;
use crate::service_rules::{note_service, update_rule};
use crate::stabilization::note_change;
use crate::victims::removal_order;
use crate::wording::is_or_are;
use std::collections::BTreeSet;
use windlass_core::settings::ControlSettings;
use windlass_core::{
    ContainerId, History, Plan, Replica, ServiceSeen, ServiceState, Snapshot, Step, Timestamp, Verdict, Workload,
};

/// The input of a pass over a service.
pub(crate) struct ServicePass<'a> {
    pub(crate) desired: &'a Workload,
    /// The count from which the pass begins.
    pub(crate) current: u32,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) verdict: &'a Verdict,
    pub(crate) settings: &'a ControlSettings,
    pub(crate) now: Timestamp,
}

/// A count to set, and its consequences.
struct Removal {
    to: u32,
    /// The replicas that the engine will probably remove.
    leaving: Vec<ContainerId>,
    /// Replicas that stay because the engine would remove a protected one.
    kept: usize,
    /// Protected replicas that the engine will probably remove all the same.
    unprotected: usize,
}

impl ServicePass<'_> {
    pub(crate) fn plan(&self, mut history: History) -> Plan {
        let Self { desired, current, snapshot, verdict, settings, now } = *self;
        let mut planner = Planner::new(settings, now);
        if let Some(wait) = snapshot.service.state().and_then(|service| note_service(service, &mut history, now)) {
            planner.next_pass_after(wait);
        }
        let guardrails = desired.guardrails.clone().unwrap_or_default();
        let waits_for = note_dependencies(snapshot, &mut history, now);
        let waits_for = waits_for.as_deref();
        let inputs = CountInputs {
            desired,
            current,
            snapshot,
            verdict,
            guardrails: &guardrails,
            interval: settings.interval,
            waits_for,
            is_rolling_out: false,
            now,
        };
        let mut count = replica_count(&inputs, &mut history);
        note_change(current, count.target, &guardrails, &mut history, now);
        history.protected.retain(|id| snapshot.replica(id).is_some());
        let step = match &snapshot.service {
            ServiceSeen::Found(service) => self.set_count(service, waits_for, &mut count, &history),
            ServiceSeen::Missing => {
                if desired.declaration.is_adopted() {
                    // A service that appears later is new: its own count is where its first pass begins.
                    history.since = None;
                }
                self.deploy(waits_for, &mut count)
            }
            ServiceSeen::NotUsed => None,
        };
        match step {
            None => history.service.refused = None,
            Some(step) => {
                if !planner.waits_for_retry(&history, &mut count) {
                    planner.steps.push(step);
                }
            }
        }
        planner.note_troubles(snapshot, &mut history);
        planner.note_slot_troubles(snapshot, verdict, &mut history);
        planner.note_stand_ins(verdict, &mut history);
        planner.alert_about_service(snapshot.service.state(), &history);
        planner.into_plan(count, desired, verdict, history)
    }

    /// The step that creates the missing service of a managed workload. An adopted one is its owner's to create.
    fn deploy(&self, waits_for: Option<&str>, count: &mut ReplicaCount) -> Option<Step> {
        if self.desired.declaration.is_adopted() {
            "the service does not exist, and nothing is changed until it does".clone_into(&mut count.reason);
            return None;
        }
        if let Some(why) = waits_for {
            self.say_waits(why, count);
            return None;
        }
        Some(Step::Deploy { count: count.target, reason: "the service does not exist".to_owned() })
    }

    /// The step that moves the count of the service to the target. `None` if it is there, or has to wait.
    fn set_count(
        &self,
        service: &ServiceState,
        waits_for: Option<&str>,
        count: &mut ReplicaCount,
        history: &History,
    ) -> Option<Step> {
        let bounds = self.desired.bounds;
        let is_forced = self.desired.overrides.forced(self.now).is_some();
        let is_reset = service.is_redeployed && service.count != count.target;
        if is_reset {
            count.reason.push_str(&format!("; a deploy set the count of the service to {}", service.count));
        }
        if update_rule(service).is_some() && !is_forced {
            return None;
        }
        let mut removal = Removal { to: count.target, leaving: Vec::new(), kept: 0, unprotected: 0 };
        if count.target > service.count {
            if let Some(why) = waits_for {
                self.say_waits(why, count);
                return None;
            }
            // The bounds and an operator may ask for more than there is room for; a policy may not.
            if history.service.no_room.is_some() && !is_forced {
                removal.to = count.target.min(service.count.max(bounds.min()));
            }
        } else if count.target < service.count {
            removal = self.removal(service, count.target, is_forced, history);
        }
        let Removal { to, leaving, kept, unprotected } = removal;
        match kept {
            0 => {}
            1 => count.reason.push_str("; 1 more replica stays because Swarm would remove a protected one"),
            more => {
                let kept = format!("; {more} more replicas stay because Swarm would remove a protected one");
                count.reason.push_str(&kept);
            }
        }
        if to == service.count {
            return None;
        }
        let mut reason = match to > service.count {
            _ if is_reset => format!("a deploy set the count to {}, and it is put back to {to}", service.count),
            true => format!("scale-out from {} to {to}", service.count),
            false => format!("scale-in from {} to {to}", service.count),
        };
        if unprotected > 0 {
            let verb = is_or_are(unprotected);
            reason.push_str(&format!(
                "; {unprotected} of the removed replicas {verb} protected, and protection holds against policies only"
            ));
        }
        if update_rule(service).is_some() {
            reason.push_str("; Swarm begins its update of the service anew");
        }
        Some(Step::SetCount { to, version: service.version, force: is_forced, leaving, reason })
    }

    /// Adds to the reason of a forced count that the service gets no replicas yet. Another reason says so already.
    fn say_waits(&self, why: &str, count: &mut ReplicaCount) {
        if self.desired.overrides.forced(self.now).is_some() {
            count.reason.push_str(&format!("; {why}, and no replica is added until it is up"));
        }
    }

    /// The count to which the service may fall, by the engine's choice of replicas: no protected one goes, unless the bounds
    /// or an operator require it.
    fn removal(&self, service: &ServiceState, target: u32, is_forced: bool, history: &History) -> Removal {
        let whole = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let protected: BTreeSet<ContainerId> = &history.protected | &self.verdict.protected;
        let is_protected = |replica: &Replica| Worth::of(replica, self.snapshot, &protected) == Worth::Protected;
        let order = removal_order(service, self.snapshot);
        let excess = order.len().saturating_sub(whole(target));
        let down_to = if is_forced { target } else { self.desired.bounds.max() };
        let must_go = order.len().saturating_sub(whole(down_to)).min(excess);
        let may_go = order.iter().take_while(|slot| !slot.iter().any(|replica| is_protected(replica))).count();
        let removed = may_go.max(must_go).min(excess);
        let kept = excess - removed;
        let leaving = || order.iter().take(removed).flatten();
        Removal {
            to: target.saturating_add(u32::try_from(kept).unwrap_or(u32::MAX)).min(service.count),
            leaving: leaving().map(|replica| replica.id.clone()).collect(),
            kept,
            unprotected: leaving().filter(|replica| is_protected(replica)).count(),
        }
    }
}

impl Planner<'_> {
    /// Whether the engine refused the last change of the service too recently to try it again.
    fn waits_for_retry(&mut self, history: &History, count: &mut ReplicaCount) -> bool {
        let Some(refused) = &history.service.refused else { return false };
        let Some(wait) = self.left(Some(refused.last), self.wait_after(refused.tries)) else { return false };
        self.next_pass_after(wait);
        let error = &refused.error;
        count.reason.push_str(&format!("; the engine refused it: {error}; it is tried again until it works"));
        true
    }
}
