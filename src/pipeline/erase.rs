//! Who is to be erased, as a person says it: a container, and one of the ways to name somebody.
//!
//! Refuses: matching differently from events. The value is read as it would be if an event brought it.

use std::time::Duration;

use crate::config::{Config, Container};
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::ids::ContainerKey;
use crate::rules::identify;

/// A way to name somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Email,
    Phone,
    /// `externalId` or `priorityExternalId`.
    ExternalId,
    SessionId,
}

impl By {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Email, Self::Phone, Self::ExternalId, Self::SessionId];

    /// Its name in the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::ExternalId => "external_id",
            Self::SessionId => "session_id",
        }
    }
}

/// Who is to be erased.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub container: ContainerKey,
    pub identifiers: Vec<Identifier>,
    /// How long ids of events stay remembered, so that a repeat of an erased one fires nothing.
    pub keep_keys_for: Duration,
}

/// What is wrong with the question: the field, and what to do.
pub type Wrong = (&'static str, &'static str);

/// Reads the question. `container` is a key or a name.
///
/// # Errors
/// There is no such container, or nobody can be named by this value.
pub fn asked(config: &Config, container: &str, by: By, value: &str) -> Result<Asked, Wrong> {
    let named = |c: &&Container| *c.key == *container || *c.name == *container;
    let Some(container) = config.containers.iter().find(named) else {
        return Err(("container", "is no container; write a key or a name of the configuration"));
    };
    let one = |kind, value: String| vec![Identifier { kind, value: value.into() }];
    let trimmed = value.trim().to_owned();
    let identifiers = match by {
        _ if trimmed.is_empty() => return Err((by.word(), "is blank")),
        By::Email => one(
            IdentifierKind::Email,
            identify::email(value).ok_or(("email", "is neither an address nor the hash of one"))?,
        ),
        By::Phone => one(
            IdentifierKind::Phone,
            identify::phone(value, container.country.as_deref()).ok_or(("phone", "is no phone number"))?,
        ),
        By::ExternalId => {
            let kinds = [IdentifierKind::ExternalId, IdentifierKind::PriorityExternalId];
            kinds.into_iter().flat_map(|kind| one(kind, trimmed.clone())).collect()
        }
        By::SessionId => one(IdentifierKind::SessionId, trimmed),
    };
    Ok(Asked { container: container.key.clone(), identifiers, keep_keys_for: config.deduplicate_events_for })
}
