//! An event to try a connector with when nobody gives one: a purchase after a click that is the connector's own.
//!
//! Refuses: real people. Names and addresses are those that RFC 2606 and RFC 5737 keep for examples.

use serde_json::json;
use url::form_urlencoded::Serializer;

use super::answer::FieldProblem;
use super::submitted;
use crate::config::Config;
use crate::model::connector::{Connector, Triggers};
use crate::model::event::Event;
use crate::model::time::Time;

/// The container whose events the connector listens to first.
pub fn container<'a>(connector: &'a Connector, config: &'a Config) -> Option<&'a str> {
    let own = connector.containers.as_ref().and_then(|keys| keys.first()).map(|key| &**key);
    own.or_else(|| config.containers.first().map(|c| &*c.key))
}

/// A sample that triggers the connector, at `at`.
///
/// # Errors
/// The configuration has no container that it could come from.
pub fn event(connector: &Connector, config: &Config, at: Time) -> Result<Event, Vec<FieldProblem>> {
    let name = match &connector.triggers {
        Triggers::Named(names) => names.first().map_or("Purchase", |n| &**n),
        Triggers::Every => "Purchase",
    };
    let event = json!({
        "track": name,
        "eventId": format!("test-{}", at.ms()),
        "timestamp": at.to_string(),
        "value": "49.90",
        "currency": "EUR",
        "transactionId": format!("TEST-{}", at.seconds()),
        "orderId": format!("TEST-{}", at.seconds()),
        "status": "approved",
        "url": landing(connector),
        "referrer": "https://www.example.com/",
        "sessionId": format!("test-{}", at.ms()),
        "externalId": "test-customer",
        "email": "test@example.com",
        "phoneNumber": "+12025550123",
        "firstName": "Test",
        "lastName": "Person",
        "city": "Springfield",
        "country": "US",
        "ip": "192.0.2.1",
        "userAgent": "Mozilla/5.0 (postbackd test)",
        "language": "en",
        "consent": { "ads": true, "analytics": true },
        "items": [{ "id": "sku-1", "name": "Sample product", "price": "49.90", "quantity": 1, "category": "samples" }],
        "quantity": 1,
    });
    submitted::event(&event.to_string(), config, container(connector, config), at)
}

/// A landing URL whose query is a click of the connector's own.
fn landing(connector: &Connector) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("trl_test", "1");
    if let Some(matching) = &connector.click_matching {
        if let Some(param) = matching.params.first() {
            query.append_pair(param, "test-click");
        }
        if let (Some(param), Some(value)) = (&matching.source_param, &matching.source_value) {
            query.append_pair(param, value);
        }
    }
    format!("https://shop.example/thanks?{}", query.finish())
}
