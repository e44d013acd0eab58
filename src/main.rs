//! The program: chooses the TLS provider, hands over to the command line, ends with its exit code.
//!
//! Refuses: everything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First thing, since whatever speaks TLS asks for the process's provider. An error says that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    postbackd::cli::main()
}
