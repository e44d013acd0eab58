//! The process log: one line an event on standard error, as text or as JSON.
//!
//! Refuses: lines of the libraries below. At `debug` an HTTP client writes URLs and headers; what we write is declared in
//! [`super::events`] and can be vouched for.

use std::io;
use std::panic;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// One object a line: `timestamp`, `level`, `message` (the event's name), and its fields.
    Json,
}

/// The target of every line of ours: the crate's name.
const OURS: &str = env!("CARGO_PKG_NAME");

/// Begins to log. May be called once in a process.
///
/// # Errors
/// A log was begun before.
pub fn start(format: Format, level: Level) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber(format, level, io::stderr))?;
    panic::set_hook(Box::new(|panic| {
        // Not the message: a slice out of bounds quotes the text it was taken from.
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        super::events::process_panicked(&place);
    }));
    Ok(())
}

fn subscriber<W>(format: Format, level: Level, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let ours = Targets::new().with_target(OURS, level);
    let lines = fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    let layer = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    Registry::default().with(layer.with_filter(ours))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(format: Format, level: Level, write: impl FnOnce()) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        tracing::subscriber::with_default(subscriber(format, level, move || to.clone()), write);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_is_an_event_with_its_fields() {
        let json = written(Format::Json, Level::INFO, || super::super::events::source_lost("amqp", "closed\nby peer"));
        let line: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!(line["message"], "source.lost");
        assert_eq!(line["source"], "amqp");
        assert_eq!(line["why"], "closed\nby peer");
        assert_eq!(line["level"], "WARN");

        let text = written(Format::Text, Level::INFO, || super::super::events::source_lost("amqp", "closed\nby peer"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"source.lost source="amqp" why="closed\nby peer""#), "{text}");
    }

    #[test]
    fn libraries_are_not_heard_and_levels_hold() {
        let text = written(Format::Text, Level::TRACE, || {
            tracing::error!(target: "reqwest::connect", "GET https://n.example/?email=a@b.example");
            tracing::debug!("attempt.made");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(written(Format::Text, Level::WARN, || tracing::info!("x.y")).is_empty());
    }
}
