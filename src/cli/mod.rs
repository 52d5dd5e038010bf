//! The command line: a face of the library for people and scripts.
//!
//! Results go to standard output, progress and the log to standard error. Exit codes: 0 done, 1 the work failed, 2 wrong usage.

mod accounts;
mod answers;
mod ask;
mod configuration;
mod create;
mod download;
mod edit;
mod health;
mod magnet;
mod progress;
mod publish;
mod search;
mod serve;
mod show;
mod signals;
mod source;
mod verify;

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::config::{Config, ConfigError, Loaded};
use crate::telemetry::{self, Verbosity};

/// The file that is read where none is named, if it is there.
const DEFAULT_CONFIG: &str = "config.toml";

/// Where the help of a command lists what all commands have.
const BEHIND_OTHERS: usize = 900;

/// Publish files with BitTorrent: one program uploads, tracks, seeds and serves.
#[derive(Debug, Parser)]
#[command(name = "sower", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Args {
    /// The configuration file [default: config.toml, if it is there]
    #[arg(long, global = true, env = "SOWER_CONFIG", value_name = "FILE", display_order = BEHIND_OTHERS)]
    config: Option<PathBuf>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = BEHIND_OTHERS)]
    verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = BEHIND_OTHERS)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  sower serve                                     run the server, and print where it is
  sower user add ada --role admin                 make an account
  sower token create --user ada                   print an API token for it
  sower publish film.mkv --to https://s.example   upload it to a server, which publishes it
  sower create film.mkv -a udp://t.example:6969   make a torrent
  sower show film.mkv.torrent                     show what is in it
  sower verify film.mkv.torrent Downloads         check what lies there against it
  sower download debian.torrent -o Downloads      download a torrent
  sower scrape debian.torrent                     ask its trackers how many have it";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: pages, API, tracker and seed on one port
    Serve(serve::ServeArgs),
    /// Make and disable accounts, and see their passkeys
    #[command(subcommand)]
    User(accounts::UserCommand),
    /// Make API tokens
    #[command(subcommand)]
    Token(accounts::TokenCommand),
    /// Publish files: into the data directory, or on a server; goes on where it was
    Publish(Box<publish::PublishArgs>),
    /// Show the configuration in force, and where each value came from
    Config(configuration::ConfigArgs),
    /// Make torrent files of files and folders
    Create(Box<create::CreateArgs>),
    /// Check files against torrents, and name what is bad or missing; exits with 1 if anything is
    Verify(verify::VerifyArgs),
    /// Show everything that a torrent file or magnet link says
    Show(show::ShowArgs),
    /// Change torrent files around the info dictionary: trackers, web seeds, comment …
    Edit(Box<edit::EditArgs>),
    /// Print the magnet link of a torrent
    Magnet(magnet::MagnetArgs),
    /// Download a torrent from its peers; goes on where it was
    Download(download::DownloadArgs),
    /// Announce to a tracker, or to all of a torrent, and print everything that they say
    Announce(Box<ask::AnnounceArgs>),
    /// Ask a tracker, or all of a torrent, for the numbers of swarms
    Scrape(ask::ScrapeArgs),
    /// Ask a running server whether it can serve; exits with 1 if not
    Health(health::HealthArgs),
}

/// Runs the program: reads the arguments, does the work, and says how it went.
pub fn run() -> ExitCode {
    let args = Args::parse();
    telemetry::init(match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Everything,
    });
    // Installing twice is the only failure, and then a provider is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match perform(args) {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("sower: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let file = args.config.as_deref();
    runtime.block_on(async {
        match args.command {
            Command::Serve(serve) => serve.run(|| load(file)).await?,
            Command::User(command) => command.run(&load(file)?.config).await?,
            Command::Token(command) => command.run(&load(file)?.config).await?,
            Command::Publish(publish) => publish.run(&load(file)?.config).await?,
            Command::Create(create) => create.run(&load(file)?.config)?,
            Command::Verify(verify) => return verify.run(&load(file)?.config).await,
            Command::Show(show) => show.run(&load(file)?.config.torrent).await?,
            Command::Edit(edit) => edit.run(&load(file)?.config.torrent)?,
            Command::Magnet(magnet) => magnet.run(&load(file)?.config.torrent).await?,
            Command::Download(download) => download.run(&load(file)?.config).await?,
            Command::Announce(announce) => {
                return announce.run(&load(file)?.config.torrent).await;
            }
            Command::Scrape(scrape) => return scrape.run(&load(file)?.config.torrent).await,
            Command::Config(config) => config.run(|| load(file))?,
            Command::Health(health) => return health.run(|| load(file)).await,
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The configuration from the file that was named, or the default one if it is there, and the environment.
fn load(named: Option<&Path>) -> anyhow::Result<Loaded> {
    let default = Path::new(DEFAULT_CONFIG);
    let file = named.or_else(|| default.is_file().then_some(default));
    Loaded::read(file, std::env::vars()).map_err(|error| match error {
        ConfigError::File { .. } if named.is_none() => anyhow::Error::from(error).context(
            "a config.toml lies in this folder, so it was read; if it is another program's, name ours with --config FILE",
        ),
        _ => error.into(),
    })
}

/// Writes a line of the result to standard output. A reader that has gone away ends the program quietly, as in any pipe.
fn say(line: impl Display) -> io::Result<()> {
    pour(|out| writeln!(out, "{line}"))
}

/// Writes a result of many lines to standard output, as [`say`] does one.
fn pour(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written,
    }
}

/// Writes a line that is no result to standard error.
fn tell(line: impl Display) {
    // Where nobody can be told, nobody is.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Opens the database of the data directory, whether a server runs on it or not.
async fn open_database(config: &Config) -> anyhow::Result<crate::store::sqlite::SqliteStore> {
    Ok(crate::app::open_database(config).await?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }
}
