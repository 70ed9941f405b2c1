//! A server, and a person who uses it from the command line.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::Caller;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::registry::Registry;
use windlass_tests::site::{Site, Windlass, binary, start_body};
use windlass_tests::wait::eventually;

/// A load over two minutes.
const LOAD: &str = "time,load\n0,10\n60,20\n120,30\n";

/// A server, and a person who uses it from the command line.
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) windlass: Windlass,
    pub(crate) caller: Caller,
    image: &'static str,
    /// The source of the policy `fetched`.
    _registry: Option<Registry>,
}

impl Place {
    pub(crate) async fn new(name: &str) -> anyhow::Result<Self> {
        Self::on(Site::new(name).await?, None).await
    }

    /// A server with everything that the examples of the help and of the manual need: the workload `web` with an earlier
    /// generation, the policy `queue`, the policy `fetched` from a registry that has a newer version, and files.
    pub(crate) async fn with_everything(name: &str) -> anyhow::Result<Self> {
        let registry = Registry::start(false).await?;
        registry.put("team/fetched", "1", &hostile::proposes(1).build()).await?;
        let origin = format!("oci://{}/team/fetched:1", registry.address());
        let site = Site::new(name).await?.set("policies.fetched.source", &format!("{origin:?}"));
        let place = Self::on(site, Some(registry)).await?;
        eventually("the policy from the registry", Duration::from_secs(60), async || {
            let fetched = place.windlass.get("/policies/fetched").await;
            if fetched.body["acting"] == 1 { Ok(()) } else { Err(fetched.to_string()) }
        })
        .await;
        let registry = place._registry.as_ref().context("it runs")?;
        registry.put("team/fetched", "1", &hostile::proposes(2).build()).await?;

        place.windlass.post("/start/container", place.web("1")).await.ok();
        place.windlass.put_component("/policies/queue", MIN_MAX.to_vec()).await.ok();
        place.write("web.yaml", place.web("2").to_string())?;
        place.write("queue.wasm", MIN_MAX)?;
        place.write("load.csv", LOAD)?;
        place.write("windlass.toml", "")?;
        let observation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observations/scaling.json");
        place.write("observation.json", std::fs::read(observation)?)?;
        // Rust's compiler leaves a core module of each built-in policy next to its component.
        let target = binary()?.parent().and_then(Path::parent).context("it lies in target/debug")?.to_owned();
        let module = target.join("guests/wasm32-unknown-unknown/guest/windlass_policy_min_max.wasm");
        place.write("module.wasm", std::fs::read(module)?)?;
        Ok(place)
    }

    async fn on(site: Site, registry: Option<Registry>) -> anyhow::Result<Self> {
        let site = site.set("control.interval", "\"1s\"");
        let image = site.engine().prepare(Fixture::Web).await?;
        let windlass = site.start().await?;
        let address = format!("http://{}", windlass.address());
        let caller = Caller::new()?.with("WINDLASS_SERVER", &address);
        Ok(Self { site, windlass, caller, image, _registry: registry })
    }

    /// The image of `web`.
    pub(crate) fn image(&self) -> &'static str {
        self.image
    }

    /// A start request of `web` with this variable.
    pub(crate) fn web(&self, value: &str) -> Value {
        let mut body = start_body(self.image, 1, 3);
        body["name"] = json!("web");
        body["env"] = json!({"A": value, "VERSION": "1.10", "ANSWER": "yes"});
        let script = "echo ready; trap 'exit 0' TERM; hostname > /www/index.html; httpd -f -p 80 -h /www & wait";
        body["command"] = json!(["/bin/sh", "-c", script]);
        body
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(std::fs::write(self.caller.folder().join(name), content)?)
    }

    /// The name of the first container of `web`.
    pub(crate) async fn container(&self) -> String {
        self.windlass.get("/workloads/web/containers").await.text("/containers/0/name")
    }

    /// The containers with the times of their starts: other ones after any replacement or restart.
    pub(crate) async fn containers(&self) -> Vec<Value> {
        let view = self.windlass.get("/workloads/web").await.ok();
        let containers = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
        containers.iter().map(|one| json!([one["container_id"], one["started_at"]])).collect()
    }

    /// The words after `windlass` of an example of the help or the manual, with the names that there are here.
    pub(crate) async fn words(&self, example: &str) -> anyhow::Result<Vec<String>> {
        /// The container and the token of the examples.
        const CONTAINER: &str = "web-3f91a2-0";
        const TOKEN: &str = "0a1b2c3d4e5f";
        let mut line = example.replace("127.0.0.1:8000", self.windlass.address());
        // Only a policy from a registry is refreshed.
        line = line.replace("policy refresh queue", "policy refresh fetched");
        if line.contains(CONTAINER) {
            line = line.replace(CONTAINER, &self.container().await);
        }
        if line.contains(TOKEN) {
            let body = json!({"name": "spare", "role": "viewer"});
            let created = self.windlass.post("/tokens", body).await;
            line = line.replace(TOKEN, created.body["id"].as_str().with_context(|| created.to_string())?);
        }
        Ok(line.split_whitespace().skip(1).map(str::to_owned).collect())
    }

    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Self { site, windlass, .. } = self;
        drop(windlass);
        drop(site);
        Ok(())
    }
}
