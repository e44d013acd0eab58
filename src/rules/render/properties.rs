//! Round trips: what a receiver decodes is the value, and nothing around it has changed.

use proptest::prelude::*;

use url::{Position, Url};

use super::*;
use crate::model::template::{Entry, JsonSource};
use crate::rules::template::compile_json;
use crate::rules::testing::{Sample, spec, template};

/// Values as an attacker, or an unlucky shop, would send them.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "../",
            "..",
            ".",
            "%2e%2e",
            "%2E",
            "%",
            "%4",
            "\"",
            "'",
            "&",
            "#",
            "?",
            "/",
            "\\",
            "=",
            "+",
            " ",
            ";",
            "<<",
            ">>",
            "<<EMAIL>>",
            "{{",
            "}}",
            "{{EMAIL}}",
            "\r\n",
            "\n",
            "\0",
            "\u{7f}",
            "\u{85}",
            "\u{2028}",
            "\u{fdd0}",
            "\u{fffe}",
            "</script>",
            "]]>",
            "<!--",
            "${HOME}",
            "@evil.example",
            "://",
            ":443",
            "https://evil.example/",
            "\",\"a\":\"",
            "1,2",
            "null",
            "\u{1F600}",
            "\u{301}",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat()).prop_filter("a value", |v| !v.is_empty())
}

fn entry(name: &str, value: &str, place: Place) -> Entry {
    Entry { name: name.into(), value: template(value, place), there: Default::default() }
}

proptest! {
    #[test]
    fn a_path_segment_is_decoded_to_the_value_or_refused(value in hostile()) {
        let made = render(&spec("https://u:p@a.example:8443/x/<<V>>/y?q=1"), &Sample::with_v(&value).ctx());
        let Ok(postback) = made else {
            prop_assert!(value == "." || value == "..");
            return Ok(());
        };
        let url = Url::parse(postback.url.reveal()).unwrap();
        prop_assert_eq!(url.as_str(), postback.url.reveal());
        prop_assert_eq!(&url[..Position::BeforePath], "https://u:p@a.example:8443");
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        prop_assert_eq!((segments.len(), segments[0], segments[2]), (3, "x", "y"));
        prop_assert_eq!(percent_encoding::percent_decode_str(segments[1]).decode_utf8().unwrap(), value);
        prop_assert_eq!((url.query(), url.fragment()), (Some("q=1"), None));
    }

    #[test]
    fn a_query_is_decoded_to_the_value(value in hostile()) {
        let mut spec = spec("https://a.example/x?u=<<V>>&<<V>>=n");
        spec.query = vec![entry("a", "<<V>>", Place::Query), entry("b", "1", Place::Query)];
        let postback = render(&spec, &Sample::with_v(&value).ctx()).unwrap();
        let url = Url::parse(postback.url.reveal()).unwrap();
        prop_assert_eq!(url.as_str(), postback.url.reveal());
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let expect = [("u", &*value), (&*value, "n"), ("a", &*value), ("b", "1")];
        prop_assert_eq!(pairs, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));
        prop_assert_eq!((url.path(), url.fragment(), url.host_str()), ("/x", None, Some("a.example")));
    }

    #[test]
    fn a_form_is_decoded_to_the_value(value in hostile()) {
        let mut spec = spec("https://a.example/");
        spec.body = Body::Form(vec![entry("a", "<<V>>", Place::Form), entry("b", "1", Place::Form)]);
        let body = render(&spec, &Sample::with_v(&value).ctx()).unwrap().body.unwrap();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body.reveal().as_bytes()).into_owned().collect();
        prop_assert_eq!(pairs, [("a".to_owned(), value), ("b".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_header_holds_the_value_or_is_refused(value in hostile()) {
        let mut spec = spec("https://a.example/");
        spec.headers = vec![entry("x-v", "<<V>>", Place::Header), entry("x-w", "1", Place::Header)];
        match render(&spec, &Sample::with_v(&value).ctx()) {
            Ok(postback) => {
                prop_assert_eq!(postback.headers.len(), 2);
                prop_assert_eq!(postback.headers[0].1.reveal(), &value);
                prop_assert!(http::HeaderValue::from_bytes(value.as_bytes()).is_ok());
            }
            Err(refusal) => {
                prop_assert_eq!(refusal.reason, Reason::RenderFailed);
                prop_assert!(value.contains(char::is_control));
            }
        }
    }

    #[test]
    fn a_json_string_is_decoded_to_the_value(value in hostile()) {
        let text = |t: &str| JsonSource::Text(t.into());
        let tree = JsonSource::Map(vec![
            ("a".into(), text("<<V>>")),
            ("b".into(), text("x<<V>>y")),
            ("c".into(), JsonSource::List(vec![text("<<V|json>>"), text("<<V|string>>")])),
        ]);
        let mut spec = spec("https://a.example/");
        spec.body = Body::Json(compile_json(&tree).unwrap().template);
        let body = render(&spec, &Sample::with_v(&value).ctx()).unwrap().body.unwrap();
        let read: serde_json::Value = serde_json::from_str(body.reveal()).unwrap();
        let expect = serde_json::json!({"a": value, "b": format!("x{value}y"), "c": [value, value]});
        prop_assert_eq!(read, expect);
    }

    #[test]
    fn raw_values_never_leave_their_origin_or_path(value in hostile()) {
        let made = render(&spec("https://a.example/x/<<V|raw>>?q=<<V|raw>>"), &Sample::with_v(&value).ctx());
        let Ok(postback) = made else { return Ok(()) };
        let url = Url::parse(postback.url.reveal()).unwrap();
        prop_assert_eq!(url.as_str(), postback.url.reveal());
        prop_assert_eq!((url.host_str(), url.fragment(), url.path_segments().unwrap().count()), (Some("a.example"), None, 2));
    }

    #[test]
    fn any_text_compiles_or_is_refused_without_a_panic(text in hostile()) {
        for place in [Place::Path, Place::Query, Place::Form, Place::Header, Place::JsonString, Place::Html, Place::Js] {
            let _ = crate::rules::template::compile(&Text::from(text.as_str()), place);
        }
        let _ = crate::rules::template::compile_url(&Text::from(format!("https://a.example/{text}").as_str()));
        let _ = crate::rules::template::compile_slot(&text);
    }
}
