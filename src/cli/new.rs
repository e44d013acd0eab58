//! `postbackd new`: a connector to start from.
//!
//! Refuses: overwriting.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::out::Out;
use super::{Done, Exit, Failure, templates};
use crate::config::connectors_folder;

/// Longest name of a connector: it becomes a file's name and a label of metrics.
const NAME_MAX: usize = 64;

/// Write a connector to start from
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  postbackd new network-x\n  postbackd new my-pixel --template meta-conversions-api\n\n\
                        Writes NAME.yaml into the folder that `connectors` of the configuration names, in test mode: what \
                        would be sent is logged, and nothing is sent until you write `mode: enabled`."
)]
pub struct Args {
    /// The connector's name: a-z, 0-9 and -
    #[arg(value_parser = name)]
    name: String,
    /// A ready-made connector, of which only the settings are left to fill in
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let text = match &args.template {
        Some(template) => {
            let ready = templates::found(template)?;
            templates::connector(ready, &ready.read(), &args.name)
        }
        None => START.replace("NAME", &args.name),
    };
    let folder = folder(file)?;
    let path = folder.join(format!("{}.yaml", args.name));
    let failed = |e: &std::io::Error| Failure::new(Exit::No, format_args!("{} can't be written: {e}", path.display()));
    std::fs::create_dir_all(&folder).map_err(|e| failed(&e))?;
    let mut to = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(Exit::No, format_args!("{} exists already; choose another name", path.display()))
        }
        _ => failed(&e),
    })?;
    to.write_all(text.as_bytes()).map_err(|e| failed(&e))?;
    writeln!(out, "{}", path.display());
    writeln!(out, "edit it, then: postbackd check && postbackd test {}", args.name);
    Ok(Exit::Ok)
}

/// The folder that the configuration keeps connectors in, whatever else is still wrong with it.
fn folder(file: &Path) -> Result<PathBuf, Failure> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Failure::new(Exit::No, format_args!("{} can't be read: {e}", file.display()))),
    };
    Ok(connectors_folder(&text, file.parent().unwrap_or(Path::new(""))))
}

fn name(text: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(fine) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err(format!("a connector's name is 1 to {NAME_MAX} of a-z, 0-9 and -, like network-x"))
    }
}

const START: &str = r#"# Which events go to this network, which click must have earned them, and what is sent.
# postbackd variables   everything that may stand between << and >>
# postbackd check       finds every mistake, with its line
# postbackd test NAME   shows the request for a sample event
name: NAME

# test: decide and render and log, send nothing. Then: enabled.
mode: test

# Exact event names; "*" is every one.
triggers: [Purchase]

# Further conditions, all of which must hold:
# when:
#   - {variable: VALUE, gte: 10}
#   - {variable: COUNTRY, in: [FI, SE]}

# Only events of visitors who came by this network's click. Leave it out if clicks play no part.
click_matching:
  # The query parameter of the landing URL that carries the click ID.
  param: click_id
  # last_click: no other source's click is newer. any_click: the newest of its own.
  model: last_click
  window: 30d
  # For networks that share a parameter name with others:
  # source_param: utm_source
  # source_value: network

postback:
  method: GET
  url: https://network.example/postback
  params:
    clickid: <<CLICK_ID>>
    amount: <<VALUE|fixed:2>>
    currency: <<CURRENCY>>
    order: <<TRANSACTION_ID>>
  # Secrets come from the environment and are never shown:
  # headers: {Authorization: "Bearer ${NETWORK_TOKEN}"}

# Checked by `postbackd check`.
fixtures:
  - event: {track: Purchase, value: 15, currency: EUR, transactionId: A-1}
    clicks: [{click_id: abc}]
    expect: {url: "https://network.example/postback?clickid=abc&amount=15.00&currency=EUR&order=A-1"}
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fixture;
    use crate::config::files::Memory;
    use crate::config::{LoadOptions, load_from};

    #[test]
    fn what_is_written_passes_check() {
        let files = Memory::default()
            .with("postbackd.yaml", "connectors: connectors/*.yaml\ncontainers: [{key: k, name: shop}]\n")
            .with("connectors/network-x.yaml", &START.replace("NAME", "network-x"));
        let loaded = load_from(&files, Path::new("postbackd.yaml"), &|_| None, LoadOptions::default()).unwrap();
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.fixtures.len(), 1);
        assert_eq!(fixture::check(&loaded.config, &loaded.fixtures), Vec::<String>::new());
    }

    #[test]
    fn names_make_safe_files() {
        for (text, fine) in [
            ("network-x", true),
            ("a", true),
            ("", false),
            ("../x", false),
            ("Ab", false),
            ("-x", false),
            ("a b", false),
        ] {
            assert_eq!(name(text).is_ok(), fine, "{text}");
        }
    }
}
