//! Body files: what they render to, what is refused, and round trips per context.

use proptest::prelude::*;

use super::*;
use crate::rules::render::properties::hostile;
use crate::rules::testing::Sample;

fn file(name: &str, source: &str) -> BodyFile {
    compile(name, source).unwrap_or_else(|e| panic!("{source}: {e:?}")).template
}

fn rendered(name: &str, source: &str, sample: &Sample) -> Result<String, Refusal> {
    render(&file(name, source), &sample.ctx()).map(|t| t.reveal().to_owned())
}

fn errors(name: &str, source: &str) -> Vec<TemplateError> {
    compile(name, source).map(|_| ()).unwrap_err()
}

const EMAIL_SHA256: &str = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b";

#[test]
fn variables_filters_and_blocks_work_as_one_expects() {
    let sample = Sample::default();
    for (source, expect) in [
        ("{{VALUE}} {{CURRENCY}}", "99.00 EUR"),
        ("{{sha256 (lower (trim EMAIL))}}", EMAIL_SHA256),
        ("<<EMAIL|trim|lower|sha256>>", EMAIL_SHA256),
        ("{{#if COUPON}}c{{else}}none{{/if}}", "none"),
        ("{{#if COUPON}}c{{else if VALUE}}v{{/if}}", "v"),
        ("{{#unless IS_TEST}}live{{/unless}}", "live"),
        ("{{#if (gt VALUE 98.5)}}big{{/if}}", "big"),
        ("{{#if (and (eq VALUE 99) (ne CURRENCY \"SEK\"))}}yes{{/if}}", "yes"),
        ("{{#each ITEMS}}{{@index}}:{{id}}={{price}}{{CURRENCY}};{{/each}}", "0:a=10.00EUR;1:b=89.00EUR;"),
        ("{{#each ITEMS as |item i|}}{{i}}{{item.name}}{{../PLAN_NAME}};{{/each}}", "0Shoe agold;1Shoe bgold;"),
        ("{{#each ITEMS}}{{fixed price 1}}{{#unless @last}},{{/unless}}{{/each}}", "10.0,89.0"),
        ("{{#each COUPON}}x{{else}}none{{/each}}", "none"),
        ("{{#with EVENT.cart}}{{lines.[0]}}{{/with}} {{EVENT.cart.lines.0}}", "1.50 1.50"),
        ("{{CART.lines.[0]}} {{CART}}", "1.50 {\"lines\":[1.50,null]}"),
        ("{{ITEMS.[1].id}} {{len ITEMS}} {{lookup (lookup ITEMS 0) \"id\"}}", "b 2 a"),
        ("{{default COUPON \"none\"}} {{map CURRENCY \"EUR=e,*=x\"}} {{replace CURRENCY \"E\" \"F\"}}", "none e FUR"),
        ("{{date EVENT_TIME \"%H:%M\"}} {{truncate EVENT_NAME 2}} {{mul VALUE 2}}", "12:00 sa 198.00"),
        ("{{base64 (md5 \"a\")}} {{hex (md5 \"a\")}}", "DMF1ucDxtqgxw5niaXcmYQ== 0cc175b9c0f1b6a831c399e269772661"),
        ("{{hmac_sha256 \"x\" \"pixel_id\"}}|<<CLICK.sub>>|{{CLICK.sub}}|{{SETTING.pixel_id}}|{{ITEM.id}}", ""),
        ("\\{{X}} \\<<X>> {<<CURRENCY>>} {{!-- <<no>> --}}{{! no }}.", "{{X}} <<X>> {EUR} ."),
        ("{{minor VALUE}} {{e164 PHONE}} {{COUNTRY_NAME}}", "9900 +358401234567 Finland"),
        ("{{json CART}} {{json TRIAL}} {{json COUPON}}<<ITEM_COUNT|json>>", "{\"lines\":[1.50,null]} true 2"),
        ("{{default COUPON \"a\\\"}}b\"}}", "a\"}}b"),
        ("{{NO_SUCH_THING}}{{lower COUPON}}{{raw FIRST_NAME}}{{{FIRST_NAME}}}", "ÅsaÅsa"),
    ] {
        let made = rendered("t.txt.hbs", source, &sample).unwrap_or_else(|e| panic!("{source}: {e:?}"));
        if expect.is_empty() {
            assert!(made.ends_with("|s 1|s 1|123|b"), "{made}");
        } else {
            assert_eq!(made, expect, "{source}");
        }
    }
}

#[test]
fn json_keeps_types_and_refuses_what_would_bend_it() {
    let sample = Sample::with_v("1,2");
    let made = rendered(
        "t.json.hbs",
        "{\"v\": {{VALUE}}, \"n\": <<VALUE|fixed:1|number>>, \"s\": \"{{V}}\", \"c\": {{json CART}}, \"i\": <<ITEMS|json>>, \
         \"x\": {{json COUPON}}, \"b\": {{IS_TEST}}}",
        &sample,
    )
    .unwrap();
    let read: Json = serde_json::from_str(&made).unwrap();
    assert!(made.starts_with("{\"v\": 99.00, \"n\": 99.0, \"s\": \"1,2\", \"c\": {\"lines\":[1.50,null]}"), "{made}");
    assert_eq!((&read["i"][1]["id"], &read["x"], &read["b"]), (&json!("b"), &Json::Null, &json!(false)));
    for source in ["[{{V}}]", "[<<V>>]", "[{{COUPON}}]", "[\"{{json V}}\"]", "[\"<<V|json>>\"]", "{\"a\": }"] {
        let refusal = rendered("t.json.hbs", source, &sample).unwrap_err();
        assert_eq!(refusal.reason, Reason::RenderFailed, "{source}");
        assert!(!refusal.detail.contains("1,2"));
    }
}

#[test]
fn required_values_are_asked_for_only_where_they_are_written() {
    let sample = Sample::default();
    for source in ["{{required COUPON}}", "<<COUPON|required>>", "{{lower (required COUPON)}}"] {
        let refusal = rendered("t.txt.hbs", source, &sample).unwrap_err();
        assert_eq!(refusal.reason, Reason::MissingVariable, "{source}");
        assert!(refusal.detail.contains("t.txt.hbs") && refusal.detail.contains("COUPON"), "{}", refusal.detail);
    }
    assert_eq!(rendered("t.txt.hbs", "{{#if COUPON}}<<COUPON|required>>{{/if}}.", &sample).unwrap(), ".");
}

#[test]
fn mistakes_are_found_before_any_event() {
    for (source, says) in [
        ("{{lowr EMAIL}}", "did you mean `lower`"),
        ("{{nothing EMAIL}}", "no helper `nothing`"),
        ("{{lower}}", "needs a value"),
        ("{{upper (lower)}}", "needs a value"),
        ("{{email}}", "did you mean `EMAIL`"),
        ("{{#each ITEMS}}{{../email}}{{/each}}", "did you mean `EMAIL`"),
        ("{{../EMAIL}}", "goes up further"),
        ("{{@index}}", "inside"),
        ("{{this}}", "names nothing"),
        ("{{fixed VALUE \"x\"}}", "whole number"),
        ("{{fixed VALUE QUANTITY}}", "written out"),
        ("{{lower x=EMAIL}}", "no named arguments"),
        ("{{#iff EMAIL}}{{/iff}}", "no block `iff`"),
        ("{{#eq VALUE 1}}{{/eq}}", "no block `eq`"),
        ("{{> other}}", "partials"),
        ("{{#> other}}{{/other}}", "partials"),
        ("{{* inline}}", "partials and decorators"),
        ("{{#*inline \"x\"}}{{/inline}}", "partials and decorators"),
        ("{{{{raw}}}}x{{{{/raw}}}}", "raw blocks"),
        ("{{#if EMAIL}}", "Handlebars can't read it"),
        ("{{EMAIL", "not closed"),
        ("<<EMAIL", "not closed"),
        ("a << b", "`\\<<`"),
        ("<<EMAIL|lowr>>", "did you mean `lower`"),
        ("\u{fdd0}", "U+FDD0"),
    ] {
        let found = errors("t.txt.hbs", source);
        assert!(found.iter().any(|e| e.message.contains(says)), "{source}: {found:?}");
    }
    assert!(errors("t.hbs", "").first().unwrap().message.contains(".json.hbs"));
    assert_eq!(errors("t.txt.hbs", "line\n  {{email}}")[0].offset, 7);
    let warned = compile("t.txt.hbs", "{{EMIAL}}").unwrap();
    assert!(warned.warnings[0].message.contains("`EMAIL`"));
    let slots = compile("t.txt.hbs", "{{hmac_sha256 ITEM.id \"key\"}}").unwrap().slots;
    assert!(slots.iter().any(|(_, s)| *s == Slot::Setting("key".into())) && slots.len() == 2);
}

#[test]
fn what_would_exhaust_the_stack_is_refused_before_it_is_parsed() {
    let many = 3000;
    for source in [
        format!("{}{}", "{{#if VALUE}}".repeat(many), "{{/if}}".repeat(many)),
        format!("{{{{#if VALUE}}}}{}{{{{/if}}}}", "{{else if VALUE}}".repeat(many)),
        format!("{{{{lower {}VALUE{}}}}}", "(lower ".repeat(many), ")".repeat(many)),
        format!("{{{{lower {}1{}}}}}", "[".repeat(many), "]".repeat(many)),
        format!("{{{{lower {}", "{\"a\":".repeat(many)),
        format!("{{{{lower [it's]}}}}{}{{{{lower [it's]}}}}", "{{#if VALUE}}".repeat(many)),
    ] {
        let found = errors("t.txt.hbs", &source);
        assert!(
            ["nested deeper", "at most", "not closed"].iter().any(|says| found[0].message.contains(says)),
            "{found:?}"
        );
    }
    let deep = scan::NESTING_MAX;
    assert!(compile("t.txt.hbs", &format!("{}{}", "{{#if VALUE}}".repeat(deep), "{{/if}}".repeat(deep))).is_ok());
    assert!(errors("t.txt.hbs", &"x".repeat(scan::SOURCE_MAX + 1))[0].message.contains("at most"));
}

#[test]
fn output_is_bounded() {
    let mut sample = Sample::with_v(&"x".repeat(8000));
    sample.event().items = vec![Value::Null; 1000];
    let refusal = rendered("t.txt.hbs", "{{#each ITEMS}}{{../V}}{{/each}}", &sample).unwrap_err();
    assert!(refusal.detail.contains("1048576"), "{}", refusal.detail);
}

#[test]
fn work_is_bounded_where_nothing_is_written() {
    let loops = 20;
    let source = format!(
        "{}{{{{#if (eq id VALUE)}}}}x{{{{/if}}}}{}",
        "{{#each ITEMS}}".repeat(loops),
        "{{/each}}".repeat(loops)
    );
    let refusal = rendered("b.txt.hbs", &source, &Sample::default()).unwrap_err();
    assert_eq!(refusal.reason, Reason::RenderFailed);
    assert!(refusal.detail.contains("more than 500000"), "{}", refusal.detail);
}

#[test]
fn secrets_stay_masked() {
    let source = "{{SETTING.token}}|{{{SETTING.token}}}|{{upper SETTING.token}}|{{base64 (sha256 SETTING.token)}}|\
                  <<SETTING.token|lower>>|{{hmac_sha256 VALUE \"token\"}}|{{#with SETTING.token}}{{this}}{{/with}}|\
                  {{json SETTING.token}}|{{SETTING.pixel_id}}";
    let text = render(&file("t.txt.hbs", source), &Sample::default().ctx()).unwrap();
    assert_eq!(text.masked(), "***|***|***|***|***|***|***|***|123");
    assert!(text.reveal().starts_with("s3cr3t|s3cr3t|S3CR3T|"));
}

#[test]
fn a_forms_line_breaks_are_for_the_author() {
    let made =
        rendered("t.form.hbs", "a={{V}}\n  &b={{VALUE}}\n{{#if VALUE}}\n  &c=1\n{{/if}}\n", &Sample::with_v("x\ny"));
    assert_eq!(made.unwrap(), "a=x%0Ay&b=99.00&c=1");
}

fn unescaped(html: &str) -> String {
    let mut out = html.to_owned();
    let references = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&#13;", "\r"),
        ("&#10;", "\n"),
        ("&#9;", "\t"),
    ];
    for (reference, c) in references {
        out = out.replace(reference, c);
    }
    out.replace("&amp;", "&")
}

proptest! {
    #[test]
    fn json_is_decoded_to_the_value(value in hostile()) {
        let source = "{\"a\": \"{{V}}\", \"b\": \"x<<V>>\", \"c\": [{{json V}}, \"{{lower V}}\"]}";
        let made = rendered("t.json.hbs", source, &Sample::with_v(&value)).unwrap();
        let read: Json = serde_json::from_str(&made).unwrap();
        prop_assert_eq!(read, json!({"a": value, "b": format!("x{value}"), "c": [value, value.to_lowercase()]}));
    }

    #[test]
    fn a_form_is_decoded_to_the_value(value in hostile()) {
        let made = rendered("t.form.hbs", "a={{V}}&b=<<V>>&c={{trim V}}", &Sample::with_v(&value)).unwrap();
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(made.as_bytes()).into_owned().collect();
        let expect = [("a", &*value), ("b", &*value), ("c", value.trim())];
        prop_assert_eq!(pairs, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn xml_and_html_are_decoded_to_the_value(value in hostile()) {
        // Control characters have no form there at all; they are replaced.
        let fit = |c: char| if (c < ' ' && !matches!(c, '\t' | '\n' | '\r')) || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c };
        let value: String = value.chars().map(fit).collect();
        for name in ["t.xml.hbs", "t.html.hbs"] {
            let made = rendered(name, "<a b=\"{{V}}\">", &Sample::with_v(&value)).unwrap();
            let inside = made.strip_prefix("<a b=\"").unwrap().strip_suffix("\">").unwrap();
            prop_assert!(!inside.contains(['<', '>', '"', '\'', '\n', '\r']));
            prop_assert_eq!(unescaped(inside), value.clone());
        }
    }

    #[test]
    fn text_is_the_value(value in hostile()) {
        prop_assert_eq!(rendered("t.txt.hbs", "{{V}}<<V>>{{{V}}}", &Sample::with_v(&value)).unwrap(), value.repeat(3));
    }

    #[test]
    fn any_source_compiles_or_is_refused_without_a_panic(source in hostile(), tail in hostile()) {
        let _ = compile("t.json.hbs", &format!("{{{{#if VALUE}}}}{source}{{{{/if}}}}{tail}"));
        let _ = compile("t.form.hbs", &source);
    }
}
