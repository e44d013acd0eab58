//! The ways in which senders write events. A dialect turns what came into the fields of SPEC section 2.1, no more; what
//! they mean and what is wrong with them is said once, in `reading`.
//!
//! Refuses: rules of its own about a field.

pub mod flat;
pub mod hook;
