//! The tables of the README are the code's: `POSTBACKD_BLESS=1 cargo test --lib readme` writes them anew.
//!
//! Refuses: prose. What stands outside the markers is a person's to keep true.

use crate::cli::EXIT_CODES;
use crate::config::{connector_table, settings_table};
use crate::daemon::SIGNALS;
use crate::model::delivery::{Reason, State};
use crate::model::filter::FILTERS;
use crate::model::variable::{ALIASES, Group, OPEN_SLOTS, Variable};
use crate::telemetry::metrics::METRICS;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

/// One cell: a `|` would end it even in backticks; outside them `<` and `*` would be markup.
fn cell(text: &str) -> String {
    let mut in_code = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        in_code ^= c == '`';
        match c {
            '|' => out.push_str("\\|"),
            '<' if !in_code => out.push_str("&lt;"),
            '*' if !in_code => out.push_str("\\*"),
            c => out.push(c),
        }
    }
    out
}

/// One table in Markdown.
fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|c| cell(c)).collect::<Vec<_>>().join(" | "));
    let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
    let mut out = line(&heads);
    out.push_str(&format!("|{}\n", "---|".repeat(heads.len())));
    rows.into_iter().for_each(|row| out.push_str(&line(&row)));
    out
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn settings(rows: Vec<(String, String, String)>) -> String {
    let default = |text: String| if matches!(&*text, "none" | "required") { text } else { code(&text) };
    table(
        &["key", "default", "meaning"],
        rows.into_iter().map(|(key, d, meaning)| vec![code(&key), default(d), meaning]),
    )
}

fn variables() -> String {
    let mut rows = Vec::new();
    for group in Group::ALL {
        for variable in Variable::ALL.iter().filter(|v| v.group() == *group) {
            let names = ALIASES.iter().filter(|(_, v)| v == variable).map(|(alias, _)| code(alias));
            let names: Vec<String> = std::iter::once(code(variable.name())).chain(names).collect();
            rows.push(vec![names.join(", "), group.word().to_owned(), variable.meaning().to_owned()]);
        }
        for slot in OPEN_SLOTS.iter().filter(|s| s.group == *group) {
            rows.push(vec![code(slot.form), group.word().to_owned(), slot.meaning.to_owned()]);
        }
    }
    table(&["variable", "of the", "meaning"], rows)
}

fn filters() -> String {
    let argument = |argument: &str| if argument.is_empty() { String::new() } else { code(argument) };
    let rows = FILTERS.iter().map(|f| vec![code(f.name), argument(f.argument), f.meaning.to_owned()]);
    table(&["filter", "argument", "what it gives"], rows)
}

fn metrics() -> String {
    let labels = |labels: &[&str]| labels.iter().map(|l| code(l)).collect::<Vec<_>>().join(", ");
    let rows =
        METRICS.iter().map(|m| vec![code(m.name), m.kind.word().to_owned(), labels(m.labels), m.help.to_owned()]);
    table(&["metric", "kind", "labels", "meaning"], rows)
}

fn reason(reason: Reason) -> (&'static str, &'static str) {
    const SKIP: &str = "skipped";
    match reason {
        Reason::TriggerMismatch => {
            (SKIP, "the connector does not listen to this event or container; only `explain` shows it")
        }
        Reason::Disabled => (SKIP, "the connector or its postback is switched off; counted, not logged one by one"),
        Reason::ConsentDenied => (SKIP, "`require_consent` is not met by the event, nor by what its visitor last said"),
        Reason::ConditionFalse => (SKIP, "one of `when` does not hold"),
        Reason::Expired => {
            ("skipped, dead", "the event is older than `expires_after`, when decided or while being retried")
        }
        Reason::NotLastClick => (SKIP, "an own click lost to a newer click of another source; the log says which"),
        Reason::SourceMismatch => (SKIP, "`param` was there, but `source_param` did not hold `source_value`"),
        Reason::ClickExpired => (SKIP, "the visitor's own clicks are all older than `window`"),
        Reason::NoClick => (SKIP, "the visitor has no click with `param` up to the event"),
        Reason::DuplicateConversion => (SKIP, "another event holds the same `deduplicate` value"),
        Reason::NoItems => (SKIP, "`for_each: items`, and the event has none"),
        Reason::MissingVariable => (SKIP, "a `required` value, or a variable in the URL's path, has no value"),
        Reason::RenderFailed => {
            (SKIP, "the request can't be made from this event: a limit, a header with a line break, …")
        }
        Reason::HttpStatus => ("rejected", "the network refused it by its HTTP status"),
        Reason::BodyRule => ("rejected", "one of `outcomes` refused it by the reply's body"),
        Reason::EgressDenied => ("rejected", "the network's address is private and not in `egress.allow`"),
        Reason::RetriesExhausted => ("dead", "`retry.max_elapsed` has passed"),
        Reason::Uncertain => {
            ("held, dead", "it may have arrived, and `on_uncertain` is `hold` (held) or `drop` (dead)")
        }
    }
}

fn reasons() -> String {
    let row = |r: &Reason| {
        let (states, meaning) = reason(*r);
        vec![code(r.word()), states.to_owned(), meaning.to_owned()]
    };
    table(&["reason", "state", "meaning"], Reason::ALL.iter().map(row))
}

fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "for a click that may still arrive, or (`settle`) for a rival's",
        State::Pending => "to be sent, now or later",
        State::Held => "it may have arrived; a person decides",
        State::Delivered => "the network accepted it",
        State::Rejected => "the network refused it for good; kept for replay",
        State::Dead => "given up; kept for replay",
        State::Test => "rendered and logged, not sent",
        State::Skipped => "decided not to be sent",
        State::Cancelled => "its connector was removed",
    }
}

fn states() -> String {
    let is_final = |s: &State| if s.is_final() { "yes" } else { "no" };
    let rows = State::ALL.iter().map(|s| vec![code(s.word()), is_final(s).to_owned(), state(*s).to_owned()]);
    table(&["state", "final", "meaning"], rows)
}

fn tables() -> Vec<(&'static str, String)> {
    let exits = EXIT_CODES.iter().map(|(code, meaning)| vec![code.to_string(), (*meaning).to_owned()]);
    let signals = SIGNALS.iter().map(|(name, meaning)| vec![code(name), (*meaning).to_owned()]);
    vec![
        ("settings", settings(settings_table())),
        ("connector", settings(connector_table())),
        ("variables", variables()),
        ("filters", filters()),
        ("states", states()),
        ("reasons", reasons()),
        ("metrics", metrics()),
        ("exit codes", table(&["code", "meaning"], exits)),
        ("signals", table(&["signal", "what the daemon does"], signals)),
    ]
}

#[test]
fn the_tables_of_the_readme_are_those_of_the_code() {
    let readme = std::fs::read_to_string(README).unwrap();
    let mut right = readme.clone();
    for (name, table) in tables() {
        let open = format!("<!-- table: {name} -->\n");
        assert_eq!(right.matches(&open).count(), 1, "README.md needs the line {open:?} once");
        let start = right.find(&open).unwrap() + open.len();
        let length = right[start..].find("<!-- /table -->").unwrap_or_else(|| panic!("the table {name} has no end"));
        right.replace_range(start..start + length, &table);
    }
    if std::env::var_os("POSTBACKD_BLESS").is_some() {
        std::fs::write(README, &right).unwrap();
    } else {
        let wrong = readme.lines().zip(right.lines()).find(|(is, ought)| is != ought);
        assert!(readme == right, "README.md differs, first at {wrong:?}; POSTBACKD_BLESS=1 cargo test --lib readme");
    }
}
