//! `auth`: who the network is told that we are.
//!
//! Refuses: anything of an event in it, and showing it. It is put together once, and is secret wherever it stands.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::request::{OWN_HEADERS, is_token};
use crate::config::fields::Fields;
use crate::config::templates::Templates;
use crate::model::connector::{AUTHORIZATION, Auth, Grant, OAuth2};
use crate::model::secret::Text;

const KINDS: &[&str] = &["basic", "bearer", "header", "oauth2"];
/// Headers that say what is sent, not who sends it.
const OF_THE_REQUEST: &[&str] = &["content-type", "content-encoding", "idempotency-key"];

/// Reads the mapping.
pub fn read(f: &Fields<'_>, templates: &Templates<'_>) -> Option<Auth> {
    let given = f.which(KINDS);
    if given.len() != 1 {
        let found = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        f.ctx.error(f.at, format!("`auth` takes exactly one of {}, not {found}", KINDS.join(", ")));
    }
    let basic = f.object("basic").and_then(|f| {
        let (user, password) = (word(&f, templates, "user"), secret(&f, templates, "password"));
        let (user, password) = (user?, password?);
        if user.reveal().contains(':') {
            f.ctx.error(f.position("user"), "user: a `:` would end it (RFC 7617): take it out");
        }
        let encoded = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
        Some(header(&f, AUTHORIZATION, "Basic ", &encoded))
    });
    let bearer = f.given("bearer").and_then(|_| secret(f, templates, "bearer"));
    let bearer = bearer.map(|token| header(f, AUTHORIZATION, "Bearer ", token.reveal()));
    let own = f.object("header").and_then(|f| {
        let (name, value) = (f.shown_word("name"), secret(&f, templates, "value"));
        let name = name?.to_ascii_lowercase();
        if !is_token(&name) {
            f.ctx.error(f.position("name"), format!("name: `{name}` is no header name: use letters, digits and -"));
        } else if OWN_HEADERS.contains(&&*name) || OF_THE_REQUEST.contains(&&*name) {
            f.ctx.error(f.position("name"), format!("name: `{name}` speaks of the request itself: name another"));
        }
        Some(header(&f, &name, "", value?.reveal()))
    });
    let oauth2 = f.object("oauth2").and_then(|f| oauth2(&f, templates)).map(|oauth2| Auth::OAuth2(Arc::new(oauth2)));
    basic.or(bearer).or(own).or(oauth2)
}

/// A text in which only settings stand, put in; blank is as good as missing.
fn word(f: &Fields<'_>, templates: &Templates<'_>, name: &str) -> Option<Text> {
    let text = templates.settled(name, f.given(name)?)?;
    if text.reveal().trim().is_empty() && !templates.may_be_blank() {
        f.ctx.error(f.position(name), format!("{name}: is blank: fill it in"));
        return None;
    }
    if text.reveal().chars().any(char::is_control) {
        f.ctx.error(f.position(name), format!("{name}: holds a control character, such as a line break: take it out"));
        return None;
    }
    Some(text)
}

/// The same, never to be shown.
fn secret(f: &Fields<'_>, templates: &Templates<'_>, name: &str) -> Option<Text> {
    let text = word(f, templates, name)?;
    f.ctx.keep_secret(text.reveal());
    Some(text)
}

fn header(f: &Fields<'_>, name: &str, before: &str, secret: &str) -> Auth {
    f.ctx.keep_secret(secret);
    let mut value = Text::from(before);
    value.push_secret(secret);
    Auth::Header { name: name.into(), value }
}

fn oauth2(f: &Fields<'_>, templates: &Templates<'_>) -> Option<OAuth2> {
    let is_refresh = f.choice("grant", &[false, true]).unwrap_or(false);
    let client_in_header = f.choice("client_in", &[false, true]).unwrap_or(false);
    let token_url = f.given("token_url").and_then(|node| templates.settled("token_url", node));
    let is_url = |url: &Text| {
        Url::parse(url.reveal()).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host())
    };
    if token_url.as_ref().is_some_and(|url| !is_url(url) && !templates.may_be_blank()) {
        f.ctx.error(f.position("token_url"), "token_url: is no absolute http or https URL: write one");
    }
    let (client_id, client_secret) = (word(f, templates, "client_id"), secret(f, templates, "client_secret"));
    let refresh_token = secret(f, templates, "refresh_token");
    match (is_refresh, f.given("refresh_token")) {
        (true, None) => f.ctx.error(f.at, "`refresh_token` is missing: `grant: refresh_token` asks with it"),
        (false, Some(_)) => {
            f.ctx.error(f.position("refresh_token"), "`refresh_token` goes with `grant: refresh_token`")
        }
        (true, Some(_)) | (false, None) => {}
    }
    let grant = if is_refresh { Grant::RefreshToken(refresh_token?) } else { Grant::ClientCredentials };
    let scope = f.given("scope").and_then(|node| templates.settled("scope", node));
    let scope = scope.filter(|scope| !scope.is_empty());
    Some(OAuth2 {
        token_url: token_url?,
        grant,
        client_id: client_id?,
        client_secret: client_secret?,
        client_in_header,
        scope,
    })
}
