//! The tables of every key: `daemon` for `postbackd.yaml`, `connector` for a connector.
//!
//! Refuses: logic. What is said here is said once; readers, schemas and the README take it from here.

pub mod connector;
pub mod daemon;
