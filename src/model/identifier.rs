//! What can tell that two events come from one person, strongest first.
//!
//! Refuses: deciding whom an event belongs to; that is `rules::identify`.

use smol_str::SmolStr;

/// A kind of identifier. The order is that of SPEC section 3: earlier kinds win over later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKind {
    SessionId,
    PriorityExternalId,
    ExternalId,
    Email,
    Phone,
    ClientId,
    /// A unique click ID value; the identifier's value is `param=value`.
    Click,
    /// No identifier at all: the only visitor about at that time (`match.by_time`).
    Time,
}

impl IdentifierKind {
    /// The word for it in `MATCH_TYPE`, the log and the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::SessionId => "session_id",
            Self::PriorityExternalId => "priority_external_id",
            Self::ExternalId => "external_id",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ClientId => "client_id",
            Self::Click => "click_id",
            Self::Time => "time",
        }
    }

    /// How sure it is that what joined by this is one person: `high`, or `low`.
    pub fn confidence(self) -> &'static str {
        match self {
            Self::SessionId
            | Self::PriorityExternalId
            | Self::ExternalId
            | Self::Email
            | Self::Phone
            | Self::ClientId
            | Self::Click => "high",
            Self::Time => "low",
        }
    }

    /// The kind whose [`word`](Self::word) this is.
    pub fn from_word(word: &str) -> Option<Self> {
        use IdentifierKind::{Click, ClientId, Email, ExternalId, Phone, PriorityExternalId, SessionId, Time};
        [SessionId, PriorityExternalId, ExternalId, Email, Phone, ClientId, Click, Time]
            .into_iter()
            .find(|k| k.word() == word)
    }
}

/// One identifier, its value normalised for comparison.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier {
    pub kind: IdentifierKind,
    pub value: SmolStr,
}
