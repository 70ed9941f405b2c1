//! The events that a caller may see.

use crate::access::{Caller, Scope};
use windlass_control::events::{Event, EventKind};
use windlass_core::access::Role;

/// The rights of one reader.
pub(crate) struct Visible {
    scope: Scope,
    is_admin: bool,
}

impl Visible {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self { scope: caller.scope.clone(), is_admin: caller.role.includes(Role::Admin) }
    }

    /// Whether the caller may see an event: of its workloads, of policies, and of changes by people if it is an administrator.
    pub(crate) fn admits(&self, event: &Event) -> bool {
        let is_in_scope = match &event.workload {
            Some(workload) => self.scope.includes(workload),
            None => self.scope.is_everything() || event.kind == EventKind::Policy,
        };
        is_in_scope && (self.is_admin || event.kind != EventKind::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_core::WorkloadKey;

    #[test]
    fn a_limited_caller_sees_events_of_its_workloads_and_no_audit() {
        let event = |kind, workload: Option<&str>| Event {
            id: 1,
            kind,
            workload: workload.map(WorkloadKey::stored),
            json: String::new(),
        };
        let events = [
            event(EventKind::Decision, Some("web-1")),
            event(EventKind::Decision, Some("db")),
            event(EventKind::Policy, None),
            event(EventKind::Audit, Some("web-1")),
            event(EventKind::Audit, None),
        ];
        let seen = |role, globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            let scope = Scope::of(&globs).expect("globs");
            let visible = Visible::of(&Caller { scope, ..Caller::new("ada", role) });
            events.each_ref().map(|event| visible.admits(event))
        };
        assert_eq!(seen(Role::Admin, &[]), [true; 5]);
        assert_eq!(seen(Role::Viewer, &[]), [true, true, true, false, false]);
        assert_eq!(seen(Role::Operator, &["web-*"]), [true, false, true, false, false]);
        assert_eq!(seen(Role::Admin, &["web-*"]), [true, false, true, true, false]);
    }
}
