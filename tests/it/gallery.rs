//! Every ready-made connector through the binary: its vectors go out to the network's own host, over TLS, and the network's own
//! answers, good and bad, leave the delivery in the right state.
//!
//! Refuses: leniency. What a vector says is sent is all that is sent.

use std::collections::HashMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use regex::Regex;
use serde_json::{Value, json};

use crate::daemon::Daemon;
use crate::networks::{Networks, Reply, Sent, VECTOR};
use crate::wait;

/// A connector of a vector file, in a container of its own, with what it is to send.
struct Vector {
    name: String,
    template: String,
    settings: Value,
    fixtures: Vec<Value>,
    reply: Reply,
    state: String,
    reason: Value,
}

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&recent(&text)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The vectors' noon, of 10 January 2026, as yesterday's, and the click a second before: some networks take no older events.
fn recent(text: &str) -> String {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let noon = (today - 1) * 86_400 + 43_200;
    let date = jiff::Timestamp::from_second(i64::try_from(noon).unwrap()).unwrap().strftime("%Y-%m-%d").to_string();
    text.replace("2026-01-10", &date)
        .replace("20260110", &date.replace('-', ""))
        .replace("1768046400", &noon.to_string())
        .replace("1768046399", &(noon - 1).to_string())
}

/// What each template's vectors are, and once more its first for each way in which its network refuses.
fn vectors() -> Vec<Vector> {
    let answers = read("answers.yaml");
    let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery/vectors")).unwrap();
    assert_eq!(files.count(), answers.as_object().unwrap().len(), "every network answers");
    let mut all = Vec::new();
    for (template, answers) in answers.as_object().unwrap() {
        let file = read(&format!("vectors/{template}.yaml"));
        let connectors = file["connectors"].as_array().unwrap();
        let vector = |name: String, from: &Value, answer: &Value, state: &str| Vector {
            name,
            template: template.clone(),
            settings: from["settings"].clone(),
            fixtures: from["fixtures"].as_array().unwrap().clone(),
            reply: Reply {
                status: answer["status"].as_u64().map_or(200, |status| u16::try_from(status).unwrap()),
                body: answer["body"].as_str().unwrap_or_default().to_owned(),
            },
            state: state.to_owned(),
            reason: answer["reason"].clone(),
        };
        for connector in connectors {
            let name = connector["name"].as_str().unwrap().to_owned();
            all.push(vector(name, connector, &answers["taken"], "delivered"));
        }
        let refused = answers["refused"].as_array().unwrap();
        assert!(!refused.is_empty(), "{template} refuses nothing");
        for (answer, n) in refused.iter().zip(1..) {
            let name = format!("{template}-refused-{n}");
            all.push(vector(name, &connectors[0], answer, answer["state"].as_str().unwrap()));
        }
    }
    all
}

impl Vector {
    fn connector(&self) -> String {
        let postback = json!({"headers": {VECTOR: self.name}, "retry": {"initial": "1h", "max_interval": "6h"}});
        json!({"name": self.name, "mode": "enabled", "containers": [self.name], "template": self.template,
               "settings": self.settings, "postback": postback})
        .to_string()
    }

    /// Each fixture's clicks and then its event, joined by an address that no template sends.
    async fn publish(&self, daemon: &Daemon) {
        for (fixture, n) in self.fixtures.iter().zip(0..) {
            let link = json!([format!("link-{n}@link.example")]);
            for click in fixture["clicks"].as_array().into_iter().flatten() {
                let pairs = click.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
                let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                let noon = fixture["event"]["timestamp"].as_str().unwrap();
                let before = noon.replace("12:00:00", "11:59:59");
                let view = json!({"k": self.name, "timestamp": before, "emailVariants": link,
                                  "url": format!("https://shop.example/?{query}")});
                daemon.hook(view).await.unwrap();
            }
            let mut event = fixture["event"].clone();
            crate::daemon::lay_over(&mut event, &json!({"k": self.name, "emailVariants": link}));
            daemon.hook(event).await.unwrap();
        }
    }

    /// What its fixtures say was sent, and their deliveries have ended as its network's answer has it.
    fn check(&self, sent: &[Sent], deliveries: &[Value]) {
        for fixture in &self.fixtures {
            let (event, expect) = (fixture["event"]["eventId"].as_str().unwrap(), &fixture["expect"]);
            let found: Vec<_> = deliveries.iter().filter(|line| line["event_id"] == event).collect();
            assert!(!found.is_empty(), "{}: nothing was decided of {event}", self.name);
            for line in found {
                let ended = (line["state"].as_str().unwrap(), &line["reason"]);
                match expect.get("reason") {
                    Some(reason) => assert_eq!(ended, ("skipped", reason), "{}: {event}", self.name),
                    None => assert_eq!(ended, (&*self.state, &self.reason), "{}: {event}", self.name),
                }
            }
            if expect.get("reason").is_none() {
                let own: Vec<_> = sent.iter().filter(|sent| sent.vector == self.name).collect();
                let is_sent = own.iter().any(|sent| is_as_expected(sent, expect));
                assert!(is_sent, "{}: {event} is not sent as\n{expect:#}\nbut\n{own:#?}", self.name);
            }
        }
    }
}

fn is_as_expected(sent: &Sent, expect: &Value) -> bool {
    let text = |name: &str, found: &str| expect.get(name).is_none_or(|text| is_like(text.as_str().unwrap(), found));
    let headers = expect["headers"].as_object().into_iter().flatten();
    let pairs = || url::form_urlencoded::parse(sent.body.as_bytes()).into_owned().collect::<HashMap<_, _>>();
    text("url", &sent.url)
        && text("method", &sent.method)
        && text("body", &sent.body)
        && headers
            .into_iter()
            .all(|(name, value)| sent.headers.get(name).is_some_and(|found| is_like(value.as_str().unwrap(), found)))
        && expect
            .get("json")
            .is_none_or(|json| serde_json::from_str(&sent.body).is_ok_and(|found: Value| is_same(json, &found)))
        && expect["form"].as_object().is_none_or(|form| {
            let found = pairs();
            found.len() == form.len()
                && form
                    .iter()
                    .all(|(name, value)| found.get(name).is_some_and(|found| is_like(value.as_str().unwrap(), found)))
        })
}

/// Equal, but that `***` stands for a secret, which is never empty.
fn is_like(expected: &str, found: &str) -> bool {
    expected == found
        || (expected.contains("***")
            && Regex::new(&format!("(?s)^{}$", regex::escape(expected).replace(r"\*\*\*", ".+")))
                .unwrap()
                .is_match(found))
}

fn is_same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(expected), Value::String(found)) => is_like(expected, found),
        (Value::Number(expected), Value::Number(found)) => expected.as_f64() == found.as_f64(),
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| is_same(e, f))
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected.iter().all(|(name, e)| found.get(name).is_some_and(|f| is_same(e, f)))
        }
        (expected, found) => expected == found,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ready_made_connector_tells_its_network_and_understands_it() {
    let vectors = vectors();
    let networks = Networks::start(vectors.iter().map(|v| (v.name.clone(), v.reply.clone())).collect()).await;
    let mut daemon = Daemon::new("gallery");
    daemon.env.insert("SSL_CERT_FILE".into(), daemon.folder.path().join("ca.pem").display().to_string());
    daemon.folder.write("ca.pem", &networks.ca);
    let containers: Vec<_> =
        vectors.iter().map(|v| json!({"key": v.name, "name": v.name, "country": "FI", "currency": "EUR"})).collect();
    daemon.configure(&json!({"egress": {"proxy": networks.proxy}, "containers": containers}));
    for vector in &vectors {
        daemon.connector(&vector.name, &vector.connector());
    }
    daemon.start().await.unwrap();
    for vector in &vectors {
        vector.publish(&daemon).await;
    }
    let settled = wait::until("every vector has been attempted", async || {
        let lines = daemon.deliveries("").await?;
        let is_open =
            |line: &&Value| line["state"] == "waiting" || (line["state"] == "pending" && line["attempts"] == 0);
        match lines.iter().filter(is_open).count() {
            0 => Ok(lines),
            open => Err(format!("{open} of {} are open\n{}", lines.len(), daemon.log_tail())),
        }
    });
    let lines = settled.await.unwrap();
    let sent = networks.sent();
    for vector in &vectors {
        let own: Vec<Value> = lines.iter().filter(|line| line["connector"] == *vector.name).cloned().collect();
        vector.check(&sent, &own);
    }
    daemon.stop().await.unwrap();
}
