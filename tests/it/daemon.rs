//! The daemon as its operator meets it: a folder with its configuration, a process, two listeners, signals.
//!
//! Refuses: reading the store or the library. What is asserted was said over HTTP, on stderr or by an exit code.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use crate::http::{Http, Reply};
use crate::ports::{self, Folder};
use crate::wait;

/// The key of the one container that a test's daemon knows.
pub const KEY: &str = "shop-key";

/// The built binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_postbackd");

/// A configuration in a folder of its own, and the process that runs on it, if any.
#[derive(Debug)]
pub struct Daemon {
    pub folder: Folder,
    pub http: Http,
    pub env: BTreeMap<String, String>,
    pub ingest: String,
    pub admin: String,
    config: Value,
    child: Option<Child>,
}

/// What a command answered.
#[derive(Debug)]
pub struct Said {
    pub exit: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Daemon {
    /// A folder with a base configuration: one container, an embedded store, loopback allowed. Not started yet.
    pub fn new(name: &str) -> Self {
        let (ingest, admin) = (ports::free(), ports::free());
        let config = json!({
            "connectors": "connectors/*.yaml",
            "containers": [{"key": KEY, "name": "shop", "country": "FI"}],
            "store": {"path": "data"},
            "ingest": {"listen": format!("127.0.0.1:{ingest}")},
            "admin": {"listen": format!("127.0.0.1:{admin}")},
            "egress": {"allow": ["127.0.0.0/8"]},
        });
        let daemon = Self {
            folder: Folder::new(name),
            http: Http::new(),
            env: BTreeMap::new(),
            ingest: format!("http://127.0.0.1:{ingest}"),
            admin: format!("http://127.0.0.1:{admin}"),
            config,
            child: None,
        };
        std::fs::create_dir_all(daemon.folder.path().join("connectors")).unwrap();
        daemon.write_config();
        daemon
    }

    /// Lays `over` over the configuration: maps are merged, everything else is replaced.
    pub fn configure(&mut self, over: &Value) {
        lay_over(&mut self.config, over);
        self.write_config();
    }

    fn write_config(&self) {
        // JSON is YAML.
        self.folder.write("postbackd.yaml", &serde_json::to_string_pretty(&self.config).unwrap());
    }

    /// Writes `connectors/NAME.yaml`.
    pub fn connector(&self, name: &str, yaml: &str) {
        self.folder.write(&format!("connectors/{name}.yaml"), yaml);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).current_dir(self.folder.path()).envs(&self.env).stdin(Stdio::null());
        command
    }

    /// Starts the process without waiting for it.
    pub fn spawn(&mut self) {
        let command = self.command(&["run"]);
        self.spawn_as(command);
    }

    /// Starts `command`, which is to become the daemon.
    pub fn spawn_as(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.folder.path().join("log.txt")).unwrap();
        command.current_dir(self.folder.path()).envs(&self.env).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().expect("the binary was built for this test"));
    }

    /// Starts it and waits until it says that it is ready.
    pub async fn start(&mut self) -> Result<(), String> {
        self.spawn();
        self.ready().await
    }

    /// Waits for `/readyz` to answer 200.
    pub async fn ready(&mut self) -> Result<(), String> {
        let url = format!("{}/readyz", self.admin);
        let what = "the daemon is ready";
        let mut exited = None;
        let found = wait::until(what, async || {
            exited = self.exited();
            if exited.is_some() {
                return Ok(());
            }
            let reply = self.http.get(&url).await?;
            if reply.status == 200 { Ok(()) } else { Err(format!("{} {}", reply.status, reply.text)) }
        })
        .await;
        match exited {
            Some(status) => Err(format!("the daemon ended by itself: {status}\n{}", self.log_tail())),
            None => found.map_err(|e| format!("{e}\n{}", self.log_tail())),
        }
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.is_some() && self.exited().is_none()
    }

    /// Sends a signal by name: `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        // Without unsafe code there is no kill(2) in std.
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// SIGKILL: no chance to say goodbye.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM; it must end by itself and say 0.
    pub async fn stop(&mut self) -> Result<(), String> {
        self.signal("TERM");
        let status = self.ended().await?;
        if status.code() == Some(0) { Ok(()) } else { Err(format!("SIGTERM: {status}\n{}", self.log_tail())) }
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> Result<ExitStatus, String> {
        let ended =
            wait::until("the daemon ends", async || self.exited().ok_or_else(|| "it still runs".to_owned())).await;
        let status = ended.map_err(|e| format!("{e}\n{}", self.log_tail()))?;
        self.child = None;
        Ok(status)
    }

    /// Runs another command on the same configuration, without blocking the partner.
    pub async fn run(&self, args: &[&str]) -> Result<Said, String> {
        let mut command = self.command(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        let output = output.map_err(|e| format!("{args:?}: {e}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { exit: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        self.folder.read("log.txt")
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// GET on the admin listener.
    pub async fn ask(&self, path: &str) -> Result<Reply, String> {
        self.http.get(&format!("{}{path}", self.admin)).await
    }

    /// GET on the admin listener: 200 and JSON, or an error.
    pub async fn ask_json(&self, path: &str) -> Result<Value, String> {
        let reply = self.ask(path).await?;
        if reply.status == 200 { reply.json() } else { Err(format!("{path}: {} {}", reply.status, reply.text)) }
    }

    /// Sends an event as the hook dialect reads it, of [`KEY`] unless it says otherwise, and wants 200.
    pub async fn hook(&self, mut event: Value) -> Result<(), String> {
        if event.get("k").is_none() {
            event["k"] = json!(KEY);
        }
        let reply = self.http.post_json(&format!("{}/collect/hook", self.ingest), &event).await?;
        if reply.status == 200 { Ok(()) } else { Err(format!("hook: {} {}", reply.status, reply.text)) }
    }

    /// All deliveries that match a query of the API, newest first, page after page.
    pub async fn deliveries(&self, query: &str) -> Result<Vec<Value>, String> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.ask_json(&format!("/api/deliveries?limit=1000&{query}{cursor}")).await?;
            let items = page["items"].as_array().ok_or_else(|| format!("no items: {page}"))?;
            found.extend(items.iter().cloned());
            match &page["next_cursor"] {
                Value::Null => return Ok(found),
                next => cursor = format!("&cursor={}", next.as_str().map_or_else(|| next.to_string(), escape)),
            }
        }
    }

    /// Every sample of `/metrics`: name with labels → value.
    pub async fn metrics(&self) -> Result<BTreeMap<String, f64>, String> {
        let reply = self.ask("/metrics").await?;
        let samples = reply.text.lines().filter(|l| !l.starts_with('#'));
        Ok(samples
            .filter_map(|l| l.rsplit_once(' '))
            .filter_map(|(n, v)| Some((sample_name(n), v.parse().ok()?)))
            .collect())
    }

    /// One sample; a counter that was never touched is 0.
    pub async fn metric(&self, name: &str) -> Result<f64, String> {
        Ok(self.metrics().await?.get(&sample_name(name)).copied().unwrap_or(0.0))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A sample's name with its labels in alphabetical order: in which they are written says nothing.
pub fn sample_name(name: &str) -> String {
    let Some((metric, labels)) = name.trim_end_matches('}').split_once('{') else { return name.to_owned() };
    // No value in these tests holds a comma in quotes.
    let mut labels: Vec<&str> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{metric}{{{}}}", labels.join(","))
}

/// Merges maps, replaces everything else.
pub fn lay_over(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
