//! Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Refuses: choosing id or time. The id is the delivery's, so every repeat carries the same; the time is the attempt's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::model::connector::Signing;
use crate::model::ids::DeliveryId;
use crate::model::postback::Postback;
use crate::model::secret::Text;
use crate::model::time::Time;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Adds the three headers, in place of any of the same name. What has no body is signed with an empty one.
pub(crate) fn sign(postback: &mut Postback, signing: &Signing, id: DeliveryId, now: Time) {
    let id = id.to_string();
    let timestamp = now.seconds().to_string();
    let body = postback.body.as_ref().map_or("", Text::reveal);
    let signature = signatures(signing, &id, &timestamp, body);
    postback.headers.retain(|(name, _)| ![ID, TIMESTAMP, SIGNATURE].iter().any(|own| name.eq_ignore_ascii_case(own)));
    for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
        postback.headers.push((name.into(), Text::from(value.as_str())));
    }
}

/// `v1,` and the signature, one for each key, separated by spaces.
fn signatures(signing: &Signing, id: &str, timestamp: &str, body: &str) -> String {
    let mut all = String::new();
    for key in &signing.keys {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes a key of any length");
        for part in [id, ".", timestamp, ".", body] {
            mac.update(part.as_bytes());
        }
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str("v1,");
        STANDARD.encode_string(mac.finalize().into_bytes(), &mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::connector::SigningKey;
    use crate::model::ids::{Seq, StoreTag};
    use crate::model::postback::Method;

    fn key(base64: &str) -> SigningKey {
        SigningKey(STANDARD.decode(base64).unwrap().into())
    }

    /// The example of the reference libraries of Standard Webhooks.
    #[test]
    fn the_published_example_comes_out() {
        let signing = Signing { keys: vec![key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")] };
        let signed = signatures(&signing, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_keys_give_two_signatures_and_no_body_is_an_empty_one() {
        let both = Signing { keys: vec![key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), key("c2Vjb25k")] };
        let id = DeliveryId::new(StoreTag::new(7), Seq(1), 0);
        let mut postback = Postback {
            method: Method::Get,
            url: Text::from("https://n.example/"),
            headers: vec![("Webhook-Id".into(), Text::from("forged")), ("x".into(), Text::from("kept"))],
            body: None,
        };
        sign(&mut postback, &both, id, Time::from_ms(1_614_265_330_999));
        let header = |name: &str| {
            let found: Vec<_> = postback.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.reveal().to_owned()
        };
        assert_eq!(header("webhook-id"), id.to_string());
        assert_eq!(header("webhook-timestamp"), "1614265330");
        assert_eq!(header("webhook-signature"), signatures(&both, &id.to_string(), "1614265330", ""));
        assert_eq!(header("webhook-signature").split(' ').filter(|s| s.starts_with("v1,")).count(), 2);
        assert_eq!(header("x"), "kept");
    }
}
