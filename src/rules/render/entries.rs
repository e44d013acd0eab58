//! Lists of `name: value`: query, form and headers.
//!
//! Refuses: a header twice. What an author wrote wins over what would be added.

use crate::model::connector::{Auth, PostbackSpec};
use crate::model::secret::Text;
use crate::model::template::{Entry, Place, There};
use crate::rules::escape::{self, Unfit};
use crate::rules::variables::RenderContext;

use super::{HEADER_MAX, Refusal, expression};

/// Appends entries as `name=value`, the first after `mark`, the others after `&`; those that render empty are left out.
pub fn write(
    entries: &[Entry],
    place: Place,
    mark: &'static str,
    ctx: &RenderContext<'_>,
    out: &mut Text,
) -> Result<(), Refusal> {
    let mut mark = mark;
    for entry in entries {
        match entry.there {
            There::EachItem => {
                for (number, ctx) in (1..).zip(ctx.each_item()) {
                    one(&numbered(&entry.name, number), entry, place, &mut mark, &ctx, out)?;
                }
            }
            There::NoItems if ctx.has_items() => {}
            There::Always | There::NoItems => one(&entry.name, entry, place, &mut mark, ctx, out)?,
        }
    }
    Ok(())
}

fn one(
    called: &Text,
    entry: &Entry,
    place: Place,
    mark: &mut &'static str,
    ctx: &RenderContext<'_>,
    out: &mut Text,
) -> Result<(), Refusal> {
    let start = out.len();
    out.push(mark);
    name(called, place, out).map_err(|e| Refusal::failed(e.to_string()))?;
    out.push("=");
    let empty = out.len();
    let kept = expression::write(&entry.value, ctx, out).map_err(|e| e.at(|| called.masked().into_owned()))?;
    if out.len() == empty && !kept {
        out.truncate(start);
    } else {
        *mark = "&";
    }
    Ok(())
}

/// The name for one item.
fn numbered(name: &Text, number: u32) -> Text {
    let mut out = Text::default();
    for (part, is_secret) in name.parts() {
        match is_secret {
            true => out.push_secret(part),
            false => out.push(&part.replace('#', &number.to_string())),
        }
    }
    out
}

fn name(name: &Text, place: Place, out: &mut Text) -> Result<(), Unfit> {
    if !name.is_tainted() {
        return escape::push(out, place, false, name.reveal(), false);
    }
    name.parts().try_for_each(|(part, secret)| escape::push(out, place, false, part, secret))
}

/// The headers in order: the author's, then what the body and the delivery need and the author did not give.
pub fn headers(
    spec: &PostbackSpec,
    content_type: Option<&'static str>,
    ctx: &RenderContext<'_>,
) -> Result<Vec<(Box<str>, Text)>, Refusal> {
    let mut headers: Vec<(Box<str>, Text)> = Vec::with_capacity(spec.headers.len() + 2);
    for entry in &spec.headers {
        let at = || format!("header {}", entry.name.masked());
        let mut value = Text::default();
        let kept = expression::write(&entry.value, ctx, &mut value).map_err(|e| e.at(at))?;
        if HEADER_MAX < value.len() {
            return Err(Refusal::failed(format!("its value has more than {HEADER_MAX} bytes")).at(at));
        }
        if kept || !value.is_empty() {
            headers.push((entry.name.reveal().into(), value));
        }
    }
    headers.extend(spec.auth.as_ref().map(auth));
    let given = |headers: &[(Box<str>, Text)], name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if let Some(content_type) = content_type
        && !given(&headers, "content-type")
    {
        headers.push(("content-type".into(), content_type.into()));
    }
    if spec.idempotency_key && !given(&headers, "idempotency-key") {
        headers.push(("idempotency-key".into(), ctx.delivery.id.to_string().as_str().into()));
    }
    Ok(headers)
}

/// Who calls. A token is put in when the request goes out; until then its place is held.
fn auth(auth: &Auth) -> (Box<str>, Text) {
    let value = match auth {
        Auth::Header { value, .. } => value.clone(),
        Auth::OAuth2(_) => bearer("token"),
    };
    (auth.header().into(), value)
}

/// What `Authorization` says of an access token (RFC 6750 section 2.1).
pub fn bearer(token: &str) -> Text {
    let mut value = Text::from("Bearer ");
    value.push_secret(token);
    value
}
