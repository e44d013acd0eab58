//! Why there was no reply: the client's error, walked to its cause and named.
//!
//! Refuses: showing it whole. A detail holds neither the URL nor a secret.

use std::error::Error;
use std::io;

use super::guard::Denied;
use super::resolve::LookupFailed;
use crate::model::outcome::{FailureKind, Met};
use crate::model::secret::Secrets;

/// The longest detail kept, in bytes: a cause, not a story.
const DETAIL_MAX: usize = 300;

/// The failure that `error` stands for.
pub(crate) fn met(error: reqwest::Error, is_https: bool, secrets: &Secrets) -> Met {
    let kind = kind(&error, is_https);
    let detail = chain(&error.without_url());
    let scrubbed = secrets.scrub(&detail);
    Met::Failure { kind, detail: scrubbed[..scrubbed.floor_char_boundary(DETAIL_MAX)].to_owned() }
}

/// An error's causes, innermost last, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

fn kind(error: &reqwest::Error, is_https: bool) -> FailureKind {
    if cause::<Denied>(error).is_some() {
        return FailureKind::EgressDenied;
    }
    if cause::<LookupFailed>(error).is_some() || error.is_dns() {
        return FailureKind::Dns;
    }
    if error.is_connect() {
        // Nothing has been written yet, whatever went wrong.
        return match (error.is_timeout(), cause::<io::Error>(error).map(io::Error::kind)) {
            (true, _) => FailureKind::ConnectTimeout,
            (false, Some(kind)) if is_unreachable(kind) => FailureKind::Refused,
            (false, _) if is_https => FailureKind::Tls,
            (false, _) => FailureKind::Refused,
        };
    }
    if error.is_timeout() {
        return FailureKind::Timeout;
    }
    if cause::<io::Error>(error).is_some_and(|e| is_closed(e.kind())) {
        return FailureKind::Reset;
    }
    match cause::<hyper::Error>(error) {
        Some(e) if e.is_incomplete_message() || e.is_canceled() || e.is_closed() || e.is_body_write_aborted() => {
            FailureKind::Reset
        }
        Some(_) | None => FailureKind::Other,
    }
}

fn is_unreachable(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(kind, ConnectionRefused | HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable)
}

fn is_closed(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | NotConnected)
}

/// The first cause of this type.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(found) = source {
        if let Some(wanted) = found.downcast_ref::<E>() {
            return Some(wanted);
        }
        source = found.source();
    }
    None
}
