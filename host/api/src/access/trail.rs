//! Records each change: who made it, from where, what it was, the state before and after, and the result.
//!
//! A change is finished even if its caller hangs up, so it is recorded then, too: the task of the change and the request share
//! one [`Pending`].

use crate::ApiState;
use crate::access::caller::Caller;
use crate::access::snapshot::{Snapshot, Subject, difference};
use crate::access::store_call::call;
use crate::containers::lookup::find;
use crate::error::{Detail, Problem};
use crate::limits::Peer;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_control::events::EventKind;
use windlass_core::WorkloadKey;
use windlass_core::access::AuditRecord;

/// The result of a change that succeeded.
const DONE: &str = "done";

/// Most characters of a path in a record.
const LONGEST_PATH: usize = 500;

/// A request that changes something, until it is recorded.
pub(crate) struct Pending {
    state: ApiState,
    caller: Caller,
    from: String,
    request: String,
    what: &'static str,
    change: Mutex<Change>,
    /// Held by the task that makes the change.
    running: Arc<Semaphore>,
}

struct Change {
    subject: Subject,
    before: Option<Snapshot>,
    /// The state after the change, if the handler describes it.
    after: Option<Snapshot>,
    /// Whether a task makes the change.
    is_begun: bool,
    /// The result of that task. `None` before it ends, and if it panicked.
    ended: Option<Result<(), Problem>>,
}

tokio::task_local! {
    static CURRENT: Arc<Pending>;
}

/// The change that the current task serves. `None` outside of changes.
pub(crate) fn current() -> Option<Arc<Pending>> {
    CURRENT.try_with(Arc::clone).ok()
}

impl Pending {
    pub(crate) fn begin(
        state: &ApiState,
        caller: Caller,
        parts: &Parts,
        what: &'static str,
        subject: Subject,
    ) -> Arc<Self> {
        let path: String = parts.uri.path().chars().take(LONGEST_PATH).collect();
        let before = Snapshot::of(state, &subject);
        Arc::new(Self {
            state: state.clone(),
            caller,
            from: Peer::among(&parts.extensions).to_string(),
            request: format!("{} {path}", parts.method),
            what,
            change: Mutex::new(Change { subject, before, after: None, is_begun: false, ended: None }),
            running: Arc::new(Semaphore::new(1)),
        })
    }

    /// Names the workload of a request whose path does not.
    pub(crate) fn concerns(&self, key: &WorkloadKey) {
        let subject = Subject::Workload(key.clone());
        let before = Snapshot::of(&self.state, &subject);
        let mut change = self.change.lock();
        (change.subject, change.before) = (subject, before);
    }

    /// Describes an object that no subject stands for. It must contain no secret.
    pub(crate) fn describe(&self, before: Option<Value>, after: Option<Value>) {
        let mut change = self.change.lock();
        (change.before, change.after) = (before.map(Snapshot::shown), after.map(Snapshot::shown));
    }

    /// Keeps the record waiting until the task of the change has ended.
    pub(crate) fn run(self: Arc<Self>) -> Running {
        self.change.lock().is_begun = true;
        let permit = Arc::clone(&self.running).try_acquire_owned().ok();
        Running { pending: self, _permit: permit }
    }

    /// Stores the record and writes it to the log.
    async fn write(&self, status: StatusCode, result: String) {
        let record = {
            let change = self.change.lock();
            let now = Snapshot::of(&self.state, &change.subject);
            let after = change.after.as_ref().or(now.as_ref());
            let (before, after) = difference(change.before.as_ref(), after);
            let workload = match &change.subject {
                Subject::Workload(key) => Some(self.state.controller.known_key(key).to_string()),
                Subject::Container(name) => find(&self.state, name).map(|replica| replica.workload.to_string()),
                Subject::Policy(_) | Subject::None => None,
            };
            AuditRecord {
                id: 0,
                at: self.state.access.now(),
                who: self.caller.name.to_string(),
                token: self.caller.token.as_deref().map(str::to_owned),
                from: self.from.clone(),
                request: self.request.clone(),
                what: self.what.to_owned(),
                workload,
                before,
                after,
                status: status.as_u16(),
                result,
            }
        };
        store(&self.state, record).await;
    }
}

/// Publishes a change as an event, which only administrators see.
fn publish(state: &ApiState, record: &AuditRecord) {
    let AuditRecord { who, from, request, what, workload, before, after, status, result, .. } = record;
    let data = json!({
        "who": who, "from": from, "request": request, "what": what, "before": before, "after": after, "status": status,
        "result": result,
    });
    let workload = workload.as_ref().map(WorkloadKey::stored);
    let text = format!("`{who}` at {from}: {request}: {result}");
    state.controller.events().publish(EventKind::Audit, workload.as_ref(), &text, &data);
}

/// Writes a record to the log, to the events and to the store.
pub(crate) async fn store(state: &ApiState, record: AuditRecord) {
    let AuditRecord { who, token, from, request, workload, before, after, status, result, .. } = &record;
    tracing::info!(who, token, from, request, workload, %before, %after, status, result, "a change");
    publish(state, &record);
    // A server without a store for tokens has none for records.
    let Ok(store) = state.access.tokens.store() else { return };
    // The failure is in the log, and the change is made.
    let _ = call(&store, move |store| store.add_audit(&record)).await;
}

/// A record without a request that changes an object, such as a log-in.
pub(crate) fn simple(state: &ApiState, who: &str, from: String, request: &str, what: &str) -> AuditRecord {
    AuditRecord {
        id: 0,
        at: state.access.now(),
        who: who.to_owned(),
        token: None,
        from,
        request: request.to_owned(),
        what: what.to_owned(),
        workload: None,
        before: Value::Null,
        after: Value::Null,
        status: 200,
        result: DONE.to_owned(),
    }
}

/// The task of a change runs while this lives.
pub(crate) struct Running {
    pending: Arc<Pending>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Running {
    /// The task ended with this result.
    pub(crate) fn ended<T>(self, result: &Result<T, Problem>) {
        self.pending.change.lock().ended = Some(result.as_ref().map(drop).map_err(Clone::clone));
    }
}

/// Runs a request and records it.
pub(crate) async fn record(pending: Arc<Pending>, request: impl Future<Output = Response>) -> Response {
    let mut left = Left(Some(Arc::clone(&pending)));
    let response = CURRENT.scope(Arc::clone(&pending), request).await;
    left.0.take();
    let status = response.status();
    let failure = response.extensions().get::<Detail>().map(|Detail(text)| text.to_string());
    let result = match failure {
        Some(text) => text,
        None if status.is_success() || status.is_redirection() => DONE.to_owned(),
        None => status.canonical_reason().unwrap_or("failed").to_owned(),
    };
    pending.write(status, result).await;
    response
}

/// Records a change whose caller left before the answer, when it has ended.
struct Left(Option<Arc<Pending>>);

impl Drop for Left {
    fn drop(&mut self) {
        let Some(pending) = self.0.take() else { return };
        drop(tokio::spawn(async move {
            let _ended = pending.running.acquire().await;
            let (is_begun, ended) = {
                let change = pending.change.lock();
                (change.is_begun, change.ended.clone())
            };
            let (status, result) = match ended {
                Some(Ok(())) => (StatusCode::OK, format!("{DONE}; the caller left before the answer")),
                Some(Err(problem)) => (problem.status(), problem.detail().to_owned()),
                None if is_begun => (StatusCode::INTERNAL_SERVER_ERROR, "the change panicked".to_owned()),
                // Without a task, nothing was changed.
                None => return,
            };
            pending.write(status, result).await;
        }));
    }
}
