//! `sower config`: the configuration in force, and where each value came from.

use clap::Args;

use super::say;
use crate::config::{DEFAULTS, Loaded};

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Only check that the configuration is sound
    #[arg(long, conflicts_with = "defaults")]
    check: bool,
    /// Print the default configuration file, with a comment for each key
    #[arg(long)]
    defaults: bool,
}

impl ConfigArgs {
    pub(super) fn run(&self, load: impl FnOnce() -> anyhow::Result<Loaded>) -> anyhow::Result<()> {
        if self.defaults {
            say(DEFAULTS.trim_end())?;
            return Ok(());
        }
        let loaded = load()?;
        if self.check {
            say("the configuration is sound")?;
            return Ok(());
        }
        for (key, (value, origin)) in &loaded.values {
            say(format_args!("{key} = {value}  # {origin}"))?;
        }
        Ok(())
    }
}
