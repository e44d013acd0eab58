//! What came of an attempt: a partner's reply or a failure to get one, and what that amounts to.
//!
//! Refuses: judging; `rules::judge` does. A partner's failure is a value here, never an error of ours.

use std::time::Duration;

use super::delivery::Reason;
use super::time::Time;
use super::value::Value;

/// What a `Retry-After` header said (RFC 9110 section 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    In(Duration),
    At(Time),
}

/// An answer whose status line and headers were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub retry_after: Option<RetryAfter>,
    /// At most 64 KiB; more was not read.
    pub body: Vec<u8>,
    /// False where the body broke off; the status counts all the same.
    pub complete: bool,
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    Dns,
    Refused,
    Tls,
    ConnectTimeout,
    Timeout,
    Reset,
    /// The address is private and not allowed; nothing was dialled.
    EgressDenied,
    /// There is no access token; the partner was not asked.
    Token,
    /// The request could not be built or sent for a reason of its own.
    Other,
}

impl FailureKind {
    /// The word for it in the log and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Tls => "tls",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::EgressDenied => "egress_denied",
            Self::Token => "token",
            Self::Other => "other",
        }
    }

    /// Whether the partner may have received the request although we have no answer.
    pub fn may_have_arrived(self) -> bool {
        match self {
            Self::Timeout | Self::Reset | Self::Other => true,
            Self::Dns | Self::Refused | Self::Tls | Self::ConnectTimeout | Self::EgressDenied | Self::Token => false,
        }
    }
}

/// What one attempt met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Met {
    Reply(Reply),
    /// `detail` holds no URL and no secret.
    Failure {
        kind: FailureKind,
        detail: String,
    },
}

impl Met {
    /// The status, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Reply(reply) => Some(reply.status),
            Self::Failure { .. } => None,
        }
    }

    /// Whether an accepting partner may know of the postback by now.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Reply(_) => true,
            Self::Failure { kind, .. } => kind.may_have_arrived(),
        }
    }
}

/// What an attempt amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// To be sent again at this time.
    Retry {
        at: Time,
    },
    /// Refused for good.
    Rejected(Reason),
    /// Given up.
    Dead(Reason),
    /// It may have arrived and must not be repeated without a person's word.
    Held,
}

impl Outcome {
    /// The `outcome` label of `postbackd_attempts_total`, and the word in the log.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry { .. } => "retry",
            Self::Rejected(_) => "rejected",
            Self::Dead(_) => "dead",
            Self::Held => "held",
        }
    }
}

/// What an outcome rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Delivered,
    Retry,
    Reject,
}

/// How a rule compares the value at a JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerTest {
    Equals(Value),
    NotEquals(Value),
    Exists(bool),
}

/// One entry of a connector's `outcomes`: every condition that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRule {
    pub status: Option<u16>,
    pub body_contains: Option<Box<str>>,
    pub json: Option<(Box<str>, PointerTest)>,
    pub then: Then,
    /// In place of the schedule's delay, with `then: retry`.
    pub after: Option<Duration>,
}
