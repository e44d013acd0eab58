//! The closed vocabulary of standard variables (SPEC section 6): one table, from which the code, `postbackd variables`
//! and the README read.
//!
//! Refuses: computing values; that is `rules::variables`.

/// What a variable speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    Event,
    Click,
    Visitor,
    Connector,
}

impl Group {
    /// In the order in which they are shown.
    pub const ALL: &[Group] = &[Self::Event, Self::Click, Self::Visitor, Self::Connector];

    /// Its heading.
    pub fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Click => "click",
            Self::Visitor => "visitor",
            Self::Connector => "connector",
        }
    }
}

/// What else is true of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Tells who the person is.
    Contact,
    /// Another value in another attempt.
    Attempt,
}

macro_rules! variables {
    ($($variant:ident $name:literal $group:ident $kind:ident $meaning:literal;)*) => {
        /// A standard variable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Variable { $(#[doc = $meaning] $variant,)* }

        impl Variable {
            /// Every one, in the order of SPEC section 6.
            pub const ALL: &[Variable] = &[$(Variable::$variant,)*];

            /// As it is written in a template.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// One line for `postbackd variables`.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// What it speaks of.
            pub fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)* }
            }

            fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)* }
            }

            fn exact(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

variables! {
    EventId "EVENT_ID" Event Plain "the event's deduplication id";
    EventName "EVENT_NAME" Event Plain "the event's name, as `event_names` maps it";
    EventNameRaw "EVENT_NAME_RAW" Event Plain "the event's name as sent";
    EventTime "EVENT_TIME" Event Plain "when it happened, ISO 8601 in UTC";
    EventTimeS "EVENT_TIME_S" Event Plain "when it happened, seconds since 1970";
    EventTimeMs "EVENT_TIME_MS" Event Plain "when it happened, milliseconds since 1970";
    EventTimeUs "EVENT_TIME_US" Event Plain "when it happened, microseconds since 1970";
    ReceivedTime "RECEIVED_TIME" Event Plain "when it was received, ISO 8601 in UTC";
    EventUrl "EVENT_URL" Event Plain "the page where it happened";
    EventDomain "EVENT_DOMAIN" Event Plain "`eventSourceDomain`, else the host of `EVENT_URL`";
    Referrer "REFERRER" Event Plain "the page's referrer";
    ActionSource "ACTION_SOURCE" Event Plain "where the action took place: web, app, store, …";
    Value "VALUE" Event Plain "the value as sent, `99.00` stays `99.00`";
    ValueMinor "VALUE_MINOR" Event Plain "the value in the currency's smallest unit: `9900`";
    Currency "CURRENCY" Event Plain "ISO 4217 code of the value";
    Payout "PAYOUT" Event Plain "`payout` as sent";
    TransactionId "TRANSACTION_ID" Event Plain "`transactionId`";
    OrderId "ORDER_ID" Event Plain "`orderId`";
    Status "STATUS" Event Plain "`status`";
    Coupon "COUPON" Event Plain "`coupon`";
    Discount "DISCOUNT" Event Plain "`discount` as sent";
    Tax "TAX" Event Plain "`tax` as sent";
    Shipping "SHIPPING" Event Plain "`shipping` as sent";
    Quantity "QUANTITY" Event Plain "`quantity` as sent";
    Items "ITEMS" Event Plain "the items as a JSON array";
    ItemCount "ITEM_COUNT" Event Plain "how many items there are";
    ItemIndex "ITEM_INDEX" Event Plain "the place of the item at hand, from 0";
    ItemNumber "ITEM_NUMBER" Event Plain "the place of the item at hand, from 1";
    ItemTotal "ITEM_TOTAL" Event Plain "price times quantity (else 1) of the item at hand";
    ProductId "PRODUCT_ID" Event Plain "id of the dearest item (else of the first)";
    ProductName "PRODUCT_NAME" Event Plain "name of the dearest item (else of the first)";
    ProductLink "PRODUCT_LINK" Event Plain "link of the dearest item (else of the first)";
    ProductImage "PRODUCT_IMAGE" Event Plain "image of the dearest item (else of the first)";
    ProductPrice "PRODUCT_PRICE" Event Plain "price of the dearest item (else of the first)";
    IsTest "IS_TEST" Event Plain "`true` where the event carries `trl_test=1`, else `false`";
    Container "CONTAINER" Event Plain "key of the container that sent the event";
    ClickId "CLICK_ID" Click Plain "the click ID of the click that earned the event";
    ClickParam "CLICK_PARAM" Click Plain "the query parameter that click ID came in";
    ClickSource "CLICK_SOURCE" Click Plain "the click's value of `source_param`";
    ClickTime "CLICK_TIME" Click Plain "when the visitor landed, ISO 8601 in UTC";
    ClickTimeS "CLICK_TIME_S" Click Plain "when the visitor landed, seconds since 1970";
    ClickTimeMs "CLICK_TIME_MS" Click Plain "when the visitor landed, milliseconds since 1970";
    ClickAgeS "CLICK_AGE_S" Click Plain "event time minus click time, whole seconds";
    ClickUrl "CLICK_URL" Click Plain "the landing URL";
    ClickReferrer "CLICK_REFERRER" Click Plain "the landing's referrer";
    ClickIp "CLICK_IP" Click Contact "the visitor's address at the landing";
    ClickUserAgent "CLICK_USER_AGENT" Click Plain "the visitor's browser at the landing";
    ClickCount "CLICK_COUNT" Click Plain "how many own clicks lay in the window";
    IsAttributed "IS_ATTRIBUTED" Click Plain "`true` where a click earned the event, else `false`";
    AttributionModel "ATTRIBUTION_MODEL" Click Plain "`last_click` or `any_click`";
    AttributionWindowS "ATTRIBUTION_WINDOW_S" Click Plain "the attribution window in seconds";
    Gclid "GCLID" Click Plain "Google click ID";
    Gbraid "GBRAID" Click Plain "Google click ID of iOS web campaigns";
    Wbraid "WBRAID" Click Plain "Google click ID of iOS app campaigns";
    Dclid "DCLID" Click Plain "Google Campaign Manager click ID";
    Fbclid "FBCLID" Click Plain "Meta click ID as on the URL";
    Fbc "FBC" Click Plain "Meta click ID in the form of its cookie; built from `fbclid` and its time where it was not sent";
    Fbp "FBP" Click Plain "Meta browser ID";
    Ttclid "TTCLID" Click Plain "TikTok click ID";
    Ttp "TTP" Click Plain "TikTok browser ID";
    Msclkid "MSCLKID" Click Plain "Microsoft click ID";
    Epik "EPIK" Click Plain "Pinterest click ID";
    RdtCid "RDT_CID" Click Plain "Reddit click ID";
    Sccid "SCCID" Click Plain "Snapchat click ID; `SCCLID` means the same";
    LiFatId "LI_FAT_ID" Click Plain "LinkedIn click ID";
    Twclid "TWCLID" Click Plain "X click ID";
    Qclid "QCLID" Click Plain "Quora click ID";
    Awc "AWC" Click Plain "Awin click ID";
    Cjevent "CJEVENT" Click Plain "CJ click ID";
    Irclickid "IRCLICKID" Click Plain "impact.com click ID";
    Trls "TRLS" Click Plain "source of `TRLC`";
    Trlc "TRLC" Click Plain "general-purpose click ID";
    UtmSource "UTM_SOURCE" Click Plain "campaign source";
    UtmMedium "UTM_MEDIUM" Click Plain "campaign medium";
    UtmCampaign "UTM_CAMPAIGN" Click Plain "campaign name";
    UtmContent "UTM_CONTENT" Click Plain "campaign content";
    UtmTerm "UTM_TERM" Click Plain "campaign term";
    SessionId "SESSION_ID" Visitor Plain "the sender's session id";
    SessionStart "SESSION_START" Visitor Plain "when the session began, ISO 8601 in UTC";
    LandingUrl "LANDING_URL" Visitor Plain "the session's first page";
    ClientId "CLIENT_ID" Visitor Plain "the sender's browser id";
    ExternalId "EXTERNAL_ID" Visitor Contact "`externalId`, else `priorityExternalId`";
    Email "EMAIL" Visitor Contact "e-mail address";
    Phone "PHONE" Visitor Contact "phone number";
    FirstName "FIRST_NAME" Visitor Contact "first name";
    LastName "LAST_NAME" Visitor Contact "last name";
    Birthday "BIRTHDAY" Visitor Contact "birthday as sent";
    Gender "GENDER" Visitor Contact "gender as sent";
    Address "ADDRESS" Visitor Contact "street address";
    PostCode "POST_CODE" Visitor Contact "post code; `ZIP` means the same";
    City "CITY" Visitor Contact "city";
    Region "REGION" Visitor Contact "region or state";
    Country "COUNTRY" Visitor Plain "ISO 3166 alpha-2 code of the country";
    CountryName "COUNTRY_NAME" Visitor Plain "English name of the country";
    Language "LANGUAGE" Visitor Plain "browser language";
    Ip "IP" Visitor Contact "the visitor's address";
    UserAgent "USER_AGENT" Visitor Plain "the visitor's browser";
    MatchType "MATCH_TYPE" Visitor Plain "what joined the event to a known visitor: session_id, email, …, time; empty for a new one";
    ConsentAds "CONSENT_ADS" Visitor Plain "`true` or `false` as the visitor said, empty where nothing was said";
    ConsentAnalytics "CONSENT_ANALYTICS" Visitor Plain "`true` or `false` as the visitor said, empty where nothing was said";
    ConnectorName "CONNECTOR_NAME" Connector Plain "the connector's name";
    Mode "MODE" Connector Plain "the connector's mode: enabled, test, disabled";
    DeliveryId "DELIVERY_ID" Connector Plain "the delivery's id, the same in every attempt";
    Attempt "ATTEMPT" Connector Attempt "number of the attempt, from 1";
    IsRepeat "IS_REPEAT" Connector Attempt "`true` where an earlier attempt may have arrived, else `false`";
    Now "NOW" Connector Attempt "time of the attempt, ISO 8601 in UTC";
    NowS "NOW_S" Connector Attempt "time of the attempt, seconds since 1970";
    NowMs "NOW_MS" Connector Attempt "time of the attempt, milliseconds since 1970";
    Uuid "UUID" Connector Plain "a UUID that is fixed per delivery";
}

/// Other names of standard variables.
pub const ALIASES: &[(&str, Variable)] = &[("SCCLID", Variable::Sccid), ("ZIP", Variable::PostCode)];

/// A slot that takes a name of the author's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSlot {
    /// As it is written, `x` standing for the author's part.
    pub form: &'static str,
    pub meaning: &'static str,
    pub group: Group,
}

/// The slots beside the standard variables, for `postbackd variables` and the README.
pub const OPEN_SLOTS: &[OpenSlot] = &[
    OpenSlot {
        form: "ITEM.x",
        meaning: "a member of the item at hand (`for_each: items`, `each_item`), at any depth",
        group: Group::Event,
    },
    OpenSlot {
        form: "EVENT.path",
        meaning: "a member of the event as the sender wrote it, at any depth: `EVENT.cart.lines.0.sku`",
        group: Group::Event,
    },
    OpenSlot {
        form: "ANY_ATTRIBUTE",
        meaning: "a custom attribute in upper snake case: `planName` is `PLAN_NAME`",
        group: Group::Event,
    },
    OpenSlot {
        form: "CLICK.param",
        meaning: "a query parameter of the landing URL of the click that earned the event",
        group: Group::Click,
    },
    OpenSlot {
        form: "VALUES.name",
        meaning: "one of the connector's `values`, put together from others",
        group: Group::Connector,
    },
    OpenSlot { form: "SETTING.name", meaning: "one of the connector's `settings`", group: Group::Connector },
];

impl Variable {
    /// The variable written `name`, or one of the [`ALIASES`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::exact(name).or_else(|| ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, variable)| *variable))
    }

    /// Whether it tells who the person is, and so has no place in the process log.
    pub fn is_contact(self) -> bool {
        self.kind() == Kind::Contact
    }

    /// Whether a later attempt of one delivery may see another value.
    pub fn changes_by_attempt(self) -> bool {
        self.kind() == Kind::Attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_found_by_its_name() {
        for variable in Variable::ALL {
            assert_eq!(Variable::from_name(variable.name()), Some(*variable));
            assert!(!variable.meaning().is_empty());
        }
        assert_eq!(Variable::from_name("SCCLID"), Some(Variable::Sccid));
        assert_eq!(Variable::from_name("ZIP"), Some(Variable::PostCode));
        assert_eq!(Variable::from_name("email"), None);
        assert_eq!(Variable::ALL.iter().filter(|v| v.changes_by_attempt()).count(), 5);
        assert!(Variable::Email.is_contact() && !Variable::ClickId.is_contact());
    }
}
