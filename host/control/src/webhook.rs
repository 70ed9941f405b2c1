//! Posts JSON to a URL in the background, with retries.

use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use windlass_core::net::{Net, NetError, Reach};

/// Attempts for one notice.
const ATTEMPTS: u32 = 3;

/// The wait before the second attempt; it doubles with each further one.
const FIRST_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends notices that name this machine. A pass never waits for one.
#[derive(Clone)]
pub(crate) struct Webhook {
    net: Arc<dyn Net>,
    /// Name of this machine, the `host` of each notice.
    host: String,
    /// Time limit of one attempt.
    timeout: Duration,
}

impl Webhook {
    pub(crate) fn new(net: Arc<dyn Net>, host: String, timeout: Duration) -> Self {
        Self { net, host, timeout }
    }

    /// Posts `notice`, a JSON object, in the background. `failed` is called if the last attempt fails too.
    pub(crate) fn post(&self, url: String, mut notice: Value, failed: impl FnOnce(NetError) + Send + 'static) {
        notice["host"] = Value::from(self.host.as_str());
        let (net, timeout) = (Arc::clone(&self.net), self.timeout);
        tokio::spawn(async move {
            for attempt in 1.. {
                match net.post_json(&url, Reach::Configured, &notice, timeout).await {
                    Ok(()) => return,
                    Err(error) if attempt == ATTEMPTS => return failed(error),
                    Err(_) => tokio::time::sleep(FIRST_RETRY_AFTER * 2_u32.pow(attempt - 1)).await,
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use serde_json::json;
    use std::net::SocketAddr;
    use windlass_core::net::{SourceRequest, SourceResponse};
    use windlass_core::{DurationMs, HttpProbe};

    /// A network on which the first posts fail.
    struct Flaky {
        failures: usize,
        posts: Mutex<Vec<Value>>,
    }

    #[async_trait]
    impl Net for Flaky {
        async fn http_probe(&self, _: SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
            Err(NetError::Failed("unused".to_owned()))
        }
        async fn tcp_connect(&self, _: SocketAddr, _: bool, _: Duration) -> Result<DurationMs, NetError> {
            Err(NetError::Failed("unused".to_owned()))
        }
        async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
            Err(NetError::Failed("unused".to_owned()))
        }
        async fn post_json(&self, _: &str, _: Reach, body: &Value, _: Duration) -> Result<(), NetError> {
            let mut posts = self.posts.lock();
            posts.push(body.clone());
            if posts.len() > self.failures { Ok(()) } else { Err(NetError::Failed("it answered 503".to_owned())) }
        }
    }

    /// The posts of one notice, and whether it failed in the end.
    async fn posted(failures: usize) -> (Vec<Value>, bool) {
        let net = Arc::new(Flaky { failures, posts: Mutex::default() });
        let webhook = Webhook::new(Arc::<Flaky>::clone(&net), "here".to_owned(), Duration::from_secs(1));
        let failed = Arc::new(Mutex::new(false));
        let flag = Arc::clone(&failed);
        webhook.post("http://there".to_owned(), json!({"event": "stop"}), move |_| *flag.lock() = true);
        tokio::time::sleep(Duration::from_secs(60)).await;
        (net.posts.lock().clone(), *failed.lock())
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_posted_again_until_it_is_accepted_three_times_at_most() {
        let notice = json!({"event": "stop", "host": "here"});
        assert_eq!(posted(0).await, (vec![notice.clone()], false));
        assert_eq!(posted(2).await, (vec![notice.clone(); 3], false));
        assert_eq!(posted(9).await, (vec![notice; 3], true));
    }
}
