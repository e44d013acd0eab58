//! The store's hashed keys: identifiers, event ids, deduplication values.
//!
//! Refuses: unkeyed hashes. With a secret drawn when the store is made, nobody outside can choose values that collide;
//! by chance, two of a hundred million keys share 64 bits with a probability of 3 in 10,000.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::model::identifier::Identifier;

/// Hashes with the store's secret.
#[derive(Clone, Copy)]
pub(super) struct Keys(u64, u64);

impl Keys {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        let secret = u128::from_le_bytes(secret);
        Self(secret as u64, (secret >> 64) as u64)
    }

    /// Parts are delimited, so that no two lists of parts hash alike.
    fn hash(self, domain: u8, parts: &[&str]) -> i64 {
        let mut hasher = SipHasher24::new_with_keys(self.0, self.1);
        hasher.write(&[domain]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part.as_bytes());
        }
        hasher.finish().cast_signed()
    }

    pub(super) fn identifier(self, container: &str, identifier: &Identifier) -> i64 {
        self.hash(1, &[container, identifier.kind.word(), &identifier.value])
    }

    pub(super) fn event(self, container: &str, name: &str, id: &str) -> i64 {
        self.hash(2, &[container, name, id])
    }

    pub(super) fn content(self, container: &str, content: u128) -> i64 {
        self.hash(3, &[container, &format!("{content:032x}")])
    }

    /// An event that did not happen: it stands in nobody's way.
    pub(super) fn tried(self, container: &str, name: &str, id: &str) -> i64 {
        self.hash(5, &[container, name, id])
    }

    pub(super) fn claim(self, connector: &str, value: &str) -> i64 {
        self.hash(4, &[connector, value])
    }
}
