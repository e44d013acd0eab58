//! Every key of a connector (SPEC section 4).
//!
//! Refuses: reading them.

use crate::config::shape::{Key, Shape, Table};

const TEXT: Shape = Shape::Text;
const CONTAINERS: Shape = Shape::OneOrList(&TEXT);
const ENTRIES: Shape = Shape::Entries;

/// Attempts of one lane in flight: beyond this a connector would starve the others of sockets.
pub const CONCURRENCY_MAX: u64 = 10_000;
const FAILURES_MAX: u64 = 1_000_000;

/// Letters, digits and hyphens: a name is a metric label and part of URLs.
pub const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,99}$";

pub const CONNECTOR: Table = Table {
    keys: &[
        Key::new("name", Shape::Pattern(NAME_PATTERN), "what the connector is called: a-z, 0-9 and -, unique")
            .required(),
        Key::new(
            "mode",
            Shape::Choice(&["enabled", "test", "disabled"]),
            "enabled sends; test runs the whole way and logs the request without sending; disabled is paused",
        )
        .or("test"),
        Key::new("containers", CONTAINERS, "names or keys of the containers it listens to; default: all"),
        Key::new(
            "triggers",
            Shape::OneOrList(&TEXT),
            "exact event names that trigger it, like [Purchase]; \"*\" is every track event",
        )
        .required(),
        Key::new(
            "require_consent",
            Shape::Choice(&["ads", "analytics"]),
            "skip events whose consent of this kind is not true; default: none",
        ),
        Key::new("when", Shape::List(&Shape::Object(&CONDITION)), "conditions that must all hold"),
        Key::new("event_names", Shape::Map(&TEXT), "what <<EVENT_NAME>> says in place of an event's own name"),
        Key::new(
            "click_matching",
            Shape::Object(&CLICK_MATCHING),
            "which click earns the event; left out, clicks play no part",
        ),
        Key::new("deduplicate", Shape::Object(&DEDUPLICATE), "one event per distinct value of a variable"),
        Key::new(
            "postback",
            Shape::Object(&POSTBACK),
            "the request to send, like {url: https://network.example/postback}",
        )
        .required(),
        Key::new(
            "template",
            TEXT,
            "a ready-made connector that this one is laid over; `postbackd templates` lists them",
        ),
        Key::new("settings", Shape::Map(&Shape::Text), "values for templates, as <<SETTING.name>>"),
        Key::new(
            "values",
            Shape::Map(&Shape::TemplateOr(&VALUE)),
            "texts put together from variables, as <<VALUES.name>>; {each_item: …, join: …} makes one of all items",
        ),
        Key::new("fixtures", Shape::List(&Shape::Object(&FIXTURE)), "examples that `postbackd check` runs"),
    ],
    refused: &[("pixel", "`pixel` is not available in this version: take it out, or keep it in a comment")],
};

/// A value made of all items.
pub const VALUE: Table = Table::of(&[
    Key::new("each_item", Shape::Template, "the text of one item, like <<ITEM.id>>").required(),
    Key::new("join", TEXT, "what stands between two").or(","),
]);

const SCALAR: Shape = Shape::Scalar;
const NUMBER: Shape = Shape::Number;

pub const CONDITION: Table = Table::of(&[
    Key::new("variable", TEXT, "the variable to compare, like VALUE or COUNTRY").required(),
    Key::new("eq", SCALAR, "equals this text"),
    Key::new("ne", SCALAR, "is missing, or does not equal this text"),
    Key::new("in", Shape::List(&SCALAR), "equals one of these texts"),
    Key::new("not_in", Shape::List(&SCALAR), "is missing, or equals none of these texts"),
    Key::new("gt", NUMBER, "is a number greater than this"),
    Key::new("gte", NUMBER, "is a number of at least this"),
    Key::new("lt", NUMBER, "is a number less than this"),
    Key::new("lte", NUMBER, "is a number of at most this"),
    Key::new("exists", Shape::Bool, "true: has a value; false: has none"),
    Key::new("matches", Shape::Regex, "matches this regular expression, anywhere unless it says ^ or $"),
]);

pub const CLICK_MATCHING: Table = Table::of(&[
    Key::new("required", Shape::Bool, "false: the event fires either way, <<IS_ATTRIBUTED>> tells").or("true"),
    Key::new(
        "param",
        Shape::OneOrList(&TEXT),
        "the query parameter of the click ID, like aff_click_id; a list gives aliases",
    )
    .required(),
    Key::new("unique", Shape::Bool, "true: a value stands for one click, however often it lands").or("false"),
    Key::new("param_case", Shape::Choice(&["exact", "ignore"]), "whether upper and lower case of `param` differ")
        .or("exact"),
    Key::new("source_param", TEXT, "the query parameter of the click's source; fills <<CLICK_SOURCE>>"),
    Key::new("source_value", TEXT, "only clicks with exactly this in `source_param` count as own"),
    Key::new(
        "model",
        Shape::Choice(&["last_click", "any_click"]),
        "last_click: no click of another source may be newer; any_click: the newest own click",
    )
    .or("last_click"),
    Key::new("window", Shape::Duration, "how old a click may be; at most retention.clicks").or("14d"),
    Key::new("wait", Shape::Duration, "how long an event waits for a click that arrives late; at most 90d").or("10m"),
    Key::new("settle", Shape::Duration, "how long a positive decision waits for rival clicks still under way").or("0s"),
]);

pub const DEDUPLICATE: Table = Table::of(&[
    Key::new("by", TEXT, "the variable whose value may come once, like TRANSACTION_ID").required(),
    Key::new("for", Shape::Duration, "how long a value is remembered, like 30d").required(),
]);

pub const POSTBACK: Table = Table::of(&[
    Key::new("enabled", Shape::Bool, "false: switched off, the settings kept").or("true"),
    Key::new("method", Shape::Choice(&["GET", "POST"]), "the HTTP method").or("GET"),
    Key::new("url", Shape::Template, "where to send it, like https://network.example/postback").required(),
    Key::new("params", ENTRIES, "GET: in the query string; POST: the form body"),
    Key::new("query", ENTRIES, "always in the URL"),
    Key::new("headers", Shape::Map(&Shape::Template), "request headers; `Idempotency-Key: null` takes that one off"),
    Key::new("body", Shape::Object(&BODY), "what a POST carries in place of params"),
    Key::new("for_each", Shape::Choice(&["items"]), "items: one delivery per item, with ITEM.x variables"),
    Key::new("sign", Shape::Object(&SIGN), "sign the request"),
    Key::new("auth", Shape::Object(&AUTH), "how the network knows who calls: one of basic, bearer, header and oauth2"),
    Key::new(
        "test_overlay",
        Shape::Object(&TEST_OVERLAY),
        "what is laid over the request where it is sent only because `trl_test=1` or a person asks for it",
    ),
    Key::new("timeout", Shape::Object(&TIMEOUT), "how long an attempt may take"),
    Key::new(
        "outcomes",
        Shape::List(&Shape::Object(&OUTCOME)),
        "what a reply means; the first match wins, then the defaults",
    ),
    Key::new("retry", Shape::Object(&RETRY), "when to try again"),
    Key::new("limits", Shape::Object(&LIMITS), "how much the network takes at once"),
    Key::new("breaker", Shape::Object(&BREAKER), "when to leave a failing network alone for a while"),
    Key::new("expires_after", Shape::Duration, "event age past which the network refuses it; default: never"),
    Key::new(
        "on_uncertain",
        Shape::Choice(&["resend", "hold", "drop"]),
        "after a crash in mid-attempt: resend, hold for a person, or drop",
    )
    .or("resend"),
]);

pub const BODY: Table = Table::of(&[
    Key::new("form", ENTRIES, "form fields"),
    Key::new("json", Shape::JsonTemplate, "a JSON value whose texts are templates"),
    Key::new("text", Shape::Template, "plain text"),
    Key::new("file", TEXT, "a Handlebars file in the templates folder, like order.json.hbs"),
]);

pub const SIGN: Table = Table::of(&[
    Key::new("scheme", Shape::Choice(&["standard-webhooks"]), "how to sign").required(),
    Key::new(
        "secret",
        Shape::OneOrList(&Shape::Template),
        "the key as whsec_<base64> or base64; a list of two signs with both while a secret is being changed",
    )
    .required(),
]);

pub const TEST_OVERLAY: Table = Table::of(&[
    Key::new("url", Shape::Template, "another address"),
    Key::new("params", ENTRIES, "more params, or others"),
    Key::new("query", ENTRIES, "more of the query"),
    Key::new("headers", Shape::Map(&Shape::Template), "more headers"),
    Key::new("body", Shape::Object(&BODY), "more of the body, of the same kind"),
]);

pub const AUTH: Table = Table::of(&[
    Key::new("basic", Shape::Object(&BASIC), "a name and a password, like those of a browser's login"),
    Key::new("bearer", Shape::Template, "a token that does not change, sent as `Authorization: Bearer …`"),
    Key::new("header", Shape::Object(&AUTH_HEADER), "a key in a header of the network's own"),
    Key::new("oauth2", Shape::Object(&OAUTH2), "access tokens from the network's token server, renewed in time"),
]);

pub const BASIC: Table = Table::of(&[
    Key::new("user", Shape::Template, "the name").required(),
    Key::new("password", Shape::Template, "the password").required(),
]);

pub const AUTH_HEADER: Table = Table::of(&[
    Key::new("name", TEXT, "the header's name, like x-api-key").required(),
    Key::new("value", Shape::Template, "what it says").required(),
]);

pub const OAUTH2: Table = Table::of(&[
    Key::new("grant", Shape::Choice(&["client_credentials", "refresh_token"]), "what a token is asked for with")
        .or("client_credentials"),
    Key::new("token_url", Shape::Template, "the token server, like https://network.example/oauth2/token").required(),
    Key::new("client_id", Shape::Template, "the client's id").required(),
    Key::new("client_secret", Shape::Template, "the client's secret").required(),
    Key::new("client_in", Shape::Choice(&["body", "header"]), "where the client shows itself to the token server")
        .or("body"),
    Key::new("refresh_token", Shape::Template, "with `grant: refresh_token`: what a person once granted"),
    Key::new("scope", Shape::Template, "what the token is to be good for, separated by spaces"),
]);

pub const TIMEOUT: Table = Table::of(&[
    Key::new("connect", Shape::Duration, "for name lookup, TCP and TLS").or("5s"),
    Key::new("total", Shape::Duration, "from dialling to the last byte of the reply").or("15s"),
]);

pub const OUTCOME: Table = Table::of(&[
    Key::new("status", Shape::Integer(100, 599), "the HTTP status"),
    Key::new("body_contains", TEXT, "a text in the reply's body"),
    Key::new("json", Shape::Object(&OUTCOME_JSON), "a value in the reply's JSON"),
    Key::new("then", Shape::Choice(&["delivered", "retry", "reject"]), "what the reply then means").required(),
    Key::new("after", Shape::Duration, "with `then: retry`: how long to wait, in place of the schedule"),
]);

pub const OUTCOME_JSON: Table = Table::of(&[
    Key::new("pointer", Shape::Pattern("^(/.*)?$"), "a JSON pointer (RFC 6901), like /code").required(),
    Key::new("equals", Shape::Any, "the value there equals this"),
    Key::new("not_equals", Shape::Any, "the value there does not equal this"),
    Key::new("exists", Shape::Bool, "true: there is a value; false: there is none"),
]);

pub const RETRY: Table = Table::of(&[
    Key::new("initial", Shape::Duration, "the first delay").or("10s"),
    Key::new("multiplier", Shape::Number, "by how much each delay is longer than the one before, 1 to 100").or("4"),
    Key::new("randomization", Shape::Number, "by what part of itself a delay varies, 0 to below 1").or("0.2"),
    Key::new("max_interval", Shape::Duration, "the longest delay").or("6h"),
    Key::new("max_elapsed", Shape::Duration, "how long after the first attempt was due the last may be").or("72h"),
]);

pub const LIMITS: Table = Table::of(&[
    Key::new("concurrency", Shape::Integer(1, CONCURRENCY_MAX), "attempts in flight at once").or("32"),
    Key::new("rate", Shape::Rate, "requests per unit of time, like 100/s or 30/m; default: no limit"),
]);

pub const BREAKER: Table = Table::of(&[
    Key::new("failures", Shape::Integer(1, FAILURES_MAX), "consecutive failures that open it").or("10"),
    Key::new("open_for", Shape::Duration, "how long it stays open between probes").or("30s"),
]);

pub const FIXTURE: Table = Table::of(&[
    Key::new("event", Shape::Any, "the event, with the fields of a message").required(),
    Key::new(
        "clicks",
        Shape::List(&Shape::Map(&TEXT)),
        "clicks the visitor made before, each a mapping of query parameters",
    ),
    Key::new("expect", Shape::Object(&EXPECT), "what must come of it: the request, or the reason of the skip")
        .required(),
]);

pub const EXPECT: Table = Table::of(&[
    Key::new("url", TEXT, "the whole URL"),
    Key::new("method", Shape::Choice(&["GET", "POST"]), "the HTTP method"),
    Key::new("headers", Shape::Map(&TEXT), "headers that must be there"),
    Key::new("body", TEXT, "the body as text"),
    Key::new("form", Shape::Map(&TEXT), "the form fields of the body"),
    Key::new("json", Shape::Any, "the body as JSON"),
    Key::new("reason", TEXT, "why nothing is sent, like no_click"),
]);
