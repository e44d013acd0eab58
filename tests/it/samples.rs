//! What the repository hands to its users as a start must be accepted by the binary it hands them.
//!
//! Refuses: reading the samples itself; `postbackd check` does.

use std::path::Path;

use crate::daemon::BINARY;

#[test]
fn the_sample_configuration_is_accepted() {
    assert_checked("config/postbackd.yaml");
}

#[test]
fn every_ready_made_connector_sends_what_its_vectors_say() {
    assert_checked("tests/gallery/postbackd.yaml");
    let said = said(&["templates"], 0);
    for name in said.lines().filter_map(|line| line.split_whitespace().next()) {
        let vectors = root().join("tests/gallery/vectors").join(format!("{name}.yaml"));
        assert!(vectors.is_file(), "{name} has no vectors");
        let shown = self::said(&["templates", name], 0);
        assert!(shown.contains("settings:") && shown.contains(&format!("template: {name}")), "{shown}");
    }
}

fn assert_checked(config: &str) {
    said(&["check", "--no-env", "--config", config], 0);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(args: &[&str], exit: i32) -> String {
    let output = std::process::Command::new(BINARY).args(args).current_dir(root()).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "{said}");
    said
}
