//! Sample facts for the tests of this room.
//!
//! Refuses: being used outside tests.

use std::sync::Arc;
use std::time::Duration;

use crate::model::click::{Click, Landing};
use crate::model::connector::{
    Body, BreakerPolicy, ClickMatching, Connector, Limits, Mode, OnUncertain, PostbackSpec, Setting, Timeouts, Triggers,
};
use crate::model::delivery::{Attribution, AttributionModel, Delivery, Sending, State};
use crate::model::event::{Consent, Event, EventId, Texts};
use crate::model::facts::{Facts, Known};
use crate::model::field::Field;
use crate::model::identifier::IdentifierKind;
use crate::model::ids::{DeliveryId, Seq, StoreTag, VisitorId};
use crate::model::postback::Method;
use crate::model::retry::RetryPolicy;
use crate::model::secret::{Secrets, Text};
use crate::model::template::UrlTemplate;
use crate::model::time::Time;
use crate::model::value::Value;
use crate::rules::template::{Place, compile, compile_url};
use crate::rules::variables::RenderContext;

/// 2026-01-10T12:00:00.000Z.
pub const NOON: i64 = 1_768_046_400_000;

/// An attempt with everything a template may ask about.
#[derive(Debug)]
pub struct Sample {
    pub connector: Connector,
    pub facts: Facts,
    pub delivery: Delivery,
    pub attempt: u32,
    pub is_repeat: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Self { connector: connector(), facts: facts(), delivery: delivery(), attempt: 2, is_repeat: true }
    }
}

impl Sample {
    pub fn ctx(&self) -> RenderContext<'_> {
        RenderContext {
            connector: &self.connector,
            facts: &self.facts,
            delivery: &self.delivery,
            item: self.delivery.item,
            attempt: self.attempt,
            is_repeat: self.is_repeat,
            now: Time::from_ms(NOON + 5000),
        }
    }

    /// The event, to be changed.
    pub fn event(&mut self) -> &mut Event {
        Arc::make_mut(&mut self.facts.event)
    }

    /// A sample whose custom attribute `v` (`<<V>>`) is `value`.
    pub fn with_v(value: &str) -> Self {
        let mut sample = Self::default();
        sample.event().attributes.push(("v".into(), Value::from(value)));
        sample
    }
}

/// A template that must compile.
pub fn template(text: &str, place: Place) -> crate::model::template::Template {
    compile(&Text::from(text), place).unwrap().template
}

/// A URL template that must compile.
pub fn url(text: &str) -> UrlTemplate {
    compile_url(&Text::from(text)).unwrap().template
}

/// A request that sends nothing but its URL.
pub fn spec(url_text: &str) -> PostbackSpec {
    PostbackSpec {
        method: Method::Get,
        url: url(url_text),
        query: Vec::new(),
        headers: Vec::new(),
        idempotency_key: false,
        body: Body::None,
        for_each_item: false,
        sign: None,
        auth: None,
        test: None,
        timeout: Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(15) },
        outcomes: Vec::new(),
        retry: RetryPolicy::default(),
        limits: Limits { concurrency: 32, rate: None },
        breaker: BreakerPolicy { failures: 10, open_for: Duration::from_secs(30) },
        expires_after: None,
        on_uncertain: OnUncertain::Resend,
    }
}

fn connector() -> Connector {
    let mut token = Text::default();
    token.push_secret("s3cr3t");
    Connector {
        name: "network-x".into(),
        revision: "0123456789ab".into(),
        mode: Mode::Enabled,
        containers: None,
        triggers: Triggers::Every,
        require_consent: None,
        when: Vec::new(),
        event_names: vec![("Purchase".into(), "sale".into())],
        click_matching: Some(ClickMatching {
            required: true,
            params: vec!["aff_click_id".into()],
            unique: false,
            ignore_case: false,
            source_param: Some("utm_source".into()),
            source_value: None,
            model: AttributionModel::LastClick,
            window: Duration::from_secs(14 * 86400),
            wait: Duration::from_secs(600),
            settle: Duration::ZERO,
        }),
        deduplicate: None,
        postback: spec("https://network.example/"),
        postback_enabled: true,
        values: Vec::new(),
        settings: vec![
            Setting { name: "pixel_id".into(), value: Text::from("123") },
            Setting { name: "token".into(), value: token },
        ],
        secrets: Secrets::default(),
    }
}

fn texts(pairs: &[(Field, &str)]) -> Texts {
    let mut texts = Texts::default();
    for (field, value) in pairs {
        texts.set(*field, *value);
    }
    texts
}

fn facts() -> Facts {
    Facts {
        seq: Seq(7),
        event: Arc::new(event()),
        visitor: VisitorId(1),
        matched_by: Some(IdentifierKind::Email),
        known: Known {
            texts: texts(&[
                (Field::City, "Turku"),
                (Field::Gclid, "g-1"),
                (Field::Fbclid, "fb-1"),
                (Field::Value, "1"),
            ]),
            consent: Consent { ads: None, analytics: Some(false) },
            session_start: Some(Time::from_ms(NOON - 60_000)),
            landing_url: Some("https://shop.example/land".into()),
            container_country: None,
            fbclid_time: Some(Time::from_ms(NOON - 90_000)),
        },
        clicks: vec![Click {
            param: "aff_click_id".into(),
            value: "abc-1".into(),
            time: Some(Time::from_ms(NOON - 3_600_500)),
            seen: Time::from_ms(NOON - 3_600_500),
            landing: Arc::new(Landing {
                url: "https://shop.example/?aff_click_id=abc-1&utm_source=platform_x&sub=s%201".into(),
                referrer: Some("https://news.example/".into()),
                ip: Some("192.0.2.7".into()),
                user_agent: Some("Browser/1".into()),
            }),
        }],
    }
}

fn event() -> Event {
    let member = |name: &str, value: Value| (name.into(), value);
    let item = |id: &str, price: &str| {
        Value::Map(vec![
            member("id", id.into()),
            member("name", format!("Shoe {id}").as_str().into()),
            member("price", Value::Number(price.into())),
            member("link", format!("https://shop.example/{id}").as_str().into()),
            member("image", format!("https://shop.example/{id}.png").as_str().into()),
        ])
    };
    Event {
        container: "shop".into(),
        id: EventId::Given("ev-1".into()),
        name: Some("Purchase".into()),
        time: Time::from_ms(NOON),
        received: Time::from_ms(NOON + 1000),
        texts: texts(&[
            (Field::Value, "99.00"),
            (Field::Currency, "EUR"),
            (Field::Url, "https://shop.example/thanks?a=1"),
            (Field::Referrer, "https://shop.example/cart"),
            (Field::Email, " Test@Example.com "),
            (Field::PhoneNumber, "040 1234567"),
            (Field::Country, "FI"),
            (Field::TransactionId, "t-1"),
            (Field::FirstName, "Åsa"),
            (Field::Ip, "192.0.2.1"),
        ]),
        email_variants: Vec::new(),
        phone_variants: Vec::new(),
        click_time: None,
        items: vec![item("a", "10.00"), item("b", "89.00")],
        consent: Consent { ads: Some(true), analytics: None },
        attributes: vec![
            member("planName", "gold".into()),
            member("trial", Value::Bool(true)),
            member(
                "cart",
                Value::Map(vec![member("lines", Value::List(vec![Value::Number("1.50".into()), Value::Null]))]),
            ),
        ],
        is_partial: false,
        new_session_at: None,
        is_test: false,
    }
}

fn delivery() -> Delivery {
    Delivery {
        id: DeliveryId::new(StoreTag::new(1), Seq(7), 0),
        connector: "network-x".into(),
        revision: "0123456789ab".into(),
        sending: Sending::Live,
        state: State::Pending,
        reason: None,
        detail: None,
        attribution: Some(Attribution {
            click: Some(0),
            model: AttributionModel::LastClick,
            window: Duration::from_secs(14 * 86400),
            click_count: 3,
            why: "newest".into(),
        }),
        item: Some(1),
        due: Time::from_ms(NOON),
    }
}
