//! The verbs: what we conclude. Pure functions over `model`.
//!
//! Refuses: I/O, clocks, randomness, async and logging. `now` and jitter are arguments; answers are closed enums.
