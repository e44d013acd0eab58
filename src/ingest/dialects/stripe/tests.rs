//! Stripe's objects as they come, by kind, and sums by currency.

use proptest::prelude::*;

use super::amount::decimal;
use super::*;
use crate::ingest::samples;
use crate::model::event::EventId;
use crate::model::field::Field;

fn read_body(query: &str, body: &str) -> Result<Vec<Event>, Refusal> {
    samples::read_over_http(read, &samples::containers(), &[], query, Body::Json, body)
}

fn event(kind: &str, data: &str) -> Event {
    let body = format!(
        r#"{{"id":"evt_1","object":"event","type":"{kind}","created":1768042800,"livemode":false,"data":{data}}}"#
    );
    read_body("k=shop&source=stripe", &body).unwrap_or_else(|e| panic!("{body}: {e:?}")).remove(0)
}

#[test]
fn a_sum_is_written_as_its_currency_is_counted() {
    for (minor, currency, expect) in [
        (1099, "EUR", "10.99"),
        (5, "USD", "0.05"),
        (-250, "USD", "-2.50"),
        (500, "JPY", "500"),
        (5120, "KWD", "5.120"),
        (90_000, "ISK", "900.00"),
        (90_000, "UGX", "900.00"),
        (90_000, "HUF", "900.00"),
    ] {
        assert_eq!(decimal(minor, currency), expect, "{currency}");
    }
}

#[test]
fn a_checkout_says_who_bought_and_keeps_what_the_shop_wrote_on_it() {
    let event = event(
        "checkout.session.completed",
        r#"{"object":{"id":"cs_1","object":"checkout.session","amount_total":12345,"currency":"usd","client_reference_id":"user-7",
            "customer":"cus_1","payment_intent":"pi_1","payment_status":"paid",
            "customer_details":{"email":"ann@example.com","name":"Ann Mary Smith","phone":"+14155550100",
                                "address":{"line1":"1 Main St","city":"Springfield","state":"IL","postal_code":"62701","country":"US"}},
            "metadata":{"gclid":"g-1","session_id":"s-1","plan":"Gold","track":"forged","k":"fi","value":"1"}}}"#,
    );
    let text = |field| event.texts.of(field);
    assert_eq!(event.name.as_deref(), Some("checkout.session.completed"));
    assert_eq!((&event.id, &*event.container), (&EventId::Given("evt_1".into()), "shop"));
    assert_eq!(event.time.ms(), 1_768_042_800_000);
    for (field, expect) in [
        (Field::Value, "123.45"),
        (Field::Currency, "USD"),
        (Field::Email, "ann@example.com"),
        (Field::PhoneNumber, "+14155550100"),
        (Field::FirstName, "Ann Mary"),
        (Field::LastName, "Smith"),
        (Field::Address, "1 Main St"),
        (Field::Region, "IL"),
        (Field::PostCode, "62701"),
        (Field::Country, "US"),
        (Field::ExternalId, "user-7"),
        (Field::TransactionId, "pi_1"),
        (Field::Status, "paid"),
        (Field::Gclid, "g-1"),
        (Field::SessionId, "s-1"),
    ] {
        assert_eq!(text(field), Some(expect), "{field:?}");
    }
    assert_eq!(event.attribute("plan"), Some(&Value::from("Gold")));
    assert_eq!(event.attribute("customer"), Some(&Value::from("cus_1")));
}

#[test]
fn each_kind_has_its_sum_and_its_transaction() {
    let cases = [
        (
            "payment_intent.succeeded",
            r#"{"object":{"id":"pi_1","object":"payment_intent","amount":900,"amount_received":800,"currency":"jpy","receipt_email":"a@example.com"}}"#,
            ("800", "JPY", "pi_1"),
        ),
        (
            "charge.refunded",
            r#"{"object":{"id":"ch_1","object":"charge","amount":5000,"amount_refunded":1500,"currency":"eur","payment_intent":"pi_1",
                "billing_details":{"email":"a@example.com"}},"previous_attributes":{"amount_refunded":500}}"#,
            ("10.00", "EUR", "pi_1"),
        ),
        (
            "charge.refunded",
            r#"{"object":{"id":"ch_1","object":"charge","amount":5000,"amount_refunded":5000,"currency":"eur","payment_intent":null,
                "billing_details":{"email":"a@example.com"}}}"#,
            ("50.00", "EUR", "ch_1"),
        ),
        (
            "invoice.paid",
            r#"{"object":{"id":"in_1","object":"invoice","amount_paid":5120,"currency":"kwd","customer_email":"a@example.com",
                "lines":{"data":[{"id":"il_1","description":"Gold","amount":5120,"quantity":1}]}}}"#,
            ("5.120", "KWD", "in_1"),
        ),
        (
            "customer.subscription.created",
            r#"{"object":{"id":"sub_1","object":"subscription","currency":"usd","customer":{"id":"cus_1","email":"a@example.com"},
                "items":{"data":[{"quantity":2,"price":{"id":"price_1","product":"prod_1","unit_amount":1000}},{"price":{"unit_amount":50}}]}}}"#,
            ("20.50", "USD", "sub_1"),
        ),
    ];
    for (kind, data, (value, currency, transaction)) in cases {
        let event = event(kind, data);
        let text = |field| event.texts.of(field);
        assert_eq!(
            (text(Field::Value), text(Field::Currency), text(Field::TransactionId), text(Field::Email)),
            (Some(value), Some(currency), Some(transaction), Some("a@example.com")),
            "{kind}"
        );
    }
    let invoice = event(cases[3].0, cases[3].1);
    assert_eq!(json::to_string(&invoice.items[0]), r#"{"id":"il_1","name":"Gold","price":5.120,"quantity":1}"#);
}

#[test]
fn the_url_may_name_the_event_and_what_stripe_did_not_send_is_refused() {
    let body = r#"{"id":"evt_1","type":"invoice.paid","created":1768042800,"data":{"object":{"id":"in_1","object":"invoice"}}}"#;
    let read = read_body("k=shop&source=stripe&track=Purchase", body).unwrap();
    assert_eq!((read[0].name.as_deref(), read[0].texts.of(Field::Value)), (Some("Purchase"), None));
    for (body, field) in [
        ("{}", "data.object"),
        (r#"{"type":"t","data":{"object":{}},"created":1}"#, "id"),
        (r#"{"type":"t","data":{"object":{}},"id":"evt_1"}"#, "created"),
        (r#"{"data":{"object":{}},"id":"evt_1","created":1}"#, "type"),
        ("[1]", "data.object"),
        ("x", ""),
        ("", ""),
    ] {
        let Err(Refusal::Problems(refused)) = read_body("k=shop&source=stripe", body) else { panic!("{body}") };
        assert_eq!(refused.field(), field, "{body}");
    }
}

#[test]
fn what_a_shop_wrote_on_it_never_costs_it_the_event() {
    let long = "x".repeat(9_000);
    let lines = vec![r#"{"description":"Gold","amount":100}"#; 300].join(",");
    let many: Vec<String> = (0..300).map(|n| format!(r#""m{n}":"v""#)).collect();
    let data = format!(
        r#"{{"object":{{"id":"in_1","object":"invoice","amount_paid":5,"currency":"eur","lines":{{"data":[{lines}]}},
            "metadata":{{"items":"3 shirts","is_partial":"maybe","consent":"yes","clickTime":"soon","emailVariants":"[","value":"cheap",
            "currency":"euros","trl_test":"?","eventAttributes":"none","event_time":"soon","long":"{long}","email":"{long}",
            "country":"Nowhere","gclid":"g-1",{}}},"subscription_details":{{"metadata":{{"plan":"Gold","gclid":"g-0"}}}}}}}}"#,
        many.join(",")
    );
    let event = event("invoice.paid", &data);
    let text = |field| event.texts.of(field);
    assert_eq!(
        (text(Field::Value), text(Field::Currency), text(Field::Gclid)),
        (Some("0.05"), Some("EUR"), Some("g-1"))
    );
    assert_eq!((text(Field::Email), event.items.len(), event.is_partial, event.is_test), (None, 200, false, false));
    for (name, value) in
        [("items", "3 shirts"), ("consent", "yes"), ("currency", "euros"), ("plan", "Gold"), ("m9", "v")]
    {
        assert_eq!(event.attribute(name), Some(&Value::from(value)), "{name}");
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_reader_panic(
        kind in "charge|invoice|subscription|payment_intent|checkout.session|\\PC{0,9}",
        amount in "-?[0-9]{1,21}|null|\"\\PC{0,5}\"|\\{\\}|\\[\\]",
        currency in "\"[a-zA-Z]{0,4}\"|null|7",
    ) {
        let body = format!(
            r#"{{"id":"e","type":"charge.refunded","created":1,"data":{{"object":{{"object":"{kind}","amount":{amount},"amount_total":{amount},
                "amount_refunded":{amount},"amount_paid":{amount},"currency":{currency},"items":{{"data":[{{"price":{{"unit_amount":{amount}}},
                "quantity":{amount}}}]}},"metadata":{amount}}}}}}}"#
        );
        drop(read_body("k=shop", &body));
    }
}
