//! `postback`: the request and how it is sent.
//!
//! Refuses: headers that belong to HTTP itself.

use std::time::Duration;

use super::body::{self, BodyRead};
use super::{World, auth, outcome, signing};
use crate::config::context::quote;
use crate::config::fields::Fields;
use crate::config::keys::connector::POSTBACK;
use crate::config::node::{Member, Tree};
use crate::config::problem::Position;
use crate::config::templates::{Templates, there};
use crate::config::values;
use crate::model::connector::{Auth, BreakerPolicy, Limits, OnUncertain, PostbackSpec, Timeouts};
use crate::model::outcome::OutcomeRule;
use crate::model::postback::Method;
use crate::model::retry::{RetryPolicy, RetryPolicyError};
use crate::model::template::{Entry, Place, There};

/// Headers that the HTTP client writes by itself; one of ours would break the message's framing or its routing.
pub(super) const OWN_HEADERS: &[&str] = &["host", "content-length", "transfer-encoding", "connection"];
/// Headers that a signature consists of.
const SIGNATURE_HEADERS: &[&str] = &["webhook-id", "webhook-timestamp", "webhook-signature"];
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What `postback` says.
pub struct Request {
    pub spec: PostbackSpec,
    pub enabled: bool,
    /// The body file's text, for the revision.
    pub file_source: Option<String>,
}

/// Reads the mapping.
pub fn read(f: &Fields<'_>, templates: &Templates<'_>, world: &World<'_>) -> Option<Request> {
    let method = f.choice("method", &[Method::Get, Method::Post]).unwrap_or(Method::Get);
    let url = f.given("url").and_then(|node| templates.url("url", node));
    let mut query = entries(f, templates, "query", Place::Query);
    let place = if method == Method::Get { Place::Query } else { Place::Form };
    let params = f.given("params").map(|_| entries(f, templates, "params", place));
    let headers = headers(f, templates);
    let BodyRead { body, file_source } = match method {
        Method::Get => {
            query.extend(params.unwrap_or_default());
            if f.which(&["body"]).len() == 1 {
                f.ctx.error(f.position("body"), "`body` goes with `method: POST` only: set that, or use `params`");
            }
            // Read all the same, for the mistakes in it.
            let _ = body::read(f, templates, None, world);
            BodyRead::default()
        }
        Method::Post => body::read(f, templates, params, world),
    };
    let sign = f.object("sign").and_then(|f| signing::read(&f, templates));
    if sign.is_some() {
        let taken = headers.entries.iter().find(|(_, entry)| SIGNATURE_HEADERS.contains(&entry.name.reveal()));
        if let Some((at, entry)) = taken {
            f.ctx.error(*at, format!("header `{}` is written by `sign`: take it away", entry.name.reveal()));
        }
    }
    let auth = f.object("auth").and_then(|f| auth::read(&f, templates));
    let own = auth.as_ref().map(Auth::header);
    if sign.is_some() && own.is_some_and(|own| SIGNATURE_HEADERS.contains(&own)) {
        f.ctx.error(f.position("auth"), "auth: this header is written by `sign`: choose another");
    }
    if let Some((at, entry)) = headers.entries.iter().find(|(_, entry)| Some(entry.name.reveal()) == own) {
        f.ctx.error(*at, format!("header `{}` is written by `auth`: take it away", entry.name.reveal()));
    }
    let delivery = Delivery::read(f);
    let enabled = f.boolean("enabled");
    let test = f.object("test_overlay").and_then(|over| overlaid(f, &over, templates, world));
    // Everything has been read: only now may a missing URL end it.
    let spec = PostbackSpec {
        method,
        url: url?,
        query,
        headers: headers.entries.into_iter().map(|(_, entry)| entry).collect(),
        idempotency_key: headers.idempotency_key,
        body,
        for_each_item: templates.for_each,
        sign,
        auth,
        test: test.map(Box::new),
        timeout: delivery.timeout,
        outcomes: delivery.outcomes,
        retry: delivery.retry,
        limits: delivery.limits,
        breaker: delivery.breaker,
        expires_after: delivery.expires_after,
        on_uncertain: delivery.on_uncertain,
    };
    Some(Request { spec, enabled, file_source })
}

/// The same postback with `over` laid over its request.
fn overlaid(f: &Fields<'_>, over: &Fields<'_>, templates: &Templates<'_>, world: &World<'_>) -> Option<PostbackSpec> {
    let under = f.node_without("test_overlay");
    let whole = over.node().laid_over(&under);
    let f = Fields::open(f.ctx, "test_overlay", &whole, &POSTBACK)?;
    let _ = f.choice("for_each", &[true]);
    read(&f, templates, world).map(|request| request.spec)
}

/// How the request is sent, and what its replies mean.
struct Delivery {
    timeout: Timeouts,
    outcomes: Vec<OutcomeRule>,
    retry: RetryPolicy,
    limits: Limits,
    breaker: BreakerPolicy,
    expires_after: Option<Duration>,
    on_uncertain: OnUncertain,
}

impl Delivery {
    fn read(f: &Fields<'_>) -> Self {
        let choices = [OnUncertain::Resend, OnUncertain::Hold, OnUncertain::Drop];
        Self {
            timeout: timeouts(f),
            outcomes: f.objects("outcomes").iter().filter_map(outcome::read).collect(),
            retry: retry(&f.object_or_empty("retry")),
            limits: limits(f),
            breaker: breaker(f),
            expires_after: f.duration("expires_after"),
            on_uncertain: f.choice("on_uncertain", &choices).unwrap_or(OnUncertain::Resend),
        }
    }
}

/// `name: template` for each member under `key`.
pub fn entries(f: &Fields<'_>, templates: &Templates<'_>, key: &str, place: Place) -> Vec<Entry> {
    let mut entries = Vec::new();
    for member in f.members(key).unwrap_or_default() {
        match (&member.value.tree, there(&member.key)) {
            (Tree::Map(parts), Some(there)) => {
                let templates = templates.within(there);
                entries.extend(parts.iter().filter_map(|part| entry(f, &templates, key, place, part, there)));
            }
            _ => entries.extend(entry(f, templates, key, place, member, There::Always)),
        }
    }
    entries
}

fn entry(
    f: &Fields<'_>,
    templates: &Templates<'_>,
    key: &str,
    place: Place,
    member: &Member,
    there: There,
) -> Option<Entry> {
    let value = filled(f, templates, member, place)?;
    // The name may hold `${…}` too; it is a scalar of its own, at its own place.
    let name = f.ctx.text(key, &member.key_node())?;
    let shown = || quote(&member.key);
    if name.text.is_empty() {
        f.ctx.error(member.key_at, format!("{key}: a name is empty: write one"));
    } else if member.key.contains("<<") || member.key.contains("{{") {
        f.ctx.error(member.key_at, format!("{key}: the name {} cannot hold a variable, only its value can", shown()));
    } else if there == There::EachItem && !member.key.contains('#') {
        let message = format!("{key}: {} would come once for each item: put # where the number goes", shown());
        f.ctx.error(member.key_at, message);
    }
    Some(Entry { name: name.text, value, there })
}

fn filled(
    f: &Fields<'_>,
    templates: &Templates<'_>,
    member: &Member,
    place: Place,
) -> Option<crate::model::template::Template> {
    if member.value.is_null() {
        let message = format!("`{}` has no value: write one, like <<VALUE>>, or \"\" for an empty one", member.key);
        f.ctx.error(member.key_at, message);
        return None;
    }
    templates.compile(&member.key, &member.value, place)
}

struct Headers {
    entries: Vec<(Position, Entry)>,
    idempotency_key: bool,
}

fn headers(f: &Fields<'_>, templates: &Templates<'_>) -> Headers {
    let mut headers = Headers { entries: Vec::new(), idempotency_key: true };
    for member in f.members("headers").unwrap_or_default() {
        let name = member.key.to_ascii_lowercase();
        if name == IDEMPOTENCY_KEY {
            // Given as null it is taken off; given otherwise it stands in place of ours.
            headers.idempotency_key = false;
            if member.value.is_null() {
                continue;
            }
        }
        if !is_token(&name) {
            let message = format!("header `{}` is no header name: use letters, digits and -", member.key);
            f.ctx.error(member.key_at, message);
        } else if OWN_HEADERS.contains(&&*name) {
            f.ctx.error(member.key_at, format!("header `{}` is written by the HTTP client: take it away", member.key));
        } else if headers.entries.iter().any(|(_, entry)| entry.name.reveal() == name) {
            f.ctx.error(
                member.key_at,
                format!("header `{}` is given twice: upper and lower case do not differ", member.key),
            );
        }
        if let Some(value) = filled(f, templates, member, Place::Header) {
            let name = name.as_str().into();
            headers.entries.push((member.key_at, Entry { name, value, there: There::Always }));
        }
    }
    headers
}

/// A header name: a token of RFC 9110 section 5.6.2.
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A duration longer than nothing.
fn positive(f: &Fields<'_>, key: &str) -> Duration {
    let parse = |text: &str| match values::duration(text)? {
        Duration::ZERO => Err("is too short: write more than 0s".to_owned()),
        duration => Ok(duration),
    };
    f.parsed(key, parse).unwrap_or_default()
}

fn timeouts(f: &Fields<'_>) -> Timeouts {
    let f = f.object_or_empty("timeout");
    let timeouts = Timeouts { connect: positive(&f, "connect"), total: positive(&f, "total") };
    if timeouts.total < timeouts.connect && f.which(&["connect"]).len() == 1 {
        let (connect, total) = (values::duration_text(timeouts.connect), values::duration_text(timeouts.total));
        f.ctx.error(
            f.position("connect"),
            format!("connect: {connect} is longer than `total` ({total}), which includes it"),
        );
    }
    timeouts
}

fn retry(f: &Fields<'_>) -> RetryPolicy {
    let factor = |key: &str| f.parsed(key, values::number).unwrap_or_default();
    let initial = f.duration("initial").unwrap_or_default();
    let max_elapsed = f.duration("max_elapsed").unwrap_or_default();
    let max_interval = f.duration("max_interval").unwrap_or_default();
    let policy = RetryPolicy::new(initial, factor("multiplier"), factor("randomization"), max_interval, max_elapsed);
    policy.unwrap_or_else(|error| {
        let key = match error {
            RetryPolicyError::InitialZero => "initial",
            RetryPolicyError::Multiplier => "multiplier",
            RetryPolicyError::Randomization => "randomization",
            RetryPolicyError::MaxInterval => "max_interval",
            RetryPolicyError::MaxElapsedZero => "max_elapsed",
        };
        f.ctx.error(f.position(key), format!("retry: {error}"));
        RetryPolicy::default()
    })
}

fn limits(f: &Fields<'_>) -> Limits {
    let f = f.object_or_empty("limits");
    let concurrency = f.integer("concurrency").and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
    Limits { concurrency, rate: f.rate("rate") }
}

fn breaker(f: &Fields<'_>) -> BreakerPolicy {
    let f = f.object_or_empty("breaker");
    let failures = f.integer("failures").and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
    BreakerPolicy { failures, open_for: positive(&f, "open_for") }
}
