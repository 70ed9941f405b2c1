//! One event, its kinds, and the filter of a reader.

use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use windlass_core::{Timestamp, WorkloadKey};

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A decision that changed something, or whose reason changed.
    Decision,
    /// A replica was created, started, stopped or removed, or its phase or its health changed.
    Replica,
    /// An alert began or ended.
    Alert,
    /// A revision of a policy acts, failed, or was rolled back.
    Policy,
    /// An operator's override began, changed or ended.
    Override,
    /// A workload was started, changed, adopted, suspended or deleted.
    Workload,
    /// A person or a token changed something.
    Audit,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Decision, Self::Replica, Self::Alert, Self::Policy, Self::Override, Self::Workload, Self::Audit];

    /// Its name in answers and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Replica => "replica",
            Self::Alert => "alert",
            Self::Policy => "policy",
            Self::Override => "override",
            Self::Workload => "workload",
            Self::Audit => "audit",
        }
    }
}

/// One event. All readers share its text.
#[derive(Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number. Later events have higher ones, also after a restart.
    pub id: u64,
    /// Its kind.
    pub kind: EventKind,
    /// The workload that it concerns. `None` if it concerns none, or all.
    pub workload: Option<WorkloadKey>,
    /// The event as JSON: `id`, `time`, `kind`, `workload` if there is one, `text` and `data`.
    pub json: String,
}

/// Most bytes of an event's sentence.
const LONGEST_TEXT: usize = 4 << 10;

/// Most bytes of an event's data.
const MOST_DATA: usize = 16 << 10;

/// An event that has no number yet.
pub(crate) struct Draft {
    kind: EventKind,
    workload: Option<WorkloadKey>,
    /// Its members without `id`, as JSON without the bracket that opens the object.
    rest: String,
}

#[derive(Serialize)]
struct Members<'a> {
    time: String,
    kind: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<&'a WorkloadKey>,
    text: &'a str,
    data: &'a Value,
}

impl Draft {
    /// A long sentence is cut, and data without room is replaced by `{"omitted": true}`.
    pub(crate) fn new(
        at: Timestamp,
        kind: EventKind,
        workload: Option<&WorkloadKey>,
        text: &str,
        data: &Value,
    ) -> Self {
        let text = &text[..text.floor_char_boundary(LONGEST_TEXT)];
        let json = |data: &Value| {
            // It cannot fail: all keys are strings.
            serde_json::to_string(&Members { time: at.to_rfc3339_millis(), kind, workload, text, data })
                .unwrap_or_else(|_| "{}".to_owned())
        };
        let mut whole = json(data);
        if whole.len() > LONGEST_TEXT + MOST_DATA {
            whole = json(&serde_json::json!({"omitted": true}));
        }
        let rest = whole.split_off(1);
        Self { kind, workload: workload.cloned(), rest }
    }

    pub(crate) fn numbered(self, id: u64) -> Event {
        let Self { kind, workload, rest } = self;
        Event { id, kind, workload, json: format!("{{\"id\":{id},{rest}") }
    }
}

/// The workloads whose events a reader may see.
#[derive(Clone)]
pub struct Visible(Arc<dyn Fn(&WorkloadKey) -> bool + Send + Sync>);

impl Visible {
    /// The workloads for which `is_visible` is true.
    pub fn of(is_visible: impl Fn(&WorkloadKey) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_visible))
    }
}

impl std::fmt::Debug for Visible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visible")
    }
}

/// The events that a reader wants: those of all the given workloads and kinds.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// A reader that may see some workloads only gets their events, and none without a workload. `None`: it may see all.
    pub visible: Option<Visible>,
    /// Events of these workloads only. Empty: of all, and those without a workload.
    pub workloads: Vec<WorkloadKey>,
    /// Events of these kinds only. Empty: of all.
    pub kinds: Vec<EventKind>,
}

impl EventFilter {
    pub(crate) fn admits(&self, event: &Event) -> bool {
        let is_of_workload = || event.workload.as_ref().is_some_and(|workload| self.workloads.contains(workload));
        let may_see = |Visible(is_visible): &Visible| event.workload.as_ref().is_some_and(|it| is_visible(it));
        self.visible.as_ref().is_none_or(may_see)
            && (self.workloads.is_empty() || is_of_workload())
            && (self.kinds.is_empty() || self.kinds.contains(&event.kind))
    }
}
