//! `sower serve`: the whole server, until it is told to stop.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
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
    pub(super) async fn run(self, loaded: Loaded) -> anyhow::Result<()> {
        let shutdown = CancellationToken::new();
        stop_on_signal(&shutdown)?;
        let app = App::start(loaded.config, shutdown).await?;
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
