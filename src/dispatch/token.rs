//! Access tokens of OAuth 2 (RFC 6749): got when the first request needs one, kept until they end, renewed by one request
//! at a time however many deliveries wait for it.
//!
//! Refuses: showing one, and keeping one beyond this run. A failure is shared by those who waited, and the server is left
//! alone for a while.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded;

use super::client::Wire;
use super::clock;
use crate::model::connector::{AUTHORIZATION, Grant, OAuth2};
use crate::model::outcome::{FailureKind, Met, Reply};
use crate::model::postback::{Method, Postback};
use crate::model::secret::{Secrets, Text};
use crate::rules::judge;
use crate::rules::render::bearer;

/// A token is renewed so long before it ends, or a tenth of its life where that is shorter: it must last until the request
/// that carries it has been read.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// How long after a failure the server is left alone, doubling with each further one.
const LEFT_ALONE: Duration = Duration::from_secs(1);
const LEFT_ALONE_MAX: Duration = Duration::from_secs(60);

/// A token this new has not ended: who is refused with it is refused for another reason, which another token would not mend.
const SURELY_GOOD: Duration = Duration::from_secs(1);

/// Bytes of a token. Those of Microsoft have some 2 kB; a header bears 8 kB.
const TOKEN_MAX: usize = 8_000;

/// The tokens of one connector.
#[derive(Debug)]
pub(crate) struct Tokens {
    spec: Arc<OAuth2>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    token: Option<Arc<Token>>,
    /// What the server gave in place of the one that is configured.
    refresh_token: Option<Text>,
    /// How often it has failed in a row, and until when the last failure is everybody's.
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    until: Instant,
    why: Met,
}

/// One token, ready to be sent.
#[derive(Debug)]
pub(crate) struct Token {
    header: Text,
    got: Instant,
    /// `None`: until it is refused.
    good_until: Option<Instant>,
    /// What is to be taken out of replies.
    pub(crate) secrets: Secrets,
}

/// What a token server answers (RFC 6749 sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
    refresh_token: Option<String>,
    error: Option<String>,
}

impl Tokens {
    pub(crate) fn new(spec: Arc<OAuth2>) -> Self {
        Self { spec, kept: Mutex::default() }
    }

    /// Whether these are for the same client of the same server.
    pub(crate) fn fit(&self, spec: &OAuth2) -> bool {
        *self.spec == *spec
    }

    /// A token that is good, got over `wire` within `total` where none is at hand.
    ///
    /// # Errors
    /// There is none: as what an attempt has met.
    pub(crate) async fn get(&self, wire: &Wire, total: Duration, secrets: &Secrets) -> Result<Arc<Token>, Met> {
        // Held while it is got, so that who comes meanwhile waits for the same.
        let mut kept = self.kept.lock().await;
        let now = Instant::now();
        if let Some(token) = kept.token.as_ref().filter(|token| token.good_until.is_none_or(|until| now < until)) {
            return Ok(token.clone());
        }
        if let Some(failed) = kept.failed.as_ref().filter(|failed| now < failed.until) {
            return Err(failed.why.clone());
        }
        let met = self.ask(wire, total, kept.refresh_token.as_ref(), secrets).await;
        match self.understood(&met, secrets) {
            Ok((token, refresh_token)) => {
                let token = Arc::new(token);
                kept.token = Some(token.clone());
                kept.failed = None;
                if refresh_token.is_some() {
                    kept.refresh_token = refresh_token;
                }
                Ok(token)
            }
            Err(why) => {
                let times = kept.failed.as_ref().map_or(0, |failed| failed.times);
                let until = Instant::now() + left_alone(times, &met);
                if is_refused_grant(&met) {
                    // With the one that is configured it is tried from the beginning.
                    kept.refresh_token = None;
                }
                kept.failed = Some(Failed { times: times.saturating_add(1), until, why: why.clone() });
                Err(why)
            }
        }
    }

    /// Hears what was met with `token`. Says whether it has ended, so that another is worth a try at once.
    pub(crate) async fn met(&self, token: &Arc<Token>, met: &Met) -> bool {
        if met.status() != Some(401) {
            return false;
        }
        let mut kept = self.kept.lock().await;
        if kept.token.as_ref().is_some_and(|known| Arc::ptr_eq(known, token)) {
            if token.got.elapsed() < SURELY_GOOD {
                return false;
            }
            kept.token = None;
        }
        true
    }

    async fn ask(&self, wire: &Wire, total: Duration, refresh_token: Option<&Text>, secrets: &Secrets) -> Met {
        match wire.prepare(&self.request(refresh_token), total) {
            Ok(prepared) => prepared.send(secrets).await,
            Err(unsendable) => Met::Failure { kind: FailureKind::Token, detail: unsendable.to_string() },
        }
    }

    /// The client shows itself in the body, or by Basic authentication (RFC 6749 section 2.3.1).
    fn request(&self, refresh_token: Option<&Text>) -> Postback {
        let spec = &*self.spec;
        let mut form = form_urlencoded::Serializer::new(String::new());
        match &spec.grant {
            Grant::ClientCredentials => {
                form.append_pair("grant_type", "client_credentials");
            }
            Grant::RefreshToken(configured) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", refresh_token.unwrap_or(configured).reveal());
            }
        }
        if let Some(scope) = &spec.scope {
            form.append_pair("scope", scope.reveal());
        }
        let mut headers: Vec<(Box<str>, Text)> = vec![
            ("content-type".into(), "application/x-www-form-urlencoded".into()),
            ("accept".into(), "application/json".into()),
        ];
        if spec.client_in_header {
            let encode = |text: &Text| form_urlencoded::byte_serialize(text.reveal().as_bytes()).collect::<String>();
            let client = format!("{}:{}", encode(&spec.client_id), encode(&spec.client_secret));
            let mut value = Text::from("Basic ");
            value.push_secret(&STANDARD.encode(client));
            headers.push((AUTHORIZATION.into(), value));
        } else {
            form.append_pair("client_id", spec.client_id.reveal());
            form.append_pair("client_secret", spec.client_secret.reveal());
        }
        let mut body = Text::default();
        body.push_secret(&form.finish());
        Postback { method: Method::Post, url: spec.token_url.clone(), headers, body: Some(body) }
    }

    /// The token in the server's answer, and the refresh token that takes the place of the one before.
    fn understood(&self, met: &Met, secrets: &Secrets) -> Result<(Token, Option<Text>), Met> {
        let failed = |detail: String| Err(Met::Failure { kind: FailureKind::Token, detail });
        let reply = match met {
            Met::Reply(reply) => reply,
            Met::Failure { kind: FailureKind::EgressDenied, .. } => return Err(met.clone()),
            Met::Failure { kind, detail } => return failed(format!("the token server: {}: {detail}", kind.word())),
        };
        let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
        let said = answer.as_ref().and_then(|answer| answer.error.as_deref()).filter(|error| is_code(error));
        let said = said.map_or_else(String::new, |error| format!(": {}", secrets.scrub(error)));
        if !(200..300).contains(&reply.status) {
            return failed(format!("the token server answered {}{said}", reply.status));
        }
        let Some(answer) = answer else {
            return failed("the token server's answer is no JSON of at most 64 KiB".to_owned());
        };
        let Some(token) = answer.access_token.filter(|token| is_token(token)) else {
            return failed(format!("the token server's answer holds no access token{said}"));
        };
        let got = Instant::now();
        let life = answer.expires_in.as_ref().and_then(seconds);
        let good_until = life.and_then(|life| got.checked_add(life.saturating_sub(RENEWED_BEFORE.min(life / 10))));
        let refresh_token = answer.refresh_token.filter(|token| is_token(token)).map(|token| {
            let mut kept = Text::default();
            kept.push_secret(&token);
            kept
        });
        let secrets = secrets.with(&token);
        Ok((Token { header: bearer(&token), got, good_until, secrets }, refresh_token))
    }
}

impl Token {
    /// Puts it where its place was held.
    pub(crate) fn put_into(&self, postback: &mut Postback) {
        let held = postback.headers.iter_mut().find(|(name, _)| &**name == AUTHORIZATION);
        if let Some((_, value)) = held {
            *value = self.header.clone();
        }
    }
}

fn left_alone(times: u32, met: &Met) -> Duration {
    let doubled = LEFT_ALONE.saturating_mul(1 << times.min(6)).min(LEFT_ALONE_MAX);
    let asked = match met {
        Met::Reply(Reply { retry_after: Some(said), .. }) => {
            let now = clock::now();
            judge::retry_after_ends(*said, now).since(now)
        }
        Met::Reply(_) | Met::Failure { .. } => Duration::ZERO,
    };
    doubled.max(asked)
}

/// Whether the server no longer takes what it was asked with (RFC 6749 section 5.2), as against being unwell.
fn is_refused_grant(met: &Met) -> bool {
    let Met::Reply(reply) = met else { return false };
    let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
    answer.and_then(|answer| answer.error).is_some_and(|error| error == "invalid_grant")
}

/// Some servers write the number as a text.
fn seconds(life: &serde_json::Value) -> Option<Duration> {
    let number = life.as_f64().or_else(|| life.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(number).ok()
}

/// Whether it can stand in a header (RFC 6749 appendix A.12: visible ASCII).
fn is_token(token: &str) -> bool {
    (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

/// Whether it is an error's code, and not a story.
fn is_code(error: &str) -> bool {
    error.len() <= 64 && error.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_may_be_a_number_or_a_text_and_nothing_absurd() {
        let read = |text: &str| seconds(&serde_json::from_str(text).unwrap());
        assert_eq!(read("3600"), Some(Duration::from_secs(3600)));
        assert_eq!(read("\"3599\""), Some(Duration::from_secs(3599)));
        for wrong in ["-1", "\"soon\"", "null", "[]", "1e300"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_server_that_fails_is_left_alone_longer_each_time() {
        let gone = Met::Failure { kind: FailureKind::Refused, detail: String::new() };
        let waits: Vec<u64> = (0..9).map(|times| left_alone(times, &gone).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let reply = Reply {
            status: 429,
            retry_after: Some(crate::model::outcome::RetryAfter::In(Duration::from_secs(90))),
            body: Vec::new(),
            complete: true,
        };
        assert_eq!(left_alone(0, &Met::Reply(reply)), Duration::from_secs(90));
    }

    #[test]
    fn only_what_a_header_bears_is_a_token_and_only_a_word_is_a_code() {
        assert!(is_token("ya29.a0_-~+/=") && !is_token("") && !is_token("a\nb") && !is_token("ä"));
        assert!(!is_token(&"x".repeat(TOKEN_MAX + 1)));
        assert!(is_code("invalid_grant") && !is_code("your secret was x"));
    }
}
