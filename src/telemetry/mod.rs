//! What the daemon tells those who run it: metrics, and a log. Every metric and every log event is declared once, here.
//!
//! Refuses: contact data, URLs with queries, headers, bodies and secrets, in either.

pub mod events;
pub mod log;
pub mod metrics;
