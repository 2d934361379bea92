//! The door: arguments in, exit code out.

use std::process::ExitCode;

use lobtape::cli::Counting;

/// Returns freed memory to the system more readily than the system's own allocator under bursts of frames.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);
#[cfg(not(feature = "mimalloc"))]
#[global_allocator]
static ALLOCATOR: Counting<std::alloc::System> = Counting(std::alloc::System);

fn main() -> ExitCode {
    // Fails only if a provider is installed already; then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    lobtape::cli::main()
}
