//! `${NAME}`, `${NAME:-default}` and `${file:/path}` in a setting.
//!
//! Refuses: letting what it put in be read by anybody: a substituted part is marked secret. A default that stands in
//! the file is not.

use std::path::Path;

use crate::model::secret::Text;

use super::files::{Files, ReadError};

/// Bytes of a file that a setting may take in: keys and certificates are far smaller.
pub const FILE_SIZE_MAX: usize = 64 * 1024;

/// What stands in for a variable that is not set, where that is accepted. A word that is also a valid host name.
const PLACEHOLDER: &str = "unset";

/// Where values come from.
pub struct Environment<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub files: &'a dyn Files,
    /// Accept what is not set.
    pub lenient: bool,
}

/// A setting's text after substitution.
#[derive(Clone, Debug, Default)]
pub struct Substituted {
    pub text: Text,
    /// The values put in, to be kept out of logs.
    pub secrets: Vec<String>,
    /// Some `${…}` was replaced, be it by a default.
    pub replaced: bool,
    /// Some part is a stand-in for a variable that is not set.
    pub incomplete: bool,
    /// (offset in the result, offset as written, bytes) of every part taken over as written.
    kept: Vec<(usize, usize, usize)>,
}

impl Substituted {
    /// Where in the text as written the byte `offset` of the result comes from.
    pub fn written_offset(&self, offset: usize) -> usize {
        let at = self.kept.iter().rev().find(|(result, ..)| *result <= offset);
        at.map_or(0, |(result, written, length)| written + (offset - result).min(*length))
    }

    /// Another text in its place, in which places as written can't be told any more.
    pub fn rewritten(self, text: Text) -> Self {
        Self { text, kept: Vec::new(), ..self }
    }

    fn keep(&mut self, written: &str, range: std::ops::Range<usize>) {
        self.kept.push((self.text.len(), range.start, range.len()));
        self.text.push(&written[range]);
    }
}

/// A mistake at a byte offset of the text as written.
#[derive(Debug, PartialEq, Eq)]
pub struct SubstitutionError {
    pub offset: usize,
    pub message: String,
    pub is_warning: bool,
}

/// Replaces every `${…}` of `written`; `$${` writes a literal `${`. Every mistake is reported, and leaves a stand-in.
pub fn substitute(written: &str, environment: &Environment<'_>) -> (Substituted, Vec<SubstitutionError>) {
    let mut out = Substituted::default();
    let mut errors = Vec::new();
    let mut from = 0;
    while let Some(found) = written[from..].find("${") {
        let at = from + found;
        if written[from..at].ends_with('$') {
            out.keep(written, from..at - 1);
            out.keep(written, at..at + 2);
            from = at + 2;
            continue;
        }
        out.keep(written, from..at);
        let Some(length) = written[at..].find('}') else {
            let message = format!("`{}` is not closed by `}}`; a literal `${{` is written `$${{`", &written[at..]);
            errors.push(SubstitutionError { offset: at, message, is_warning: false });
            return (out, errors);
        };
        let inner = &written[at + 2..at + length];
        out.replaced = true;
        match resolve(inner, environment) {
            Ok(Found { value, secret, warning }) => {
                if secret {
                    out.text.push_secret(&value);
                    out.secrets.push(value);
                } else {
                    out.text.push(&value);
                }
                errors.extend(warning.map(|message| SubstitutionError { offset: at, message, is_warning: true }));
            }
            Err(Missing { message, forgivable }) => {
                out.incomplete = true;
                out.text.push(PLACEHOLDER);
                if !(forgivable && environment.lenient) {
                    errors.push(SubstitutionError { offset: at, message, is_warning: false });
                }
            }
        }
        from = at + length + 1;
    }
    out.keep(written, from..written.len());
    (out, errors)
}

struct Found {
    value: String,
    secret: bool,
    warning: Option<String>,
}

struct Missing {
    message: String,
    /// The world outside lacks it; the file is fine.
    forgivable: bool,
}

fn resolve(inner: &str, environment: &Environment<'_>) -> Result<Found, Missing> {
    if let Some(path) = inner.strip_prefix("file:") {
        return read_file(path, environment);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid || default.is_some_and(|d| d.contains("${")) {
        let message = format!(
            "`${{{inner}}}` cannot be read: write ${{NAME}}, ${{NAME:-default}} or ${{file:/path}}, \
             and $${{ for a literal `${{`"
        );
        return Err(Missing { message, forgivable: false });
    }
    match ((environment.variable)(name), default) {
        (Some(value), None) => Ok(Found { value, secret: true, warning: None }),
        (Some(value), Some(_)) if !value.is_empty() => Ok(Found { value, secret: true, warning: None }),
        (_, Some(default)) => Ok(Found { value: default.to_owned(), secret: false, warning: None }),
        (None, None) => Err(Missing {
            message: format!(
                "`${{{name}}}`: the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            ),
            forgivable: true,
        }),
    }
}

fn read_file(path: &str, environment: &Environment<'_>) -> Result<Found, Missing> {
    let missing = |why: String| Missing { message: format!("`${{file:{path}}}`: {why}"), forgivable: true };
    let path = Path::new(path);
    if !path.is_absolute() {
        return Err(Missing { forgivable: false, ..missing("write the whole path, from / on".to_owned()) });
    }
    let bytes = environment.files.read(path, FILE_SIZE_MAX).map_err(|error| match error {
        ReadError::Missing => missing("there is no such file".to_owned()),
        ReadError::TooLarge => Missing { forgivable: false, ..missing(format!("larger than {FILE_SIZE_MAX} bytes")) },
        ReadError::Other(why) => missing(why),
    })?;
    let text =
        String::from_utf8(bytes).map_err(|_| Missing { forgivable: false, ..missing("not UTF-8 text".to_owned()) })?;
    let trimmed = text.strip_suffix('\n').map_or(&*text, |t| t.strip_suffix('\r').unwrap_or(t));
    let warning = environment.files.others_may_read(path).then(|| {
        format!("`${{file:{p}}}`: others on this machine may read the file; `chmod 600 {p}`", p = path.display())
    });
    Ok(Found { value: trimmed.to_owned(), secret: true, warning })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Memory;

    fn run(written: &str, lenient: bool) -> (Substituted, Vec<String>) {
        let variable = |name: &str| match name {
            "TOKEN" => Some("s3cr3t".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let files = Memory::default()
            .with("/run/key", "from-file\n")
            .with("/run/two", "a\n\n")
            .with("/run/big", &"x".repeat(FILE_SIZE_MAX + 1));
        let (out, errors) = substitute(written, &Environment { variable: &variable, files: &files, lenient });
        (out, errors.into_iter().map(|e| format!("{}: {}", e.offset, e.message)).collect())
    }

    #[test]
    fn values_are_put_in_and_marked() {
        for (written, whole, masked) in [
            ("plain", "plain", "plain"),
            ("Bearer ${TOKEN}!", "Bearer s3cr3t!", "Bearer ***!"),
            ("${NOPE:-ten}", "ten", "ten"),
            ("${EMPTY:-ten}", "ten", "ten"),
            ("${NOPE:-}", "", ""),
            ("${TOKEN:-ten}", "s3cr3t", "***"),
            ("a${EMPTY}b", "ab", "ab"),
            ("${file:/run/key}", "from-file", "***"),
            ("${file:/run/two}", "a\n", "***"),
            ("$${TOKEN} ${TOKEN}", "${TOKEN} s3cr3t", "${TOKEN} ***"),
            ("costs $5 {x}", "costs $5 {x}", "costs $5 {x}"),
        ] {
            let (out, errors) = run(written, false);
            assert_eq!((out.text.reveal(), &*out.text.masked()), (whole, masked), "{written}");
            assert_eq!(errors, Vec::<String>::new(), "{written}");
        }
    }

    #[test]
    fn mistakes_are_named_where_they_stand() {
        for (written, lenient_too, expect) in [
            ("x ${NOPE} ${NOPE}", false, "2: `${NOPE}`: the environment variable NOPE is not set"),
            ("${NOPE", true, "0: `${NOPE` is not closed"),
            ("${1X}", true, "0: `${1X}` cannot be read"),
            ("${A:-${B}}", true, "0: `${A:-${B}` cannot be read"),
            ("${file:key}", true, "0: `${file:key}`: write the whole path"),
            ("${file:/none}", false, "0: `${file:/none}`: there is no such file"),
            ("${file:/run/big}", true, "0: `${file:/run/big}`: larger than 65536 bytes"),
        ] {
            let (_, errors) = run(written, false);
            assert!(errors[0].starts_with(expect), "{written}: {errors:?}");
            assert_eq!(run(written, true).1.is_empty(), !lenient_too, "{written}");
        }
        assert!(run("${NOPE}", true).0.incomplete);
    }

    #[test]
    fn an_offset_is_found_again_as_written() {
        let (out, _) = run("ab${TOKEN}cd$${e", false);
        assert_eq!(out.text.reveal(), "abs3cr3tcd${e");
        let find = |what: &str| out.written_offset(out.text.reveal().find(what).unwrap());
        assert_eq!((find("b"), find("cd"), find("${")), (1, 10, 13));
    }
}
