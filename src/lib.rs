//! An outbound postback dispatcher: the library behind the program `postbackd`.
//!
#![doc = include_str!("ARCHITECTURE.md")]

// In reading order. Each room uses those above it, never those below.

// The nouns: what things are.
pub mod model;

// JSON text, its numbers kept as written.
pub mod json;

// The verbs: whom an event belongs to, which click earned it, what is sent, what a reply means.
pub mod rules;

// Files as typed, every mistake with its place, and the configuration as meant.
pub mod config;

// Every metric and every line of the process log, declared once.
pub mod telemetry;

// Bytes in, events out.
pub mod ingest;

// What must last, in one commit.
pub mod store;

// Attempts, and who may make them.
pub mod dispatch;

// The story: admitted, acknowledged, sent.
pub mod pipeline;

// The admin listener: what is asked and told.
pub mod console;

// Build, run, reload, drain.
pub mod daemon;

// The daemon at work on this machine, with a sample shop and sample networks.
pub mod demo;

// One file per command.
pub mod cli;

#[cfg(test)]
mod tests;
