//! The closed set of filters (SPEC section 6): one table of names, argument forms and meanings, and the filters with
//! their arguments read.
//!
//! Refuses: applying them; that is `rules::filter`.

use jiff::fmt::strtime;
use rust_decimal::Decimal;

use super::spelling::nearest;
use super::time::Time;

/// How `email_norm` makes two spellings of one address equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailRule {
    /// Trimmed and in lower case (Meta, TikTok, Pinterest, Snap, X).
    Plain,
    /// Without the dots of the local part, for gmail.com and googlemail.com (Google).
    Gmail,
    /// Without dots and `+suffix` in the local part, for every domain (Microsoft, Reddit).
    All,
}

/// One filter, its arguments read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    Default(Box<str>),
    Required,
    Empty,
    Trim,
    Lower,
    Upper,
    NoSpace,
    Digits,
    /// Characters to keep.
    Truncate(usize),
    /// `from` is never empty.
    Replace {
        from: Box<str>,
        to: Box<str>,
    },
    EmailNorm(EmailRule),
    E164,
    E164Digits,
    Md5,
    Sha1,
    Sha256,
    /// Keyed by the setting of this name.
    HmacSha256(Box<str>),
    Base64,
    Hex,
    UrlEncode,
    Json,
    Html,
    Js,
    Raw,
    /// A `strftime` format that is known to work.
    Date(Box<str>),
    Iso,
    Unix,
    UnixMs,
    /// Digits after the point.
    Fixed(u32),
    Int,
    Minor,
    Mul(Decimal),
    Number,
    String,
    /// The pairs in order, and what `*` gives to all other values; without it they stay as they are.
    Map {
        pairs: Vec<(Box<str>, Box<str>)>,
        otherwise: Option<Box<str>>,
    },
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterDoc {
    pub name: &'static str,
    /// The argument's form; empty where there is none.
    pub argument: &'static str,
    pub meaning: &'static str,
}

const fn row(name: &'static str, argument: &'static str, meaning: &'static str) -> FilterDoc {
    FilterDoc { name, argument, meaning }
}

/// Every filter, in the order of SPEC section 6.
pub const FILTERS: &[FilterDoc] = &[
    row("default", "x", "x where there is no value"),
    row("required", "", "without a value the delivery is skipped with `missing_variable`"),
    row("empty", "", "keeps the entry as `name=` where there is no value"),
    row("trim", "", "no space at either end"),
    row("lower", "", "lower case"),
    row("upper", "", "upper case"),
    row("nospace", "", "no space anywhere"),
    row("digits", "", "only the digits 0 to 9"),
    row("truncate", "n", "the first n characters"),
    row("replace", "a,b", "b in place of every a"),
    row(
        "email_norm",
        "plain|gmail|all",
        "plain: trimmed, lower case; gmail: and no dots before @gmail.com; all: and no dots or +suffix in any address",
    ),
    row("e164", "", "phone number as `+358401234567`; a national one is read by COUNTRY"),
    row("e164_digits", "", "phone number as `358401234567`"),
    row("md5", "", "MD5 in hex; a value of 32 hex digits passes, empty stays empty"),
    row("sha1", "", "SHA-1 in hex; a value of 40 hex digits passes, empty stays empty"),
    row("sha256", "", "SHA-256 in hex; a value of 64 hex digits passes, empty stays empty"),
    row("hmac_sha256", "name", "HMAC-SHA-256 in hex, keyed by the setting `name`"),
    row("base64", "", "base64; right after a hash, of the hash's bytes"),
    row("hex", "", "the text's bytes in hex; right after a hash, the hash's"),
    row("urlencode", "", "percent-encoded, on top of what the place does"),
    row("json", "", "the value as JSON; last in its expression, which in a JSON body stands alone"),
    row("html", "", "escaped for HTML, on top of what the place does"),
    row("js", "", "escaped for a JavaScript string, on top of what the place does"),
    row("raw", "", "without the escaping of its place; not in headers"),
    row("date", "fmt", "the time by a strftime format, in UTC: `date:%Y-%m-%d`"),
    row("iso", "", "the time as ISO 8601 in UTC"),
    row("unix", "", "the time in seconds since 1970"),
    row("unix_ms", "", "the time in milliseconds since 1970"),
    row("fixed", "n", "n digits after the point, halves rounded away from zero"),
    row("int", "", "without its fraction"),
    row("minor", "", "in the smallest unit of CURRENCY: `99.00` is `9900`"),
    row("mul", "x", "multiplied by x"),
    row("number", "", "as a number; last in its expression, which in a JSON body stands alone"),
    row("string", "", "as text"),
    row("map", "a=1,b=2,*=x", "1 for a, 2 for b, x for all others; without `*` others stay as they are"),
];

/// The longest argument of a filter in bytes: it bounds how far `replace` and `default` can grow a value.
pub const ARGUMENT_MAX: usize = 1024;

/// Digits after the point that a decimal can hold.
const FIXED_MAX: u32 = 28;

impl Filter {
    /// The filter called `name` with `arguments` (what stood between its commas, unquoted).
    ///
    /// # Errors
    /// An unknown name or a wrong argument: what is wrong and what to write, without a full stop.
    pub fn parse(name: &str, arguments: &[String]) -> Result<Self, String> {
        if let Some(long) = arguments.iter().find(|a| ARGUMENT_MAX < a.len()) {
            return Err(format!(
                "the argument of `{name}` has {} bytes; at most {ARGUMENT_MAX} are allowed",
                long.len()
            ));
        }
        if let Some(bare) = Self::bare(name) {
            return match arguments {
                [] => Ok(bare),
                _ => Err(format!("the filter `{name}` takes no argument; write `|{name}`")),
            };
        }
        let Some(doc) = FILTERS.iter().find(|doc| doc.name == name) else {
            return Err(unknown(name));
        };
        let wrong = |problem: &str| format!("`{name}` {problem}; write `|{name}:{}`", doc.argument);
        let one = || match arguments {
            [only] => Ok(only.as_str()),
            [] => Err(wrong("needs an argument")),
            _ => Err(wrong("takes one argument (put it in quotes if it holds a comma)")),
        };
        match name {
            "default" => Ok(Self::Default(one()?.into())),
            "truncate" => one()?.trim().parse().map(Self::Truncate).map_err(|_| wrong("needs a whole number")),
            "replace" => match arguments {
                [from, to] if !from.is_empty() => {
                    Ok(Self::Replace { from: from.as_str().into(), to: to.as_str().into() })
                }
                [_, _] => Err(wrong("needs something to replace")),
                _ => Err(wrong("takes two arguments")),
            },
            "email_norm" if arguments.is_empty() => Ok(Self::EmailNorm(EmailRule::Plain)),
            "email_norm" => match one()?.trim() {
                "plain" => Ok(Self::EmailNorm(EmailRule::Plain)),
                "gmail" => Ok(Self::EmailNorm(EmailRule::Gmail)),
                "all" => Ok(Self::EmailNorm(EmailRule::All)),
                other => Err(wrong(&format!("does not know `{other}`"))),
            },
            "hmac_sha256" => match one()?.trim() {
                "" => Err(wrong("needs the name of a setting")),
                key => Ok(Self::HmacSha256(key.strip_prefix("SETTING.").unwrap_or(key).into())),
            },
            "date" => date(one()?),
            "fixed" => match one()?.trim().parse() {
                Ok(digits) if digits <= FIXED_MAX => Ok(Self::Fixed(digits)),
                _ => Err(wrong(&format!("needs a whole number from 0 to {FIXED_MAX}"))),
            },
            "mul" => one()?.trim().parse().map(Self::Mul).map_err(|_| wrong("needs a decimal number")),
            _ => map(arguments).ok_or_else(|| wrong("needs pairs `from=to` between commas")),
        }
    }

    fn bare(name: &str) -> Option<Self> {
        Some(match name {
            "required" => Self::Required,
            "empty" => Self::Empty,
            "trim" => Self::Trim,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "nospace" => Self::NoSpace,
            "digits" => Self::Digits,
            "e164" => Self::E164,
            "e164_digits" => Self::E164Digits,
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "base64" => Self::Base64,
            "hex" => Self::Hex,
            "urlencode" => Self::UrlEncode,
            "json" => Self::Json,
            "html" => Self::Html,
            "js" => Self::Js,
            "raw" => Self::Raw,
            "iso" => Self::Iso,
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMs,
            "int" => Self::Int,
            "minor" => Self::Minor,
            "number" => Self::Number,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// As it is written in a template.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Default(_) => "default",
            Self::Required => "required",
            Self::Empty => "empty",
            Self::Trim => "trim",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::NoSpace => "nospace",
            Self::Digits => "digits",
            Self::Truncate(_) => "truncate",
            Self::Replace { .. } => "replace",
            Self::EmailNorm(_) => "email_norm",
            Self::E164 => "e164",
            Self::E164Digits => "e164_digits",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::HmacSha256(_) => "hmac_sha256",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::UrlEncode => "urlencode",
            Self::Json => "json",
            Self::Html => "html",
            Self::Js => "js",
            Self::Raw => "raw",
            Self::Date(_) => "date",
            Self::Iso => "iso",
            Self::Unix => "unix",
            Self::UnixMs => "unix_ms",
            Self::Fixed(_) => "fixed",
            Self::Int => "int",
            Self::Minor => "minor",
            Self::Mul(_) => "mul",
            Self::Number => "number",
            Self::String => "string",
            Self::Map { .. } => "map",
        }
    }
}

/// What to say of a filter that does not exist.
pub fn unknown(name: &str) -> String {
    let known = || FILTERS.iter().map(|doc| doc.name);
    match nearest(name, known()) {
        Some(near) => format!("there is no filter `{name}`; did you mean `{near}`?"),
        None => format!("there is no filter `{name}`; there are {}", known().collect::<Vec<_>>().join(", ")),
    }
}

/// `time` by a `strftime` format, in UTC.
///
/// # Errors
/// The format is none; says why.
pub fn format_date(format: &str, time: Time) -> Result<String, String> {
    let zoned = time.timestamp().to_zoned(jiff::tz::TimeZone::UTC);
    strtime::format(format, &zoned).map_err(|e| e.to_string())
}

fn date(format: &str) -> Result<Filter, String> {
    if format.is_empty() {
        return Err("`date` needs a format; write for example `|date:%Y-%m-%d`".to_owned());
    }
    match format_date(format, Time::from_ms(0)) {
        Ok(_) => Ok(Filter::Date(format.into())),
        Err(why) => Err(format!("`{format}` is no date format ({why}); write for example `|date:%Y-%m-%d`")),
    }
}

fn map(arguments: &[String]) -> Option<Filter> {
    let mut pairs = Vec::with_capacity(arguments.len());
    let mut otherwise = None;
    for argument in arguments {
        match argument.split_once('=')? {
            ("*", to) => otherwise = Some(to.into()),
            (from, to) => pairs.push((from.into(), to.into())),
        }
    }
    let says_something = !pairs.is_empty() || otherwise.is_some();
    says_something.then_some(Filter::Map { pairs, otherwise })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, arguments: &[&str]) -> Result<Filter, String> {
        Filter::parse(name, &arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_filter_of_the_table_can_be_written() {
        for doc in FILTERS {
            let argument: &[&str] = match doc.name {
                "default" => &["x"],
                "truncate" | "fixed" => &["2"],
                "replace" => &["a", "b"],
                "email_norm" => &["gmail"],
                "hmac_sha256" => &["key"],
                "date" => &["%Y"],
                "mul" => &["1.5"],
                "map" => &["a=1", "*=x"],
                _ => &[],
            };
            let filter = parse(doc.name, argument).unwrap();
            assert_eq!(filter.name(), doc.name);
            assert_eq!(doc.argument.is_empty(), argument.is_empty(), "{}", doc.name);
            assert!(!argument.is_empty() || parse(doc.name, &["x"]).is_err(), "{}", doc.name);
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (name, arguments, says) in [
            ("lowr", &[][..], "did you mean `lower`?"),
            ("qqqqqq", &[], "there are default, required"),
            ("trim", &["x"], "takes no argument"),
            ("truncate", &["x"], "`|truncate:n`"),
            ("truncate", &[], "needs an argument"),
            ("replace", &["a"], "two arguments"),
            ("replace", &["", "b"], "something to replace"),
            ("email_norm", &["yahoo"], "`yahoo`"),
            ("fixed", &["29"], "0 to 28"),
            ("mul", &["a"], "decimal number"),
            ("date", &["%!"], "no date format"),
            ("map", &["a"], "from=to"),
            ("map", &[], "from=to"),
            ("hmac_sha256", &[" "], "name of a setting"),
            ("default", &["a", "b"], "quotes"),
        ] {
            let said = parse(name, arguments).unwrap_err();
            assert!(said.contains(says), "{name}: {said}");
        }
        assert!(parse("default", &[&"x".repeat(ARGUMENT_MAX + 1)]).unwrap_err().contains("1024"));
    }
}
