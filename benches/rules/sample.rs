//! What is measured with: connectors read as anybody's files are, the benchmark's purchase, and visitors of many clicks.
//!
//! Refuses: making a connector, an event or a visitor in any other way than the daemon does.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postbackd::config::files::Memory;
use postbackd::config::{LoadOptions, load_from};
use postbackd::ingest::dialects::flat::read_message;
use postbackd::ingest::reading::Context;
use postbackd::model::connector::Connector;
use postbackd::model::delivery::{Delivery, Sending, State};
use postbackd::model::event::Event;
use postbackd::model::facts::{Facts, Known};
use postbackd::model::ids::{DeliveryId, Seq, StoreTag, VisitorId};
use postbackd::model::outcome::Met;
use postbackd::model::time::Time;
use postbackd::model::visitor::Visitor;
use postbackd::pipeline::Rules;
use postbackd::rules::judge::{self, Case as Judged};
use postbackd::rules::variables::RenderContext;
use postbackd::store::{Candidate, Case, Planned, PlannedVerdict, Planner as _};

/// 2026-01-10T12:00:00.000Z.
pub fn now() -> Time {
    Time::from_ms(1_768_046_400_000)
}

/// One of the messages that `end_to_end` publishes: about 520 bytes.
pub const PURCHASE: &str = concat!(
    r#"{"k":"bench-key","track":"Purchase","eventId":"ev-0-00000007","sessionId":"s-f1bbcdcbfa53e0a8","#,
    r#""gclid":"Cj0KCQiAf1bbcdcbfa53e0a8EALw_wcB","email":"buyer7@example.com","country":"DE","#,
    r#""transactionId":"tx-00000007","value":12.49,"currency":"EUR","#,
    r#""items":[{"id":"SKU-7","name":"Example article","quantity":1,"price":12.49}],"#,
    r#""url":"https://shop.example.com/checkout/thanks?order=00000007&aff_click_id=cf1bbcdcbfa53e0a8","#,
    r#""userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","ip":"203.0.113.7","ts":1700000000000007}"#,
);

const DAEMON: &str = "
connectors: connectors.yaml
containers: [{key: bench-key, name: bench, country: DE}]
";

const GET: &str = "
  method: GET
  params:
    transaction_id: <<TRANSACTION_ID>>
    click_id: <<CLICK_ID>>
    value: <<VALUE>>
    currency: <<CURRENCY>>
    event: <<EVENT_NAME>>
    ts: <<EVENT.ts>>
";

/// The same six values.
const POST_JSON: &str = "
  method: POST
  body:
    json:
      order: {id: <<TRANSACTION_ID>>, value: <<VALUE|number>>, currency: <<CURRENCY>>}
      click_id: <<CLICK_ID>>
      event: <<EVENT_NAME>>
      ts: <<EVENT.ts|number>>
";

/// A connector in a few words.
pub struct Network {
    pub name: String,
    pub trigger: String,
    pub param: String,
    /// The method and what is sent.
    pub request: &'static str,
    pub outcomes: &'static str,
}

impl Default for Network {
    /// One that every purchase of the benchmark earns a postback.
    fn default() -> Self {
        Self {
            name: "network".into(),
            trigger: "Purchase".into(),
            param: "aff_click_id".into(),
            request: GET,
            outcomes: "",
        }
    }
}

impl Network {
    pub fn posting_json() -> Self {
        Self { request: POST_JSON, ..Self::default() }
    }

    /// The `n`th of those that want something else.
    pub fn of_another_event(n: usize) -> Self {
        let (name, trigger, param) = (format!("network-{n}"), format!("Lead{n}"), format!("click_id_{n}"));
        Self { name, trigger, param, ..Self::default() }
    }

    fn yaml(&self) -> String {
        let Self { name, trigger, param, request, outcomes } = self;
        format!(
            "name: {name}
mode: enabled
triggers: [{trigger}]
click_matching: {{param: {param}, model: last_click, window: 30d}}
postback:
  url: https://network.example/p
  outcomes: [{outcomes}]{request}"
        )
    }
}

/// The rules under a configuration.
pub struct Sample {
    pub rules: Rules,
}

impl Sample {
    pub fn of(networks: &[Network]) -> Self {
        let connectors: Vec<String> = networks.iter().map(Network::yaml).collect();
        let files = Memory::default().with("bench.yaml", DAEMON).with("connectors.yaml", &connectors.join("---\n"));
        let loaded = load_from(&files, Path::new("bench.yaml"), &|_| None, LoadOptions::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
        Self { rules: Rules::new(Arc::new(loaded.config)) }
    }

    /// The first one.
    pub fn connector(&self) -> &Connector {
        &self.rules.config.connectors[0]
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            containers: &self.rules.config.containers,
            container_header: None,
            container_default: None,
            message_id: None,
            sent: None,
            received: now(),
            redelivered: false,
        }
    }

    pub fn read(&self, message: &str) -> Event {
        let mut events = read_message(message.as_bytes(), &self.context()).expect("a good message");
        assert_eq!(events.len(), 1);
        events.remove(0)
    }

    /// A page seen `ago` sessions before now, by a click: in turn one of the connector's own and one of somebody else's.
    pub fn landing(&self, ago: usize) -> Event {
        // Further apart than a session's gap, and a thousand of them within the connector's window.
        const APART_MS: usize = 40 * 60 * 1000;
        let time = now().minus(Duration::from_millis((ago * APART_MS) as u64));
        let param = if ago.is_multiple_of(2) { "aff_click_id" } else { "gclid" };
        let mut message = String::from(r#"{"k":"bench-key","track":"PageView","sessionId":"s","#);
        write!(message, r#""timestamp":{},"url":"https://shop.example.com/?{param}=c{ago:08}"}}"#, time.ms())
            .expect("text can be written to");
        self.read(&message)
    }

    /// Somebody who came by so many clicks, the last of them of the connector's own.
    pub fn visitor(&self, clicks: usize) -> Visitor {
        let mut visitor = Visitor::new(VisitorId(1), "bench-key".into());
        for n in 0..clicks {
            let candidate = self.rules.candidate(self.landing(2 + clicks - 1 - n));
            self.rules.remember(&mut visitor, &candidate);
        }
        assert_eq!(visitor.clicks.len(), clicks);
        visitor
    }

    /// All that the rules do of the admission of an event whose visitor nobody knew.
    pub fn plan(&self, candidate: &Candidate) -> Option<(Facts, Vec<Planned>)> {
        let event = &candidate.event;
        let mut visitor = Visitor::new(VisitorId(1), event.container.clone());
        self.rules.remember(&mut visitor, candidate);
        if !self.rules.wants(event) {
            return None;
        }
        let (event, known, clicks) = (event.clone(), Known::default(), Vec::new());
        let mut facts = Facts { seq: Seq(1), event, visitor: visitor.id, matched_by: None, known, clicks };
        let case = Case { visitor: &visitor, now: now(), claimed: &|_, _| false };
        let planned = self.rules.decide(&case, &mut facts);
        Some((facts, planned))
    }

    /// A first attempt that was answered.
    pub fn case<'a>(&'a self, met: &'a Met) -> Judged<'a> {
        let spec = &self.connector().postback;
        let deadline = judge::deadline(spec, now(), now(), Duration::ZERO);
        Judged { spec, met, now: now(), delay: Duration::from_secs(10), deadline }
    }
}

/// A purchase that the first connector sends.
pub struct Sent {
    sample: Sample,
    facts: Facts,
    delivery: Delivery,
}

impl Sent {
    pub fn of(sample: Sample) -> Self {
        let candidate = sample.rules.candidate(sample.read(PURCHASE));
        let (facts, mut planned) = sample.plan(&candidate).expect("the connector wants it");
        let planned = planned.remove(0);
        assert!(is_sent(&planned), "{planned:?}");
        let delivery = Delivery {
            id: DeliveryId::new(StoreTag::new(1), facts.seq, 0),
            connector: planned.connector,
            revision: planned.revision,
            sending: Sending::Live,
            state: State::Pending,
            reason: None,
            detail: None,
            attribution: planned.attribution,
            item: None,
            due: now(),
        };
        Self { sample, facts, delivery }
    }

    pub fn connector(&self) -> &Connector {
        self.sample.connector()
    }

    pub fn context(&self) -> RenderContext<'_> {
        let (connector, facts, delivery) = (self.connector(), &self.facts, &self.delivery);
        RenderContext { connector, facts, delivery, item: delivery.item, attempt: 1, is_repeat: false, now: now() }
    }
}

pub fn is_sent(planned: &Planned) -> bool {
    matches!(planned.verdict, PlannedVerdict::Send { .. })
}
