//! Which variables are fields, and whose.
//!
//! Refuses: variables that have to be worked out.

use crate::model::field::Field;
use crate::model::variable::Variable;

/// Where the value of a variable comes from that is a field of the event alone.
pub fn event_field(variable: Variable) -> Option<Field> {
    Some(match variable {
        Variable::EventUrl => Field::Url,
        Variable::Referrer => Field::Referrer,
        Variable::ActionSource => Field::ActionSource,
        Variable::Currency => Field::Currency,
        Variable::TransactionId => Field::TransactionId,
        Variable::OrderId => Field::OrderId,
        Variable::Status => Field::Status,
        Variable::Coupon => Field::Coupon,
        _ => return None,
    })
}

/// Likewise, for amounts.
pub fn amount_field(variable: Variable) -> Option<Field> {
    Some(match variable {
        Variable::Value => Field::Value,
        Variable::Payout => Field::Payout,
        Variable::Discount => Field::Discount,
        Variable::Tax => Field::Tax,
        Variable::Shipping => Field::Shipping,
        Variable::Quantity => Field::Quantity,
        _ => return None,
    })
}

/// Likewise, for fields that the visitor is remembered by.
pub fn visitor_field(variable: Variable) -> Option<Field> {
    Some(match variable {
        Variable::Gclid => Field::Gclid,
        Variable::Gbraid => Field::Gbraid,
        Variable::Wbraid => Field::Wbraid,
        Variable::Dclid => Field::Dclid,
        Variable::Fbclid => Field::Fbclid,
        Variable::Fbp => Field::Fbp,
        Variable::Ttclid => Field::Ttclid,
        Variable::Ttp => Field::Ttp,
        Variable::Msclkid => Field::Msclkid,
        Variable::Epik => Field::Epik,
        Variable::RdtCid => Field::RdtCid,
        Variable::Sccid => Field::Sccid,
        Variable::LiFatId => Field::LiFatId,
        Variable::Twclid => Field::Twclid,
        Variable::Qclid => Field::Qclid,
        Variable::Awc => Field::Awc,
        Variable::Cjevent => Field::Cjevent,
        Variable::Irclickid => Field::Irclickid,
        Variable::Trls => Field::Trls,
        Variable::Trlc => Field::Trlc,
        Variable::UtmSource => Field::UtmSource,
        Variable::UtmMedium => Field::UtmMedium,
        Variable::UtmCampaign => Field::UtmCampaign,
        Variable::UtmContent => Field::UtmContent,
        Variable::UtmTerm => Field::UtmTerm,
        Variable::SessionId => Field::SessionId,
        Variable::ClientId => Field::ClientId,
        Variable::Email => Field::Email,
        Variable::Phone => Field::PhoneNumber,
        Variable::FirstName => Field::FirstName,
        Variable::LastName => Field::LastName,
        Variable::Birthday => Field::Birthday,
        Variable::Gender => Field::Gender,
        Variable::Address => Field::Address,
        Variable::PostCode => Field::PostCode,
        Variable::City => Field::City,
        Variable::Region => Field::Region,
        Variable::Language => Field::Language,
        Variable::Ip => Field::Ip,
        Variable::UserAgent => Field::UserAgent,
        _ => return None,
    })
}
