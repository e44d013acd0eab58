//! Draws up the account: counts the delivery log, asks the daemon and the networks what they have counted, and prints.
//!
//! Refuses: arithmetic; `summary` does it.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::networks::Networks;
use super::story::Story;
use super::summary::{Others, Summary};
use super::{DemoError, Halt};
use crate::daemon::Daemon;
use crate::store::DeliveryFilter;

/// How long to wait for what is still under way before the account is drawn up. The longest wait in the story is 3 s.
const SETTLED_WITHIN: Duration = Duration::from_secs(8);

/// The same where somebody has asked to stop: enough for the slow network's answer.
const SETTLED_WITHIN_AT_STOP: Duration = Duration::from_millis(2500);

/// Deliveries read at once for the account.
const PAGE: usize = 1000;

/// What an account is drawn up from.
pub(super) struct Account<'a> {
    connectors: Vec<String>,
    networks: &'a Networks,
    pub client: &'a Client,
    pub daemon: &'a Daemon,
    /// The last one, and whether it agreed.
    drawn_up: Option<(Summary, bool)>,
}

impl<'a> Account<'a> {
    pub fn new(connectors: Vec<String>, networks: &'a Networks, client: &'a Client, daemon: &'a Daemon) -> Self {
        Self { connectors, networks, client, daemon, drawn_up: None }
    }

    /// The delivery log, counted.
    async fn summary(&self) -> Result<Summary, DemoError> {
        let mut summary = Summary::new(self.connectors.iter().cloned());
        let mut cursor = None;
        loop {
            let page = self.daemon.store.deliveries(DeliveryFilter::default(), PAGE, cursor).await?;
            page.items.iter().for_each(|line| summary.count(line));
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(summary);
            }
        }
    }

    async fn others(&self) -> Result<Others, DemoError> {
        Ok(Others {
            metrics: self.client.metrics().await?,
            received: self.networks.received(),
            unaccounted: self.daemon.store.unaccounted().await?,
        })
    }

    /// The account at the end: the last one, or another if something has come since.
    ///
    /// # Errors
    /// Nobody reads any more, or the daemon does not answer.
    pub async fn close(&mut self, story: &mut Story<'_, '_>) -> Result<bool, Halt> {
        let now = self.summary().await?;
        match &self.drawn_up {
            Some((drawn_up, agrees)) if *drawn_up == now => Ok(*agrees),
            _ => self.draw_up_within(story, SETTLED_WITHIN_AT_STOP).await,
        }
    }

    /// The account of the story.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub async fn draw_up(&mut self, story: &mut Story<'_, '_>) -> Result<bool, Halt> {
        self.draw_up_within(story, SETTLED_WITHIN).await
    }

    /// Waits until nothing is under way and all counts agree, at most `within`; prints the account; whether they agree.
    async fn draw_up_within(&mut self, story: &mut Story<'_, '_>, within: Duration) -> Result<bool, Halt> {
        let patience = Instant::now() + within;
        let (summary, others, disagreements) = loop {
            story.look().await?;
            let (summary, others) = (self.summary().await?, self.others().await?);
            let disagreements = summary.disagreements(&others);
            // A count that is taken while something happens may differ for a moment.
            if (summary.open() == 0 && disagreements.is_empty()) || patience <= Instant::now() {
                break (summary, others, disagreements);
            }
            story.watch(Duration::from_millis(100)).await?;
        };
        let page = &mut *story.page;
        page.heading("Summary: every event that triggered a connector ended in exactly one way");
        page.put("");
        summary.table().iter().for_each(|line| page.put(line));
        page.put("");
        summary.skips().iter().for_each(|line| page.put(line));
        page.put("");
        summary.sums(&others.metrics).iter().for_each(|line| page.put(line));
        let open = summary.open();
        if disagreements.is_empty() && open == 0 {
            page.put("It adds up: /metrics counts the same, the networks received as many requests,");
            page.put("and postbackd_unaccounted_deliveries is 0.");
        } else if disagreements.is_empty() {
            page.put(&format!("It adds up so far, and /metrics counts the same; not ended yet: {open}."));
            page.put("postbackd_unaccounted_deliveries is 0.");
        } else {
            page.put("It does not add up:");
            disagreements.iter().for_each(|line| page.put(&format!("  {line}")));
        }
        let agrees = disagreements.is_empty();
        self.drawn_up = Some((summary, agrees));
        Ok(agrees)
    }
}
