//! `sower health`: whether a server can serve, for scripts and containers.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::say;
use crate::config::Loaded;

/// How long a healthy server takes to answer, at most.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// The server's address [default: this machine, at the port of the configuration]
    url: Option<String>,
}

impl HealthArgs {
    pub(super) async fn run(
        self,
        load: impl FnOnce() -> anyhow::Result<Loaded>,
    ) -> anyhow::Result<ExitCode> {
        let url = match self.url {
            Some(url) => url,
            None => format!("http://127.0.0.1:{}", load()?.config.listen.0.port()),
        };
        let ready = format!("{}/readyz", url.trim_end_matches('/'));
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()?;
        let answer = client
            .get(&ready)
            .send()
            .await
            .with_context(|| format!("{ready} does not answer"))?;
        if answer.status().is_success() {
            say("ready")?;
            return Ok(ExitCode::SUCCESS);
        }
        say(format_args!(
            "not ready: {}",
            answer.text().await.unwrap_or_default().trim()
        ))?;
        Ok(ExitCode::FAILURE)
    }
}
