//! Who is to be erased, as a person says it: a container, and one of the ways to name somebody.
//!
//! Refuses: matching differently from events. The value is read as it would be if an event brought it.

use std::time::Duration;

use crate::config::{Config, Container};
use crate::model::field::Field;
use crate::model::identifier::Identifier;
use crate::model::ids::ContainerKey;
use crate::rules::identify::person;

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
    let (fields, problem): (&[Field], _) = match by {
        _ if value.trim().is_empty() => return Err((by.word(), "is blank")),
        By::Email => (&[Field::Email], "is neither an address nor the hash of one"),
        By::Phone => (&[Field::PhoneNumber], "is no phone number"),
        By::ExternalId => (&[Field::ExternalId, Field::PriorityExternalId], "is blank"),
        By::SessionId => (&[Field::SessionId], "is blank"),
    };
    let country = container.country.as_deref();
    let identifiers: Vec<_> = fields.iter().filter_map(|field| person::of_field(*field, value, country)).collect();
    if identifiers.is_empty() {
        return Err((by.word(), problem));
    }
    Ok(Asked { container: container.key.clone(), identifiers, keep_keys_for: config.deduplicate_events_for })
}
