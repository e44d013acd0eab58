//! How deliveries and requests look in a terminal.
//!
//! Refuses: colours, and columns cut short; both are a terminal's and a pager's to add.

use super::out::{Out, plain};
use crate::console::shapes::{Line, RequestShown};

/// One line of the log.
pub fn line(out: &mut Out, line: &Line, json: bool) {
    if json {
        let text = serde_json::to_string(line).expect("a line is plain text and numbers");
        writeln!(out, "{text}");
        return;
    }
    let head = &line.head;
    let state = match &head.reason {
        Some(reason) => format!("{} ({reason})", head.state),
        None => head.state.clone(),
    };
    write!(
        out,
        "{}  {:<26}  {}  {} {}  {}",
        head.created_at,
        state,
        plain(&head.connector),
        plain(&head.event),
        plain(&head.event_id),
        head.id
    );
    if line.attempts != 0 {
        write!(out, "  attempts {}", line.attempts);
    }
    if let Some(next) = &head.next_attempt_at {
        write!(out, "  next {next}");
    }
    writeln!(out);
}

/// A request, line by line, as it goes over the wire.
pub fn request(out: &mut Out, request: &RequestShown, indent: &str) {
    writeln!(out, "{indent}{} {}", request.method, plain(&request.url));
    for (name, value) in &request.headers {
        writeln!(out, "{indent}{}: {}", plain(name), plain(value));
    }
    if let Some(body) = &request.body {
        writeln!(out, "{indent}");
        body.lines().for_each(|line| writeln!(out, "{indent}{}", plain(line)));
    }
}
