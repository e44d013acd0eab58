//! What a scenario can't know: addresses and times. `http://partner.test`, `http://nobody.test`, `{ago:3d}` and the like.
//!
//! Refuses: anything else; a scenario is data, not a program.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// The moment a scenario plays at, and where its parties are.
#[derive(Clone, Debug)]
pub struct Fill {
    pub now: SystemTime,
    pub partner: String,
    pub nobody: String,
    pub ingest: String,
    pub admin: String,
}

impl Fill {
    /// Fills in a text.
    pub fn text(&self, text: &str) -> String {
        let text = text
            .replace("http://partner.test", &self.partner)
            .replace("http://nobody.test", &self.nobody)
            .replace("http://ingest.test", &self.ingest)
            .replace("http://admin.test", &self.admin);
        self.times(&text)
    }

    fn times(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("{ago") {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let found = from.split_once('}').and_then(|(inside, after)| {
                let (form, offset) = inside.strip_prefix("{ago")?.split_once(':')?;
                Some((self.moment(form, offset)?, after))
            });
            let Some((moment, after)) = found else {
                out.push_str("{ago");
                rest = &from["{ago".len()..];
                continue;
            };
            out.push_str(&moment);
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn moment(&self, form: &str, offset: &str) -> Option<String> {
        let time = self.ago(offset)?;
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        match form {
            "" => Some(iso(time)),
            "_s" => Some(since.as_secs().to_string()),
            "_ms" => Some(since.as_millis().to_string()),
            _ => None,
        }
    }

    /// The moment `offset` before now: `7d`, `1h 30m`, `-2m` (ahead).
    fn ago(&self, offset: &str) -> Option<SystemTime> {
        match offset.trim().strip_prefix('-') {
            Some(ahead) => Some(self.now + duration(ahead)?),
            None => Some(self.now - duration(offset)?),
        }
    }

    /// Fills in every text of a value.
    pub fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(list) => Value::Array(list.iter().map(|v| self.value(v)).collect()),
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), self.value(v))).collect()),
            other => other.clone(),
        }
    }

    /// An event as sent: `ago` becomes `timestamp`.
    pub fn event(&self, event: &Value) -> Result<Value, String> {
        let mut event = self.value(event);
        if let Some(map) = event.as_object_mut()
            && let Some(ago) = map.remove("ago")
        {
            let ago = ago.as_str().unwrap_or_default();
            let time = self.ago(ago).ok_or_else(|| format!("`ago: {ago}` is no time; write `3d` or `1h 30m`"))?;
            map.insert("timestamp".into(), iso(time).into());
        }
        Ok(event)
    }
}

/// `count` copies of a value, `{n}` counting from 1.
pub fn repeat(value: &Value, count: u64) -> Vec<Value> {
    (1..=count).map(|n| numbered(value, &n.to_string())).collect()
}

fn numbered(value: &Value, n: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{n}", n)),
        Value::Array(list) => Value::Array(list.iter().map(|v| numbered(v, n)).collect()),
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), numbered(v, n))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

fn iso(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).expect("a test plays near the present");
    format!("{time:.3}")
}

fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for part in text.split_whitespace() {
        let unit = part.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = part[..unit].parse().ok()?;
        let unit_ms = match &part[unit..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total += Duration::from_millis(number * unit_ms);
    }
    Some(total)
}

#[test]
fn times_and_addresses_are_filled_in() {
    let fill = Fill {
        now: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        partner: "http://127.0.0.1:1".into(),
        nobody: String::new(),
        ingest: String::new(),
        admin: String::new(),
    };
    for (text, expect) in [
        ("http://partner.test/p", "http://127.0.0.1:1/p"),
        ("{ago:0s}", "2023-11-14T22:13:20.123Z"),
        ("t={ago_s:1h 20s} {ago:what} {agony}", "t=1699996380 {ago:what} {agony}"),
        ("{ago_ms:-1s}", "1700000001123"),
    ] {
        assert_eq!(fill.text(text), expect);
    }
    let event = fill.event(&serde_json::json!({"ago": "1d", "n": 1})).unwrap();
    assert_eq!(event, serde_json::json!({"timestamp": "2023-11-13T22:13:20.123Z", "n": 1}));
}
