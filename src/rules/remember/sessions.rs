//! Sessions as a union of event times, the same in whatever order the events arrive.
//!
//! Event times, and the moments at which a session was forced, are points of activity. Points with no gap longer than the
//! timeout form a stretch; every forced moment cuts its stretch. A part that a cut ends reaches up to the cut, so that the
//! last event before it need not be known. The first part of a stretch has the URL of its earliest event for its landing.
//! Of a forced part it is the URL of the event that forced it: which other event was the first after a cut can no longer be
//! told when the cut arrives after them.
//!
//! Refuses: prolonging anything by a sender's `sessionId` (SPEC section 3).

use std::time::Duration;

use super::Change;
use crate::model::event::Event;
use crate::model::field::Field;
use crate::model::time::Time;
use crate::model::visitor::Session;

/// Sessions kept of one visitor, the newest: more than a year of weekly visits, at a bounded size.
pub const SESSIONS_MAX: usize = 64;

/// Adds the activity of `event`.
pub(super) fn extend(sessions: &mut Vec<Session>, event: &Event, timeout: Duration) -> Change {
    let landing = event.texts.of(Field::Url).map(|url| (event.time, url.into()));
    if event.new_session_at.is_none()
        && let Some(last) = sessions.last_mut()
        && last.start <= event.time
        && event.time <= last.end.plus(timeout)
    {
        return stretch(last, event.time, landing);
    }
    let point = |time, landing, forced| Session { start: time, end: time, landing, forced };
    let mut points = Vec::with_capacity(2);
    if let Some(cut) = event.new_session_at {
        // A session cannot begin after the event that is in it.
        points.push(point(cut.min(event.time), landing.clone(), true));
    }
    points.push(point(event.time, landing, false));
    add(sessions, points, timeout)
}

/// Takes a moment into the newest session, within its reach.
fn stretch(last: &mut Session, time: Time, landing: Option<(Time, Box<str>)>) -> Change {
    let mut change = Change::Nothing;
    if last.end < time {
        last.end = time;
        change = Change::Slight;
    }
    if !last.forced && earlier(&landing, &last.landing) {
        last.landing = landing;
        change = Change::Real;
    }
    change
}

/// Unites two sets of sessions. The result may exceed [`SESSIONS_MAX`] until [`bound`] is called.
pub(super) fn add(sessions: &mut Vec<Session>, more: Vec<Session>, timeout: Duration) -> Change {
    let all = sessions.iter().cloned().chain(more).collect();
    let before = std::mem::replace(sessions, unite(all, timeout));
    if before == *sessions {
        return Change::Nothing;
    }
    let but_for_end = |(a, b): (&Session, &Session)| (a.start, &a.landing, a.forced) == (b.start, &b.landing, b.forced);
    if before.len() == sessions.len() && before.iter().zip(&*sessions).all(but_for_end) {
        Change::Slight
    } else {
        Change::Real
    }
}

/// Keeps the newest [`SESSIONS_MAX`].
pub(super) fn bound(sessions: &mut Vec<Session>) {
    sessions.drain(..excess(sessions));
}

/// How many of the oldest are too many.
pub(super) fn excess(sessions: &[Session]) -> usize {
    sessions.len().saturating_sub(SESSIONS_MAX)
}

fn unite(mut pieces: Vec<Session>, timeout: Duration) -> Vec<Session> {
    pieces.sort_by_key(|piece| piece.start);
    let mut out: Vec<Session> = Vec::with_capacity(pieces.len());
    for mut next in pieces {
        let Some(last) = out.last_mut().filter(|last| next.start <= last.end.plus(timeout)) else {
            out.push(next);
            continue;
        };
        if next.start == last.start || !next.forced {
            absorb(last, next);
        } else {
            // What lies behind the cut belongs to the session it begins.
            next.end = next.end.max(last.end);
            last.end = next.start.minus(Duration::from_millis(1));
            if !last.forced {
                last.landing = last.landing.take().filter(|(time, _)| *time < next.start);
            }
            out.push(next);
        }
    }
    out
}

/// Makes one of two sessions of one stretch, `next` starting no earlier.
fn absorb(last: &mut Session, next: Session) {
    last.end = last.end.max(next.end);
    let takes_over = next.forced && !last.forced;
    if takes_over || (next.forced == last.forced && earlier(&next.landing, &last.landing)) {
        last.landing = next.landing;
    }
    last.forced |= next.forced;
}

fn earlier(a: &Option<(Time, Box<str>)>, b: &Option<(Time, Box<str>)>) -> bool {
    a.is_some() && (b.is_none() || a < b)
}

/// The session a moment belongs to, for a click whose time did not come from an event of ours, such as that in `fbc`: the
/// nearest whose reach of one timeout holds it. A forced session does not reach back.
pub(super) fn nearest(sessions: &[Session], time: Time, timeout: Duration) -> Option<usize> {
    let after = sessions.partition_point(|session| session.start <= time);
    let before = after.checked_sub(1).map(|at| (time.since(sessions[at].end), at));
    let next = sessions.get(after).filter(|next| !next.forced).map(|next| (next.start.since(time), after));
    let (distance, at) = before.into_iter().chain(next).min()?;
    (distance <= timeout).then_some(at)
}
