//! The TCP probe: opens a connection, and behind a port proxy also checks that somebody keeps it open.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use windlass_core::DurationMs;
use windlass_core::net::NetError;
use windlass_core::time::millis;

/// Time in which a port proxy closes a connection that nothing in the container accepts. The proxy connects to the
/// container on the same machine, which is refused within a millisecond.
const CLOSED_WITHIN: Duration = Duration::from_millis(100);

/// Opens a connection within `timeout`, and returns the milliseconds that it took. See
/// [`windlass_core::net::Net::tcp_connect`].
pub(crate) async fn connect(
    address: SocketAddr,
    behind_proxy: bool,
    timeout: Duration,
) -> Result<DurationMs, NetError> {
    let started = Instant::now();
    let deadline = started + timeout;
    let failed = |why: &str| NetError::Failed(format!("port {}: {why}", address.port()));
    let mut stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Err(_) => return Err(NetError::TimedOut(timeout)),
        Ok(Err(error)) => return Err(failed(&error.to_string())),
        Ok(Ok(stream)) => stream,
    };
    let took = millis(started.elapsed());
    if behind_proxy {
        let patience = deadline.min(Instant::now() + CLOSED_WITHIN);
        match timeout_at(patience, stream.read(&mut [0])).await {
            // Nobody spoke, and nobody hung up.
            Err(_) => {}
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => {
                return Err(failed("the connection was closed at once; nothing listens on this port in the container"));
            }
        }
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    const LONG: Duration = Duration::from_secs(20);

    /// Connects to a server that treats its connection in this way.
    async fn probed<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static, behind_proxy: bool) -> Result<(), String>
    where
        F: Future<Output = ()> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            serve(stream).await;
        });
        let outcome = connect(address, behind_proxy, LONG).await;
        server.abort();
        outcome.map(drop).map_err(|error| error.to_string().replace(&address.port().to_string(), "PORT"))
    }

    /// Keeps the connection open, and says nothing.
    async fn keep(stream: TcpStream) {
        let _held = stream;
        std::future::pending::<()>().await;
    }

    /// Sends a greeting and keeps the connection open.
    async fn greet(mut stream: TcpStream) {
        stream.write_all(b"220 ready").await.expect("sent");
        keep(stream).await;
    }

    #[tokio::test]
    async fn a_connection_through_a_proxy_that_is_closed_at_once_is_a_failure() {
        let close = |stream: TcpStream| {
            drop(stream);
            std::future::ready(())
        };
        let closed = "port PORT: the connection was closed at once; nothing listens on this port in the container";
        assert_eq!(probed(close, true).await, Err(closed.to_owned()));
        assert_eq!(probed(close, false).await, Ok(()), "the replica itself accepted it");
        assert_eq!(probed(keep, true).await, Ok(()));
        assert_eq!(probed(greet, true).await, Ok(()));
    }

    #[tokio::test]
    async fn a_port_that_refuses_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        for behind_proxy in [false, true] {
            assert!(matches!(connect(address, behind_proxy, LONG).await, Err(NetError::Failed(_))));
        }
    }
}
