//! A connector as meant: who wants which events, by which click, sent how. Every value has been checked.
//!
//! Refuses: YAML. `config` reads and checks; what stands here can be used without asking again.

use std::sync::Arc;
use std::time::Duration;

use super::condition::Condition;
use super::delivery::AttributionModel;
use super::ids::{ConnectorName, ContainerKey, Revision};
use super::outcome::OutcomeRule;
use super::postback::Method;
use super::retry::RetryPolicy;
use super::secret::{Secrets, Text};
use super::template::{BodyFile, Entry, JsonTemplate, Slot, Template, UrlTemplate};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enabled,
    Test,
    Disabled,
}

impl Mode {
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Test => "test",
            Self::Disabled => "disabled",
        }
    }
}

/// Which track events a connector wants: exact names, or every one (`"*"`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggers {
    Every,
    Named(Vec<Box<str>>),
}

impl Triggers {
    pub fn matches(&self, event_name: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Named(names) => names.iter().any(|n| **n == *event_name),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentKind {
    Ads,
    Analytics,
}

/// How a connector finds the click that earned an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickMatching {
    /// False: the event fires either way.
    pub required: bool,
    /// The click ID's query parameter and its aliases; never empty.
    pub params: Vec<Box<str>>,
    /// A value stands for one click, however often it lands.
    pub unique: bool,
    pub ignore_case: bool,
    pub source_param: Option<Box<str>>,
    /// Only clicks with exactly this in `source_param` are the connector's own.
    pub source_value: Option<Box<str>>,
    pub model: AttributionModel,
    pub window: Duration,
    pub wait: Duration,
    pub settle: Duration,
}

impl ClickMatching {
    /// Whether a query parameter of this name carries this connector's click ID.
    pub fn is_param(&self, name: &str) -> bool {
        self.params.iter().any(|p| if self.ignore_case { p.eq_ignore_ascii_case(name) } else { **p == *name })
    }
}

/// One event per distinct, non-blank value of a variable.
#[derive(Clone, Debug)]
pub struct Deduplicate {
    pub by: Slot,
    pub keep: Duration,
}

/// How a lane may use its network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Attempts in flight, outcome not yet recorded: at least 1.
    pub concurrency: usize,
    /// Requests per second; `None`: as fast as it goes.
    pub rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it: at least 1.
    pub failures: u32,
    pub open_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the first byte dialled to the last byte read.
    pub total: Duration,
}

/// What becomes of an attempt whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUncertain {
    Resend,
    Hold,
    Drop,
}

/// Signing by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The decoded keys, the current one first; with two, both signatures are sent while a secret is being changed.
    pub keys: Vec<SigningKey>,
}

/// Key bytes that never print.
#[derive(Clone)]
pub struct SigningKey(pub Box<[u8]>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(super::secret::MASK)
    }
}

/// How a network knows who calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A header that is the same for every request: Basic (RFC 7617), Bearer (RFC 6750), or the network's own.
    Header { name: Box<str>, value: Text },
    /// A token from a server of theirs.
    OAuth2(Arc<OAuth2>),
}

/// The header in which credentials are sent (RFC 9110 section 11.6.2).
pub const AUTHORIZATION: &str = "authorization";

impl Auth {
    /// The header that it is sent in, in lower case.
    pub fn header(&self) -> &str {
        match self {
            Self::Header { name, .. } => name,
            Self::OAuth2(_) => AUTHORIZATION,
        }
    }
}

/// Where access tokens come from (RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// An absolute URL.
    pub token_url: Text,
    pub grant: Grant,
    pub client_id: Text,
    pub client_secret: Text,
    /// The client shows itself by Basic authentication, and not in the body.
    pub client_in_header: bool,
    pub scope: Option<Text>,
}

/// What a token is asked for with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The client's own right (RFC 6749 section 4.4).
    ClientCredentials,
    /// What a person once granted it (RFC 6749 section 6).
    RefreshToken(Text),
}

/// What a POST carries.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// `params` of a POST, or `body.form`.
    Form(Vec<Entry>),
    Json(JsonTemplate),
    /// `body.text`: sent as `text/plain` unless a header says otherwise; values are inserted as they are.
    Text(Template),
    File(Arc<BodyFile>),
}

/// The request a connector sends and how it is sent.
#[derive(Clone, Debug)]
pub struct PostbackSpec {
    pub method: Method,
    pub url: UrlTemplate,
    /// `query`, and the `params` of a GET: appended to the URL in this order.
    pub query: Vec<Entry>,
    /// Names are lower-case and valid; `Idempotency-Key` is added by the renderer unless [`Self::idempotency_key`] is off.
    pub headers: Vec<Entry>,
    pub idempotency_key: bool,
    pub body: Body,
    pub for_each_item: bool,
    pub sign: Option<Signing>,
    pub auth: Option<Auth>,
    /// The whole of it with `test_overlay` laid over the request, for what is sent by force.
    pub test: Option<Box<PostbackSpec>>,
    pub timeout: Timeouts,
    pub outcomes: Vec<OutcomeRule>,
    pub retry: RetryPolicy,
    pub limits: Limits,
    pub breaker: BreakerPolicy,
    pub expires_after: Option<Duration>,
    pub on_uncertain: OnUncertain,
}

/// A value that a template asks for by `<<SETTING.name>>`; tainted where it is secret.
#[derive(Clone, Debug)]
pub struct Setting {
    pub name: Box<str>,
    pub value: Text,
}

/// A text that a connector puts together, asked for by `<<VALUES.name>>`. None asks for another.
#[derive(Clone, Debug)]
pub struct OwnValue {
    pub name: Box<str>,
    /// For plain text: the place where it is asked for escapes it.
    pub template: Template,
    /// Once for each item, with this between them.
    pub each_item: Option<Box<str>>,
}

/// One connector.
#[derive(Clone, Debug)]
pub struct Connector {
    pub name: ConnectorName,
    pub revision: Revision,
    pub mode: Mode,
    /// Keys of the containers it listens to; `None`: all.
    pub containers: Option<Vec<ContainerKey>>,
    pub triggers: Triggers,
    pub require_consent: Option<ConsentKind>,
    pub when: Vec<Condition>,
    /// What `<<EVENT_NAME>>` says in place of an event's own name.
    pub event_names: Vec<(Box<str>, Box<str>)>,
    pub click_matching: Option<ClickMatching>,
    pub deduplicate: Option<Deduplicate>,
    /// Its settings are kept when it is switched off.
    pub postback: PostbackSpec,
    pub postback_enabled: bool,
    pub settings: Vec<Setting>,
    pub values: Vec<OwnValue>,
    /// For scrubbing replies.
    pub secrets: Secrets,
}

impl Connector {
    /// Whether events of this container are meant for it.
    pub fn listens_to(&self, container: &str) -> bool {
        self.containers.as_ref().is_none_or(|keys| keys.iter().any(|k| **k == *container))
    }

    /// The setting called `name`.
    pub fn setting(&self, name: &str) -> Option<&Text> {
        self.settings.iter().find(|s| &*s.name == name).map(|s| &s.value)
    }
}
