//! What the repository hands to its users as a start must be accepted by the binary it hands them.
//!
//! Refuses: reading the samples itself; `postbackd check` does.

use std::path::Path;

use crate::daemon::BINARY;

#[test]
fn the_sample_configuration_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = std::process::Command::new(BINARY);
    command.args(["check", "--no-env", "--config", "config/postbackd.yaml"]).current_dir(root);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
}
