//! Which landings are one click, and how many landings are kept.
//!
//! The same value within a session is one click: the time is that of its first landing, the page that of its first landing
//! on one. In a later session it is another click, unless its parameter is unique. Since a session that is forced, or an
//! event that joins two sessions, may arrive late, every landing is kept and this is concluded anew whenever it is asked.
//!
//! Refuses: saying what a click is worth; that is `rules::attribute`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHasher;

use super::sessions;
use crate::model::click::Click;
use crate::model::event::Event;
use crate::model::field::Field;
use crate::model::time::Time;
use crate::model::visitor::{Session, Visitor};

/// Landings kept of one visitor, the newest, the untimed being the oldest.
pub const CLICKS_MAX: usize = 1_000;

/// Landings of one value kept of one session, the earliest: on a page, and apart from those in fields. A site that drags a
/// click ID through all its pages shall not fill the store; those beyond are missed only by a session that was forced in
/// the midst of them and arrives after them.
pub const LANDINGS_PER_SESSION_MAX: usize = 8;

/// A visitor's distinct clicks, oldest first by time, the untimed before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clicks<'a>(Cow<'a, [Click]>);

impl<'a> Clicks<'a> {
    /// The clicks that a visitor's landings are. Borrowed where no value landed twice in a session.
    pub fn of(visitor: &'a Visitor, unique: &dyn Fn(&str) -> bool, session_timeout: Duration) -> Self {
        Self::within(&visitor.clicks, &visitor.sessions, unique, session_timeout)
    }

    fn within(
        landings: &'a [Click],
        sessions: &[Session],
        unique: &dyn Fn(&str) -> bool,
        session_timeout: Duration,
    ) -> Self {
        if are_different(landings, &[]) {
            return Self(Cow::Borrowed(landings));
        }
        let groups = grouped(landings, sessions, unique, session_timeout);
        if groups.windows(2).all(|pair| !pair[0].is_with(&pair[1])) {
            return Self(Cow::Borrowed(landings));
        }
        let clicks = groups.chunk_by(Group::is_with).map(|group| one(landings, group)).collect();
        Clicks::<'static>::given(clicks)
    }
}

impl Clicks<'static> {
    /// Clicks that are distinct by the caller's word, such as those of a fixture, in any order.
    pub fn given(mut clicks: Vec<Click>) -> Self {
        clicks.sort_by(order);
        Self(Cow::Owned(clicks))
    }
}

impl Deref for Clicks<'_> {
    type Target = [Click];

    fn deref(&self) -> &[Click] {
        &self.0
    }
}

/// Oldest first; at the same moment, by parameter and value.
fn order(a: &Click, b: &Click) -> Ordering {
    let rank = |c: &Click| (c.time, if c.time.is_none() { Some(c.seen) } else { None });
    rank(a).cmp(&rank(b)).then_with(|| identity(a).cmp(&identity(b)))
}

/// The parameter, standard ones in their own spelling since their case does not matter, and the value.
fn identity(click: &Click) -> (&str, &str) {
    let standard = Field::from_click_param(&click.param).and_then(Field::click_param);
    (standard.unwrap_or(&click.param), &click.value)
}

/// Where a landing belongs: landings of one value in one place are one click.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Untimed,
    /// Its value stands for one click anywhere.
    Anywhere,
    /// The session, by its number.
    Session(usize),
    /// In no session that is known.
    Alone(Time),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group<'a> {
    identity: (&'a str, &'a str),
    place: Place,
    /// The landing's number among the visitor's; earlier ones have lower numbers.
    at: usize,
}

impl Group<'_> {
    fn is_with(&self, other: &Self) -> bool {
        (self.identity, self.place) == (other.identity, other.place)
    }
}

/// All landings, those of one click next to each other, oldest first.
fn grouped<'a>(
    landings: &'a [Click],
    sessions: &[Session],
    unique: &dyn Fn(&str) -> bool,
    timeout: Duration,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = landings
        .iter()
        .enumerate()
        .map(|(at, click)| {
            let place = match click.time {
                None => Place::Untimed,
                Some(_) if unique(&click.param) => Place::Anywhere,
                Some(time) => sessions::nearest(sessions, time, timeout).map_or(Place::Alone(time), Place::Session),
            };
            Group { identity: identity(click), place, at }
        })
        .collect();
    groups.sort_unstable();
    groups
}

/// The click that a group of landings is.
fn one(landings: &[Click], group: &[Group<'_>]) -> Click {
    let first = &landings[group[0].at];
    let Some(on_page) = group.iter().map(|g| &landings[g.at]).find(|c| c.landing.is_page()) else {
        return first.clone();
    };
    Click { time: first.time, seen: first.seen, ..on_page.clone() }
}

/// Whether all of both have values of their own: then each is a click of its own, whatever the sessions are. False where that
/// would have to be found out, since two have the same hash.
fn are_different(landings: &[Click], more: &[Click]) -> bool {
    if landings.len() + more.len() < 2 {
        return true;
    }
    let mut hashes: Vec<u64> = landings.iter().chain(more).map(hash).collect();
    hashes.sort_unstable();
    hashes.windows(2).all(|pair| pair[0] != pair[1])
}

/// A hash that is the same for those of one [`identity`]. It is asked of every click of a visitor, so it does not find out which
/// parameters are standard ones: it takes all of them without their case, and of long ones the beginning.
fn hash(click: &Click) -> u64 {
    let mut start = [0; 16];
    let len = click.param.len().min(start.len());
    start[..len].copy_from_slice(&click.param.as_bytes()[..len]);
    start.make_ascii_lowercase();
    let mut hasher = FxHasher::default();
    start.hash(&mut hasher);
    click.value.hash(&mut hasher);
    hasher.finish()
}

/// Adds clicks where no value, known or added, stands twice, and says whether any of them is kept; `None`, and nothing is done,
/// where there may be such a value.
pub(super) fn add_different(visitor: &mut Visitor, clicks: &[Click]) -> Option<bool> {
    if !are_different(&visitor.clicks, clicks) {
        return None;
    }
    for click in clicks {
        let known = Arc::make_mut(&mut visitor.clicks);
        let at = known.partition_point(|known| order(known, click) == Ordering::Less);
        known.insert(at, click.clone());
    }
    keep_newest(visitor);
    // Where there is no room, the oldest of all goes, which may be the one just added.
    let is_kept = |click: &Click| visitor.clicks.binary_search_by(|known| order(known, click)).is_ok();
    Some(clicks.iter().any(is_kept))
}

/// Adds one landing. A timed one replaces the untimed of its value; an untimed one adds nothing where a timed one exists.
pub(super) fn insert(landings: &mut Vec<Click>, click: Click) {
    // Values differ more often than parameters do.
    let is_same = |known: &Click| known.value == click.value && identity(known) == identity(&click);
    if click.time.is_none() && landings.iter().any(|known| known.time.is_some() && is_same(known)) {
        return;
    }
    if let Some(at) = landings.iter().position(|known| known.time == click.time && is_same(known)) {
        if !is_better(&click, &landings[at]) {
            return;
        }
        landings.remove(at);
    } else if click.time.is_some() {
        landings.retain(|known| known.time.is_some() || !is_same(known));
    }
    let at = landings.partition_point(|known| order(known, &click) == Ordering::Less);
    landings.insert(at, click);
}

/// Which of two landings of one value at one time is kept: one on a page, then the one seen first (of the untimed, last),
/// then any, but always the same.
fn is_better(a: &Click, b: &Click) -> bool {
    let seen = if a.time.is_none() { a.seen.cmp(&b.seen) } else { b.seen.cmp(&a.seen) };
    let page = a.landing.is_page().cmp(&b.landing.is_page());
    page.then(seen).then_with(|| spelt(a).cmp(&spelt(b))) == Ordering::Greater
}

type Spelt<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, &'a str);

fn spelt(click: &Click) -> Spelt<'_> {
    let landing = &click.landing;
    (&landing.url, landing.referrer.as_deref(), landing.ip.as_deref(), landing.user_agent.as_deref(), &click.param)
}

/// Keeps the landings within their bounds. Called before the sessions are cut to theirs: those of a session about to be
/// forgotten become the one click they are.
pub(super) fn bound(visitor: &mut Visitor, unique: &dyn Fn(&str) -> bool, timeout: Duration) {
    let forgotten = sessions::excess(&visitor.sessions);
    let is_forgotten = |place: Place| matches!(place, Place::Session(at) if at < forgotten);
    let landings = &visitor.clicks;
    let mut gone: Vec<usize> = Vec::new();
    let mut settled: Vec<Click> = Vec::new();
    for group in grouped(landings, &visitor.sessions, unique, timeout).chunk_by(Group::is_with) {
        if is_forgotten(group[0].place) && 1 < group.len() {
            settled.push(one(landings, group));
            gone.extend(group.iter().map(|g| g.at));
            continue;
        }
        let most = if group[0].place == Place::Anywhere { 1 } else { LANDINGS_PER_SESSION_MAX };
        for on_page in [true, false] {
            let of_kind = group.iter().filter(|g| landings[g.at].landing.is_page() == on_page);
            gone.extend(of_kind.skip(most).map(|g| g.at));
        }
    }
    if !gone.is_empty() {
        let mut at = 0;
        gone.sort_unstable();
        let clicks = Arc::make_mut(&mut visitor.clicks);
        clicks.retain(|_| (gone.binary_search(&at).is_err(), at += 1).0);
        clicks.extend(settled);
        clicks.sort_by(order);
    }
    keep_newest(visitor);
}

/// Keeps the newest [`CLICKS_MAX`].
fn keep_newest(visitor: &mut Visitor) {
    let excess = visitor.clicks.len().saturating_sub(CLICKS_MAX);
    if 0 < excess {
        Arc::make_mut(&mut visitor.clicks).drain(..excess);
    }
}

/// Whether an event that brings no click leaves the distinct clicks as they are: it stays in the newest session, or
/// prolongs it where no click is waiting to be reached. False where that would have to be found out.
pub(super) fn stay(visitor: &Visitor, event: &Event, timeout: Duration) -> bool {
    let Some(newest) = visitor.clicks.last() else { return true };
    let Some(last) = visitor.sessions.last() else { return false };
    event.new_session_at.is_none()
        && last.start <= event.time
        && event.time <= last.end.plus(timeout)
        && newest.time.is_none_or(|time| time <= last.end)
}

/// What of a distinct click makes a difference to a decision: parameter, value, time and landing URL.
type Mark<'a> = (&'a str, &'a str, Option<Time>, &'a str);

/// Whether a visitor's distinct clicks are others than they were of these landings in these sessions. The untimed stand in the
/// order in which they were last sent, which is no gain, so the marks have an order of their own.
pub(super) fn differ(
    (landings, sessions): (&[Click], &[Session]),
    visitor: &Visitor,
    unique: &dyn Fn(&str) -> bool,
    timeout: Duration,
) -> bool {
    let (before, now) = (Clicks::within(landings, sessions, unique, timeout), Clicks::of(visitor, unique, timeout));
    marks(&before) != marks(&now)
}

fn marks<'a>(clicks: &'a Clicks<'_>) -> Vec<Mark<'a>> {
    let mut marks: Vec<Mark<'_>> = clicks.iter().map(|c| (&*c.param, &*c.value, c.time, &*c.landing.url)).collect();
    marks.sort_unstable();
    marks
}
