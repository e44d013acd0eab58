//! The program: chooses the TLS provider, hands over to the command line, ends with its exit code.
//!
//! Refuses: everything else.

use std::process::ExitCode;

/// An event is some hundred small allocations, made by one thread and often freed by another, where the C library's
/// allocator takes a fifth of the daemon's time (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // First thing, since whatever speaks TLS asks for the process's provider. An error says that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    postbackd::cli::main()
}
