//! Being told to stop, by an operator or a person.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Begins shutdown at SIGTERM or Ctrl-C. A second signal ends the program at once.
pub(super) fn stop_on_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let shutdown = shutdown.clone();
    let wait = async move {
        for patience_is_over in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if patience_is_over {
                std::process::exit(1);
            }
            tracing::info!("stopping; a second signal stops at once");
            shutdown.cancel();
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "it must outlive the shutdown that tasks are waited for in"
    )]
    tokio::spawn(wait);
    Ok(())
}
