//! The errors of requests to the loop.

/// The reason why a request failed. Each variant maps to one status of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// 404: no workload has this key.
    #[error("there is no workload `{0}`; it was never started, or it was deleted")]
    NoSuchWorkload(String),
    /// 404: no container of this instance has this name or identifier.
    #[error("there is no container `{0}`")]
    NoSuchContainer(String),
    /// 409: the request contradicts the current state; the text says what to do.
    #[error("{0}")]
    Conflict(String),
    /// 422: a dependency does not exist, or depends on the workload.
    #[error("{0}")]
    Dependency(String),
    /// 422: the engine cannot grant `resources.cpu`; nothing was stored.
    #[error("{0}")]
    Limits(String),
    /// 422: the configuration does not allow the networks; nothing was stored.
    #[error("{0}")]
    Networks(String),
    /// 400: the engine refused; the text is the engine's.
    #[error("{0}")]
    Refused(String),
    /// 400: the engine refused to create or to start a container; the text is the engine's, and says that the desired state
    /// is kept.
    #[error("{0}")]
    StartFailed(String),
    /// 503: the engine does not answer; the text says why.
    #[error("{0}")]
    EngineUnavailable(String),
    /// 503: the caller left while the request waited; nobody receives the answer.
    #[error("the caller left while the request waited")]
    CallerLeft,
    /// 503: Windlass is shutting down.
    #[error("windlass is shutting down")]
    ShuttingDown,
    /// 500: the store failed; the text goes to the log, not to the caller.
    #[error("the store failed")]
    Store(String),
}
