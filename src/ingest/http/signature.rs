//! Whether a request comes from someone who has the container's secret, and is as it was sent.
//!
//! Refuses: a query that the signature of the body does not cover, and saying how near a wrong signature was.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::answer::Refusal;
use super::request::Request;
use crate::config::Container;
use crate::model::time::Time;

/// `sha256=` and the HMAC-SHA256 of the body in hexadecimal, as GitHub and many after it sign webhooks.
const HEADER: &str = "X-Signature";
const STRIPE_HEADER: &str = "Stripe-Signature";

/// How far the time in a Stripe signature may be from ours: what Stripe's own libraries allow
/// (docs.stripe.com/webhooks/signature).
const STRIPE_TOLERANCE: Duration = Duration::from_secs(300);

/// Signatures of one header that are looked at. While a secret is rolled there are two.
const STRIPE_SIGNATURES_MAX: usize = 8;

/// What of a query need not be signed beside a body: whose event it is, which shows by the secret, and what the URL that was
/// given to Stripe says of all its events.
const UNSIGNED: [&str; 4] = ["k", "container", "source", "track"];

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
    /// `X-Signature: sha256=…` over the body, or over the query where there is none.
    Plain,
    /// `Stripe-Signature: t=…,v1=…` over time and body.
    Stripe,
}

/// Refuses a request for `container` that is not signed as its secret asks.
pub(super) fn verify(scheme: Scheme, request: &Request, container: &Container, now: Time) -> Result<(), Refusal> {
    match scheme {
        Scheme::Plain => container.secret.as_ref().map_or(Ok(()), |secret| plain(request, secret)),
        Scheme::Stripe => {
            let secret = container.stripe_secret.as_ref().or(container.secret.as_ref());
            secret.map_or(Ok(()), |secret| stripe(request, secret, now))
        }
    }
}

fn plain(request: &Request, secret: &SecretString) -> Result<(), Refusal> {
    let refusal = |problem| Err(Refusal::Unsigned { field: HEADER.to_owned(), problem });
    let Some(given) = &request.signatures.plain else {
        return refusal(
            "is missing; send sha256= and the HMAC-SHA256 of the body in hexadecimal, keyed with the secret",
        );
    };
    let body = &request.body.bytes;
    let signed = if body.is_empty() { request.query.as_bytes() } else { body };
    let hex = given.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("sha256")).map_or("", |(_, hex)| hex);
    if !is_signed(secret, &[signed], hex) {
        return refusal("is wrong; sign the body as it is sent, or the query where there is no body");
    }
    let uncovered =
        url::form_urlencoded::parse(request.query.as_bytes()).find(|(name, _)| !UNSIGNED.contains(&&**name));
    match uncovered {
        Some((name, _)) if !body.is_empty() => Err(Refusal::Unsigned {
            field: name.chars().take(100).collect(),
            problem: "is not covered by the signature; send it in the body",
        }),
        _ => Ok(()),
    }
}

fn stripe(request: &Request, secret: &SecretString, now: Time) -> Result<(), Refusal> {
    let refusal = |problem| Err(Refusal::Unsigned { field: STRIPE_HEADER.to_owned(), problem });
    let Some(given) = &request.signatures.stripe else {
        return refusal("is missing; this container takes what Stripe has signed");
    };
    let parts = || given.split(',').filter_map(|part| part.trim().split_once('='));
    let Some((_, time)) = parts().find(|(name, _)| *name == "t") else {
        return refusal("has no time; send t=…,v1=…");
    };
    let is_near = time.parse::<i64>().is_ok_and(|time| time.abs_diff(now.seconds()) <= STRIPE_TOLERANCE.as_secs());
    let signed = [time.as_bytes(), b".", &request.body.bytes];
    let mut signatures = parts().filter(|(name, _)| *name == "v1").take(STRIPE_SIGNATURES_MAX);
    if !signatures.any(|(_, hex)| is_signed(secret, &signed, hex)) {
        return refusal("is wrong; is the container's `stripe.secret` that of this endpoint?");
    }
    if is_near { Ok(()) } else { refusal("is more than five minutes old, or ahead") }
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
    fn a_plain_signature_covers_the_body_or_else_the_query() {
        let jefe = container(Some("Jefe"), None);
        let is_good = |query: &str, body: &str, signature: &str| {
            verify(Scheme::Plain, &request(query, body, HEADER, signature), &jefe, Time::from_ms(0)).is_ok()
        };
        let good = format!("sha256={RFC}");
        assert!(
            is_good("", TEXT, &good) && is_good("k=shop&source=x", TEXT, &format!("SHA256={}", RFC.to_uppercase()))
        );
        assert!(is_good(TEXT, "", &good), "of a query as it was sent");
        assert!(!is_good("email=a", TEXT, &good), "what is not signed could be anybody's");
        for wrong in ["", "sha256=", "sha256=00", RFC, &format!("sha1={RFC}"), &format!("sha256={}0", &RFC[1..])] {
            assert!(!is_good("", TEXT, wrong), "{wrong}");
        }
        assert!(!is_good("", "what do ya want for nothing!", &good));
        let unsigned = request("", TEXT, "X-Other", "x");
        assert!(verify(Scheme::Plain, &unsigned, &jefe, Time::from_ms(0)).is_err());
        assert!(verify(Scheme::Plain, &unsigned, &container(None, Some("Jefe")), Time::from_ms(0)).is_ok());
    }

    #[test]
    fn a_stripe_signature_covers_time_and_body_and_grows_old() {
        let mac = |text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(b"whsec_1").unwrap();
            mac.update(text.as_bytes());
            hex::encode(mac.finalize().into_bytes())
        };
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
        for wrong in ["", "t=1", &format!("v1={}", mac("{}")), &format!("t={now},v1={}", mac("{}")), "t=x,v1=y"] {
            assert!(!verdict(&own, wrong), "{wrong}");
        }
    }
}
