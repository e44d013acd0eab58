//! Whether a request comes from someone who has the container's secret, and is as it was sent.
//!
//! Refuses: whatever says something of the event and is not covered by the signature, and saying how near a wrong signature was.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::answer::Refusal;
use super::request::Request;
use crate::config::Container;
use crate::model::time::Time;

/// `sha256=` and an HMAC-SHA256 in hexadecimal, as GitHub and many after it sign webhooks.
const HEADER: &str = "X-Signature";
const STRIPE_HEADER: &str = "Stripe-Signature";

/// How far the time in a Stripe signature may be from ours: what Stripe's own libraries allow
/// (docs.stripe.com/webhooks/signature).
const STRIPE_TOLERANCE: Duration = Duration::from_secs(300);

/// Signatures of one header that are looked at. While a secret is rolled there are two.
const STRIPE_SIGNATURES_MAX: usize = 8;

/// What a query may say beside a signature of the body alone: whose event it is, which shows by the secret, and the dialect.
const BESIDE_BODY: &[&str] = &["k", "container", "source"];

/// The same for Stripe, which signs no URL: what the one that it was given says of all its events.
const BESIDE_STRIPE: &[&str] = &["k", "container", "source", "track"];

/// The signatures that a request came with.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    plain: Option<String>,
    stripe: Option<String>,
}

impl Signatures {
    /// Those of these headers; one that is no ASCII text is none.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| Some(value.to_str().ok()?.trim().to_owned()));
        Self { plain: text(HEADER), stripe: text(STRIPE_HEADER) }
    }
}

/// How a dialect's requests are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `X-Signature: sha256=…` over the body, or over path and query, a line feed and the body.
    Plain,
    /// The same, of a path that says what the event is: the body alone is not enough.
    WithPath,
    /// `Stripe-Signature: t=…,v1=…` over time and body.
    Stripe,
}

/// Refuses a request for `container` that is not signed as its secret asks.
pub(super) fn verify(scheme: Scheme, request: &Request, container: &Container, now: Time) -> Result<(), Refusal> {
    match scheme {
        Scheme::Plain | Scheme::WithPath => {
            container.secret.as_ref().map_or(Ok(()), |secret| plain(scheme, request, secret))
        }
        Scheme::Stripe => {
            let secret = container.stripe_secret.as_ref().or(container.secret.as_ref());
            secret.map_or(Ok(()), |secret| stripe(request, secret, now))
        }
    }
}

fn unsigned(field: impl Into<String>, problem: &'static str) -> Result<(), Refusal> {
    Err(Refusal::Unsigned { field: field.into(), problem })
}

fn plain(scheme: Scheme, request: &Request, secret: &SecretString) -> Result<(), Refusal> {
    let Some(given) = &request.signatures.plain else {
        return unsigned(
            HEADER,
            "is missing; send sha256= and the HMAC-SHA256 of the body in hexadecimal, keyed with the secret",
        );
    };
    // It would be the event's id, and no signature speaks of it.
    if request.idempotency_key.is_some() {
        return unsigned("Idempotency-Key", "is not covered by the signature; send `eventId` in the body");
    }
    let hex = given.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("sha256")).map_or("", |(_, hex)| hex);
    let body: &[u8] = &request.body.bytes;
    // A line feed can't stand in what is before it, so that no two requests are written the same.
    if is_signed(secret, &[request.target.as_bytes(), b"\n", body], hex) {
        return Ok(());
    }
    // A body that begins like a path could be a whole request that somebody overheard; no JSON and no form does.
    if body.starts_with(b"/") || !is_signed(secret, &[body], hex) {
        return unsigned(HEADER, "is wrong; sign the body as it is sent, or path and query, a line feed and the body");
    }
    if scheme == Scheme::WithPath {
        return unsigned(HEADER, "does not cover the path; sign path and query, a line feed and the body");
    }
    only(BESIDE_BODY, request, "is not covered by the signature; send it in the body, or sign the path and query too")
}

/// Refuses a query that says more than these.
fn only(names: &[&str], request: &Request, problem: &'static str) -> Result<(), Refusal> {
    let mut said = url::form_urlencoded::parse(request.query.as_bytes());
    match said.find(|(name, _)| !names.contains(&&**name)) {
        Some((name, _)) => unsigned(name.chars().take(100).collect::<String>(), problem),
        None => Ok(()),
    }
}

fn stripe(request: &Request, secret: &SecretString, now: Time) -> Result<(), Refusal> {
    let Some(given) = &request.signatures.stripe else {
        return unsigned(STRIPE_HEADER, "is missing; this container takes what Stripe has signed");
    };
    let parts = || given.split(',').filter_map(|part| part.trim().split_once('='));
    let Some((_, time)) = parts().find(|(name, _)| *name == "t") else {
        return unsigned(STRIPE_HEADER, "has no time; send t=…,v1=…");
    };
    let is_near = time.parse::<i64>().is_ok_and(|time| time.abs_diff(now.seconds()) <= STRIPE_TOLERANCE.as_secs());
    let signed = [time.as_bytes(), b".", &request.body.bytes];
    let mut signatures = parts().filter(|(name, _)| *name == "v1").take(STRIPE_SIGNATURES_MAX);
    if !signatures.any(|(_, hex)| is_signed(secret, &signed, hex)) {
        return unsigned(STRIPE_HEADER, "is wrong; is the container's `stripe.secret` that of this endpoint?");
    }
    if !is_near {
        return unsigned(STRIPE_HEADER, "is more than five minutes old, or ahead");
    }
    only(BESIDE_STRIPE, request, "is not covered by Stripe's signature; write it as metadata of the payment")
}

/// Compared in constant time.
fn is_signed(secret: &SecretString, message: &[&[u8]], hex: &str) -> bool {
    let Ok(signature) = hex::decode(hex.trim()) else { return false };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    message.iter().for_each(|part| mac.update(part));
    mac.verify_slice(&signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::http::Body;
    use crate::ingest::samples;

    fn container(secret: Option<&str>, stripe: Option<&str>) -> Container {
        let secret_of = |text: Option<&str>| text.map(SecretString::from);
        let mut container = samples::containers().remove(0);
        (container.secret, container.stripe_secret) = (secret_of(secret), secret_of(stripe));
        container
    }

    fn request(query: &str, body: &str, header: &'static str, signature: &str) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(header, signature.parse().unwrap());
        let kind = if body.is_empty() { Body::Empty } else { Body::Json };
        Request { signatures: Signatures::of(&headers), ..samples::request(&[], query, kind, body) }
    }

    /// HMAC-SHA256 of "what do ya want for nothing?" under "Jefe": RFC 4231, test case 2.
    const RFC: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const TEXT: &str = "what do ya want for nothing?";

    #[test]
    fn a_plain_signature_covers_the_body_or_all_that_is_sent() {
        let jefe = container(Some("Jefe"), None);
        let verdict = |scheme, request: &Request| verify(scheme, request, &jefe, Time::from_ms(0)).is_ok();
        let is_good =
            |query: &str, body: &str, signature: &str| verdict(Scheme::Plain, &request(query, body, HEADER, signature));
        let good = format!("sha256={RFC}");
        assert!(is_good("", TEXT, &good));
        assert!(is_good("k=shop&container=shop&source=x", TEXT, &format!("SHA256={}", RFC.to_uppercase())));
        for uncovered in ["email=a", "track=Purchase", "eventId=1"] {
            assert!(!is_good(uncovered, TEXT, &good), "{uncovered} could be anybody's");
        }
        for wrong in ["", "sha256=", "sha256=00", RFC, &format!("sha1={RFC}"), &format!("sha256={}0", &RFC[1..])] {
            assert!(!is_good("", TEXT, wrong), "{wrong}");
        }
        assert!(!is_good("", "what do ya want for nothing!", &good));
        assert!(!verdict(Scheme::WithPath, &request("", TEXT, HEADER, &good)), "the path names the event");
        let with_key = Request { idempotency_key: Some("id".into()), ..request("", TEXT, HEADER, &good) };
        assert!(!verdict(Scheme::Plain, &with_key));

        let target = "/collect/hook?k=shop&track=Purchase";
        let whole = format!("sha256={}", mac(b"Jefe", &format!("{target}\nbody")));
        let sent = |target: &str, body: &str| Request {
            target: target.to_owned(),
            ..request("k=shop&track=Purchase", body, HEADER, &whole)
        };
        for scheme in [Scheme::Plain, Scheme::WithPath] {
            assert!(verdict(scheme, &sent(target, "body")));
            assert!(!verdict(scheme, &sent(target, "bodY")) && !verdict(scheme, &sent("/collect/hook?k=shop", "body")));
        }
        let replayed = request("k=shop", &format!("{target}\nbody"), HEADER, &whole);
        assert!(!verdict(Scheme::Plain, &replayed), "a whole request is no body");
        let unsigned = request("", TEXT, "X-Other", "x");
        assert!(verify(Scheme::Plain, &unsigned, &jefe, Time::from_ms(0)).is_err());
        assert!(verify(Scheme::Plain, &unsigned, &container(None, Some("Jefe")), Time::from_ms(0)).is_ok());
    }

    fn mac(key: &[u8], text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn a_stripe_signature_covers_time_and_body_and_grows_old() {
        let mac = |text: &str| mac(b"whsec_1", text);
        let now = 1_768_046_400;
        let verdict = |container: &Container, signature: &str| {
            let request = request("", "{}", STRIPE_HEADER, signature);
            verify(Scheme::Stripe, &request, container, Time::from_ms(now * 1000)).is_ok()
        };
        let own = container(Some("other"), Some("whsec_1"));
        let at = |time: i64| format!("t={time},v1={}", mac(&format!("{time}.{{}}")));
        assert!(verdict(&own, &at(now)) && verdict(&container(Some("whsec_1"), None), &at(now)));
        assert!(verdict(&own, &at(now - 300)) && verdict(&own, &at(now + 300)));
        assert!(!verdict(&own, &at(now - 301)) && !verdict(&own, &at(now + 301)));
        assert!(
            verdict(&own, &format!("t={now}, v1=00, v1={}, v0=11", mac(&format!("{now}.{{}}")))),
            "a secret is rolled"
        );
        assert!(!verdict(&container(Some("whsec_1"), Some("other")), &at(now)));
        let said = |query: &str| {
            verify(Scheme::Stripe, &request(query, "{}", STRIPE_HEADER, &at(now)), &own, Time::from_ms(now * 1000))
                .is_ok()
        };
        assert!(said("k=shop&source=stripe&track=Sale") && !said("k=shop&source=stripe&email=a"));
        for wrong in ["", "t=1", &format!("v1={}", mac("{}")), &format!("t={now},v1={}", mac("{}")), "t=x,v1=y"] {
            assert!(!verdict(&own, wrong), "{wrong}");
        }
    }
}
