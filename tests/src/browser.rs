//! A headless Chromium, driven through its DevTools protocol over pipes: no port, and its end is the end of the browser.
//!
//! The crates for this (chromiumoxide, headless_chrome, fantoccini) need 15 to 18 crates that nothing else here uses, and the
//! whole protocol as generated code; a test of the page needs eight commands of it.

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, oneshot};

/// Time limit for one command, generous enough for two cores that compile other programs at the same time.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers that are awaited, by the number of their command.
type Awaited = Arc<std::sync::Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// The complaints of a browser's pages: errors of the console, exceptions, and violations of the content policy.
type Complaints = Arc<std::sync::Mutex<Vec<String>>>;

/// A browser. It ends when it is dropped.
pub struct Browser {
    next: AtomicU64,
    to: Mutex<ChildStdin>,
    awaited: Awaited,
    complaints: Complaints,
    _process: Child,
    _profile: tempfile::TempDir,
}

/// A page in a browser.
pub struct Tab<'a> {
    browser: &'a Browser,
    session: String,
}

impl Browser {
    /// Starts Chromium.
    ///
    /// # Errors
    /// It is not installed; `.ci/setup` installs it.
    pub async fn start() -> anyhow::Result<Self> {
        let profile = tempfile::tempdir()?;
        let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        // It reads commands from descriptor 3 and writes answers to descriptor 4.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", &program])
            .args(["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--no-first-run", "--disable-gpu"])
            .args(["--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking"])
            .arg("--force-color-profile=srgb")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("no shell")?;
        let (to, from) = (process.stdin.take().context("a pipe")?, process.stdout.take().context("a pipe")?);
        let (awaited, complaints) = (Awaited::default(), Complaints::default());
        tokio::spawn(read(from, Arc::clone(&awaited), Arc::clone(&complaints)));
        let browser = Self {
            next: AtomicU64::new(1),
            to: Mutex::new(to),
            awaited,
            complaints,
            _process: process,
            _profile: profile,
        };
        let version = browser.command(None, "Browser.getVersion", json!({})).await;
        version.context("chromium does not start; `.ci/setup` installs it, or CHROMIUM names another program")?;
        Ok(browser)
    }

    /// Opens a page of this size in CSS pixels, dark or light.
    ///
    /// # Errors
    /// The page does not load.
    pub async fn open(&self, url: &str, size: (u32, u32), is_dark: bool) -> anyhow::Result<Tab<'_>> {
        let context = self.command(None, "Target.createBrowserContext", json!({"disposeOnDetach": true})).await?;
        let target = json!({"url": "about:blank", "browserContextId": context["browserContextId"]});
        let target = self.command(None, "Target.createTarget", target).await?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.command(None, "Target.attachToTarget", attach).await?;
        let session = attached["sessionId"].as_str().context("a session")?.to_owned();
        let tab = Tab { browser: self, session };
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            tab.command(&format!("{domain}.enable"), json!({})).await?;
        }
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        tab.command("Emulation.setEmulatedMedia", json!({"features": features})).await?;
        tab.resize(size).await?;
        tab.go(url).await?;
        Ok(tab)
    }

    /// The complaints of the pages since the last call.
    pub fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut self.complaints.lock().expect("not poisoned"))
    }

    async fn command(&self, session: Option<&str>, method: &str, params: Value) -> anyhow::Result<Value> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.awaited.lock().expect("not poisoned").insert(id, sender);
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = json!(session);
        }
        let text = format!("{message}\0");
        self.to.lock().await.write_all(text.as_bytes()).await.with_context(|| format!("cannot send {method}"))?;
        let answer = tokio::time::timeout(LIMIT, answer).await.with_context(|| format!("no answer to {method}"))?;
        let mut answer = answer.map_err(|_| anyhow!("the browser ended before it answered {method}"))?;
        match answer.get("error") {
            Some(error) => bail!("{method}: {error}"),
            None => Ok(answer["result"].take()),
        }
    }
}

/// Passes answers on, and notes complaints, until the browser ends.
async fn read(from: ChildStdout, awaited: Awaited, complaints: Complaints) {
    let (mut from, mut bytes) = (BufReader::new(from), Vec::new());
    while from.read_until(0, &mut bytes).await.is_ok_and(|read| read > 0) {
        bytes.pop();
        if let Ok(message) = serde_json::from_slice::<Value>(&bytes) {
            if let Some(waiting) =
                message["id"].as_u64().and_then(|id| awaited.lock().expect("not poisoned").remove(&id))
            {
                // A caller that waits no more needs no answer.
                let _ = waiting.send(message);
            } else if let Some(complaint) = complaint(&message) {
                complaints.lock().expect("not poisoned").push(complaint);
            }
        }
        bytes.clear();
    }
    awaited.lock().expect("not poisoned").clear();
}

/// The complaint in an event. `None` if it is about something else.
fn complaint(event: &Value) -> Option<String> {
    let params = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" if matches!(params["type"].as_str(), Some("error" | "warning")) => {
            Some(params["args"].to_string())
        }
        // Violations of the content policy are entries of the log.
        "Log.entryAdded" if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) => {
            Some(params["entry"].to_string())
        }
        _ => None,
    }
}

impl Tab<'_> {
    async fn command(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.browser.command(Some(&self.session), method, params).await
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

    /// Loads another page, and waits until it is there.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn go(&self, url: &str) -> anyhow::Result<()> {
        self.eval("window.earlier = true").await?;
        let answer = self.command("Page.navigate", json!({"url": url})).await?;
        if let Some(error) = answer["errorText"].as_str() {
            bail!("{url}: {error}");
        }
        self.arrives().await
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

    /// Presses a key that the protocol calls so, such as `Tab` or `Escape`.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn press(&self, key: &str) -> anyhow::Result<()> {
        for kind in ["keyDown", "keyUp"] {
            self.command("Input.dispatchKeyEvent", json!({"type": kind, "key": key, "code": key})).await?;
        }
        Ok(())
    }

    /// Types a text where the focus is.
    ///
    /// # Errors
    /// The browser ended.
    pub async fn type_text(&self, text: &str) -> anyhow::Result<()> {
        self.command("Input.insertText", json!({"text": text})).await.map(drop)
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
