//! The memory of requests' bodies, as the whole server limits it.

use super::roles::{CONFIGURED, served};
use super::*;
use futures_util::{StreamExt, stream};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

#[tokio::test]
async fn a_body_of_too_many_values_is_refused() {
    let body = json!({"image": "web:1", "command": vec![json!({}); 20_000]});
    let (status, refused) = served().send("POST", "/start/container", Some(CONFIGURED), &body).await;
    assert_eq!(status, 413, "{refused}");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("JSON values")), "{refused}");
}

/// Bodies that never end hold the memory of one peer: 32 of them are its share.
#[tokio::test]
async fn bodies_that_arrive_take_memory_up_to_a_limit() {
    let served = served();
    let mut answers = JoinSet::new();
    for _ in 0..48 {
        let piece = Ok::<_, Infallible>(vec![b' '; (1 << 20) - 1]);
        let body = Body::from_stream(stream::iter([piece]).chain(stream::pending()));
        let request = Request::post("/start/container").header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {CONFIGURED}")).body(body).expect("a request");
        answers.spawn(served.api.clone().oneshot(request));
    }
    // The others wait for the rest of their bodies for half a minute.
    let first = timeout(Duration::from_secs(20), answers.join_next()).await.expect("one is refused");
    let Ok(Ok(refused)) = first.expect("an answer") else { panic!("the task ended") };
    assert_eq!(refused.status(), 503);
    let refused = refused.into_body().collect().await.expect("a body").to_bytes();
    assert!(String::from_utf8_lossy(&refused).contains("bytes of JSON"), "{refused:?}");
}
