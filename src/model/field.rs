//! The standard text fields of an event (SPEC section 2.1), their spellings, and which of them are click IDs.
//!
//! Refuses: reading events. A dialect asks here what a name means.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

/// A standard field that holds one text. The fields that hold something else (name, time, items, consent, …) are members
/// of [`super::event::Event`].
macro_rules! fields {
    ($($variant:ident $name:literal $(| $alias:literal)* ;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field { $($variant,)* }

        impl Field {
            /// Every field, in the order of SPEC section 2.1.
            pub const ALL: &[Field] = &[$(Field::$variant,)*];

            /// The name in camelCase, as it is stored and shown.
            pub fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            /// Every spelling in camelCase.
            const SPELLINGS: &[(&str, Field)] = &[$(($name, Field::$variant), $(($alias, Field::$variant),)*)*];
        }
    };
}

fields! {
    Value "value";
    Currency "currency";
    Url "url";
    Referrer "referrer";
    SessionId "sessionId";
    ClientId "clientId";
    ExternalId "externalId";
    PriorityExternalId "priorityExternalId";
    Email "email";
    PhoneNumber "phoneNumber" | "phone";
    FirstName "firstName";
    LastName "lastName";
    Birthday "birthday";
    Gender "gender";
    Address "address";
    PostCode "postCode";
    City "city";
    Region "region" | "state" | "stateCode";
    Country "country" | "countryCode";
    Ip "ip";
    UserAgent "userAgent";
    Language "language";
    Gclid "gclid";
    Gbraid "gbraid";
    Wbraid "wbraid";
    Dclid "dclid";
    Fbclid "fbclid";
    Fbc "fbc";
    Fbp "fbp";
    Ttclid "ttclid";
    Ttp "ttp";
    Msclkid "msclkid";
    Epik "epik";
    RdtCid "rdtCid";
    Sccid "sccid" | "sccId" | "scCid";
    LiFatId "liFatId";
    Twclid "twclid";
    Qclid "qclid";
    Awc "awc";
    Cjevent "cjevent";
    Irclickid "irclickid";
    Trlc "trlc";
    Trls "trls";
    UtmSource "utmSource";
    UtmMedium "utmMedium";
    UtmCampaign "utmCampaign";
    UtmContent "utmContent";
    UtmTerm "utmTerm";
    ActionSource "actionSource";
    EventSourceDomain "eventSourceDomain";
    TransactionId "transactionId";
    OrderId "orderId";
    Status "status";
    Coupon "coupon";
    Discount "discount";
    Tax "tax";
    Shipping "shipping";
    Quantity "quantity";
    Payout "payout";
}

/// The standard click IDs: the field, and the query parameter a landing URL carries it in (compared without regard to
/// case, as CJ asks of `cjevent`). `fbc` holds an `fbclid` with its time and is listed under that parameter by
/// [`Field::click_param`]; `fbp`, `ttp` and `trls` are no clicks.
pub const CLICK_IDS: &[(Field, &str)] = &[
    (Field::Gclid, "gclid"),
    (Field::Gbraid, "gbraid"),
    (Field::Wbraid, "wbraid"),
    (Field::Dclid, "dclid"),
    (Field::Fbclid, "fbclid"),
    (Field::Ttclid, "ttclid"),
    (Field::Msclkid, "msclkid"),
    (Field::Epik, "epik"),
    (Field::RdtCid, "rdt_cid"),
    (Field::Sccid, "sccid"),
    (Field::LiFatId, "li_fat_id"),
    (Field::Twclid, "twclid"),
    (Field::Qclid, "qclid"),
    (Field::Awc, "awc"),
    (Field::Cjevent, "cjevent"),
    (Field::Irclickid, "irclickid"),
    (Field::Trlc, "trlc"),
];

impl Field {
    /// The field a sender means by `name`, in camelCase or snake_case; `None` for anything else.
    pub fn from_name(name: &str) -> Option<Self> {
        // Every field of every event is looked up, so not by comparing it with some seventy names.
        static BY_SPELLING: LazyLock<FxHashMap<&str, Field>> =
            LazyLock::new(|| Field::SPELLINGS.iter().copied().collect());
        let field = if name.contains('_') { BY_SPELLING.get(&*camel(name)) } else { BY_SPELLING.get(name) };
        field.copied()
    }

    /// The query parameter of the click this field carries, for the fields that are click IDs.
    pub fn click_param(self) -> Option<&'static str> {
        if self == Field::Fbc {
            return Some("fbclid");
        }
        CLICK_IDS.iter().find(|(field, _)| *field == self).map(|(_, param)| *param)
    }

    /// The standard click ID that the query parameter `param` is, whatever its case.
    pub fn from_click_param(param: &str) -> Option<Self> {
        // Asked of every click of a visitor, so not by comparing it with all of them.
        static BY_PARAM: LazyLock<FxHashMap<[u8; CLICK_PARAM_LEN], (usize, Field)>> = LazyLock::new(|| {
            let known = |(field, name): &(Field, &str)| (lower(name).expect("none is longer"), (name.len(), *field));
            CLICK_IDS.iter().map(known).collect()
        });
        BY_PARAM.get(&lower(param)?).filter(|(len, _)| *len == param.len()).map(|(_, field)| *field)
    }
}

/// Room for the longest parameter of [`CLICK_IDS`].
const CLICK_PARAM_LEN: usize = 16;

/// `name` in lower case and filled up with zeros; `None` where it is longer than that.
fn lower(name: &str) -> Option<[u8; CLICK_PARAM_LEN]> {
    let mut bytes = [0; CLICK_PARAM_LEN];
    bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    bytes.make_ascii_lowercase();
    Some(bytes)
}

/// `transaction_id` → `transactionId`; what holds no underscore stays.
pub fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        if c == '_' && !out.is_empty() {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
    }
    out
}

/// `transactionId` and `transaction_id` → `TRANSACTION_ID`: how templates name an attribute (SPEC section 6). Any
/// character that is no letter, digit or underscore becomes an underscore.
pub fn upper_snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() {
            out.extend(c.to_uppercase());
        } else {
            out.push('_');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_mean_the_same_field() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(*field));
            assert_eq!(Field::from_name(&upper_snake(field.name()).to_lowercase()), Some(*field));
        }
        assert_eq!(Field::from_name("state_code"), Some(Field::Region));
        assert_eq!(Field::from_name("phone"), Some(Field::PhoneNumber));
        assert_eq!(Field::from_name("plan"), None);
    }

    #[test]
    fn a_click_parameter_is_known_in_any_case_and_nothing_else_is() {
        for (field, name) in CLICK_IDS {
            assert_eq!(Field::from_click_param(name), Some(*field));
            assert_eq!(Field::from_click_param(&name.to_uppercase()), Some(*field));
            for other in [format!("{name}\0"), format!("{name}s"), format!("x{name}"), name[1..].to_owned()] {
                assert_eq!(Field::from_click_param(&other), None, "{other:?}");
            }
        }
        for other in ["", "aff_click_id", "sixteen_letters_", "and_more_than_that", "gclïd"] {
            assert_eq!(Field::from_click_param(other), None, "{other}");
        }
    }

    #[test]
    fn attributes_are_named_in_upper_snake_case() {
        for (name, expect) in [
            ("transactionId", "TRANSACTION_ID"),
            ("transaction_id", "TRANSACTION_ID"),
            ("plan", "PLAN"),
            ("ts_us", "TS_US"),
            ("orderID", "ORDER_ID"),
            ("line1Text", "LINE1_TEXT"),
            ("a-b c", "A_B_C"),
        ] {
            assert_eq!(upper_snake(name), expect);
        }
    }
}
