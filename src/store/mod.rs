//! What the daemon needs of a store.
