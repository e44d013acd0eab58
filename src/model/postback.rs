//! A rendered request, ready to be sent or shown.
//!
//! Refuses: holding anything that is still a template.

use super::secret::Text;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

impl Method {
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// One request. Its URL's scheme, host and port are the connector's own, whatever the event held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postback {
    pub method: Method,
    /// Absolute, encoded, at most 16 kB.
    pub url: Text,
    /// In the order to send; names as configured, each at most once, `content-type` among them where there is a body.
    pub headers: Vec<(Box<str>, Text)>,
    /// At most 1 MB.
    pub body: Option<Text>,
}
