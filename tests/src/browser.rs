//! A headless Chromium, driven by its WebDriver server.

use anyhow::{Context, bail};
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Time limit for one command, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// How often a WebDriver server is started if it ends at once.
const STARTS: u32 = 5;

/// The arguments of Chromium: without a window, and with a pipe, so that it ends when its WebDriver server ends.
const ARGUMENTS: [&str; 9] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--force-color-profile=srgb",
];

/// A WebDriver server. It ends when it is dropped, and its browsers with it.
pub struct Browser {
    url: String,
    _server: Child,
    // An unread pipe that is closed would end the server.
    _output: Lines<BufReader<ChildStdout>>,
}

/// A page in a browser of its own, without cookies of another.
pub struct Tab<'a> {
    client: Client,
    // The server must live as long as its browsers.
    _browser: &'a Browser,
}

impl Browser {
    /// Starts the WebDriver server of Chromium.
    ///
    /// # Errors
    /// It is not installed; `.ci/setup` installs it.
    pub async fn start() -> anyhow::Result<Self> {
        let mut started = Self::start_once().await;
        // Two servers that start at once may choose the same free port. One of them ends.
        for _ in 1..STARTS {
            if started.is_err() {
                started = Self::start_once().await;
            }
        }
        started
    }

    async fn start_once() -> anyhow::Result<Self> {
        let program = std::env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let mut server = Command::new(&program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("{program} does not start; `.ci/setup` installs it, or CHROMEDRIVER names another")
            })?;
        let mut output = BufReader::new(server.stdout.take().context("a pipe")?).lines();
        let port = tokio::time::timeout(LIMIT, async {
            while let Some(line) = output.next_line().await? {
                let port = line.strip_prefix("ChromeDriver was started successfully on port ");
                let port = port.and_then(|port| port.trim_end_matches('.').parse().ok());
                if let Some(port) = port {
                    return Ok::<u16, anyhow::Error>(port);
                }
            }
            bail!("{program} ended before it named its port")
        });
        let port = port.await.with_context(|| format!("{program} names no port"))??;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), _server: server, _output: output })
    }

    /// Opens a page of this size in CSS pixels, dark or light.
    ///
    /// # Errors
    /// The page does not load.
    pub async fn open(&self, url: &str, size: (u32, u32), is_dark: bool) -> anyhow::Result<Tab<'_>> {
        let mut options = json!({"args": ARGUMENTS});
        if let Ok(program) = std::env::var("CHROMIUM") {
            options["binary"] = json!(program);
        }
        let mut wanted = Capabilities::new();
        wanted.insert("goog:chromeOptions".to_owned(), options);
        // The certificates of tests are signed by authorities that nobody trusts.
        wanted.insert("acceptInsecureCerts".to_owned(), json!(true));
        wanted.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&self.url).await;
        let tab = Tab { client: client.context("chromium does not start; `.ci/setup` installs it")?, _browser: self };
        tab.darken(is_dark).await?;
        tab.resize(size).await?;
        tab.go(url).await?;
        Ok(tab)
    }
}

/// A command of Chromium's WebDriver server that WebDriver itself does not have.
#[derive(Debug)]
struct Extension {
    /// Below the address of the session.
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, server: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        server.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

impl Tab<'_> {
    async fn send(&self, path: &'static str, body: Value) -> anyhow::Result<Value> {
        let what = body.to_string();
        let answer = tokio::time::timeout(LIMIT, self.client.issue_cmd(Extension { path, body })).await;
        answer.with_context(|| format!("no answer to {what}"))?.context(what)
    }

    /// A command of the DevTools protocol.
    async fn command(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.send("goog/cdp/execute", json!({"cmd": method, "params": params})).await
    }

    /// The complaints of the page since the last call: errors and warnings of the console, exceptions, and violations of
    /// the content policy.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.send("se/log", json!({"type": "browser"})).await?;
        let entries = entries.as_array().context("a list")?.iter();
        let complaints = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        Ok(complaints.map(|entry| entry["message"].to_string()).collect())
    }

    /// Changes to dark or to light colours.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn darken(&self, is_dark: bool) -> anyhow::Result<()> {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features})).await.map(drop)
    }

    /// The cookies of the page, also those that no script can read, as the DevTools protocol describes them.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn cookies(&self) -> anyhow::Result<Vec<Value>> {
        let mut answer = self.command("Network.getCookies", json!({})).await?;
        Ok(answer["cookies"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Changes the size in CSS pixels.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn resize(&self, (width, height): (u32, u32)) -> anyhow::Result<()> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.command("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Switches scripts on or off for the pages that are loaded from now on.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn scripts(&self, are_on: bool) -> anyhow::Result<()> {
        self.command("Emulation.setScriptExecutionDisabled", json!({"value": !are_on})).await.map(drop)
    }

    /// Runs a script in each page that is loaded from now on, before the scripts of the page.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn run_first(&self, script: &str) -> anyhow::Result<()> {
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await.map(drop)
    }

    /// Loads another page, and waits until it is there.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn go(&self, url: &str) -> anyhow::Result<()> {
        self.client.goto(url).await.with_context(|| url.to_owned())
    }

    /// Forgets the files that pages loaded, as before a first visit.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn forget_files(&self) -> anyhow::Result<()> {
        self.command("Network.clearBrowserCache", json!({})).await.map(drop)
    }

    /// Waits until another page than the one with `window.earlier` is loaded.
    async fn arrives(&self) -> anyhow::Result<()> {
        let loaded = "document.readyState === 'complete' && !window.earlier && location.href !== 'about:blank'";
        self.until(loaded).await
    }

    /// Clicks an element that leads to another page, and waits for that page.
    ///
    /// # Errors
    /// There is no such element.
    pub async fn follow(&self, selector: &str) -> anyhow::Result<()> {
        self.eval("window.earlier = true").await?;
        self.click(selector).await?;
        self.arrives().await
    }

    /// Clicks an element.
    ///
    /// # Errors
    /// There is no such element.
    pub async fn click(&self, selector: &str) -> anyhow::Result<()> {
        self.eval(&format!("document.querySelector({}).click()", json!(selector))).await.map(drop)
    }

    /// Chooses a file in a field for files.
    ///
    /// # Errors
    /// There is no such field.
    pub async fn choose_file(&self, selector: &str, file: &Path) -> anyhow::Result<()> {
        let field = self.client.find(fantoccini::Locator::Css(selector)).await?;
        Ok(field.send_keys(&file.to_string_lossy()).await?)
    }

    /// Presses keys where the focus is, one after the other.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn press(&self, keys: &str) -> anyhow::Result<()> {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        Ok(self.client.perform_actions(actions).await?)
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    /// It throws.
    pub async fn eval(&self, expression: &str) -> anyhow::Result<Value> {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.command("Runtime.evaluate", params).await?;
        if answer["exceptionDetails"].is_object() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].take())
    }

    /// The text of an element; empty if there is none.
    ///
    /// # Errors
    /// The selector is wrong.
    pub async fn text(&self, selector: &str) -> anyhow::Result<String> {
        let text = self.eval(&format!("document.querySelector({})?.innerText ?? ''", json!(selector))).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Errors
    /// It is not within a minute.
    pub async fn until(&self, expression: &str) -> anyhow::Result<()> {
        windlass_harness::wait::until(expression, LIMIT, async || match self.eval(expression).await {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(other) => Err(other.to_string()),
            // A page that is being left has no values.
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// The nodes of the accessibility tree that are not ignored: role and name of each.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn accessible(&self) -> anyhow::Result<Vec<(String, String)>> {
        let tree = self.command("Accessibility.getFullAXTree", json!({})).await?;
        let nodes = tree["nodes"].as_array().context("nodes")?.iter().filter(|node| node["ignored"] != true);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().trim().to_owned();
        Ok(nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect())
    }

    /// Writes an image of the whole page.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn screenshot(&self, file: &Path) -> anyhow::Result<()> {
        use base64::Engine as _;
        let layout = self.command("Page.getLayoutMetrics", json!({})).await?;
        let size = &layout["cssContentSize"];
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let params = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let image = self.command("Page.captureScreenshot", params).await?;
        let image = image["data"].as_str().context("an image")?;
        std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(image)?)?;
        Ok(())
    }
}
