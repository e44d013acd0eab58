//! postbackd: an outbound postback dispatcher.

pub mod config;
pub mod dispatch;
pub mod ingest;
pub mod json;
pub mod model;
pub mod rules;
pub mod store;
pub mod telemetry;
