//! A connection of any kind.

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection that can be read and written.
pub(crate) trait Connected: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connected for T {}

/// A connection.
pub(crate) type Stream = Box<dyn Connected>;
