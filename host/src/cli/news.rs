//! Waits for news of a server: the next event of its stream, or the end of a pause if there is none.
//!
//! An event only says when to look again. A server whose stream cannot be opened is looked at more often instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use windlass_network::remote::Remote;

/// Time from an event to the next look, so that several events make one look.
const SETTLE: Duration = Duration::from_millis(50);

/// The longest time from that look to another one: some events come shortly before the state that they are about.
const AGAIN: Duration = Duration::from_millis(500);

/// Time between two attempts to open the stream.
const RETRY: Duration = Duration::from_secs(5);

/// The longest pauses between two looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pauses {
    /// While the stream is open.
    pub(super) with_stream: Duration,
    /// While it is not.
    pub(super) without: Duration,
}

/// The events of a server, read in the background. Dropping the value ends that.
#[derive(Debug)]
pub(super) struct News {
    state: Arc<State>,
    reader: JoinHandle<()>,
    pauses: Pauses,
    /// The last look followed an event.
    is_fresh: bool,
}

#[derive(Debug, Default)]
struct State {
    event: Notify,
    is_open: AtomicBool,
}

impl News {
    /// Follows the events that fit this query of `GET /events`.
    pub(super) fn follow(client: &Remote, query: Vec<(&'static str, String)>, pauses: Pauses) -> Self {
        let state = Arc::<State>::default();
        let reader = tokio::spawn(read(client.clone(), query, Arc::clone(&state)));
        Self { state, reader, pauses, is_fresh: false }
    }

    /// Returns when it is time for another look, at the latest after `longest`.
    pub(super) async fn next(&mut self, longest: Duration) {
        let pause = match (self.state.is_open.load(Ordering::Relaxed), self.is_fresh) {
            (false, _) => self.pauses.without,
            (true, true) => self.pauses.with_stream.min(AGAIN),
            (true, false) => self.pauses.with_stream,
        };
        self.is_fresh = timeout(pause.min(longest), self.state.event.notified()).await.is_ok();
        if self.is_fresh {
            sleep(SETTLE.min(longest)).await;
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads the stream, and opens it again when it ends.
async fn read(client: Remote, query: Vec<(&'static str, String)>, state: Arc<State>) {
    loop {
        // The looks report an error of the server.
        if let Ok(mut lines) = client.lines(&["events"], &query, &[("accept", "text/event-stream")]).await {
            state.is_open.store(true, Ordering::Relaxed);
            // Something may have happened since the last look.
            state.event.notify_one();
            while let Ok(Some(line)) = lines.next().await {
                if line.starts_with("data:") {
                    state.event.notify_one();
                }
            }
            state.is_open.store(false, Ordering::Relaxed);
            state.event.notify_one();
        }
        sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// Time limit for each step. The pauses of the test are longer.
    const BOUND: Duration = Duration::from_secs(20);
    const PAUSES: Pauses = Pauses { with_stream: Duration::from_secs(600), without: Duration::from_secs(600) };

    async fn opened(listener: &TcpListener) -> (TcpStream, String) {
        let (mut stream, _) = timeout(BOUND, listener.accept()).await.expect("in time").expect("a connection");
        let mut head = vec![0; 1_024];
        let length = timeout(BOUND, stream.read(&mut head)).await.expect("in time").expect("a request");
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hello\n\n";
        stream.write_all(answer.as_bytes()).await.expect("sent");
        (stream, String::from_utf8_lossy(&head[..length]).into_owned())
    }

    #[tokio::test]
    async fn an_event_ends_the_pause_and_so_does_a_stream_that_opens_or_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let client = Remote::new(&address, None, None).expect("a client");
        let mut news = News::follow(&client, vec![("workload", "web".to_owned())], PAUSES);
        let (mut stream, head) = opened(&listener).await;
        assert!(head.starts_with("GET /events?workload=web HTTP/1.1\r\n"), "{head}");
        timeout(BOUND, news.next(BOUND * 2)).await.expect("the stream is open");
        // The second look, and then none without an event.
        timeout(BOUND, news.next(BOUND * 2)).await.expect("another look");
        stream.write_all(b"id: 1\nevent: decision\ndata: {}\n\n").await.expect("sent");
        timeout(BOUND, news.next(BOUND * 2)).await.expect("the event");
        timeout(BOUND, news.next(BOUND * 2)).await.expect("another look");
        drop(stream);
        timeout(BOUND, news.next(BOUND * 2)).await.expect("the end of the stream");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_stream_the_pauses_are_those_of_a_poll() {
        let client = Remote::new("unix:/nonexistent/windlass.sock", None, None).expect("a client");
        let pauses = Pauses { with_stream: Duration::from_secs(600), without: Duration::from_secs(1) };
        let mut news = News::follow(&client, Vec::new(), pauses);
        let begin = tokio::time::Instant::now();
        for _ in 0..3 {
            news.next(Duration::from_secs(60)).await;
        }
        // The timers are exact to a millisecond or so.
        let elapsed = begin.elapsed().as_millis();
        assert!((3_000..3_020).contains(&elapsed), "{elapsed}");
        news.next(Duration::from_millis(100)).await;
        let elapsed = begin.elapsed().as_millis();
        assert!((3_100..3_120).contains(&elapsed), "{elapsed}");
    }
}
