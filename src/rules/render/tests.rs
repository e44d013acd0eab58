//! Requests, rendered from a sample.

use super::*;
use crate::model::template::{Entry, JsonSource};
use crate::rules::template::compile_json;
use crate::rules::testing::{Sample, spec, template};

fn entry(name: &str, value: &str, place: Place) -> Entry {
    Entry { name: name.into(), value: template(value, place), there: Default::default() }
}

fn rendered_url(text: &str) -> Result<String, Refusal> {
    render(&spec(text), &Sample::default().ctx()).map(|p| p.url.reveal().to_owned())
}

#[test]
fn a_get_is_rendered_with_its_entries_in_order() {
    let mut spec = spec("https://network.example/pb/<<CLICK_ID>>?fixed=1&none=<<COUPON>>");
    let entries = [
        ("clickid", "<<CLICK_ID>>"),
        ("amount", "<<VALUE|fixed:2>>"),
        ("goal", "<<EVENT_NAME>>"),
        ("coupon", "<<COUPON>>"),
        ("kept", "<<COUPON|empty>>"),
        ("other", "<<COUPON|default:none>>"),
        ("na me", "a b+c"),
        ("blank", ""),
    ];
    spec.query = entries.map(|(name, value)| entry(name, value, Place::Query)).into();
    let postback = render(&spec, &Sample::default().ctx()).unwrap();
    assert_eq!(
        postback.url.reveal(),
        "https://network.example/pb/abc-1?fixed=1&none=&clickid=abc-1&amount=99.00&goal=sale&kept=&other=none\
         &na%20me=a%20b%2Bc"
    );
    assert_eq!((postback.headers.len(), postback.body), (0, None));
}

#[test]
fn the_first_entry_left_out_leaves_no_mark() {
    let mut spec = spec("https://network.example");
    spec.query = vec![entry("a", "<<COUPON>>", Place::Query), entry("b", "1", Place::Query)];
    assert_eq!(render(&spec, &Sample::default().ctx()).unwrap().url.reveal(), "https://network.example/?b=1");
}

#[test]
fn a_post_has_a_content_type_and_an_idempotency_key_unless_the_author_says_so() {
    let mut spec = spec("https://network.example/");
    spec.idempotency_key = true;
    spec.body = Body::Form(vec![entry("a b", "<<FIRST_NAME>> &", Place::Form), entry("c", "<<COUPON>>", Place::Form)]);
    let sample = Sample::default();
    let postback = render(&spec, &sample.ctx()).unwrap();
    assert_eq!(postback.body.unwrap().reveal(), "a+b=%C3%85sa+%26");
    let headers = |postback: &[(Box<str>, Text)]| {
        postback.iter().map(|(n, v)| format!("{n}: {}", v.reveal())).collect::<Vec<_>>()
    };
    let id = sample.delivery.id;
    assert_eq!(
        headers(&postback.headers),
        ["content-type: application/x-www-form-urlencoded".to_owned(), format!("idempotency-key: {id}")]
    );
    spec.headers = vec![
        entry("content-type", "text/x", Place::Header),
        entry("idempotency-key", "<<EVENT_ID>>", Place::Header),
        entry("x-none", "<<COUPON>>", Place::Header),
        entry("x-name", "<<FIRST_NAME>>", Place::Header),
    ];
    let postback = render(&spec, &sample.ctx()).unwrap();
    assert_eq!(headers(&postback.headers), ["content-type: text/x", "idempotency-key: ev-1", "x-name: Åsa"]);
}

fn map(members: Vec<(&str, JsonSource)>) -> JsonSource {
    JsonSource::Map(members.into_iter().map(|(name, member)| (name.into(), member)).collect())
}

#[test]
fn a_json_body_keeps_its_types_and_leaves_out_what_is_missing() {
    let text = |t: &str| JsonSource::Text(t.into());
    let tree = map(vec![
        ("amount", text("<<VALUE|number>>")),
        ("text", text("<<VALUE>>")),
        ("mixed", text("v=<<VALUE>>;\"")),
        ("none", text("<<COUPON>>")),
        ("none_number", text("<<COUPON|number>>")),
        ("null_number", text("<<COUPON|number|empty>>")),
        ("zero", text("<<COUPON|number|default:0>>")),
        ("kept", text("<<COUPON|empty>>")),
        ("literal", text("")),
        ("cart", text("<<CART|json>>")),
        ("test", text("<<IS_TEST|json>>")),
        ("count", text("<<ITEM_COUNT|json>>")),
        ("list", text("<<NO_LIST|default:[]|json>>")),
        ("l", JsonSource::List(vec![text("<<COUPON>>"), JsonSource::Number("1.50".into()), JsonSource::Null])),
        ("empty", map(vec![("x", text("<<COUPON>>"))])),
        ("b\"k", JsonSource::Bool(true)),
    ]);
    let mut spec = spec("https://network.example/");
    spec.body = Body::Json(compile_json(&tree).unwrap().template);
    let body = render(&spec, &Sample::default().ctx()).unwrap().body.unwrap();
    assert_eq!(
        body.reveal(),
        "{\"amount\":99.00,\"text\":\"99.00\",\"mixed\":\"v=99.00;\\\"\",\"null_number\":null,\"zero\":0,\"kept\":\"\",\
         \"literal\":\"\",\"cart\":{\"lines\":[1.50,null]},\"test\":false,\"count\":2,\"list\":[],\"l\":[1.50,null],\
         \"empty\":{},\"b\\\"k\":true}"
    );
}

#[test]
fn what_cannot_be_rendered_is_refused_with_its_reason_and_place() {
    let sample = Sample::with_v("..");
    let refused = |text: &str| render(&spec(text), &sample.ctx()).unwrap_err();
    for (url, reason, says) in [
        ("https://a.example/<<V>>/x", Reason::RenderFailed, "V would make"),
        ("https://a.example/.<<V|truncate:1>>", Reason::RenderFailed, "V would make"),
        ("https://a.example/<<COUPON>>", Reason::MissingVariable, "COUPON has no value"),
        ("https://a.example/?a=<<COUPON|required>>", Reason::MissingVariable, "COUPON has no value"),
        ("https://a.example/?a=<<V|hmac_sha256:none>>", Reason::RenderFailed, "`none`"),
    ] {
        let refusal = refused(url);
        assert_eq!(refusal.reason, reason, "{url}");
        assert!(refusal.detail.contains(says), "{url}: {}", refusal.detail);
    }
    let mut with_header = spec("https://a.example/");
    with_header.headers = vec![entry("x-v", "<<V>>", Place::Header)];
    let refusal = render(&with_header, &Sample::with_v("a\r\nb: c").ctx()).unwrap_err();
    assert_eq!(refusal.detail, "header x-v: V: it holds a control character, which no header may carry");
    let long = Sample::with_v(&"x".repeat(8000));
    let refusal = render(&spec("https://a.example/?<<V>>&<<V>>&<<V>>"), &long.ctx()).unwrap_err();
    assert!(refusal.detail.contains("16384"), "{}", refusal.detail);
    assert!(rendered_url("https://a.example/<<COUPON|empty>>/x").unwrap().ends_with("example//x"));
}

#[test]
fn secrets_stay_masked_wherever_they_go() {
    let mut spec =
        spec("https://a.example/<<SETTING.token>>?k=<<SETTING.token|upper|sha256>>&h=<<V|hmac_sha256:token>>");
    spec.headers = vec![entry("authorization", "Bearer <<SETTING.token|base64>>", Place::Header)];
    let tree = map(vec![("t", JsonSource::Text("<<SETTING.token|json>>".into()))]);
    spec.body = Body::Json(compile_json(&tree).unwrap().template);
    let postback = render(&spec, &Sample::with_v("v").ctx()).unwrap();
    assert_eq!(&*postback.url.masked(), "https://a.example/***?k=***&h=***");
    assert_eq!(&*postback.headers[0].1.masked(), "Bearer ***");
    assert_eq!(postback.body.unwrap().masked(), "{\"t\":***}");
    assert!(postback.url.reveal().starts_with("https://a.example/s3cr3t?k="));
}

#[test]
fn values_that_look_like_templates_are_values() {
    let sample = Sample::with_v("<<EMAIL>>{{EMAIL}}");
    let made = text(&template("<<V>>", Place::PlainText), &sample.ctx()).unwrap().unwrap();
    assert_eq!(made.reveal(), "<<EMAIL>>{{EMAIL}}");
}
