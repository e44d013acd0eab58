//! The verbs: what we conclude. Pure functions over `model`.
//!
//! Refuses: I/O, clocks, randomness, async and logging. `now` and jitter are arguments; answers are closed enums.

pub mod attribute;
pub mod body_file;
pub mod condition;
pub mod decide;
pub mod escape;
pub mod filter;
pub mod identify;
pub mod judge;
pub mod partial;
pub mod remember;
pub mod render;
pub mod template;
#[cfg(test)]
pub mod testing;
pub mod variables;
