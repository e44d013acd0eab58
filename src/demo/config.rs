//! The demo's configuration, as text that may be copied: a connector of it works in any `connectors/` folder.
//!
//! Refuses: a second way of configuring. It is read by the same code as everybody's files; only the sample networks'
//! names are replaced by the addresses they were given.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::DemoError;
use super::networks::Networks;
use crate::config::files::Memory;
use crate::config::{Config, LoadOptions, StoreChoice, load_from};

/// The container's key, as the sample shop sends it.
pub(super) const KEY: &str = "demo-key";

/// The daemon's own settings.
const DAEMON: &str = r"
connectors: connectors.yaml
containers:
  - {key: demo-key, name: shop, country: FI, currency: EUR}
ingest: {listen: 127.0.0.1:0}
admin: {listen: 127.0.0.1:0}
egress: {allow: [127.0.0.0/8]}     # the sample networks are on this machine
shutdown: {grace: 5s}
";

/// The sample connectors. `NAME.example` are the sample networks.
pub const CONNECTORS: &str = r#"connectors:
  # The visitor's last click earns the sale. A purchase may overtake its click by 3 s.
  - name: affiliate-network
    mode: enabled
    triggers: [Purchase]
    event_names: {Purchase: sale}
    click_matching: {param: aff_click_id, model: last_click, window: 14d, wait: 3s}
    deduplicate: {by: TRANSACTION_ID, for: 30d}
    postback:
      url: http://affiliate.example/pb
      params:
        clickid: <<CLICK_ID|required>>
        amount: <<VALUE|fixed:2>>
        currency: <<CURRENCY>>
        goal: <<EVENT_NAME>>
        order: <<TRANSACTION_ID>>

  # A form by POST. This network says no with status 200, so its replies are read.
  - name: coupon-partner
    mode: enabled
    triggers: [Purchase]
    click_matching: {param: cp_click, model: last_click, window: 7d, wait: 0s}
    postback:
      method: POST
      url: http://coupon.example/sale
      params:
        click: <<CLICK_ID|required>>
        total: <<VALUE|fixed:2>>
        currency: <<CURRENCY>>
        order: <<TRANSACTION_ID>>
      outcomes:
        - {status: 200, body_contains: "success=false", then: reject}

  # Any click of its own in 28 days earns the event, whoever came later. This network takes 2 s to answer.
  - name: social-ads
    mode: enabled
    triggers: [Purchase]
    event_names: {Purchase: CompletePayment}
    click_matching: {param: soc_id, model: any_click, window: 28d, wait: 0s}
    postback:
      url: http://social.example/conversion
      params:
        id: <<CLICK_ID|required>>
        event: <<EVENT_NAME>>
        value: <<VALUE_MINOR>>
        at: <<EVENT_TIME_S>>

  # Leads as signed JSON, from visitors who agreed, of two countries. This network is flaky.
  - name: lead-buyer
    mode: enabled
    triggers: [Lead]
    require_consent: ads
    when:
      - {variable: COUNTRY, in: [FI, SE]}
    postback:
      method: POST
      url: http://leads.example/leads
      headers: {Authorization: "Bearer ${LEAD_BUYER_TOKEN}"}
      body:
        json:
          lead: <<EVENT_ID>>
          email: <<EMAIL|required>>
          phone: <<PHONE|e164>>
          country: <<COUNTRY>>
      sign: {scheme: standard-webhooks, secret: "${LEAD_BUYER_SECRET}"}
      retry: {initial: 500ms, multiplier: 2, max_interval: 1m, max_elapsed: 1h}

  # On trial: everything is decided, rendered and logged, nothing is sent. E-mail addresses leave as hashes.
  - name: crm-trial
    mode: test
    triggers: [Lead]
    postback:
      method: POST
      url: https://crm.example/v1/contacts
      body:
        json:
          em: "<<EMAIL|email_norm:plain|sha256>>"
          country: <<COUNTRY>>
"#;

/// What stands for secrets of the environment: the demo reads none of its reader's.
fn environment(name: &str) -> Option<String> {
    match name {
        "LEAD_BUYER_TOKEN" => Some("sample-token-of-the-demo".to_owned()),
        "LEAD_BUYER_SECRET" => Some("whsec_c2FtcGxlIHNlY3JldCBvZiB0aGUgZGVtbywgMzIgYg==".to_owned()),
        _ => None,
    }
}

/// The configuration of one showing.
///
/// # Errors
/// The text above has a mistake.
pub(super) fn load(store: PathBuf, admin: SocketAddr, networks: &Networks) -> Result<Config, DemoError> {
    let mut connectors = CONNECTORS.to_owned();
    for network in networks.all() {
        connectors = connectors.replace(network.host, &network.address.to_string());
    }
    let files = Memory::default().with("demo.yaml", DAEMON).with("connectors.yaml", &connectors);
    let loaded = load_from(&files, Path::new("demo.yaml"), &environment, LoadOptions::default());
    let mut config = loaded.map_err(|problems| DemoError::Config(lines(&problems)))?.config;
    config.store = StoreChoice::Embedded { path: store };
    config.admin.listen = admin;
    // What is on no disk can't change.
    config.watched.clear();
    Ok(config)
}

fn lines(problems: &[crate::config::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_connectors_load_without_a_doubt() {
        let files = Memory::default().with("demo.yaml", DAEMON).with("connectors.yaml", CONNECTORS);
        let loaded = load_from(&files, Path::new("demo.yaml"), &environment, LoadOptions::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", lines(&problems)));
        assert_eq!(lines(&loaded.warnings), "");
        let names: Vec<_> = loaded.config.connectors.iter().map(|c| c.name.to_string()).collect();
        assert_eq!(names, ["affiliate-network", "coupon-partner", "social-ads", "lead-buyer", "crm-trial"]);
        assert!(loaded.config.containers.iter().any(|c| &*c.key == KEY));
        assert_eq!(loaded.config.file, None);
    }
}
