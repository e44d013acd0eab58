//! The nouns: what things are. Values only, correct once built.
//!
//! Refuses: serde, I/O, clocks, randomness, and every sibling room. A shape on the wire or in a row belongs to the room
//! that reads or writes it.

pub mod click;
pub mod condition;
pub mod connector;
pub mod country;
pub mod delivery;
mod echo;
pub mod event;
pub mod facts;
pub mod field;
pub mod filter;
pub mod identifier;
pub mod ids;
pub mod outcome;
pub mod postback;
pub mod record;
pub mod retry;
pub mod secret;
pub mod spelling;
pub mod template;
pub mod time;
pub mod value;
pub mod variable;
pub mod visitor;
