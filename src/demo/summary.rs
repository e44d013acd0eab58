//! The account at the end: per connector what became of every event that triggered it, held against what the daemon and
//! the networks have counted themselves.
//!
//! Refuses: smoothing. A figure that does not agree is named.

use std::collections::BTreeMap;

use super::client::Counted;
use crate::model::delivery::{Reason, State};
use crate::store::DeliveryLine;

/// States in the order of the table's columns.
const COLUMNS: [(State, &str); 9] = [
    (State::Delivered, "delivered"),
    (State::Rejected, "rejected"),
    (State::Dead, "dead"),
    (State::Test, "test"),
    (State::Skipped, "skipped"),
    (State::Cancelled, "cancelled"),
    (State::Held, "held"),
    (State::Waiting, "waiting"),
    (State::Pending, "pending"),
];

/// Columns that are shown even where nothing is in them.
const ALWAYS: [State; 4] = [State::Delivered, State::Rejected, State::Test, State::Skipped];

/// What became of one connector's deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    triggered: u64,
    states: BTreeMap<State, u64>,
    skips: BTreeMap<Reason, u64>,
    /// Requests made.
    attempts: u64,
    /// Those that were not the first of their delivery.
    repeats: u64,
}

impl Row {
    fn of(&self, state: State) -> u64 {
        self.states.get(&state).copied().unwrap_or(0)
    }

    fn add(&mut self, other: &Self) {
        self.triggered += other.triggered;
        self.attempts += other.attempts;
        self.repeats += other.repeats;
        other.states.iter().for_each(|(state, count)| *self.states.entry(*state).or_default() += count);
        other.skips.iter().for_each(|(reason, count)| *self.skips.entry(*reason).or_default() += count);
    }
}

/// What the others have counted.
pub(super) struct Others {
    pub metrics: Counted,
    /// Postbacks that the sample networks have received.
    pub received: u64,
    /// What the daemon's book misses.
    pub unaccounted: i64,
}

/// The account of a delivery log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// In the order of the configuration.
    rows: Vec<(String, Row)>,
}

impl Summary {
    /// An empty account of these connectors.
    pub fn new(connectors: impl IntoIterator<Item = String>) -> Self {
        Self { rows: connectors.into_iter().map(|name| (name, Row::default())).collect() }
    }

    /// Counts one delivery.
    pub fn count(&mut self, line: &DeliveryLine) {
        self.enter(&line.connector, line.state, line.reason, line.attempts);
    }

    fn enter(&mut self, connector: &str, state: State, reason: Option<Reason>, attempts: u32) {
        let at = self.rows.iter().position(|(name, _)| name == connector).unwrap_or_else(|| {
            self.rows.push((connector.to_owned(), Row::default()));
            self.rows.len() - 1
        });
        let row = &mut self.rows[at].1;
        row.triggered += 1;
        *row.states.entry(state).or_default() += 1;
        if let (State::Skipped, Some(reason)) = (state, reason) {
            *row.skips.entry(reason).or_default() += 1;
        }
        row.attempts += u64::from(attempts);
        row.repeats += u64::from(attempts.saturating_sub(1));
    }

    fn total(&self) -> Row {
        let mut total = Row::default();
        self.rows.iter().for_each(|(_, row)| total.add(row));
        total
    }

    /// Deliveries that have not come to their end.
    pub fn open(&self) -> u64 {
        let total = self.total();
        [State::Waiting, State::Pending, State::Held].into_iter().map(|state| total.of(state)).sum()
    }

    /// Every figure that does not agree with what the others have counted; none where all is well.
    pub fn disagreements(&self, others: &Others) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, here: u64, there: u64| {
            if here != there {
                found.push(format!("{what}: {here} in the delivery log, {there} counted"));
            }
        };
        for (name, row) in &self.rows {
            for state in State::ALL.iter().filter(|state| state.is_final()) {
                let labels = [("connector", &**name), ("state", state.word())];
                let counted = others.metrics.sum("postbackd_deliveries_total", &labels);
                compare(&format!("{name} {} (postbackd_deliveries_total)", state.word()), row.of(*state), counted);
            }
            let counted = others.metrics.sum("postbackd_attempts_total", &[("connector", name)]);
            compare(&format!("{name} requests (postbackd_attempts_total)"), row.attempts, counted);
        }
        let total = self.total();
        compare("triggered, against the sum of the states", total.triggered, total.states.values().sum());
        // What is on its way has arrived there and is not in the log yet.
        if total.of(State::Pending) == 0 {
            compare("requests (by the sample networks)", total.attempts, others.received);
        }
        if others.unaccounted != 0 {
            found.push(format!("postbackd_unaccounted_deliveries is {}", others.unaccounted));
        }
        found
    }

    /// The table, with a line of totals.
    pub fn table(&self) -> Vec<String> {
        let total = self.total();
        let shown = |state: &State| ALWAYS.contains(state) || total.of(*state) != 0;
        let columns: Vec<_> = COLUMNS.into_iter().filter(|(state, _)| shown(state)).collect();
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max("connector".len());
        let mut head = format!("{:<width$}  triggered =", "connector");
        columns.iter().for_each(|(_, word)| head.push_str(&format!("  {word}")));
        head.push_str("   requests  repeats");
        let line = |name: &str, row: &Row| {
            let mut line = format!("{name:<width$}  {:>9}  ", row.triggered);
            for (state, word) in &columns {
                line.push_str(&format!("  {:>1$}", figure(row.of(*state)), word.len()));
            }
            line.push_str(&format!("   {:>8}  {:>7}", figure(row.attempts), figure(row.repeats)));
            line
        };
        let rule = "-".repeat(head.len());
        let rows = self.rows.iter().map(|(name, row)| line(name, row));
        [head, rule.clone()].into_iter().chain(rows).chain([rule, line("together", &total)]).collect()
    }

    /// Why events were skipped, a line per connector that skipped some.
    pub fn skips(&self) -> Vec<String> {
        let width = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let skipping = self.rows.iter().filter(|(_, row)| !row.skips.is_empty());
        let told = skipping.map(|(name, row)| {
            let reasons: Vec<_> = row.skips.iter().map(|(reason, n)| format!("{n} {}", reason.word())).collect();
            format!("{name:<width$}  skipped {}: {}", row.of(State::Skipped), reasons.join(", "))
        });
        told.collect()
    }

    /// The totals as sums, in words.
    pub fn sums(&self, metrics: &Counted) -> Vec<String> {
        let total = self.total();
        let present = COLUMNS.into_iter().filter(|(state, _)| total.of(*state) != 0);
        let parts: Vec<_> = present.map(|(state, word)| format!("{} {word}", total.of(state))).collect();
        let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(" + ") };
        let first = total.attempts - total.repeats;
        let events = |kind| metrics.sum("postbackd_events_total", &[("kind", kind)]);
        let (views, tracked) = (events("set"), events("track"));
        let repeated = metrics.sum("postbackd_events_duplicate_total", &[]);
        let clicks = metrics.sum("postbackd_clicks_captured_total", &[]);
        vec![
            format!(
                "{} events = {} page views + {tracked} track events; they brought {clicks} clicks",
                views + tracked,
                views
            ),
            format!("{tracked} track events = {} new + {repeated} that came again", tracked.saturating_sub(repeated)),
            format!("{} triggered = {parts}", total.triggered),
            format!("{} requests = {first} first ones + {} repeats", total.attempts, total.repeats),
        ]
    }
}

/// A nought is a dot, so that the figures stand out.
fn figure(count: u64) -> String {
    if count == 0 { ".".to_owned() } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Summary {
        let mut summary = Summary::new(["a".to_owned(), "bb".to_owned()]);
        for (connector, state, reason, attempts) in [
            ("a", State::Delivered, None, 3),
            ("a", State::Delivered, None, 1),
            ("a", State::Skipped, Some(Reason::NoClick), 0),
            ("a", State::Skipped, Some(Reason::NoClick), 0),
            ("a", State::Skipped, Some(Reason::ClickExpired), 0),
            ("bb", State::Rejected, Some(Reason::BodyRule), 1),
            ("bb", State::Waiting, Some(Reason::NoClick), 0),
        ] {
            summary.enter(connector, state, reason, attempts);
        }
        summary
    }

    fn others(metrics: &str, received: u64, unaccounted: i64) -> Others {
        Others { metrics: Counted(metrics.to_owned()), received, unaccounted }
    }

    const AGREEING: &str = "postbackd_deliveries_total{connector=\"a\",state=\"delivered\"} 2\n\
        postbackd_deliveries_total{connector=\"a\",state=\"skipped\"} 3\n\
        postbackd_deliveries_total{connector=\"bb\",state=\"rejected\"} 1\n\
        postbackd_attempts_total{connector=\"a\",outcome=\"delivered\",status=\"2xx\"} 2\n\
        postbackd_attempts_total{connector=\"a\",outcome=\"retry\",status=\"5xx\"} 2\n\
        postbackd_attempts_total{connector=\"bb\",outcome=\"rejected\",status=\"2xx\"} 1\n";

    #[test]
    fn the_totals_add_up() {
        let summary = sample();
        let total = summary.total();
        assert_eq!(total.triggered, 7);
        assert_eq!(total.states.values().sum::<u64>(), 7);
        assert_eq!((total.attempts, total.repeats), (5, 2));
        assert_eq!(summary.open(), 1);
        let metrics = "postbackd_events_total{source=\"hook\",kind=\"track\"} 4\n\
            postbackd_events_total{source=\"hook\",kind=\"set\"} 3\n\
            postbackd_events_duplicate_total{source=\"hook\"} 1\n\
            postbackd_clicks_captured_total 2\n";
        let expect = [
            "7 events = 3 page views + 4 track events; they brought 2 clicks",
            "4 track events = 3 new + 1 that came again",
            "7 triggered = 2 delivered + 1 rejected + 3 skipped + 1 waiting",
            "5 requests = 3 first ones + 2 repeats",
        ];
        assert_eq!(summary.sums(&Counted(metrics.to_owned())), expect);
        assert_eq!(summary.skips(), ["a   skipped 3: 1 click_expired, 2 no_click"]);
    }

    #[test]
    fn the_table_shows_what_there_is() {
        let table = sample().table();
        assert_eq!(table[0], "connector  triggered =  delivered  rejected  test  skipped  waiting   requests  repeats");
        assert_eq!(table[2], "a                  5            2         .     .        3        .          4        2");
        assert_eq!(
            table[table.len() - 1],
            "together           7            2         1     .        3        1          5        2"
        );
        assert!(Summary::default().table()[0].contains("delivered"), "an empty account has its columns");
    }

    #[test]
    fn whatever_disagrees_is_named() {
        let summary = sample();
        for (metrics, received, unaccounted, expect) in [
            (AGREEING.to_owned(), 5, 0, None),
            (AGREEING.to_owned(), 6, 0, Some("by the sample networks")),
            (AGREEING.to_owned(), 5, -1, Some("postbackd_unaccounted_deliveries is -1")),
            (AGREEING.replace("\"} 3", "\"} 2"), 5, 0, Some("a skipped (postbackd_deliveries_total): 3")),
            (AGREEING.replace("retry", "x").replace("\"5xx\"} 2", "\"5xx\"} 3"), 5, 0, Some("a requests")),
        ] {
            let found = summary.disagreements(&others(&metrics, received, unaccounted));
            match expect {
                None => assert_eq!(found, Vec::<String>::new()),
                Some(expect) => assert!(found.len() == 1 && found[0].contains(expect), "{expect}: {found:?}"),
            }
        }
    }
}
