//! stub
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Trim,
}
