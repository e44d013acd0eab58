//! Everything a template may ask about one event: the event, what was known of its visitor when it was decided, and
//! the clicks that were chosen. Stored with the event, so that later changes never alter a delivery.
//!
//! Refuses: computing variables; `rules::render` does.

use std::sync::Arc;

use smol_str::SmolStr;

use super::click::Click;
use super::event::{Consent, Event, Texts};
use super::identifier::IdentifierKind;
use super::ids::{Seq, VisitorId};
use super::time::Time;

/// What was known of the visitor at the decision, where the event itself did not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The newest value of each standard field, contact data and click IDs alike, for fields the event does not carry.
    pub texts: Texts,
    pub consent: Consent,
    pub session_start: Option<Time>,
    pub landing_url: Option<Box<str>>,
    /// The country of the event's container (ISO alpha-2), by which a national phone number is read where nothing says
    /// in which country its owner lives.
    pub container_country: Option<SmolStr>,
    /// When the click that `fbclid` names happened, for `<<FBC>>`.
    pub fbclid_time: Option<Time>,
}

/// The facts of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub seq: Seq,
    pub event: Arc<Event>,
    pub visitor: VisitorId,
    /// Which identifier joined the event to a visitor already known; `None` for a new visitor.
    pub matched_by: Option<IdentifierKind>,
    pub known: Known,
    /// The clicks that some delivery of this event was decided with.
    pub clicks: Vec<Click>,
}
