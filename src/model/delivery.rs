//! A delivery: one event for one connector (for one item), the state it is in and the one reason it ended there.
//!
//! Refuses: transitions. Who changes a state is written in `pipeline` and `dispatch::lane`.

use std::time::Duration;

use super::ids::{ConnectorName, DeliveryId, Revision};
use super::time::Time;

/// Declares a closed set of words with their spelling.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// Its spelling in the API, the log and the metrics.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// The one spelt `word`.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Where a delivery stands.
    State {
        /// For a click that may still arrive, or for a rival that may.
        Waiting "waiting",
        Pending "pending",
        /// Its outcome is uncertain and a person decides.
        Held "held",
        Delivered "delivered",
        Rejected "rejected",
        Dead "dead",
        /// Rendered and logged, not sent.
        Test "test",
        Skipped "skipped",
        Cancelled "cancelled",
    }
}

impl State {
    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Waiting | Self::Pending | Self::Held => false,
            Self::Delivered | Self::Rejected | Self::Dead | Self::Test | Self::Skipped | Self::Cancelled => true,
        }
    }
}

words! {
    /// Why a delivery was skipped, rejected or given up. The skip reasons stand in the order in which they are asked
    /// (SPEC section 5): the first that holds is the reason.
    Reason {
        TriggerMismatch "trigger_mismatch",
        Disabled "disabled",
        ConsentDenied "consent_denied",
        ConditionFalse "condition_false",
        /// Also the reason of a dead delivery that grew too old while it was retried.
        Expired "expired",
        NotLastClick "not_last_click",
        SourceMismatch "source_mismatch",
        ClickExpired "click_expired",
        NoClick "no_click",
        NoItems "no_items",
        DuplicateConversion "duplicate_conversion",
        MissingVariable "missing_variable",
        RenderFailed "render_failed",
        HttpStatus "http_status",
        BodyRule "body_rule",
        EgressDenied "egress_denied",
        RetriesExhausted "retries_exhausted",
        Uncertain "uncertain",
    }
}

impl Reason {
    /// Whether a click that arrives later may change it.
    pub fn is_click_reason(self) -> bool {
        matches!(self, Self::NotLastClick | Self::SourceMismatch | Self::ClickExpired | Self::NoClick)
    }
}

words! {
    /// How a decided delivery may leave the house.
    Sending {
        /// Decided while the connector was enabled.
        Live "live",
        /// Decided in test mode with `trl_test=1`: really sent.
        Forced "forced",
        /// Decided in test mode: rendered and logged.
        Dry "dry",
    }
}

words! {
    AttributionModel {
        LastClick "last_click",
        AnyClick "any_click",
    }
}

/// The click a delivery goes out with, and why; fixed when the delivery was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Which of the event's stored [`clicks`](super::facts::Facts::clicks); `None` where no click earned it.
    pub click: Option<usize>,
    pub model: AttributionModel,
    pub window: Duration,
    /// How many own clicks lay in the window.
    pub click_count: usize,
    /// One sentence for the log: why this click won, or why none did.
    pub why: Box<str>,
}

/// One delivery as decided, without its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub connector: ConnectorName,
    pub revision: Revision,
    pub sending: Sending,
    pub state: State,
    /// Always present in `skipped`, `rejected` and `dead`; in `waiting` the reason it would be skipped for now.
    pub reason: Option<Reason>,
    /// More about the reason for a person: the missing variable, the source that won. No contact data, no secret.
    pub detail: Option<Box<str>>,
    pub attribution: Option<Attribution>,
    /// With `for_each: items`: which one, from 0.
    pub item: Option<u32>,
    /// When its first attempt was or will be due; for `waiting`, when the waiting ends.
    pub due: Time,
}
