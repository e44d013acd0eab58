//! The sample shop: what its visitors do, chapter by chapter, and the events it sends for that.
//!
//! Refuses: knowing what comes of it. That is read from the daemon.

use std::time::Duration;

use serde_json::{Value, json};

use super::config::KEY;
use crate::model::time::Time;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One thing in the script.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// What the next lines show.
    Chapter(&'static str),
    /// A visitor lands with this query, so long before now.
    Lands { visitor: &'static str, query: &'static str, ago: Duration },
    /// A visitor buys for this much.
    Buys { visitor: &'static str, order: &'static str, value: &'static str, currency: &'static str },
    /// The same event once more.
    BuysAgain { visitor: &'static str, order: &'static str, value: &'static str, currency: &'static str },
    /// A visitor leaves contact data.
    Asks { visitor: &'static str, lead: &'static str, country: &'static str, phone: &'static str, consents: bool },
    /// Time for the reader.
    Rest(Duration),
}

const SHORT: Step = Step::Rest(Duration::from_millis(250));
const LONG: Step = Step::Rest(Duration::from_millis(900));

/// The whole script. With the last wait and the last retry it takes about ten seconds.
pub(super) const SCRIPT: &[Step] = &[
    Step::Chapter("A click earns a sale"),
    Step::Lands { visitor: "Anna", query: "aff_click_id=net-7", ago: DAY.saturating_mul(3) },
    SHORT,
    Step::Buys { visitor: "Anna", order: "o-1001", value: "79.00", currency: "EUR" },
    LONG,
    Step::Chapter("A lead for a flaky network: tried again until it is taken (and a connector on trial)"),
    Step::Asks { visitor: "Gina", lead: "l-2001", country: "FI", phone: "040 123 4567", consents: true },
    LONG,
    Step::Chapter("A network that takes 2 s to answer ..."),
    Step::Lands { visitor: "Ben", query: "soc_id=s-81", ago: DAY.saturating_mul(5) },
    SHORT,
    Step::Buys { visitor: "Ben", order: "o-1002", value: "129.00", currency: "EUR" },
    SHORT,
    Step::Chapter("... delays nobody else"),
    Step::Lands { visitor: "Carla", query: "cp_click=c-15", ago: HOUR.saturating_mul(2) },
    SHORT,
    Step::Buys { visitor: "Carla", order: "o-1003", value: "45.50", currency: "EUR" },
    LONG,
    Step::Chapter("Three networks claim one sale: last_click and any_click; and a 200 that means no"),
    Step::Lands { visitor: "Dan", query: "soc_id=s-82", ago: DAY.saturating_mul(6) },
    Step::Lands { visitor: "Dan", query: "aff_click_id=net-8", ago: DAY.saturating_mul(4) },
    Step::Lands { visitor: "Dan", query: "cp_click=c-16", ago: DAY.saturating_mul(1) },
    SHORT,
    Step::Buys { visitor: "Dan", order: "o-1004", value: "990.00", currency: "SEK" },
    LONG,
    Step::Chapter("A click that is too old"),
    Step::Lands { visitor: "Eve", query: "aff_click_id=net-9", ago: DAY.saturating_mul(20) },
    SHORT,
    Step::Buys { visitor: "Eve", order: "o-1005", value: "60.00", currency: "EUR" },
    LONG,
    Step::Chapter("A sale overtakes its click: decided when the click arrives"),
    Step::Buys { visitor: "Finn", order: "o-1006", value: "35.90", currency: "EUR" },
    LONG,
    Step::Lands { visitor: "Finn", query: "aff_click_id=net-10", ago: MINUTE.saturating_mul(30) },
    LONG,
    Step::Chapter("The same event again"),
    Step::BuysAgain { visitor: "Anna", order: "o-1001", value: "79.00", currency: "EUR" },
    LONG,
    Step::Chapter("A lead without consent, and one from a country that the buyer does not want"),
    Step::Asks { visitor: "Hugo", lead: "l-2002", country: "FI", phone: "040 765 4321", consents: false },
    SHORT,
    Step::Asks { visitor: "Ida", lead: "l-2003", country: "DE", phone: "+49 30 901820", consents: true },
    LONG,
];

impl Step {
    /// The event's id, where one is sent that can trigger something.
    pub fn event_id(&self) -> Option<&'static str> {
        match self {
            Self::Buys { order, .. } | Self::BuysAgain { order, .. } => Some(order),
            Self::Asks { lead, .. } => Some(lead),
            Self::Chapter(_) | Self::Lands { .. } | Self::Rest(_) => None,
        }
    }

    /// The event as the shop sends it, if the step is one.
    pub fn event(&self, now: Time) -> Option<Value> {
        // A whole minute reads better where a decision quotes it.
        let minute = |time: Time| Time::from_ms(time.ms() - time.ms().rem_euclid(60_000));
        Some(match *self {
            Self::Chapter(_) | Self::Rest(_) => return None,
            Self::Lands { visitor, query, ago } => json!({
                "k": KEY,
                "clientId": browser(visitor),
                "timestamp": minute(now.minus(ago)).to_string(),
                "url": format!("https://shop.example/?{query}"),
            }),
            Self::Buys { visitor, order, value, currency } | Self::BuysAgain { visitor, order, value, currency } => {
                json!({
                    "k": KEY,
                    "track": "Purchase",
                    "eventId": order,
                    "transactionId": order,
                    "clientId": browser(visitor),
                    "value": value,
                    "currency": currency,
                    "url": "https://shop.example/thank-you",
                })
            }
            Self::Asks { visitor, lead, country, phone, consents } => json!({
                "k": KEY,
                "track": "Lead",
                "eventId": lead,
                "clientId": browser(visitor),
                "firstName": visitor,
                "email": format!("{}@mail.example", visitor.to_lowercase()),
                "phone": phone,
                "country": country,
                "consent": {"ads": consents},
                "url": "https://shop.example/newsletter",
            }),
        })
    }

    /// The same for a person.
    pub fn told(&self) -> String {
        match *self {
            Self::Chapter(text) => text.to_owned(),
            Self::Rest(_) => String::new(),
            Self::Lands { visitor, query, ago } => format!("{visitor} lands with {query}, {} ago", spelt(ago)),
            Self::Buys { visitor, order, value, currency } => {
                format!("Purchase {order}, {value} {currency}, by {visitor}")
            }
            Self::BuysAgain { visitor, order, .. } => {
                format!("Purchase {order} once more: {visitor} reloads the thank-you page")
            }
            Self::Asks { visitor, lead, country, consents, .. } => {
                let consent = if consents { "agrees to ads" } else { "does not agree to ads" };
                format!("Lead {lead}, {visitor} from {country}, who {consent}")
            }
        }
    }
}

fn browser(visitor: &str) -> String {
    format!("browser-of-{}", visitor.to_lowercase())
}

fn spelt(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        86_400.. => (seconds / 86_400, "day"),
        3600.. => (seconds / 3600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_script_is_short_and_only_what_says_so_comes_twice() {
        let rests = SCRIPT.iter().filter_map(|step| if let Step::Rest(rest) = step { Some(*rest) } else { None });
        assert!(rests.sum::<Duration>() <= Duration::from_secs(12));
        let mut ids = HashSet::new();
        for step in SCRIPT {
            let is_repeat = matches!(step, Step::BuysAgain { .. });
            if let Some(id) = step.event_id() {
                assert_eq!(ids.insert(id), !is_repeat, "{step:?}");
            }
        }
    }

    #[test]
    fn what_lands_has_its_own_time_and_no_name() {
        let now = Time::parse("2026-01-10T12:00:31Z").unwrap();
        let lands = Step::Lands { visitor: "Anna", query: "aff_click_id=net-7", ago: DAY };
        let event = lands.event(now).unwrap();
        assert_eq!(event["timestamp"], "2026-01-09T12:00:00.000Z");
        assert_eq!(event["url"], "https://shop.example/?aff_click_id=net-7");
        assert!(event.get("track").is_none());
        assert_eq!(lands.told(), "Anna lands with aff_click_id=net-7, 1 day ago");
    }
}
