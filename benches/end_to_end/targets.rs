//! What the figures are held against, all in one place.
//!
//! Refuses: rates and times. They are the machine's; a target is a ratio of two that were measured in turn.

use crate::figures::Target::{self, AtLeast, AtMost};

/// Events/s, postbackd to the bare loop. A classic queue is one Erlang process and bounds both alike; on a quorum queue
/// the consumer is the bound, so that everything the daemon does beyond the bare loop shows.
pub const RATE_CLASSIC: Target = AtLeast(0.6);
pub const RATE_QUORUM: Target = AtLeast(0.45);
/// Processor time per event, postbackd to the bare loop.
pub const CPU: Target = AtMost(2.0);
/// The broker's processor time per event: acknowledgements one by one would show here.
pub const BROKER_CPU: Target = AtMost(1.3);
pub const PEAK_MIB: Target = AtMost(64.0);
/// Events/s, postbackd to a peer.
pub const RATE_TO_PEER: Target = AtLeast(1.3);
/// Processor time of consumer and broker, a peer to postbackd.
pub const CPU_OF_PEER: Target = AtLeast(1.5);
/// Events/s of page views, postbackd to consume-and-parse.
pub const VIEWS: Target = AtLeast(0.7);
/// What the median latency has above the bare loop's, in commits.
pub const LATENCY_COMMITS: Target = AtMost(1.0);
/// p99, postbackd to the bare loop.
pub const LATENCY_P99: Target = AtMost(3.0);
/// The rate of good events beside a network that hangs, to their rate without it.
pub const ISOLATION: Target = AtLeast(0.9);
