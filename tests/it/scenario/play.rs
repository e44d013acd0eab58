//! Plays one scenario: sets the stage, tells the story, looks until everything is as expected, and ends the daemon in order.
//!
//! Refuses: passing over what nobody asked about: every daemon must end with 0, every book must balance, no log may panic.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};
use sha2::Sha256;

use super::fill::{Fill, repeat};
use super::{Call, Expect, Reload, Run, Scenario, Step, expect};
use crate::broker::{Broker, Taken};
use crate::daemon::{Daemon, KEY, sample_name};
use crate::partner::Partner;
use crate::{ports, wait};

struct Stage {
    daemon: Daemon,
    partner: Partner,
    broker: Option<Broker>,
    fill: Fill,
    /// What was taken out of the rejected queue so far.
    rejected: Vec<Taken>,
}

/// Plays a scenario from the first to the last word.
///
/// # Errors
/// What was not as promised, with the end of the daemon's log.
pub async fn play(name: &str, scenario: &Scenario) -> Result<(), String> {
    let word: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let mut stage = Stage::set(&word, scenario).await?;
    let told = stage.tell(scenario).await.map_err(|e| {
        let log = stage.daemon.log_tail();
        format!("promised: {}\n{e}\n--- the daemon's log ends with\n{log}", scenario.promise)
    });
    if let Some(broker) = &stage.broker {
        broker.clean().await;
    }
    told
}

impl Stage {
    async fn set(name: &str, scenario: &Scenario) -> Result<Self, String> {
        let partner = Partner::start().await;
        for (prefix, answers) in &scenario.partner {
            partner.script(prefix, answers.clone());
        }
        let given = &scenario.given;
        let broker = if given.broker && given.daemon { Some(Broker::connect(name).await) } else { None };
        let mut daemon = Daemon::new(name);
        let fill = Fill {
            now: SystemTime::now(),
            partner: partner.url.clone(),
            nobody: format!("http://127.0.0.1:{}", ports::free()),
            ingest: daemon.ingest.clone(),
            admin: daemon.admin.clone(),
        };
        if let Some(broker) = &broker {
            daemon.configure(&json!({"source": broker.source()}));
        }
        daemon.configure(&fill.value(&given.config));
        for (file, text) in &given.files {
            daemon.folder.write(file, &fill.text(text));
        }
        daemon.env.extend(given.env.iter().map(|(k, v)| (k.clone(), fill.text(v))));
        let stage = Self { daemon, partner, broker, fill, rejected: Vec::new() };
        for (name, connector) in &given.connectors {
            stage.connector(name, connector);
        }
        Ok(stage)
    }

    /// Writes a connector file. A text is written as it is, a map is completed with what most scenarios do not care about.
    fn connector(&self, name: &str, connector: &Value) {
        let mut full = match connector {
            Value::Null => return self.daemon.folder.remove(&format!("connectors/{name}.yaml")),
            Value::String(text) => return self.daemon.connector(name, &self.fill.text(text)),
            _ => json!({"name": name, "mode": "enabled", "triggers": ["Purchase"]}),
        };
        if connector.get("template").is_none() {
            full["postback"] = json!({"url": format!("http://partner.test/{name}")});
        }
        crate::daemon::lay_over(&mut full, connector);
        self.daemon.connector(name, &serde_json::to_string_pretty(&self.fill.value(&full)).unwrap());
    }

    async fn tell(&mut self, scenario: &Scenario) -> Result<(), String> {
        if scenario.given.daemon {
            self.daemon.start().await?;
        }
        self.publish(&scenario.events).await?;
        for (at, step) in scenario.story.iter().enumerate() {
            self.step(step).await.map_err(|e| format!("story, step {}: {e}", at + 1))?;
        }
        self.expect(&scenario.expect).await?;
        if self.daemon.is_running() {
            self.end(&scenario.expect).await?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Publish(events) => self.publish(events).await,
            Step::Ingest(call) => self.call(&self.daemon.ingest, call).await,
            Step::Admin(call) => self.call(&self.daemon.admin, call).await,
            Step::Expect(expected) => self.expect(expected).await,
            Step::Reload(change) => self.reload(change).await,
            Step::Run(run) => self.run(run).await,
            Step::Script(scripts) => {
                scripts.iter().for_each(|(prefix, answers)| self.partner.script(prefix, answers.clone()));
                Ok(())
            }
            Step::Start => self.daemon.start().await,
            Step::Stop => self.daemon.stop().await,
            Step::Kill => {
                self.daemon.kill();
                Ok(())
            }
        }
    }

    /// Events as messages, in order: a map, a list (one message), or `{raw: TEXT}`; `amqp` sets properties, `times` repeats.
    async fn publish(&self, events: &[Value]) -> Result<(), String> {
        let mut messages = Vec::new();
        for event in events {
            let times = event.get("times").and_then(Value::as_u64).unwrap_or(1);
            for mut event in repeat(event, times) {
                let mut amqp = Value::Null;
                if let Some(map) = event.as_object_mut() {
                    map.remove("times");
                    amqp = map.remove("amqp").unwrap_or_default();
                }
                let body = match (event.get("raw").and_then(Value::as_str), &event) {
                    (Some(raw), _) => self.fill.text(raw),
                    (None, Value::Array(list)) => {
                        let list: Result<Vec<Value>, String> = list.iter().map(|e| self.fill.event(e)).collect();
                        Value::from(list?).to_string()
                    }
                    (None, _) => self.fill.event(&event)?.to_string(),
                };
                messages.push((body, amqp));
            }
        }
        match &self.broker {
            Some(broker) => broker.publish(messages.into_iter().map(|(b, a)| (b.into_bytes(), properties(&a)))).await,
            None => {
                for (body, _) in messages {
                    let event: Value = serde_json::from_str(&body).map_err(|e| format!("{body}: {e}"))?;
                    self.daemon.hook(event).await?;
                }
                Ok(())
            }
        }
    }

    async fn call(&self, listener: &str, call: &Call) -> Result<(), String> {
        let (method, path) = match (&call.get, &call.post) {
            (Some(path), None) => ("GET", path),
            (None, Some(path)) => ("POST", path),
            _ => return Err("a call has either `get` or `post`".into()),
        };
        let mut headers: Vec<(String, String)> = call.headers.clone().into_iter().collect();
        let typed = call.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
        let (kind, body) = self.body(call)?;
        if let (Some(kind), false) = (kind, typed) {
            headers.push(("content-type".into(), kind.into()));
        }
        let path = self.fill.text(path);
        if let Some(secret) = &call.signed {
            headers.push(signature(secret, &path, &body));
        }
        if let Some(secret) = &call.signed_whole {
            headers.push(("x-signature".into(), format!("sha256={}", mac(secret, &[&path, "\n", &body]))));
        }
        let url = format!("{listener}{path}");
        let reply = self.daemon.http.send(method, &url, &headers, body).await?;
        if reply.status != call.answer {
            return Err(format!("{method} {path}: {} (not {}): {}", reply.status, call.answer, reply.text));
        }
        let mut whole = reply.text;
        for (name, value) in &reply.headers {
            whole.push_str(&format!("\n{name}: {}", value.to_str().unwrap_or_default()));
        }
        says(&format!("{method} {path}"), &whole, &call.says, &call.hides, &self.fill)
    }

    /// What a call sends, and of which type it is.
    fn body(&self, call: &Call) -> Result<(Option<&'static str>, String), String> {
        const JSON: Option<&str> = Some("application/json");
        const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
        if let Some(name) = &call.file {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(name);
            let body = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            return Ok(if name.ends_with(".form") { (FORM, body.trim_end().to_owned()) } else { (JSON, body) });
        }
        Ok(match (&call.json, &call.form, &call.body) {
            (Some(json), _, _) => (JSON, self.fill.value(json).to_string()),
            (_, Some(form), _) => {
                let filled = form.iter().map(|(n, v)| (n, self.fill.text(v)));
                (FORM, url::form_urlencoded::Serializer::new(String::new()).extend_pairs(filled).finish())
            }
            (_, _, Some(body)) => (None, self.fill.text(body).repeat(call.times)),
            _ => (None, String::new()),
        })
    }

    async fn reload(&mut self, change: &Reload) -> Result<(), String> {
        let before = if self.daemon.is_running() { Some(connector_info(&self.daemon).await?) } else { None };
        if !change.config.is_null() {
            self.daemon.configure(&self.fill.value(&change.config));
        }
        for (name, connector) in &change.connectors {
            self.connector(name, connector);
        }
        // Where no daemon runs, the next one reads it.
        let Some(before) = before else { return Ok(()) };
        self.daemon.signal("HUP");
        let what =
            if change.accepted { "the new configuration is in force" } else { "the new configuration is refused" };
        let wanted = if change.accepted { 1.0 } else { 0.0 };
        wait::until(what, async || {
            let successful = self.daemon.metric("postbackd_config_last_reload_successful").await?;
            let after = connector_info(&self.daemon).await?;
            let changed = change.connectors.is_empty() || (before != after) == change.accepted;
            if successful == wanted && changed { Ok(()) } else { Err(format!("successful {successful}: {after:?}")) }
        })
        .await
    }

    async fn run(&self, run: &Run) -> Result<(), String> {
        let args: Vec<String> = run.args.iter().map(|a| self.fill.text(a)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let said = self.daemon.run(&args).await?;
        let whole = format!("{}\n{}", said.stdout, said.stderr);
        if said.exit != Some(run.exit) {
            return Err(format!("{args:?}: exit {:?}, not {}: {whole}", said.exit, run.exit));
        }
        says(&format!("{args:?}"), &whole, &run.says, &run.hides, &self.fill)?;
        let values = json_of(&said.stdout);
        match run.json.iter().find(|e| !values.iter().any(|v| expect::contains(&self.fill.value(e), v))) {
            Some(missing) => Err(format!("{args:?}: it says no {missing}: {whole}")),
            None => Ok(()),
        }
    }

    async fn expect(&mut self, expected: &Expect) -> Result<(), String> {
        let expected = self.filled(expected);
        wait::until("all is as expected", async || self.look(&expected).await).await
    }

    async fn look(&mut self, expected: &Expect) -> Result<(), String> {
        let seen = self.partner.seen();
        if seen.len() < expected.requests_at_least {
            return Err(format!("{} requests, not yet {}", seen.len(), expected.requests_at_least));
        }
        if let Some(requests) = &expected.requests {
            expect::exactly(requests, &seen)?;
        }
        expect::among(&expected.some_requests, &seen)?;
        if let (Some(rejected), Some(broker)) = (&expected.rejected, &self.broker) {
            self.rejected.extend(broker.take(&broker.rejected()).await?);
            expect::rejected(rejected, &self.rejected)?;
        }
        let log = self.daemon.log();
        if let Some(missing) = expected.log.iter().find(|e| !log.contains(*e)) {
            return Err(format!("the log does not say {missing:?}"));
        }
        if self.daemon.is_running() {
            self.look_inside(expected).await?;
        }
        Ok(())
    }

    async fn look_inside(&self, expected: &Expect) -> Result<(), String> {
        let found = self.daemon.deliveries("").await?;
        if let Some(all) = &expected.deliveries {
            expect::deliveries(all, &found, true)?;
        }
        expect::deliveries(&expected.some_deliveries, &found, false)?;
        let metrics = self.daemon.metrics().await?;
        for (name, value) in &expected.metrics {
            let is = metrics.get(&sample_name(name)).copied().unwrap_or(0.0);
            if (is - value).abs() > 1e-9 {
                return Err(format!("{name} is {is}, not {value}"));
            }
        }
        for (connector, parts) in &expected.details {
            for delivery in found.iter().filter(|d| d["connector"] == **connector) {
                let detail = self.daemon.ask_json(&format!("/api/deliveries/{}", id(delivery))).await?.to_string();
                says(connector, &detail, parts, &[], &self.fill)?;
            }
        }
        Ok(())
    }

    /// What is asked of every scenario at its end.
    async fn end(&mut self, expected: &Expect) -> Result<(), String> {
        let expected = self.filled(expected);
        wait::until("the book balances", async || {
            match self.daemon.metric("postbackd_unaccounted_deliveries").await? {
                0.0 => Ok(()),
                off => Err(format!("postbackd_unaccounted_deliveries is {off}")),
            }
        })
        .await?;
        let api = self.all_it_says(&expected).await?;
        self.daemon.stop().await?;
        // After the end nothing more can come: now "exactly" means it.
        self.look(&expected).await.map_err(|e| format!("after the end: {e}"))?;
        if let Some(broker) = &self.broker {
            let left = broker.depth(&broker.queue).await?;
            if left != 0 {
                return Err(format!("{left} messages were never acknowledged"));
            }
        }
        let log = self.daemon.log();
        if log.contains("panicked") {
            return Err("the daemon panicked".into());
        }
        for secret in &expected.nowhere {
            if log.contains(secret) || api.contains(secret) {
                return Err(format!("{secret:?} is in its log, its metrics or its API"));
            }
            if let Some(file) = holds(&self.daemon.folder.path().join("data"), secret.as_bytes()) {
                return Err(format!("{secret:?} is in its store, in {file}"));
            }
        }
        Ok(())
    }

    /// Metrics, lists and details, only where something must not be in them.
    async fn all_it_says(&self, expected: &Expect) -> Result<String, String> {
        let mut all = String::new();
        if expected.nowhere.is_empty() {
            return Ok(all);
        }
        let mut paths: Vec<String> = ["/metrics", "/", "/api/connectors", "/api/containers"].map(str::to_owned).into();
        for delivery in self.daemon.deliveries("").await? {
            all.push_str(&delivery.to_string());
            paths.push(format!("/api/deliveries/{}", id(&delivery)));
        }
        for path in paths {
            all.push_str(&self.daemon.ask(&path).await?.text);
        }
        Ok(all)
    }

    fn filled(&self, expected: &Expect) -> Expect {
        let mut expected = expected.clone();
        let fill = |text: &mut String| *text = self.fill.text(text);
        let requests = expected.requests.iter_mut().flatten().chain(&mut expected.some_requests);
        for request in requests {
            request.path.iter_mut().for_each(fill);
            request.text.iter_mut().for_each(fill);
            request.raw_query.iter_mut().for_each(fill);
            request.query.iter_mut().flat_map(BTreeMap::values_mut).for_each(fill);
            request.form.iter_mut().flat_map(BTreeMap::values_mut).for_each(fill);
            request.query_has.values_mut().flatten().for_each(fill);
            request.headers.values_mut().flatten().for_each(fill);
            if let Some(json) = &mut request.json {
                *json = self.fill.value(json);
            }
        }
        expected
    }
}

fn id(delivery: &Value) -> String {
    delivery["id"].as_str().map_or_else(|| delivery["id"].to_string(), str::to_owned)
}

/// The lines of `/metrics` that say which connector is in force in which revision.
async fn connector_info(daemon: &Daemon) -> Result<Vec<String>, String> {
    let metrics = daemon.metrics().await?;
    let live =
        metrics.into_iter().filter(|(name, value)| name.starts_with("postbackd_connector_info") && *value != 0.0);
    Ok(live.map(|(name, _)| name).collect())
}

fn says(who: &str, whole: &str, says: &[String], hides: &[String], fill: &Fill) -> Result<(), String> {
    let found = |part: &String| {
        let part = fill.text(part);
        let pattern = part.strip_prefix('/').and_then(|p| p.strip_suffix('/')).filter(|p| !p.is_empty());
        pattern.map_or_else(|| whole.contains(&part), |_| expect::matches_text(&part, whole))
    };
    if let Some(missing) = says.iter().find(|p| !found(p)) {
        return Err(format!("{who} does not say {missing:?}: {whole}"));
    }
    match hides.iter().find(|p| found(p)) {
        Some(shown) => Err(format!("{who} says {shown:?}: {whole}")),
        None => Ok(()),
    }
}

/// A JSON document, or JSON lines; the elements of a list count one by one as well.
fn json_of(text: &str) -> Vec<Value> {
    let mut values: Vec<Value> = serde_json::from_str(text).map_or_else(
        |_| text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        |value| vec![value],
    );
    let elements: Vec<Value> = values.iter().filter_map(Value::as_array).flatten().cloned().collect();
    values.extend(elements);
    values
}

fn properties(amqp: &Value) -> BasicProperties {
    let mut properties = BasicProperties::default().with_content_type("application/json".into());
    if let Some(id) = amqp["message_id"].as_str() {
        properties = properties.with_message_id(id.into());
    }
    if let Some(time) = amqp["timestamp"].as_u64() {
        properties = properties.with_timestamp(time);
    }
    let mut headers = FieldTable::default();
    for (name, value) in amqp["headers"].as_object().into_iter().flatten() {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().unwrap_or(KEY).into()));
    }
    properties.with_headers(headers)
}

/// The first file below `folder` that holds these bytes.
fn holds(folder: &std::path::Path, bytes: &[u8]) -> Option<String> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            holds(&path, bytes)
        } else {
            let content = std::fs::read(&path).unwrap_or_default();
            content.windows(bytes.len().max(1)).any(|w| w == bytes).then(|| path.display().to_string())
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The header that says who sent this.
fn signature(secret: &str, path: &str, body: &str) -> (String, String) {
    if path.contains("source=stripe") {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
        return ("stripe-signature".into(), format!("t={time},v1={}", mac(secret, &[&time, ".", body])));
    }
    ("x-signature".into(), format!("sha256={}", mac(secret, &[body])))
}

fn mac(secret: &str, parts: &[&str]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    hex::encode(mac.finalize().into_bytes())
}
