//! `sower serve`: the whole server, until it is told to stop.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::say;
use super::signals::stop_on_signal;
use crate::app::App;
use crate::config::Loaded;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Write one JSON line, {"listen":"…","url":"…"}, to this file when the server can serve
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Write that line to this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "ready_file")]
    ready_fd: Option<u32>,
}

#[derive(Serialize)]
struct Ready {
    listen: String,
    url: String,
}

impl ServeArgs {
    /// Serves as the configuration that `load` gives says, and follows it at each SIGHUP as far as it can.
    pub(super) async fn run(self, load: impl Fn() -> anyhow::Result<Loaded>) -> anyhow::Result<()> {
        let mut in_force = load()?;
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        let mut hangup = signal(SignalKind::hangup())?;
        let app = App::start(in_force.config.clone(), shutdown.clone()).await?;
        say(format_args!("Sower is at {}", app.url()))?;
        if let Some(link) = app.setup_link() {
            say(format_args!("Create the administrator: {link}"))?;
        }
        let ready = Ready {
            listen: app.listen().to_string(),
            url: app.url().to_string(),
        };
        self.announce(&ready)
            .context("the ready line cannot be written")?;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = hangup.recv() => match load() {
                    Ok(loaded) => follow(&app, &mut in_force, loaded),
                    Err(error) => tracing::error!("the configuration stays as it was: {error:#}"),
                },
            }
        }
        app.finished().await;
        Ok(())
    }

    fn announce(&self, ready: &Ready) -> anyhow::Result<()> {
        let line = format!("{}\n", serde_json::to_string(ready)?);
        if let Some(path) = &self.ready_file {
            // Whoever waits for the file shall never read half a line.
            let unfinished = path.with_extension("unfinished");
            std::fs::write(&unfinished, &line)?;
            std::fs::rename(&unfinished, path)?;
        }
        if let Some(descriptor) = self.ready_fd {
            let mut open = File::options()
                .append(true)
                .open(format!("/dev/fd/{descriptor}"))?;
            open.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// Adjusts the server to what was loaded, and says of each key that has changed what that means.
fn follow(app: &App, in_force: &mut Loaded, loaded: Loaded) {
    app.adjust(&loaded.config);
    let mut is_as_before = true;
    for (key, (value, origin)) in loaded.values {
        let Some(before) = in_force.values.get_mut(&key) else {
            continue;
        };
        if before.0 == value {
            continue;
        }
        is_as_before = false;
        if App::ADJUSTABLE.contains(&key.as_str()) {
            tracing::info!("from now on {key} = {value} (from {origin})");
            *before = (value, origin);
        } else {
            tracing::warn!("{key} = {value} (from {origin}) will hold after a restart");
        }
    }
    if is_as_before {
        tracing::info!("the configuration was read again, and nothing in it has changed");
    }
}
