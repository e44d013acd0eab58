//! What can be written, and what is said of what can't.

use super::*;
use crate::model::template::Missing;
use crate::model::variable::Variable;

fn errors(text: &str, place: Place) -> Vec<TemplateError> {
    compile(&Text::from(text), place).map(|_| ()).unwrap_err()
}

#[test]
fn expressions_are_read_in_both_spellings() {
    for text in ["a<<VALUE|fixed:2>>b", "a{{VALUE|fixed:2}}b", "a<< VALUE | fixed: 2 >>b"] {
        let template = compile(&Text::from(text), Place::PlainText).unwrap().template;
        let [Segment::Literal(a), Segment::Expression(e), Segment::Literal(b)] = template.segments.as_slice() else {
            panic!("{template:?}")
        };
        assert_eq!((a.reveal(), b.reveal()), ("a", "b"));
        assert_eq!((&e.slot, e.filters.as_slice()), (&Slot::Variable(Variable::Value), &[Filter::Fixed(2)][..]));
    }
    let template = compile(&Text::from("<<ANY_THING|lower|required|raw|number>>"), Place::PlainText).unwrap().template;
    let [Segment::Expression(e)] = template.segments.as_slice() else { panic!("{template:?}") };
    assert_eq!(e.slot, Slot::Attribute("ANY_THING".into()));
    assert_eq!((e.missing, e.output, e.raw, e.filters.len()), (Missing::Required, Output::Number, true, 2));
}

#[test]
fn marks_are_written_with_a_backslash() {
    for (text, expect) in
        [("\\<<X>>", "<<X>>"), ("a \\{{ b", "a {{ b"), ("1 >> 2 }}", "1 >> 2 }}"), ("\\ < {", "\\ < {")]
    {
        let template = compile(&Text::from(text), Place::PlainText).unwrap().template;
        let [Segment::Literal(literal)] = template.segments.as_slice() else { panic!("{template:?}") };
        assert_eq!(literal.reveal(), expect);
    }
    let template = compile(&Text::from("\\\\<<VALUE>>"), Place::PlainText).unwrap().template;
    assert!(
        matches!(template.segments.as_slice(), [Segment::Literal(l), Segment::Expression(_)] if l.reveal() == "\\")
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, offset, says) in [
        ("ab<<VALUE", 2, "is not closed"),
        ("a << b", 2, "`\\<<`"),
        ("<<>>", 0, "name is missing"),
        ("<<  >>", 0, "name is missing"),
        ("<<value>>", 0, "did you mean `VALUE`"),
        ("<<eventName>>", 0, "did you mean `EVENT_NAME`"),
        ("<<a b>>", 0, "no variable name"),
        ("<<VALUE|lowr>>", 0, "did you mean `lower`"),
        ("<<VALUE|>>", 0, "filter is missing"),
        ("<<VALUE|fixed>>", 0, "needs an argument"),
        ("<<VALUE|fixed:x>>", 0, "whole number"),
        ("<<VALUE|trim:x>>", 0, "takes no argument"),
        ("<<VALUE|date:%H:%M>>", 0, "in quotes"),
        ("<<VALUE|default:\"x>>", 0, "not closed"),
        ("<<VALUE|default:\"x\"y>>", 0, "closing quote"),
        ("<<VALUE|number|lower>>", 0, "must be the last"),
        ("<<EVENT>>", 0, "`EVENT.name`"),
        ("<<EVENT.>>", 0, "empty part"),
        ("<<EVNT.a>>", 0, "no variable"),
        ("<<SETTNG.a>>", 0, "did you mean `SETTING.a`"),
        ("<<cart.total>>", 0, "EVENT.cart.total"),
    ] {
        let found = errors(text, Place::Query);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].message.contains(says), "{text}: {}", found[0].message);
        assert_eq!(found[0].offset, offset, "{text}");
    }
    assert_eq!(errors("<<a>> <<b>>", Place::Query).len(), 2, "all mistakes at once");
    assert!(errors("<<VALUE|raw>>", Place::Header)[0].message.contains("header"));
    assert!(errors("a\nb", Place::Header)[0].message.contains("line break"));
    assert!(errors("x<<VALUE|number>>", Place::JsonString)[0].message.contains("whole text"));
    assert!(errors("<<ITEMS|json>> ", Place::JsonString)[0].message.contains("`|json`"));
}

#[test]
fn near_misses_are_warnings() {
    for (name, near) in [("EMIAL", "EMAIL"), ("CURENCY", "CURRENCY"), ("CLICK_IDD", "CLICK_ID"), ("SCCLDI", "SCCLID")] {
        let compiled = compile_slot(name).unwrap();
        assert!(compiled.warnings[0].message.contains(&format!("`{near}`")), "{name}: {:?}", compiled.warnings);
    }
    for name in ["PLAN", "TAG", "PHONE_NUMBER", "STATE", "MEMBERSHIP_LEVEL"] {
        assert!(compile_slot(name).unwrap().warnings.is_empty(), "{name}");
    }
    let compiled = compile(&Text::from("%3c%3cVALUE%3e%3e"), Place::Query).unwrap();
    assert!(compiled.warnings[0].message.contains("<<NAME>>"));
}

#[test]
fn slots_are_told_for_checking() {
    let compiled = compile(&Text::from("a<<ITEM.id|hmac_sha256:key>>"), Place::Query).unwrap();
    let item = Slot::Item(vec!["id".into()]);
    assert_eq!(compiled.slots, [(1, item), (1, Slot::Setting("key".into()))]);
    assert!(compile_slot("<<VALUE>>").unwrap_err().message.contains("without marks"));
    assert_eq!(compile_slot("EVENT.a.b").unwrap().template, Slot::EventPath(vec!["a".into(), "b".into()]));
    assert!(compile_slot("").is_err());
}

#[test]
fn names_hold_no_slot() {
    assert_eq!(compile_name(&Text::from("a\\<<b")).unwrap().reveal(), "a<<b");
    assert!(compile_name(&Text::from("a<<VALUE>>")).unwrap_err()[0].message.contains("stands in a name"));
}

#[test]
fn what_comes_from_the_environment_is_never_read() {
    let mut text = Text::from("a<<VALUE>>");
    text.push_secret("<<EMAIL>>\"");
    let template = compile(&text, Place::JsonString).unwrap().template;
    let Some(Segment::Literal(literal)) = template.segments.last() else { panic!("{template:?}") };
    assert_eq!((literal.reveal(), &*literal.masked()), ("<<EMAIL>>\\\"", "***"));
    let mut split = Text::from("<<VALUE|default:");
    split.push_secret("x");
    split.push(">>");
    assert!(compile(&split, Place::Query).unwrap_err()[0].message.contains("SETTING.name"));
}

#[test]
fn urls_are_cut_and_normalised() {
    let mut text = Text::from("HTTPS://User:");
    text.push_secret("p w");
    text.push("@Network.Example:443/a b/<<CLICK_ID>>-%2f?x=<<VALUE>>&y&z=1&<<EVENT_NAME>>=&&k=");
    text.push_secret("s&t=1");
    let url = compile_url(&text).unwrap().template;
    assert_eq!(url.origin.reveal(), "https://User:p%20w@network.example");
    assert_eq!(&*url.origin.masked(), "https://***network.example");
    assert_eq!(url.path.len(), 2);
    assert!(matches!(url.path[0].segments.as_slice(), [Segment::Literal(l)] if l.reveal() == "a%20b"));
    assert_eq!(url.query.len(), 6);
    assert!(url.query[1].1.is_none());
    let [_, _, _, _, (_, Some(k)), (t, _)] = url.query.as_slice() else { panic!() };
    assert!(matches!(k.segments.as_slice(), [Segment::Literal(l)] if l.is_tainted()));
    assert!(matches!(t.segments.as_slice(), [Segment::Literal(l)] if &*l.masked() == "***"));
    assert_eq!(compile_url(&Text::from("http://a.example")).unwrap().template.path.len(), 1);
}

#[test]
fn urls_that_an_event_could_bend_are_refused() {
    for (text, says) in [
        ("", "empty"),
        ("<<EVENT_URL>>", "can't begin with a variable"),
        ("https://<<CLICK_ID>>.example/", "user, host or port"),
        ("https://a.example<<CLICK_ID>>/", "user, host or port"),
        ("https://a.example:<<CLICK_ID>>/", "user, host or port"),
        ("https://<<CLICK_ID>>@a.example/", "user, host or port"),
        ("http<<CLICK_ID>>://a.example/", "absolute http or https"),
        ("ftp://a.example/", "absolute http or https"),
        ("/path", "absolute http or https"),
        ("https://", "no URL"),
        ("https://a b/", "no URL"),
        ("https://a.example/x#<<VALUE>>", "fragment"),
        ("https://a.example/../x", "resolved away"),
        ("https://a.example/%2E%2e", "resolved away"),
        ("https://a.example/\n", "line break"),
    ] {
        let found = compile_url(&Text::from(text)).unwrap_err();
        assert!(found[0].message.contains(says), "{text}: {found:?}");
    }
}

#[test]
fn json_trees_name_their_mistakes() {
    let text = |t: &str| JsonSource::Text(t.into());
    let tree = JsonSource::Map(vec![
        ("a".into(), JsonSource::List(vec![text("<<lowr>>"), JsonSource::Number("0x10".into())])),
        ("b<<VALUE>>".into(), text("x <<VALUE|number>>")),
        ("a".into(), JsonSource::Null),
    ]);
    let found: Vec<String> = compile_json(&tree).unwrap_err().into_iter().map(|e| e.message).collect();
    for says in
        ["in `a[0]`", "in `a[1]`: `0x10`", "stands in a name", "in `b<<VALUE>>`: `|number`", "`a` is written twice"]
    {
        assert!(found.iter().any(|f| f.contains(says)), "{says}: {found:?}");
    }
    let mut deep = JsonSource::Null;
    for _ in 0..40 {
        deep = JsonSource::List(vec![deep]);
    }
    assert!(compile_json(&deep).unwrap_err()[0].message.contains("deeper"));
}
