//! The errors of engine calls: the engine is unreachable, too slow, or rejected the request.

use bollard::errors::Error;
use std::time::Duration;
use windlass_core::engine::EngineError;
use windlass_core::error_chain;
use windlass_core::text::plain;

/// Why a call failed. Status and message are kept until the caller knows how to interpret them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The engine did not respond within the limit.
    TimedOut {
        /// The call, for people.
        operation: String,
        /// The time limit.
        limit: Duration,
    },
    /// The connection failed or was cut off.
    Unavailable(String),
    /// The engine responded with an error.
    Response {
        /// HTTP status. One status has many meanings, so callers inspect the container to decide.
        status: u16,
        /// The engine's message.
        message: String,
    },
    /// The engine's answer is not what its API describes.
    Unreadable(String),
    /// The name of the container to create belongs to another container.
    NameTaken(String),
    /// The request could not be built.
    InvalidRequest(String),
}

impl CallError {
    /// The engine reports that the object does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Response { status: 404, .. })
    }

    /// The engine reports that the image does not exist.
    pub(crate) fn lacks_image(&self) -> bool {
        matches!(self, Self::Response { status: 404, message } if message.to_ascii_lowercase().contains("image"))
    }
}

/// Most bytes of a message.
const LONGEST: usize = 4 << 10;

/// The beginning of an engine's message, which may repeat the text of a registry.
fn excerpt(message: &str) -> String {
    let message = message.trim();
    plain(&message[..message.floor_char_boundary(LONGEST)])
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                Self::Response { status: status_code, message: excerpt(&message) }
            }
            // An error inside a stream that started successfully, such as a pull.
            Error::DockerStreamError { error } => Self::Response { status: 500, message: excerpt(&error) },
            Error::SocketNotFoundError(_) => {
                Self::Unavailable("no such socket; start the engine, or correct its address".to_owned())
            }
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
            | Error::APIVersionParseError {}) => Self::Unavailable(error_chain(&error)),
            error @ (Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::StrParseError { .. }) => {
                Self::Unreadable(error_chain(&error))
            }
            error => Self::InvalidRequest(error_chain(&error)),
        }
    }
}

impl From<CallError> for EngineError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TimedOut { operation, limit } => Self::TimedOut { operation, limit },
            CallError::Unavailable(reason) => Self::Unavailable(reason),
            CallError::Response { status, message } if backend_is_down(status, &message) => Self::Unavailable(message),
            CallError::Response { status, message } if message.is_empty() => {
                Self::Refused(format!("the engine responded with status {status} and no message; see the engine's log"))
            }
            CallError::Response { message, .. } => Self::Refused(message),
            CallError::Unreadable(reason) => Self::Unreadable(reason),
            CallError::NameTaken(reason) => Self::NameTaken(reason),
            CallError::InvalidRequest(reason) => Self::Refused(reason),
        }
    }
}

/// The engine responds, but its container runtime is down, so no container can be started. "Connection refused" alone
/// is not a sign: a registry may have refused the connection.
fn backend_is_down(status: u16, message: &str) -> bool {
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
        EngineError::from(CallError::from(Error::DockerResponseServerError {
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
        assert!(matches!(CallError::from(error), CallError::Unavailable(_)));
        let missing = CallError::from(Error::SocketNotFoundError("/x.sock".to_owned()));
        assert_eq!(
            missing,
            CallError::Unavailable("no such socket; start the engine, or correct its address".to_owned())
        );
    }
}
