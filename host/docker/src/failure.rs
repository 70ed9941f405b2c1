//! What a failed call means: the engine is gone, it was too slow, or it refused.

use bollard::errors::Error;
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::error_chain;

/// How a call failed; its status and text are kept until it is known what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer within the limit.
    TimedOut {
        /// What was asked.
        operation: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// No connection, or one cut short.
    Unavailable(String),
    /// The engine answered with an error.
    Answered {
        /// HTTP status; one and the same means many things, so decide by inspecting.
        status: u16,
        /// Its text.
        message: String,
    },
    /// Nothing an engine said: the request could not be made.
    Unasked(String),
}

impl Failure {
    /// The engine says that the thing is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Answered { status: 404, .. })
    }

    /// The engine says that the image is not there.
    pub(crate) fn lacks_image(&self) -> bool {
        matches!(self, Self::Answered { status: 404, message } if message.to_ascii_lowercase().contains("image"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Answered { status: status_code, message: message.trim().to_owned() }
            }
            // Within a stream that began well, as a pull's.
            Error::DockerStreamError { error } => Self::Answered { status: 500, message: error.trim().to_owned() },
            Error::SocketNotFoundError(_) => Self::Unavailable("no such socket".to_owned()),
            Error::HyperLegacyError { err } => Self::Unavailable(error_chain(&err)),
            error @ (Error::IOError { .. }
            | Error::HyperResponseError { .. }
            | Error::RequestTimeoutError
            | Error::CertPathError { .. }
            | Error::CertMultipleKeys { .. }
            | Error::CertParseError { .. }
            | Error::NoNativeCertsError { .. }
            | Error::LoadNativeCertsErrors { .. }
            | Error::NoHomePathError
            | Error::APIVersionParseError {}
            | Error::JsonDataError { .. }
            | Error::JsonSerdeError { .. }) => Self::Unavailable(error_chain(&error)),
            error => Self::Unasked(error_chain(&error)),
        }
    }
}

impl From<Failure> for EngineError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut { operation, limit } => Self::TimedOut { operation, limit },
            Failure::Unavailable(reason) => Self::Unavailable(reason),
            Failure::Answered { status, message } if foundation_is_gone(status, &message) => Self::Unavailable(message),
            Failure::Answered { status, message } if message.is_empty() => {
                Self::Refused(format!("the engine answered {status} without a reason"))
            }
            Failure::Answered { message, .. } => Self::Refused(message),
            Failure::Unasked(reason) => Self::Refused(reason),
        }
    }
}

/// The engine answers and what it stands on does not: no container can be started, whichever it is.
/// "Connection refused" alone says nothing: a registry may have refused.
fn foundation_is_gone(status: u16, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    matches!(status, 502..=504)
        || (message.contains("connection error") && message.contains("containerd"))
        || ["containerd.sock", "code = unavailable", "transport is closing", "ttrpc: closed"]
            .iter()
            .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, message: &str) -> EngineError {
        EngineError::from(Failure::from(Error::DockerResponseServerError {
            status_code: status,
            message: message.to_owned(),
        }))
    }

    #[test]
    fn a_dead_containerd_is_an_engine_that_is_unavailable() {
        let message = "connection error: desc = \"transport: error while dialing: dial unix \
                       /run/containerd/containerd.sock: connect: connection refused\": unavailable";
        assert!(matches!(answered(500, message), EngineError::Unavailable(_)));
        assert!(matches!(answered(503, ""), EngineError::Unavailable(_)));
    }

    #[test]
    fn what_an_engine_refuses_is_passed_on_in_its_own_words() {
        for (status, message) in [
            (
                500,
                "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated",
            ),
            (500, "Get \"https://registry/v2/\": dial tcp 10.0.0.1:443: connect: connection refused"),
            (500, "mkdir /var/lib/docker/overlay2/x: no space left on device"),
            (400, "failed to create shim: OCI runtime create failed: exec: \"/nope\": no such file or directory"),
            (500, "/run/containerd/io.containerd.runtime.v2.task/moby/x: fork: resource temporarily unavailable"),
            (409, "Conflict. The container name \"/x\" is already in use"),
        ] {
            assert_eq!(answered(status, message), EngineError::Refused(message.to_owned()));
        }
        assert!(answered(500, "").to_string().contains("500"));
    }

    #[test]
    fn a_lost_connection_is_an_engine_that_is_unavailable() {
        let error = Error::IOError { err: std::io::Error::from(std::io::ErrorKind::ConnectionReset) };
        assert!(matches!(Failure::from(error), Failure::Unavailable(_)));
        let missing = Failure::from(Error::SocketNotFoundError("/x.sock".to_owned()));
        assert_eq!(missing, Failure::Unavailable("no such socket".to_owned()));
    }
}
