//! Who may come in: the bearer token, or without one a caller who speaks to this machine by a loopback name.
//!
//! Refuses: a page of another site that makes a browser ask for it. A name that was made to point at 127.0.0.1 shows in
//! `Host`; a form or script of another site shows in `Origin`, and can't send `application/json` without asking first.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Room;
use super::answer::Refusal;

/// Asks every request for its right to be here, and marks every answer as nobody's to keep or to guess about.
pub async fn guard(State(room): State<Arc<Room>>, request: Request, next: Next) -> Response {
    let mut response = match check(&room, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn check(room: &Room, request: &Request) -> Result<(), Refusal> {
    let path = request.uri().path();
    if path == "/healthz" || path == "/readyz" {
        return Ok(());
    }
    let admin = &room.desk.config.load().admin;
    match &admin.token {
        Some(_) if admin.open_metrics && path == "/metrics" => {}
        Some(token) if holds(request.headers(), token) => {}
        Some(_) => {
            return Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "send `Authorization: Bearer TOKEN` with the token of `admin.token`",
            )
            .with(header::WWW_AUTHENTICATE, "Bearer"));
        }
        None if is_loopback(request) => {}
        None => {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "without `admin.token` only requests for localhost, 127.0.0.1 or [::1] are answered (`Host`)",
            ));
        }
    }
    if request.method() == Method::POST {
        check_write(request.headers())?;
    }
    Ok(())
}

/// Whether the request carries the token. Compared by hash, in a time that tells neither how much was right nor how long
/// the token is.
fn holds(headers: &HeaderMap, token: &SecretString) -> bool {
    let Some((scheme, given)) = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()?.split_once(' '))
    else {
        return false;
    };
    let hash = |text: &str| Sha256::digest(text.as_bytes());
    scheme.eq_ignore_ascii_case("bearer") && bool::from(hash(given.trim()).ct_eq(&hash(token.expose_secret())))
}

/// Whether every name the request gives for us is a loopback one.
fn is_loopback(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(is_loopback_name) && request.uri().authority().is_none_or(|a| is_loopback_name(a.as_str()))
}

/// Whether `host`, with or without a port, is `localhost`, 127.x.x.x or `[::1]`.
fn is_loopback_name(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, ""),
    };
    port.bytes().all(|b| b.is_ascii_digit())
        && (name.eq_ignore_ascii_case("localhost")
            || name == "[::1]"
            || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback()))
}

/// What a request that changes something must show besides.
fn check_write(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap_or_default());
    if let Some(origin) = text(header::ORIGIN) {
        let site = origin.split_once("://").map_or("", |(_, site)| site);
        if site.is_empty() || !text(header::HOST).is_some_and(|host| host.eq_ignore_ascii_case(site)) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "a page of another site may not ask for this (`Origin`)"));
        }
    }
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `Content-Type: application/json`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_goes_by_few_names() {
        for (host, expect) in [
            ("localhost", true),
            ("LOCALHOST:9090", true),
            ("127.0.0.1", true),
            ("127.8.9.1:80", true),
            ("[::1]", true),
            ("[::1]:9090", true),
            ("", false),
            ("localhost.evil.example", false),
            ("evil.example:9090", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("[::2]:80", false),
            ("localhost:80:80", false),
            ("localhost:x", false),
            ("localhost@evil.example", false),
        ] {
            assert_eq!(is_loopback_name(host), expect, "{host}");
        }
    }

    #[test]
    fn writes_come_from_our_own_pages_or_from_no_page() {
        let ok = StatusCode::OK;
        for (origin, content_type, expect) in [
            (None, Some("application/json"), ok),
            (None, Some("Application/JSON; charset=utf-8"), ok),
            (Some("http://localhost:9090"), Some("application/json"), ok),
            (Some("http://localhost:9091"), Some("application/json"), StatusCode::FORBIDDEN),
            (Some("https://evil.example"), Some("application/json"), StatusCode::FORBIDDEN),
            (Some("null"), Some("application/json"), StatusCode::FORBIDDEN),
            (None, Some("text/plain"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (None, Some("application/jsonp"), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (None, None, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:9090"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            if let Some(content_type) = content_type {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            let status = check_write(&headers).map_or_else(|r| r.into_response().status(), |()| ok);
            assert_eq!(status, expect, "{origin:?} {content_type:?}");
        }
    }
}
