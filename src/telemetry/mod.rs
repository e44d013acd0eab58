//! Every metric and log event, declared once.
//!
//! Refuses: deciding anything.
