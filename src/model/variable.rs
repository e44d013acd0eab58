//! stub
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    EventId,
}
