//! Where connectors are kept, asked of a configuration that may not be whole yet.
//!
//! Refuses: judging the rest of the file; `load` does.

use std::path::{Path, PathBuf};

use super::node::{Node, Tree};
use super::yaml;

/// Where connectors are looked for unless `connectors` says otherwise.
const DEFAULT: &str = "connectors/*.yaml";

/// The folder of the first glob of `connectors` in the text of a `postbackd.yaml` that lies in `folder`.
pub fn connectors_folder(text: &str, folder: &Path) -> PathBuf {
    let (documents, _) = yaml::read(text);
    let glob = documents.first().and_then(globs).unwrap_or_else(|| DEFAULT.to_owned());
    let plain = glob.find(['*', '?', '[']).map_or(&*glob, |at| &glob[..at]);
    let fixed = plain.rsplit_once('/').map_or("", |(folder, _)| if folder.is_empty() { "/" } else { folder });
    folder.join(fixed)
}

fn globs(root: &Node) -> Option<String> {
    let Tree::Map(members) = &root.tree else { return None };
    let named = &members.iter().find(|member| &*member.key == "connectors")?.value;
    let first = if let Tree::List(globs) = &named.tree { globs.first()? } else { named };
    first.scalar().map(|scalar| scalar.text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_what_stands_before_the_first_wildcard() {
        for (text, expect) in [
            ("", "/etc/p/connectors"),
            ("connectors: a/b/*.yaml", "/etc/p/a/b"),
            ("connectors: [x/*.yaml, y/*.yaml]", "/etc/p/x"),
            ("connectors: /opt/c/*.yaml", "/opt/c"),
            ("connectors: one.yaml", "/etc/p/"),
            ("store: [broken", "/etc/p/connectors"),
        ] {
            assert_eq!(connectors_folder(text, Path::new("/etc/p")), Path::new(expect), "{text}");
        }
    }
}
