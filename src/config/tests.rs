//! Goal: every mistake a person can make in a file is found, at its place, in words that help; and every file that is
//! right is read whole. Method: the files under `tests/configs`, each beside what is to be said of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::Memory;
use super::keys::{connector::CONNECTOR, daemon::DAEMON};
use super::shape::{Shape, Table};
use super::*;
use crate::model::connector::{Body, Mode, Triggers};
use crate::model::outcome::PointerTest;
use crate::model::value::Value;

/// What a connector under test finds around it.
const DAEMON_FILE: &str = "
connectors: CONNECTOR
templates: templates
containers: [{key: shop-key, name: shop, country: FI, currency: EUR}, {key: blog-key, name: blog}]
retention: {clicks: 60d}
";
const BROKEN_BODY: &str = "{\n  \"amount\": \"<<VALUE|fixd:2>>\"\n}\n";
const ORDER_BODY: &str = "{\"order\": \"{{TRANSACTION_ID}}\"}";

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("s3cr3t-t0ken".to_owned()),
        "SECRET" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        "AMQP_URL" => Some("amqp://guest:guest@127.0.0.1:5672/%2f".to_owned()),
        "SLOW" => Some("soon".to_owned()),
        _ => None,
    }
}

/// Loads `text` as the file called `name`: as `postbackd.yaml` if the name starts with `daemon`, else as a connector.
fn load_text(name: &str, text: &str, options: LoadOptions) -> Result<Loaded, Vec<Problem>> {
    let files = Memory::default()
        .with("templates/order.json.hbs", ORDER_BODY)
        .with("templates/broken.json.hbs", BROKEN_BODY)
        .with("templates/notes.txt", "nothing")
        .with("/run/secrets/token", "from-a-file\n");
    if name.starts_with("daemon") {
        let files = files.with(name, text).with("one.yaml", SMALL);
        return load_from(&files, Path::new(name), &environment, options);
    }
    let files = files.with("postbackd.yaml", &DAEMON_FILE.replace("CONNECTOR", name)).with(name, text);
    load_from(&files, Path::new("postbackd.yaml"), &environment, options)
}

const SMALL: &str = "{name: one, triggers: [Purchase], postback: {url: 'https://n.example/p'}}";

fn connector_of(text: &str) -> Arc<Connector> {
    let loaded = load_text("c.yaml", text, LoadOptions::default()).unwrap_or_else(|all| panic!("{}", lines(&all)));
    loaded.config.connectors[0].clone()
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// `POSTBACKD_BLESS=1` writes what is said now; read the difference before it is committed.
#[test]
fn every_invalid_file_is_explained() {
    let bless = std::env::var_os("POSTBACKD_BLESS").is_some();
    let all = files("invalid", "yaml");
    assert!(45 <= all.len(), "{} files", all.len());
    let mut wrong = String::new();
    for path in &all {
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = match load_text(name, &std::fs::read_to_string(path).unwrap(), LoadOptions::default()) {
            Err(problems) => lines(&problems),
            Ok(loaded) => lines(&loaded.warnings),
        };
        let expected = path.with_extension("expected");
        if bless {
            std::fs::write(&expected, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if said != expected || said.is_empty() {
            wrong += &format!("--- {name}\nexpected:\n{expected}said:\n{said}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let stems = |paths: &[PathBuf]| paths.iter().map(|p| p.file_stem().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        stems(&all),
        stems(&files("invalid", "expected")),
        "every file has its .expected, and the other way round"
    );
}

#[test]
fn every_valid_file_is_read_without_a_word() {
    let all = files("valid", "yaml");
    assert!(5 <= all.len());
    for path in all {
        let name = path.file_name().unwrap().to_str().unwrap();
        let loaded = load_text(name, &std::fs::read_to_string(&path).unwrap(), LoadOptions::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", lines(&problems)));
        assert_eq!(lines(&loaded.warnings), "", "{name}");
    }
}

/// Keys of a table and of those below it, as paths.
fn keys_of(table: &Table, path: &str, out: &mut BTreeSet<String>) {
    for key in table.keys {
        let path = format!("{path}/{}", key.name);
        match key.shape {
            Shape::Object(inner) => keys_of(inner, &path, out),
            Shape::List(Shape::Object(inner)) => keys_of(inner, &path, out),
            _ => {
                out.insert(path);
            }
        }
    }
}

fn keys_in_schema(schema: &serde_json::Value, path: &str, out: &mut BTreeSet<String>) {
    let inner = |key: &str| schema.get(key).and_then(|v| v.as_array()).into_iter().flatten();
    // Where any name goes, those that are known are no keys of a table.
    let is_open = schema.get("additionalProperties").is_some_and(serde_json::Value::is_object);
    let properties = schema.get("properties").and_then(|v| v.as_object()).filter(|_| !is_open);
    if let Some(properties) = properties {
        for (key, value) in properties {
            let (path, before) = (format!("{path}/{key}"), out.len());
            keys_in_schema(value, &path, out);
            if out.len() == before {
                out.insert(path);
            }
        }
    }
    for option in inner("anyOf") {
        keys_in_schema(option, path, out);
    }
    if let Some(items) = schema.get("items") {
        keys_in_schema(items, path, out);
    }
}

#[test]
fn the_schemas_have_the_keys_that_are_read() {
    for (table, schema, at) in [(&DAEMON, schema::config(), ""), (&CONNECTOR, schema::connector(), "/$defs/connector")]
    {
        let (mut read, mut shown) = (BTreeSet::new(), BTreeSet::new());
        keys_of(table, "", &mut read);
        let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
        keys_in_schema(schema.pointer(at).unwrap(), "", &mut shown);
        assert_eq!(read, shown);
    }
    let event: serde_json::Value = serde_json::from_str(&schema::event()).unwrap();
    for name in ["k", "track", "eventId", "timestamp", "items", "consent", "gclid", "isPartial"] {
        assert!(event["properties"].get(name).is_some(), "{name}");
    }
}

/// That nobody forgot to read one is asserted as each mapping is closed; here, that the files name every one.
#[test]
fn the_valid_files_give_every_key() {
    for (table, prefix) in [(&CONNECTOR, false), (&DAEMON, true)] {
        let mut missing = BTreeSet::new();
        keys_of(table, "", &mut missing);
        for path in files("valid", "yaml") {
            if path.file_name().unwrap().to_str().unwrap().starts_with("daemon") == prefix {
                for document in yaml::read(&std::fs::read_to_string(&path).unwrap()).0 {
                    forget(&document, "", &mut missing);
                }
            }
        }
        assert_eq!(missing, BTreeSet::new());
    }
}

fn forget(node: &node::Node, path: &str, missing: &mut BTreeSet<String>) {
    match &node.tree {
        node::Tree::Map(members) => {
            for member in members {
                let path = if &*member.key == "connectors"
                    && path.is_empty()
                    && !matches!(member.value.tree, node::Tree::Scalar(_))
                {
                    String::new()
                } else {
                    format!("{path}/{}", member.key)
                };
                missing.remove(&path);
                forget(&member.value, &path, missing);
            }
        }
        node::Tree::List(elements) => elements.iter().for_each(|element| forget(element, path, missing)),
        node::Tree::Scalar(_) | node::Tree::Reported => {}
    }
}

#[test]
fn an_empty_file_says_every_default() {
    let loaded = load_text("daemon.yaml", "# nothing\n", LoadOptions::default()).unwrap();
    let config = loaded.config;
    assert_eq!(
        lines(&loaded.warnings),
        "daemon.yaml:1:1: warning: containers: none are configured, so every event is refused: add {key: …}\n\
         daemon.yaml:1:1: warning: connectors: `connectors/*.yaml` matches no file\n"
    );
    assert_eq!(config.ingest.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9090");
    assert!(config.admin.token.is_none() && config.amqp.is_none() && config.containers.is_empty());
    assert_eq!(config.retention.clicks.as_secs(), 400 * 86_400);
    assert_eq!(config.session_timeout.as_secs(), 1800);
    assert_eq!(config.matching.sessions_max, 100);
    assert_eq!(config.log.level, tracing::Level::INFO);
    assert_eq!(config.watched, [PathBuf::from("."), "connectors".into(), "../templates".into()]);
}

#[test]
fn a_connector_is_read_as_meant() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/valid/get_with_everything.yaml");
    let c = connector_of(&std::fs::read_to_string(path).unwrap());
    assert_eq!((&*c.name, c.mode), ("affiliate-network-x", Mode::Enabled));
    assert_eq!(c.containers.as_deref(), Some(&["shop-key".into()][..]));
    assert_eq!(c.triggers, Triggers::Named(vec!["Purchase".into(), "Lead".into()]));
    let click = c.click_matching.as_ref().unwrap();
    assert_eq!((click.params.len(), click.window.as_secs(), click.ignore_case), (2, 14 * 86_400, true));
    let names: Vec<_> = c.postback.query.iter().map(|entry| entry.name.reveal()).collect();
    assert_eq!(names, ["v", "clickid", "amount", "goal"]);
    assert_eq!(c.postback.headers.len(), 1);
    assert_eq!(c.postback.headers[0].name.reveal(), "authorization");
    assert!(!c.postback.idempotency_key);
    assert_eq!(c.postback.sign.as_ref().unwrap().keys.len(), 2);
    let (pointer, test) = c.postback.outcomes[1].json.as_ref().unwrap();
    assert_eq!((&**pointer, test), ("/code", &PointerTest::Equals(Value::Number("40100.0".into()))));
    assert_eq!(c.postback.limits.rate, Some(0.5));
    assert_eq!(c.secrets.scrub("the token is s3cr3t-t0ken!"), "the token is ***!");
    assert!(!format!("{c:?}").contains("s3cr3t"));
}

#[test]
fn bodies_are_of_four_kinds() {
    let body = |body: &str| {
        let text = format!("{{name: b, triggers: [A], postback: {{url: 'https://n.example/', method: POST, {body}}}}}");
        connector_of(&text).postback.body.clone()
    };
    assert!(matches!(body("params: {a: <<VALUE>>}"), Body::Form(entries) if entries.len() == 1));
    assert!(matches!(body("body: {form: {a: <<VALUE>>}}"), Body::Form(_)));
    assert!(matches!(body("body: {json: [1, '<<VALUE|number>>']}"), Body::Json(_)));
    assert!(matches!(body("body: {text: 'order <<VALUE>>'}"), Body::Text(_)));
    assert!(matches!(body("body: {file: order.json.hbs}"), Body::File(_)));
    assert!(matches!(body("query: {a: b}"), Body::None));
}

#[test]
fn the_revision_follows_meaning_not_layout() {
    let revision = |text: &str| connector_of(text).revision.to_string();
    let flow =
        revision("{name: a, triggers: [A], postback: {url: 'https://n.example/', params: {a: \"${TOKEN}\", b: 1}}}");
    assert_eq!(flow.len(), 12);
    let block = "# a comment\nname: a\ntriggers: [A]\npostback:\n  url: https://n.example/\n  params:\n    a: ${TOKEN}\n    b: 1\n";
    assert_eq!(flow, revision(block));
    assert_eq!(flow, revision(&format!("{block}fixtures: [{{event: {{track: A}}, expect: {{url: x}}}}]")));
    assert_ne!(flow, revision(&block.replace("b: 1", "b: 2")));
    assert_ne!(flow, revision(&block.replace("b: 1", "c: 1")));
    assert_ne!(flow, revision(&block.replace("${TOKEN}", "${SECRET}")));
}

#[test]
fn what_is_not_set_is_accepted_where_asked() {
    let text = "
name: ci
triggers: [A]
postback:
  url: ${BASE}/p
  timeout: {total: \"${TOTAL}\"}
  headers: {Authorization: \"Bearer ${NOPE}\", X: \"${file:/none}\"}
  sign: {scheme: standard-webhooks, secret: \"${NOPE}\"}
";
    let said = load_text("ci.yaml", text, LoadOptions::default()).unwrap_err();
    assert_eq!(said.len(), 5, "{}", lines(&said));
    let loaded = load_text("ci.yaml", text, LoadOptions { no_env: true });
    assert!(loaded.is_ok(), "{}", lines(&loaded.unwrap_err()));
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problems = load(Path::new("no/such/postbackd.yaml"), &|_| None, LoadOptions::default()).unwrap_err();
    let said = lines(&problems);
    assert!(said.starts_with("no/such/postbackd.yaml: "), "{said}");
    assert!(said.contains("--config") && said.contains("postbackd demo"), "{said}");
}

#[test]
fn fixtures_are_read() {
    let text = "
name: f
triggers: [A]
postback: {url: 'https://n.example/'}
fixtures:
  - event: {track: A, value: 15.00}
    clicks: [{cid: abc, utm_source: x}]
    expect: {url: 'https://n.example/', headers: {X-A: b}, method: GET}
  - event: {track: B}
    expect: {reason: no_click}
";
    let loaded = load_text("f.yaml", text, LoadOptions::default()).unwrap_or_else(|all| panic!("{}", lines(&all)));
    let [found] = &loaded.fixtures[..] else { panic!("{:?}", loaded.fixtures) };
    assert_eq!((&*found.connector, &*found.file, found.fixtures.len()), ("f", "f.yaml", 2));
    let first = &found.fixtures[0];
    assert_eq!(first.event.member("value"), Some(&Value::Number("15.00".into())));
    assert_eq!((first.line, first.clicks[0].len()), (8, 2));
    assert_eq!(first.expect.headers, [("x-a".into(), "b".into())]);
}

#[test]
fn several_connectors_may_share_a_file() {
    let one = |name: &str| SMALL.replace("one", name);
    let list = format!("connectors:\n  - {}\n  - {}\n---\n{}\n", one("a"), one("b"), one("c"));
    let loaded = load_text("many.yaml", &list, LoadOptions::default()).unwrap_or_else(|all| panic!("{}", lines(&all)));
    let names: Vec<_> = loaded.config.connectors.iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn aliases_repeat_and_do_not_explode() {
    let text = "
connectors:
  - {name: a, triggers: &t [A], postback: &p {url: 'https://n.example/'}}
  - {name: b, triggers: *t, postback: *p}
";
    assert_eq!(load_text("a.yaml", text, LoadOptions::default()).unwrap().config.connectors.len(), 2);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..20 {
        let alias = format!("*a{}", i - 1);
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(", "));
    }
    let (_, mistakes) = yaml::read(&bomb);
    assert!(mistakes[0].1.contains("more than 100000 values"), "{mistakes:?}");
    let (_, mistakes) = yaml::read(&"[".repeat(100_000));
    assert_eq!(mistakes.len(), 1);
    let (_, mistakes) = yaml::read(&"- ".repeat(10_000));
    assert_eq!(mistakes.len(), 1);
}

#[test]
fn the_settings_table_names_every_key() {
    let table = settings_table();
    let of = |name: &str| table.iter().find(|(key, ..)| key == name).map(|(_, default, _)| default.clone());
    assert_eq!(of("source.amqp.prefetch").as_deref(), Some("1000"));
    assert_eq!(of("containers[].key").as_deref(), Some("required"));
    assert_eq!(of("match.by_time").as_deref(), Some("none"));
}

#[test]
fn the_sample_configuration_and_its_connectors_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let any = |name: &str| match name {
        "AMQP_URL" => environment(name),
        _ => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
    };
    let loaded = load(&root.join("config/postbackd.yaml"), &any, LoadOptions::default());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(lines(&loaded.warnings), "");
    assert!((4..=8).contains(&loaded.config.connectors.len()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in proptest::prelude::any::<String>()) {
        let _ = load_text("c.yaml", &text, LoadOptions::default());
    }

    /// Goal: mistakes that are nearly right. Method: the sample with one character changed.
    #[test]
    fn no_slip_makes_the_reader_panic(at in 0usize..2000, to in "[{}\\[\\]:,&*#?|<>\"'%@`$ \n-]") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/valid/get_with_everything.yaml");
        let mut text: Vec<char> = std::fs::read_to_string(path).unwrap().chars().collect();
        let at = at % text.len();
        text[at] = to.chars().next().unwrap();
        let _ = load_text("c.yaml", &text.into_iter().collect::<String>(), LoadOptions::default());
    }
}

/// Goal: nothing that is wrong hides what else is wrong. Method: a mistake under every key at once.
#[test]
fn every_mistake_is_told_at_once() {
    let text = "
mode: on
triggers: {}
require_consent: x
containers: [nowhere]
when: [{variable: '', gte: a}, {lt: b}]
event_names: [a]
click_matching: {unique: x, window: 1, model: first, wait: 2, settle: 3}
deduplicate: {by: '', for: 4}
settings: {'a b': 1}
postback:
  enabled: maybe
  method: PUT
  url: nowhere
  params: 5
  query: 6
  headers: 7
  body: 8
  for_each: 9
  sign: {scheme: x, secret: '!'}
  timeout: {connect: 10, total: 11}
  outcomes: [{status: x, json: {pointer: x}, then: y, after: 12}]
  retry: {initial: 13, multiplier: x, randomization: x, max_interval: 14, max_elapsed: 15}
  limits: {concurrency: x, rate: 16}
  breaker: {failures: x, open_for: 17}
  expires_after: 18
  on_uncertain: x
fixtures: [{event: 19, clicks: 20, expect: {reason: x}}]
";
    let said = load_text("c.yaml", text, LoadOptions::default()).unwrap_err();
    let lines_said: BTreeSet<usize> = said.iter().map(|p| p.line).collect();
    let expected: BTreeSet<usize> = (2..=text.lines().count()).filter(|line| *line != 11).collect();
    assert_eq!(lines_said, expected, "{}", lines(&said));
    for number in 1..=18 {
        let quoted = format!("`{number}`");
        let value = (1..=4).chain(9..=18).any(|n| n == number);
        assert_eq!(said.iter().any(|p| p.message.contains(&quoted)), value, "{number}: {}", lines(&said));
    }
}

/// The files of the acceptance scenario of this name.
#[test]
fn a_broken_config_is_explained_all_at_once() {
    let files = Memory::default()
        .with("d/postbackd.yaml", "containers: [{key: k}]\n")
        .with(
            "d/connectors/000.yaml",
            "name: one\nmode: enabld\ntriggers: [Purchase]\n\
             postback: {url: \"https://n.example/p\", params: {a: <<VALU>>}}\n",
        )
        .with("d/connectors/001.yaml", "name: two\ntriggers: [Purchase]\npostbak: {url: \"https://n.example/p\"}\n")
        .with(
            "d/connectors/002.yaml",
            "name: three\ntriggers: [Purchase]\npostback:\n  url: \"https://n.example/p\"\n  params:\n    a: {{VALUE}}\n    \
             b: \"<<VALUE|fixd:2>>\"\n  headers: {Authorization: \"Bearer ${NOT_SET_ANYWHERE}\"}\n",
        )
        .with("d/connectors/003.yaml", "name: one\ntriggers: [Lead]\npostback: {url: \"not a url\"}\n");
    let said = load_from(&files, Path::new("d/postbackd.yaml"), &environment, LoadOptions::default()).unwrap_err();
    let expected = [
        ("d/connectors/000.yaml:2:7: ", "`enabld`"),
        ("d/connectors/000.yaml:4:54: warning: ", "`VALUE`"),
        ("d/connectors/001.yaml:3:1: ", "`postbak`"),
        ("d/connectors/002.yaml:6:8: ", "<<VALUE>>"),
        ("d/connectors/002.yaml:7:9: ", "`fixd`"),
        ("d/connectors/002.yaml:8:36: ", "NOT_SET_ANYWHERE"),
        ("d/connectors/003.yaml:1:1: ", "`one` is taken"),
        ("d/connectors/003.yaml:3:18: ", "`not a url`"),
    ];
    assert_eq!(said.len(), expected.len(), "{}", lines(&said));
    for (problem, (place, what)) in said.iter().zip(expected) {
        let line = problem.to_string();
        assert!(line.starts_with(place) && line.contains(what), "{line}");
    }
}
