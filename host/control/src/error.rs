//! Why the loop could not do what it was asked for.

/// Why an operator's wish was not met. Each maps to one status of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// 404: no workload has this key.
    #[error("image `{0}` was never started")]
    NoSuchWorkload(String),
    /// 404: no container of this instance has this name or identifier.
    #[error("Container '{0}' not found")]
    NoSuchContainer(String),
    /// 409: it contradicts what is there; the text says what to do.
    #[error("{0}")]
    Conflict(String),
    /// 422: what it is to depend on is not there, or depends on it.
    #[error("{0}")]
    Dependency(String),
    /// 400: the engine refused; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// 500: a start that brought nothing up; the text says why.
    #[error("{0}")]
    StartFailed(String),
    /// 503: the engine does not answer.
    #[error("{0}")]
    EngineUnavailable(String),
    /// 503: Windlass is shutting down.
    #[error("windlass is shutting down")]
    ShuttingDown,
    /// 500: the store failed; the text goes to the log only.
    #[error("the store failed")]
    Store(String),
}
