//! Authentication, listening addresses, and the lock on a data directory.

use serde_json::json;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, start_body};

const TOKEN: &str = "a-token-of-thirty-two-characters";

#[tokio::test]
async fn without_a_token_only_the_loopback_is_listened_on() -> anyhow::Result<()> {
    let site = Site::new("open").await?;
    let (status, said) = site.refuse(&["--listen", "0.0.0.0:0"]).await?;
    assert!(!status.success());
    assert!(said.contains("token") && said.contains("--insecure"), "{said}");
    // `--insecure` makes the intention explicit.
    drop(site.start_with(&["--listen", "0.0.0.0:0", "--insecure"]).await?);
    Ok(())
}

#[tokio::test]
async fn a_token_is_asked_of_everyone_when_there_is_one() -> anyhow::Result<()> {
    let site = Site::new("token").await?.environment("WINDLASS_TOKEN", TOKEN);
    let windlass = site.start_with(&["--listen", "0.0.0.0:0"]).await?;
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    401 application/problem+json
    {
      "detail": "a token is required: send the header `authorization: Bearer <token>`",
      "status": 401,
      "title": "Unauthorized",
      "type": "about:blank"
    }
    "#);
    let windlass = windlass.with_token("wrong");
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    401 application/problem+json
    {
      "detail": "the bearer token is wrong",
      "status": 401,
      "title": "Unauthorized",
      "type": "about:blank"
    }
    "#);
    let windlass = windlass.with_token(TOKEN);
    assert_eq!(windlass.get("/containers").await.ok(), json!({"containers": []}));
    assert!(!windlass.log().contains(TOKEN), "the token is in the log");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_windlass() -> anyhow::Result<()> {
    let site = Site::new("twice").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let first = site.start().await?;
    first.post("/start/container", start_body(image, 1, 1)).await.ok();
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(!status.success());
    assert!(said.contains("in use by another windlass"), "{said}");
    assert_eq!(first.get("/containers").await.list("/containers").len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_workload_is_told_in_secret_is_not_in_the_log() -> anyhow::Result<()> {
    const SECRET: &str = "correct-horse-battery-staple";
    let site = Site::new("secret").await?.environment("WINDLASS_LOG", "trace");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["env"] = json!({"PASSWORD": SECRET});
    windlass.post("/start/container", body).await.ok();
    let log = windlass.log();
    assert!(log.contains("TRACE") && !log.contains(SECRET), "the secret is in the log");
    Ok(())
}
