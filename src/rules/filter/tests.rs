//! Every filter, as a table.

use std::borrow::Cow;

use super::*;
use crate::rules::template::Place;
use crate::rules::testing::{Sample, template};

/// What `<<V|filters>>` gives for a value; `None`: nothing.
fn run(filters: &str, value: &str) -> Option<String> {
    let sample = Sample::with_v(value);
    let template = template(&format!("<<V{filters}>>"), Place::PlainText);
    crate::rules::render::text(&template, &sample.ctx()).unwrap().map(|t| t.reveal().to_owned())
}

const TEST_EMAIL_SHA256: &str = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b";

#[test]
fn filters_change_values_as_the_table_says() {
    for (filters, value, expect) in [
        ("|default:x", "", "x"),
        ("|default:x", "v", "v"),
        ("|default:\"a, b|c:d>>\"", "", "a, b|c:d>>"),
        ("|default:\"say \\\"hi\\\"\"", "", "say \"hi\""),
        ("|trim", "  a b ", "a b"),
        ("|lower", "ÄB", "äb"),
        ("|upper", "äb", "ÄB"),
        ("|nospace", " a\tb c ", "abc"),
        ("|digits", "+358 (40) 12", "3584012"),
        ("|truncate:3", "åäöx", "åäö"),
        ("|replace:a,b", "banana", "bbnbnb"),
        ("|replace:\",\",;", "a,b", "a;b"),
        ("|email_norm", " Some.One+x@GMAIL.com ", "some.one+x@gmail.com"),
        ("|email_norm:plain", " Some.One+x@GMAIL.com ", "some.one+x@gmail.com"),
        ("|email_norm:gmail", " Some.One+x@GMAIL.com ", "someone+x@gmail.com"),
        ("|email_norm:gmail", "some.one@example.com", "some.one@example.com"),
        ("|email_norm:all", "So.me.One+x@Example.com", "someone@example.com"),
        ("|email_norm:all", "no address", "no address"),
        ("|e164", "040 1234567", "+358401234567"),
        ("|e164", "+46 70 123 45 67", "+46701234567"),
        ("|e164_digits", "040 1234567", "358401234567"),
        ("|md5", "a", "0cc175b9c0f1b6a831c399e269772661"),
        ("|sha1", "a", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("|sha256", "a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("|trim|lower|sha256", " Test@Example.com ", TEST_EMAIL_SHA256),
        ("|sha256", TEST_EMAIL_SHA256, TEST_EMAIL_SHA256),
        ("|md5", "0CC175b9c0f1b6a831c399e269772661", "0CC175b9c0f1b6a831c399e269772661"),
        ("|sha1", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"),
        ("|base64", "a>?", "YT4/"),
        ("|md5|base64", "a", "DMF1ucDxtqgxw5niaXcmYQ=="),
        ("|hex", "aZ", "615a"),
        ("|md5|hex", "a", "0cc175b9c0f1b6a831c399e269772661"),
        ("|urlencode", "a b&ä", "a%20b%26%C3%A4"),
        ("|html", "<a href='x'>", "&lt;a href=&#39;x&#39;&gt;"),
        ("|js", "</a'\"", "\\x3c\\x2fa\\x27\\x22"),
        ("|raw", "<", "<"),
        ("|json", "a\"b", "\"a\\\"b\""),
        ("|date:%Y-%m-%d", "2026-01-10T23:30:00-02:00", "2026-01-11"),
        ("|date:\"%H:%M\"", "1768046400", "12:00"),
        ("|iso", "1768046400000", "2026-01-10T12:00:00.000Z"),
        ("|unix", "2026-01-10T12:00:00Z", "1768046400"),
        ("|unix_ms", "2026-01-10T12:00:00Z", "1768046400000"),
        ("|fixed:2", "99.005", "99.01"),
        ("|fixed:2", "99", "99.00"),
        ("|fixed:2", "-0.125", "-0.13"),
        ("|fixed:0", "0.5", "1"),
        ("|int", "99.99", "99"),
        ("|int", "1e3", "1000"),
        ("|minor", "99.005", "9901"),
        ("|mul:0.1", "0.3", "0.03"),
        ("|mul:100|int", "19.99", "1999"),
        ("|number", "099.50", "99.50"),
        ("|number", "99.00", "99.00"),
        ("|string", "99.00", "99.00"),
        ("|map:a=1,b=2,*=x", "b", "2"),
        ("|map:a=1,b=2,*=x", "c", "x"),
        ("|map:a=1,b=2", "c", "c"),
        ("|map:\"a,b=1\",*=", "a,b", "1"),
    ] {
        assert_eq!(run(filters, value).as_deref(), Some(expect), "{filters} of {value:?}");
    }
}

#[test]
fn hmac_is_that_of_rfc_4231() {
    // Test case 2: key "Jefe", data "what do ya want for nothing?".
    let mut sample = Sample::with_v("what do ya want for nothing?");
    sample.connector.settings[0].value = "Jefe".into();
    let template = template("<<V|hmac_sha256:pixel_id>>", Place::PlainText);
    let made = crate::rules::render::text(&template, &sample.ctx()).unwrap().unwrap();
    assert_eq!(made.reveal(), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

#[test]
fn what_cannot_be_read_gives_no_value() {
    for (filters, value) in [
        ("|e164", "not a number"),
        ("|e164_digits", "12"),
        ("|date:%Y", "soon"),
        ("|iso", "soon"),
        ("|unix", "soon"),
        ("|unix_ms", "soon"),
        ("|fixed:2", "many"),
        ("|int", "many"),
        ("|minor", "many"),
        ("|mul:2", "many"),
        ("|mul:79228162514264337593543950335", "79228162514264337593543950335"),
        ("|number", "many"),
        ("|map:a=,b=2", "a"),
        ("|truncate:0", "a"),
        ("|digits", "none"),
    ] {
        assert_eq!(run(filters, value), None, "{filters} of {value:?}");
        assert_eq!(run(&format!("{filters}|default:7"), value).as_deref(), Some("7"), "{filters} of {value:?}");
    }
    for hash in ["md5", "sha1", "sha256", "hmac_sha256:pixel_id", "base64", "hex"] {
        assert_eq!(run(&format!("|{hash}"), ""), None);
    }
}

struct Nowhere(&'static str);

impl Surroundings for Nowhere {
    fn country(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn currency(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }
    fn setting(&self, _: &str) -> Option<&str> {
        None
    }
}

#[test]
fn minor_units_follow_the_currency() {
    for (currency, expect) in [("EUR", "1230"), ("jpy", "12"), ("KWD", "12300"), ("CLF", "123000"), ("", "1230")] {
        let made = apply(&[Filter::Minor], Some("12.30".into()), &Nowhere(currency)).unwrap();
        assert_eq!(made.as_deref(), Some(expect), "{currency}");
    }
}

#[test]
fn values_do_not_grow_without_end() {
    let grow = [Filter::Replace { from: "a".into(), to: "b".repeat(1000).into() }];
    let long = "a".repeat(100);
    assert_eq!(apply(&grow, Some(long.as_str().into()), &Nowhere("")), Err(FilterFailed::TooLong("replace")));
    let missing = [Filter::HmacSha256("key".into())];
    assert_eq!(apply(&missing, Some("a".into()), &Nowhere("")), Err(FilterFailed::NoSetting("key".into())));
    assert_eq!(apply(&[Filter::E164], Some("0401234567".into()), &Nowhere("")), Ok(None));
}
