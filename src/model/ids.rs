//! The names things go by: connectors, containers, visitors, deliveries.
//!
//! Refuses: looking anything up. An id is a value; who it names is the store's or the configuration's business.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;
use uuid::Uuid;

/// A connector's name as configured: `[a-z0-9-]`, unique, cheap to clone.
pub type ConnectorName = SmolStr;

/// A container's key, the credential a sender shows. Cheap to clone.
pub type ContainerKey = SmolStr;

/// First 12 hex digits of the SHA-256 of a connector as configured (secrets by name, not by value), so that a log line
/// can say which version of a connector it speaks of.
pub type Revision = SmolStr;

/// A visitor within one store, counted from 1 in the order in which visitors were first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VisitorId(pub i64);

impl VisitorId {
    /// Whose the events of an erased visitor are.
    pub const NOBODY: Self = Self(0);
}

/// The place of a stored event in its store's order of admission, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// Distinguishes the deliveries of two stores, so that a store made afresh never repeats an id a network has seen.
/// 48 random bits, drawn when the store is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreTag(u64);

impl StoreTag {
    /// Keeps the low 48 bits of `random`.
    pub fn new(random: u64) -> Self {
        Self(random & 0xffff_ffff_ffff)
    }

    /// The 48 bits, for a store to keep.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// One delivery for ever: store, event and place among the event's deliveries. Shown as a UUID of version 8
/// (RFC 9562 section 5.8): 48 bits store tag, 4 bits version, 12 bits and 2 bits variant, the rest event and place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// Deliveries of one event that an id can tell apart.
    pub const PLACES_MAX: u32 = 1 << 16;

    /// `seq` must be below 2^58 and `place` below [`Self::PLACES_MAX`]; higher bits are dropped.
    pub fn new(tag: StoreTag, seq: Seq, place: u32) -> Self {
        let seq = u128::from(seq.0.unsigned_abs() & ((1 << 58) - 1));
        let place = u128::from(place) & 0xffff;
        // 74 payload bits: seq (58) then place (16), split around the two variant bits as 12 + 62.
        let payload = (seq << 16) | place;
        let high = (payload >> 62) & 0xfff;
        let low = payload & ((1 << 62) - 1);
        let bits = (u128::from(tag.0) << 80) | (0x8 << 76) | (high << 64) | (0b10 << 62) | low;
        Self(Uuid::from_u128(bits))
    }

    /// The store that gave this id.
    pub fn tag(self) -> StoreTag {
        StoreTag((self.0.as_u128() >> 80) as u64)
    }

    /// The event it belongs to.
    pub fn seq(self) -> Seq {
        Seq((self.payload() >> 16) as i64)
    }

    /// Its place among the event's deliveries, from 0.
    pub fn place(self) -> u32 {
        (self.payload() & 0xffff) as u32
    }

    /// The sixteen bytes, for hashing.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    fn payload(self) -> u128 {
        let bits = self.0.as_u128();
        (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DeliveryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_gives_back_what_it_was_made_of(tag: u64, seq in 0i64..(1 << 58), place in 0u32..DeliveryId::PLACES_MAX) {
            let id = DeliveryId::new(StoreTag::new(tag), Seq(seq), place);
            prop_assert_eq!((id.tag(), id.seq(), id.place()), (StoreTag::new(tag), Seq(seq), place));
            prop_assert_eq!(id.to_string().parse::<DeliveryId>().unwrap(), id);
            prop_assert_eq!(id.0.get_version_num(), 8);
        }
    }
}
