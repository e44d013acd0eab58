//! What an event of Stripe is worth: a whole number of the currency's smallest unit, made the decimal it stands for.
//!
//! Refuses: floating point.

use rust_decimal::Decimal;

use super::object::at;
use crate::model::value::Value;

/// Currencies whose unit is the smallest (docs.stripe.com/currencies, zero-decimal). Stripe counts ISK and UGX, which have
/// no smaller unit either, in hundredths all the same (there, special cases), and HUF and TWD in charges too.
const ZERO_DECIMAL: &[&str] =
    &["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"];

/// Currencies that are counted in thousandths (docs.stripe.com/currencies, three-decimal).
const THREE_DECIMAL: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];

/// The sum of an event of this kind about `object`, and its currency; `None` where it has none.
pub(super) fn of(kind: &str, object: &Value, previous: Option<&Value>) -> Option<(String, String)> {
    let currency = at(object, &["currency"])?.scalar()?.to_ascii_uppercase();
    let minor = match at(object, &["object"])?.scalar()? {
        "checkout.session" => whole(at(object, &["amount_total"])?)?,
        "payment_intent" => received(object)?,
        // All refunds of the charge so far; what this one added is told by what was there before.
        "charge" if kind.starts_with("charge.refund") => {
            let before = previous.and_then(|previous| whole(at(previous, &["amount_refunded"])?)).unwrap_or(0);
            whole(at(object, &["amount_refunded"])?)?.checked_sub(before)?
        }
        "charge" | "refund" => whole(at(object, &["amount"])?)?,
        "invoice" => whole(at(object, &["amount_paid"])?)?,
        "subscription" => subscribed(object)?,
        _ => whole(at(object, &["amount_total"]).or_else(|| at(object, &["amount"]))?)?,
    };
    Some((decimal(minor, &currency), currency))
}

/// What was received of a payment; of one that is still to be made, what is asked for.
fn received(object: &Value) -> Option<i64> {
    let received = at(object, &["amount_received"]).and_then(whole).filter(|received| *received != 0);
    received.or_else(|| whole(at(object, &["amount"])?))
}

/// What one period of a subscription costs: its items, each price times its quantity.
fn subscribed(object: &Value) -> Option<i64> {
    let Value::List(items) = at(object, &["items", "data"])? else { return None };
    let mut sum: i64 = 0;
    for item in items {
        let price = whole(at(item, &["price", "unit_amount"]).or_else(|| at(item, &["plan", "amount"]))?)?;
        let quantity = at(item, &["quantity"]).and_then(whole).unwrap_or(1);
        sum = sum.checked_add(price.checked_mul(quantity)?)?;
    }
    Some(sum)
}

fn whole(value: &Value) -> Option<i64> {
    value.scalar()?.parse().ok()
}

/// `minor` units of a currency as a decimal of as many places as Stripe counts in it.
pub(super) fn decimal(minor: i64, currency: &str) -> String {
    let places = match currency {
        zero if ZERO_DECIMAL.contains(&zero) => 0,
        three if THREE_DECIMAL.contains(&three) => 3,
        _ => 2,
    };
    Decimal::new(minor, places).to_string()
}
