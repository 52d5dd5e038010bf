//! `sower user` and `sower token`: accounts, their passkeys and API tokens, in the data directory whether a server runs or not.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};

use super::{open_database, say};
use crate::ambient;
use crate::config::Config;
use crate::domain::account::{MAX_PASSWORD_LENGTH, Role, check_name, check_password};
use crate::domain::passkey::Passkey;
use crate::store::accounts::{AccountStore, NewToken};
use crate::store::passkeys::PasskeyStore;
use crate::web::{hash_password, new_token};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account
    Add(AddUser),
    /// Disable an account: it can no longer log in, and its tokens and passkey stop working
    Disable(DisableUser),
    /// Print an account's passkey for a private tracker
    Passkey(PasskeyOfUser),
}

#[derive(Debug, Args)]
pub(super) struct AddUser {
    /// The name to log in with, which publications carry
    name: String,
    /// What the account may do: admin or publisher
    #[arg(long, default_value = "publisher", value_name = "ROLE")]
    role: Role,
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct DisableUser {
    /// The account
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct PasskeyOfUser {
    /// The account
    name: String,
    /// Replace it first: the one before stops working at once, also on a running server
    #[arg(long)]
    rotate: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make an API token and print it, this once
    Create(CreateToken),
}

#[derive(Debug, Args)]
pub(super) struct CreateToken {
    /// The account that the token acts for
    #[arg(long, value_name = "NAME")]
    user: String,
    /// What to call the token in lists
    #[arg(long, default_value = "", value_name = "NAME")]
    name: String,
    /// When the token stops working: 12h, 90d or 52w [default: never]
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    expires: Option<i64>,
}

impl UserCommand {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Add(user) => user.run(config).await,
            Self::Disable(user) => user.run(config).await,
            Self::Passkey(user) => user.run(config).await,
        }
    }
}

impl AddUser {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        check_name(&self.name)?;
        let password = if self.password_stdin {
            password_from_stdin()?
        } else {
            ask_for_password()?
        };
        check_password(&password)?;
        let hash = hash_password(&password)?;
        let store = open_database(config).await?;
        let account = store
            .add_account(&self.name, self.role, &hash, ambient::unix_now())
            .await?;
        store.close().await;
        say(format_args!("added {} as {}", account.name, account.role))?;
        Ok(())
    }
}

impl DisableUser {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let store = open_database(config).await?;
        let is_disabled = store.disable_account(&self.name).await?;
        store.close().await;
        if !is_disabled {
            return Err(no_account(&self.name));
        }
        say(format_args!("disabled {}", self.name))?;
        Ok(())
    }
}

impl PasskeyOfUser {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let store = open_database(config).await?;
        let account = store.account(&self.name).await?;
        let (account, _) = account.ok_or_else(|| no_account(&self.name))?;
        if self.rotate {
            let fresh = Passkey::generate(&mut ambient::rng());
            store.replace_passkey(account.id, fresh).await?;
        }
        let passkey = store.passkey(account.id).await?;
        store.close().await;
        let passkey = passkey.ok_or_else(|| no_account(&self.name))?;
        say(passkey.reveal())?;
        Ok(())
    }
}

fn no_account(name: &str) -> anyhow::Error {
    anyhow!("there is no account {name:?}; make it with `sower user add {name}`")
}

impl TokenCommand {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let Self::Create(wanted) = self;
        let token = new_token();
        let now = ambient::unix_now();
        let store = open_database(config).await?;
        let is_added = store
            .add_token(&NewToken {
                account: wanted.user.clone(),
                name: wanted.name,
                prefix: token.prefix,
                hash: token.hash,
                expires_at: wanted.expires.map(|seconds| now.saturating_add(seconds)),
                created_at: now,
            })
            .await?;
        store.close().await;
        if !is_added {
            return Err(no_account(&wanted.user));
        }
        say(token.secret)?;
        Ok(())
    }
}

fn password_from_stdin() -> anyhow::Result<String> {
    let mut line = String::new();
    let longest = u64::try_from(MAX_PASSWORD_LENGTH + 2).unwrap_or(u64::MAX);
    let mut stdin = io::Read::take(io::stdin().lock(), longest);
    stdin
        .read_line(&mut line)
        .context("the password cannot be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask_for_password() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask for the password; use --password-stdin");
    }
    let password = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("The same again: ")? != password {
        bail!("the two passwords differ; try again");
    }
    Ok(password)
}

/// Reads a span of time such as `90d` as seconds.
fn parse_seconds(text: &str) -> Result<i64, String> {
    let unit = match text.chars().last() {
        Some('h') => 3_600,
        Some('d') => 86_400,
        Some('w') => 7 * 86_400,
        _ => return Err("write a number and h, d or w, such as 90d".to_owned()),
    };
    let count = text[..text.len() - 1]
        .parse::<u32>()
        .ok()
        .filter(|count| *count > 0);
    count
        .and_then(|count| i64::from(count).checked_mul(unit))
        .ok_or_else(|| "write a number above 0 and h, d or w, such as 90d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_or_explained() {
        assert_eq!(parse_seconds("90d"), Ok(90 * 86_400));
        assert_eq!(parse_seconds("12h"), Ok(12 * 3_600));
        for text in ["", "d", "0d", "-1d", "90", "90x", "1.5d", "9ü"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
