//! What is compared, a file for each.
//!
//! Refuses: knowing how anything is started or counted; that is below.

mod growth;
mod hook;
mod isolation;
mod latency;
mod partners;
mod throughput;
mod tls;
mod views;

use clap::ValueEnum;

use crate::figures::Table;
use crate::options::Options;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A full queue of purchases, each of which is sent
    Throughput,
    /// A full queue of page views, none of which is
    Views,
    /// Page views over HTTP, also beside stalled connections
    Hook,
    /// From publishing to the network, at a steady rate
    Latency,
    /// A network that hangs beside one that does not
    Isolation,
    /// 200 networks that take their time
    Partners,
    /// A full queue of purchases, sent over HTTPS
    Tls,
    /// More connectors, greater events, more clicks, a fuller store
    Growth,
}

impl Scenario {
    pub fn title(self) -> &'static str {
        match self {
            Self::Throughput => "throughput: a full queue, every event is sent",
            Self::Views => "views: a full queue of page views that trigger nothing",
            Self::Hook => "hook: page views over HTTP, one a request, 64 at a time",
            Self::Latency => "latency: from publishing to the network, at 500 events/s",
            Self::Isolation => "isolation: every tenth event goes to a network that never answers",
            Self::Partners => "partners: 200 networks that take their time",
            Self::Tls => "tls: a full queue, every event is sent over HTTPS",
            Self::Growth => "growth: what more of everything costs",
        }
    }

    pub async fn run(self, options: &Options, table: &mut Table) -> anyhow::Result<()> {
        match self {
            Self::Throughput => throughput::run(options, table).await,
            Self::Views => views::run(options, table).await,
            Self::Hook => hook::run(options, table).await,
            Self::Latency => latency::run(options, table).await,
            Self::Isolation => isolation::run(options, table).await,
            Self::Partners => partners::run(options, table).await,
            Self::Tls => tls::run(options, table).await,
            Self::Growth => growth::run(options, table).await,
        }
    }
}
