//! The errors of the client of a running Windlass.

use windlass_core::net::NetError;

/// Why a request to a Windlass failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The server cannot be reached.
    #[error("cannot reach windlass at {server}: {error}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// The cause.
        error: NetError,
    },
    /// Windlass rejected the request.
    #[error("{detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The reason, in Windlass's own words.
        detail: String,
    },
    /// The server's port speaks HTTPS, and the address is one of HTTP.
    #[error(
        "{server} speaks HTTPS only; use `{secure}`, and `--ca-file` unless the system knows the server's authority"
    )]
    NeedsHttps {
        /// The server's address.
        server: String,
        /// The address with HTTPS.
        secure: String,
    },
    /// Another program listens at the address.
    #[error("the server at {server} is not windlass: {why}; check the address")]
    NotWindlass {
        /// The server's address.
        server: String,
        /// The unexpected part of the response.
        why: String,
    },
}

impl RemoteError {
    /// The HTTP status with which Windlass rejected the request. `None` if the request failed in another way.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::NeedsHttps { .. } | Self::NotWindlass { .. } => None,
        }
    }
}
