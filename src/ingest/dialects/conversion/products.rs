//! The `products` of a conversion: a list as JSON or JSON text, or a form's `products[0][name]` and `products[]`.
//!
//! Refuses: choosing the main one; templates do, by price.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ingest::dialects::FieldIn;
use crate::ingest::reading::Input;
use crate::json;
use crate::model::value::{Members, Value};

/// The other fields, and the products as the JSON of `items`. What is no list is left for the reader of `items` to refuse.
pub(super) fn taken_out(fields: Vec<FieldIn<'_>>) -> (Vec<FieldIn<'_>>, Option<String>) {
    let mut others = Vec::with_capacity(fields.len());
    let mut whole: Option<String> = None;
    // A form's products by their number, those without one last.
    let mut parts: BTreeMap<usize, Members> = BTreeMap::new();
    let mut unnumbered = usize::MAX / 2;
    for (name, input) in fields {
        let Some(rest) = name.strip_prefix("products") else {
            others.push((name, input));
            continue;
        };
        let Some((number, member)) = place(rest) else {
            if rest.is_empty() {
                whole = text(&input).or(whole);
            } else {
                others.push((name, input));
            }
            continue;
        };
        let Input::Text(text) = &input else { continue };
        if text.trim().is_empty() {
            continue;
        }
        let number = number.unwrap_or_else(|| {
            unnumbered += 1;
            unnumbered
        });
        parts.entry(number).or_default().push((member.into(), Value::Text(text.as_ref().into())));
    }
    let formed =
        (!parts.is_empty()).then(|| json::to_string(&Value::List(parts.into_values().map(Value::Map).collect())));
    (others, whole.or(formed))
}

/// `[3][name]` is the name of the third, `[]` a name of one more.
fn place(rest: &str) -> Option<(Option<usize>, &str)> {
    let (number, member) = rest.strip_prefix('[')?.split_once(']')?;
    let number = if number.is_empty() { None } else { Some(number.parse().ok().filter(|n| *n < usize::MAX / 2)?) };
    let member = match member {
        "" => "name",
        member => member.strip_prefix('[')?.strip_suffix(']')?,
    };
    Some((number, member))
}

/// The list as JSON, products that are mere names made objects.
fn text(input: &Input<'_>) -> Option<String> {
    let sent: Cow<'_, str> = match input {
        _ if input.is_blank() => return None,
        Input::Raw(raw) if raw.get().starts_with('[') => raw.get().into(),
        Input::Raw(_) | Input::Text(_) => match input.scalar() {
            Ok(Some(text)) => text,
            Ok(None) => return None,
            Err(_) => return Some("{}".to_owned()),
        },
    };
    let Ok(Value::List(elements)) = json::parse(&sent) else { return Some(sent.into_owned()) };
    let named = |element| match element {
        Value::Text(name) => Value::Map(vec![("name".into(), Value::Text(name))]),
        other => other,
    };
    Some(json::to_string(&Value::List(elements.into_iter().map(named).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::http::pairs;

    fn of(form: &str) -> (Vec<String>, Option<String>) {
        let (others, items) = taken_out(pairs(form.as_bytes()).unwrap());
        (others.into_iter().map(|(name, _)| name.into_owned()).collect(), items)
    }

    #[test]
    fn a_form_may_write_them_in_four_ways() {
        let some = |json: &str| Some(json.to_owned());
        for (form, expect) in [
            ("a=1&products=%5B%7B%22name%22%3A%22Boot%22%7D%5D", some(r#"[{"name":"Boot"}]"#)),
            ("a=1&products=%5B%22Boot%22%2C%22Sock%22%5D", some(r#"[{"name":"Boot"},{"name":"Sock"}]"#)),
            (
                "products[1][name]=Sock&a=1&products[0][name]=Boot&products[0][price]=9.50",
                some(r#"[{"name":"Boot","price":"9.50"},{"name":"Sock"}]"#),
            ),
            ("products[]=Boot&a=1&products[]=Sock", some(r#"[{"name":"Boot"},{"name":"Sock"}]"#)),
            ("a=1&products=", None),
        ] {
            assert_eq!(of(form), (vec!["a".to_owned()], expect), "{form}");
        }
        assert_eq!(of("products=Boot").1, some("Boot"), "refused where items are read");
        assert_eq!(of("products[x][y]=1&productsold=2").0, ["products[x][y]", "productsold"]);
    }
}
