//! What the program says of itself while it runs: the log.

use tracing_subscriber::EnvFilter;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Warnings, and what an operator wants to know.
    #[default]
    Normal,
    /// Each peer and request.
    Verbose,
    /// Everything, libraries too.
    Everything,
}

/// Sends the log to standard error. `RUST_LOG`, where it is set, says more exactly what is wanted.
///
/// Called once, by the program; a second call does nothing.
pub fn init(verbosity: Verbosity) {
    let wanted = match verbosity {
        Verbosity::Quiet => "error",
        Verbosity::Normal => "warn,sower=info",
        Verbosity::Verbose => "info,sower=debug",
        Verbosity::Everything => "debug,sower=trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(wanted));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}
