//! Identifiers that are not one person's: an address typed at a till for everybody, a session id that says `undefined`
//! (SPEC section 3). Each visitor keeps, of its identifiers, the session and client ids they came with; an identifier with
//! more than `match.sessions_max` of them no longer leads to anyone.
//!
//! Refuses: taking apart what such an identifier has already joined.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::visitor::{Sharing, Visitor};

/// Identifiers of one visitor that are counted. A person has a handful and a long history of sessions and clicks some
/// dozens, of which those with the least company are left out first: they are the furthest from being shared.
pub const SHARINGS_MAX: usize = 64;

/// Takes up that these identifiers came together. Says whether the visitor differs.
pub fn note(visitor: &mut Visitor, identifiers: &[Identifier], sessions_max: u32) -> bool {
    let is_session = |i: &&Identifier| matches!(i.kind, IdentifierKind::SessionId | IdentifierKind::ClientId);
    let sessions: Vec<u32> = identifiers.iter().filter(is_session).map(hash).collect();
    if sessions.is_empty() || identifiers.len() < 2 {
        return false;
    }
    let mut changed = false;
    for identifier in identifiers.iter().map(hash) {
        let with = sessions.iter().copied().filter(|session| *session != identifier);
        changed |= add(&mut visitor.sharings, identifier, with, false, sessions_max);
    }
    changed
}

/// Whether `identifier` has come with too many sessions to lead to this visitor.
pub fn is_shared(visitor: &Visitor, identifier: &Identifier) -> bool {
    find(&visitor.sharings, hash(identifier)).is_ok_and(|at| visitor.sharings[at].is_shared)
}

/// Takes away what was counted of `identifier`.
pub fn forget(visitor: &mut Visitor, identifier: &Identifier) {
    if let Ok(at) = find(&visitor.sharings, hash(identifier)) {
        visitor.sharings.remove(at);
    }
}

/// Adds what another visitor knew, who becomes part of this one.
pub fn unite(into: &mut Vec<Sharing>, from: &[Sharing], sessions_max: u32) {
    for sharing in from {
        add(into, sharing.identifier, sharing.with.iter().copied(), sharing.is_shared, sessions_max);
    }
}

fn find(sharings: &[Sharing], identifier: u32) -> Result<usize, usize> {
    sharings.binary_search_by_key(&identifier, |sharing| sharing.identifier)
}

fn add(
    sharings: &mut Vec<Sharing>,
    identifier: u32,
    with: impl Iterator<Item = u32>,
    is_shared: bool,
    sessions_max: u32,
) -> bool {
    let at = match find(sharings, identifier) {
        Ok(at) => at,
        Err(at) => {
            let mut with = with.peekable();
            if !is_shared && with.peek().is_none() {
                return false;
            }
            let mut sharing = Sharing { identifier, with: with.collect(), is_shared };
            sharing.with.sort_unstable();
            sharing.with.dedup();
            close(&mut sharing, sessions_max);
            sharings.insert(at, sharing);
            return bound(sharings, identifier);
        }
    };
    let known = &mut sharings[at];
    if known.is_shared {
        return false;
    }
    let mut changed = is_shared;
    known.is_shared |= is_shared;
    for session in with {
        if let Err(place) = known.with.binary_search(&session) {
            known.with.insert(place, session);
            changed = true;
        }
    }
    close(known, sessions_max);
    changed
}

/// Of an identifier that is shared nothing more need be known.
fn close(sharing: &mut Sharing, sessions_max: u32) {
    sharing.is_shared |= usize::try_from(sessions_max).is_ok_and(|max| max < sharing.with.len());
    if sharing.is_shared {
        sharing.with = Vec::new();
    }
}

/// Keeps [`SHARINGS_MAX`]; whether `added` is among them.
fn bound(sharings: &mut Vec<Sharing>, added: u32) -> bool {
    if sharings.len() <= SHARINGS_MAX {
        return true;
    }
    let company = |sharing: &Sharing| if sharing.is_shared { usize::MAX } else { sharing.with.len() };
    let least = sharings.iter().enumerate().min_by_key(|(_, sharing)| (company(sharing), sharing.identifier));
    let Some((least, _)) = least else { return true };
    sharings.remove(least).identifier != added
}

/// Among the few identifiers of one visitor 32 bits tell apart. The key is none, since the value stands beside it.
fn hash(identifier: &Identifier) -> u32 {
    let mut hasher = SipHasher24::new();
    hasher.write(identifier.kind.word().as_bytes());
    hasher.write_u8(0);
    hasher.write(identifier.value.as_bytes());
    (hasher.finish() >> 32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::VisitorId;

    fn of(kind: IdentifierKind, value: &str) -> Identifier {
        Identifier { kind, value: value.into() }
    }

    fn visitor() -> Visitor {
        Visitor::new(VisitorId(1), "shop".into())
    }

    #[test]
    fn an_identifier_is_shared_when_one_session_too_many_has_come_with_it() {
        use IdentifierKind::{ClientId, Email, SessionId};
        let mut visitor = visitor();
        let email = of(Email, "till@shop.example");
        for (n, shared) in [(1, false), (2, false), (3, false), (3, false), (4, true), (5, true)] {
            note(&mut visitor, &[of(SessionId, &format!("s{n}")), email.clone()], 3);
            assert_eq!(is_shared(&visitor, &email), shared, "{n}");
        }
        assert!(!is_shared(&visitor, &of(SessionId, "s1")) && !is_shared(&visitor, &of(Email, "other@shop.example")));
        for n in 0..5 {
            note(&mut visitor, &[of(SessionId, "undefined"), of(ClientId, &format!("c{n}"))], 3);
        }
        assert!(is_shared(&visitor, &of(SessionId, "undefined")) && !is_shared(&visitor, &of(ClientId, "c1")));
    }

    #[test]
    fn nothing_is_noted_of_what_comes_alone_or_without_a_session() {
        use IdentifierKind::{Email, Phone, SessionId};
        let mut visitor = visitor();
        assert!(!note(&mut visitor, &[of(SessionId, "s")], 1));
        assert!(!note(&mut visitor, &[of(Email, "a@b"), of(Phone, "+3581234567")], 1));
        assert!(visitor.sharings.is_empty());
        assert!(note(&mut visitor, &[of(SessionId, "s"), of(Email, "a@b")], 1));
        assert!(!note(&mut visitor, &[of(SessionId, "s"), of(Email, "a@b")], 1), "known already");
    }

    #[test]
    fn what_is_nearest_to_being_shared_is_kept() {
        use IdentifierKind::{ClientId, Email, SessionId};
        let mut visitor = visitor();
        for n in 0..500 {
            let session = of(SessionId, &n.to_string());
            note(&mut visitor, &[session, of(Email, "till@shop.example"), of(ClientId, "till")], 400);
        }
        assert_eq!(visitor.sharings.len(), SHARINGS_MAX);
        assert!(is_shared(&visitor, &of(Email, "till@shop.example")));
    }

    proptest! {
        #[test]
        fn arrival_and_merging_leave_no_trace(
            events in prop::collection::vec((0..4u8, 0..6u8, prop::option::of(0..3u8)), 0..20),
            order in any::<prop::sample::Index>(),
            parted in any::<prop::sample::Index>(),
        ) {
            use IdentifierKind::{ClientId, Email, SessionId};
            let take = |visitor: &mut Visitor, (email, session, client): &(u8, u8, Option<u8>)| {
                let mut all = vec![of(SessionId, &session.to_string()), of(Email, &format!("{email}@x"))];
                all.extend(client.map(|client| of(ClientId, &client.to_string())));
                note(visitor, &all, 3);
            };
            let mut expect = visitor();
            events.iter().for_each(|event| take(&mut expect, event));
            let mut turned = events.clone();
            turned.rotate_left(if events.is_empty() { 0 } else { order.index(events.len()) });
            let (mut one, mut other) = (visitor(), visitor());
            let border = parted.index(turned.len() + 1);
            turned[..border].iter().for_each(|event| take(&mut one, event));
            turned[border..].iter().rev().for_each(|event| take(&mut other, event));
            unite(&mut one.sharings, &other.sharings, 3);
            prop_assert_eq!(one.sharings, expect.sharings);
        }
    }
}
