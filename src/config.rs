//! The configuration: every part's options side by side, and where each value came from.
//!
//! A value comes from its default, then from the file, then from the environment: `SOWER_` and the key in capitals,
//! sections joined by two underscores (`SOWER_TRACKER__INTERVAL`); with `_FILE` behind it, the value is read from the
//! file that it names. An unknown key or a bad value is an error, never a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use url::Url;

use crate::discovery::{dht, nat};
use crate::offline::limits;
use crate::store::publications::MAX_PAGE;
use crate::{catalog, door, engine, publish, scrub, store, tracker, web};

/// The default configuration with a comment for each key: what `sower config --defaults` prints.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// How every environment variable of ours begins.
const PREFIX: &str = "SOWER_";

/// Seconds in a day: for longer no peer is waited for.
const MAX_SILENCE: u64 = 24 * 60 * 60;

/// Variables that begin like keys but are read by commands.
const NOT_KEYS: [&str; 3] = ["SOWER_CONFIG", "SOWER_TO", "SOWER_TOKEN"];

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The address of the one port.
    pub listen: Listen,
    /// How the world reaches this server; empty for `http://localhost:` and the port in use.
    pub public_url: String,
    /// The folder of everything that must be kept.
    pub data_dir: DataDir,
    /// Publishing.
    pub publish: publish::Options,
    /// The tracker.
    pub tracker: tracker::Options,
    /// The peer engine.
    pub peer: engine::Options,
    /// The DHT.
    pub dht: dht::Options,
    /// Ports that the router lets the world in by.
    pub nat: nat::Options,
    /// Pages and API.
    pub web: web::Options,
    /// The one port.
    pub door: door::Options,
    /// Checks of what is published.
    pub scrub: scrub::Options,
    /// The resident catalogue.
    pub catalog: catalog::Options,
    /// The folder of content.
    pub content: store::files::Options,
    /// The database.
    pub database: store::sqlite::Options,
    /// Torrents that commands read and make.
    pub torrent: limits::TorrentOptions,
    /// How commands hash files.
    pub hashing: limits::HashingOptions,
    /// How commands make torrents.
    pub create: limits::CreateOptions,
}

/// The address of the one port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Listen(pub SocketAddr);

impl Default for Listen {
    fn default() -> Self {
        Self(SocketAddr::from(([0_u16; 8], 8080)))
    }
}

/// The folder of everything that must be kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataDir(pub PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self(PathBuf::from("data"))
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file has an unknown key or a bad value. The source's text names the line.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// The key, the line and what is expected.
        error: Box<toml::de::Error>,
    },
    /// A variable names no key.
    #[error(
        "the environment variable {0} names no key of the configuration; `sower config --defaults` prints all of them"
    )]
    UnknownVariable(String),
    /// A variable's value is not what its key takes.
    #[error("the environment variable {variable} has a bad value: {reason}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is expected.
        reason: String,
    },
    /// A value is of the right type but makes no sense.
    #[error("{key} = {value:?} (from {origin}) is not usable: {reason}")]
    Unusable {
        /// The key, sections joined by dots.
        key: &'static str,
        /// Its value.
        value: String,
        /// Where the value came from.
        origin: Origin,
        /// What is expected.
        reason: String,
    },
}

/// A configuration in force, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Every key, sections joined by dots, with its value as TOML writes it and its origin.
    pub values: BTreeMap<String, (String, Origin)>,
}

impl Loaded {
    /// Reads the file, if one is named, then the variables, and checks the whole.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key and the file and line, or the variable.
    pub fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults = table_of(&Config::default());
        let mut in_force = defaults.clone();
        let mut origins = BTreeMap::new();
        if let Some(path) = file {
            let own = read_file(path)?;
            for key in keys(&own, "") {
                origins.insert(key, Origin::File(path.to_owned()));
            }
            merge(&mut in_force, own);
        }
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_KEYS.contains(&name.as_str()))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let key = apply_variable(&mut in_force, &defaults, &name, value)?;
            origins.insert(key, Origin::Environment(name));
        }
        // Each source has been held against the types already, so the whole fits them.
        let config =
            Config::deserialize(in_force.clone()).map_err(|error| ConfigError::Variable {
                variable: PREFIX.to_owned(),
                reason: error.to_string(),
            })?;
        let origin = |key: &str| origins.get(key).cloned().unwrap_or(Origin::Default);
        check(&config, origin)?;
        let values = keys(&in_force, "")
            .into_iter()
            .map(|key| {
                let value = find(&in_force, &key)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let origin = origin(&key);
                (key, (value, origin))
            })
            .collect();
        Ok(Self { config, values })
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let refused = |error: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        error: Box::new(error),
    };
    // Read into the types first: only then does an error know its line.
    toml::from_str::<Config>(&text).map_err(refused)?;
    text.parse::<Table>().map_err(refused)
}

/// Sets one key from the environment, and gives the key.
fn apply_variable(
    table: &mut Table,
    defaults: &Table,
    name: &str,
    value: String,
) -> Result<String, ConfigError> {
    let refused = |reason: String| ConfigError::Variable {
        variable: name.to_owned(),
        reason,
    };
    let key_of = |name: &str| name[PREFIX.len()..].to_lowercase().replace("__", ".");
    let mut key = key_of(name);
    let mut text = value;
    if find(defaults, &key).is_none()
        && let Some(direct) = name.strip_suffix("_FILE")
        && find(defaults, &key_of(direct)).is_some()
    {
        let contents = std::fs::read_to_string(&text)
            .map_err(|error| refused(format!("the file {text} cannot be read: {error}")))?;
        contents
            .trim_end_matches(['\r', '\n'])
            .clone_into(&mut text);
        key = key_of(direct);
    }
    let Some(default) = find(defaults, &key) else {
        return Err(ConfigError::UnknownVariable(name.to_owned()));
    };
    let parsed = match default {
        Value::Integer(_) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| refused(format!("{text:?} is not a whole number")))?,
        Value::Boolean(_) => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| refused(format!("{text:?} is neither true nor false")))?,
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text),
    };
    set(table, &key, parsed);
    Config::deserialize(table.clone()).map_err(|error| refused(error.message().to_owned()))?;
    Ok(key)
}

/// Checks what types cannot say.
fn check(config: &Config, origin: impl Fn(&str) -> Origin) -> Result<(), ConfigError> {
    let refuse = |key: &'static str, value: &str, reason: &str| {
        Err(ConfigError::Unusable {
            key,
            value: value.to_owned(),
            origin: origin(key),
            reason: reason.to_owned(),
        })
    };
    if !config.public_url.is_empty() {
        let usable = Url::parse(&config.public_url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
        });
        if !usable {
            return refuse(
                "public_url",
                &config.public_url,
                "write an address such as https://files.example.org",
            );
        }
    }
    for (key, address) in [
        ("peer.listen", &config.peer.listen),
        ("tracker.udp_listen", &config.tracker.udp_listen),
        ("dht.listen", &config.dht.listen),
    ] {
        if !address.is_empty() && address.parse::<SocketAddr>().is_err() {
            return refuse(
                key,
                address,
                "write an address with a port, such as [::]:6881",
            );
        }
    }
    let gateway = &config.nat.gateway;
    if !gateway.is_empty() && gateway.parse::<Ipv4Addr>().is_err() {
        return refuse(
            "nat.gateway",
            gateway,
            "write the router's IPv4 address, such as 192.168.1.1",
        );
    }
    for (key, number, most) in [
        ("web.feed_entries", config.web.feed_entries, MAX_PAGE),
        (
            "web.sitemap_addresses",
            config.web.sitemap_addresses.get(),
            web::MAX_SITEMAP_ADDRESSES.get(),
        ),
    ] {
        if !(1..=most).contains(&number) {
            let range = format!("write a number from 1 to {most}");
            return refuse(key, &number.to_string(), &range);
        }
    }
    let tracker = &config.tracker;
    for (key, seconds, usable) in [
        (
            "tracker.interval",
            u64::from(tracker.interval),
            10..=MAX_SILENCE,
        ),
        ("tracker.grace", u64::from(tracker.grace), 0..=MAX_SILENCE),
        (
            "tracker.save_interval",
            tracker.save_interval,
            1..=MAX_SILENCE,
        ),
        (
            "nat.lifetime",
            config.nat.lifetime.into(),
            120..=MAX_SILENCE,
        ),
        ("nat.timeout", config.nat.timeout, 1..=60),
        (
            "publish.watch_quiet",
            config.publish.watch_quiet,
            1..=MAX_SILENCE,
        ),
        (
            "publish.watch_interval",
            config.publish.watch_interval,
            1..=MAX_SILENCE,
        ),
    ] {
        if !usable.contains(&seconds) {
            let (least, most) = usable.into_inner();
            let range = format!("write seconds from {least} to {most}");
            return refuse(key, &seconds.to_string(), &range);
        }
    }
    Ok(())
}

fn table_of(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

/// Every key that holds a value, sections joined by dots.
fn keys(table: &Table, prefix: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(section) => all.extend(keys(section, &format!("{key}."))),
            _ => all.push(key),
        }
    }
    all
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key).filter(|value| !value.is_table()),
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, rest)) => {
            if let Some(section) = table.get_mut(section).and_then(Value::as_table_mut) {
                set(section, rest, value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

fn merge(under: &mut Table, over: Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(Value::Table(section)), Value::Table(own)) => merge(section, own),
            (_, value) => {
                under.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Loaded::read(Some(&path), environment)
    }

    #[test]
    fn the_default_file_holds_every_key_at_its_default_with_a_comment() {
        let file: Table = DEFAULTS.parse().unwrap();
        assert_eq!(file, table_of(&Config::default()));
        let lines: Vec<&str> = DEFAULTS.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(
                    number > 0 && lines[number - 1].starts_with("# "),
                    "no comment above {line:?}"
                );
            }
        }
    }

    #[test]
    fn the_environment_overrides_the_file_and_origins_are_known() {
        let loaded = read(
            "public_url = \"http://a.example\"\n[peer]\nconnections = 7\n",
            &[
                ("SOWER_PUBLIC_URL", "http://b.example"),
                ("SOWER_PEER__UPLOAD_SLOTS", "9"),
                ("HOME", "/x"),
            ],
        )
        .unwrap();
        assert_eq!(loaded.config.public_url, "http://b.example");
        assert_eq!(
            (
                loaded.config.peer.connections,
                loaded.config.peer.upload_slots
            ),
            (7, 9)
        );
        assert_eq!(
            loaded.values["public_url"].1,
            Origin::Environment("SOWER_PUBLIC_URL".to_owned())
        );
        assert!(matches!(
            loaded.values["peer.connections"].1,
            Origin::File(_)
        ));
        assert_eq!(loaded.values["data_dir"].1, Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_file_and_line() {
        let error = read("\n[peer]\nconections = 7\n", &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("config.toml")
                && error.contains("line 3")
                && error.contains("conections"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_line() {
        let error = read("listen = \"nowhere\"\n", &[]).unwrap_err().to_string();
        assert!(
            error.contains("line 1") && error.contains("listen"),
            "{error}"
        );
    }

    #[test]
    fn bad_variables_are_named() {
        for (name, value) in [
            ("SOWER_PEER__CONNECTIONS", "many"),
            ("SOWER_PEER__CONNECTIONS", "-1"),
            ("SOWER_LISTEN", "nowhere"),
            ("SOWER_PUBLISH__WHO", "martians"),
            ("SOWER_LISTENN", "[::]:1"),
            ("SOWER_PEER", "x"),
            ("SOWER_DOOR__UNDECIDED", "1.5"),
        ] {
            let error = read("", &[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn lists_are_written_with_commas() {
        let loaded = read("", &[("SOWER_WEB__HOSTS", "a.example, b.example")]).unwrap();
        assert_eq!(loaded.config.web.hosts, ["a.example", "b.example"]);
    }

    #[test]
    fn a_value_can_come_from_a_file() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "http://c.example\n").unwrap();
        let loaded = read(
            "",
            &[("SOWER_PUBLIC_URL_FILE", secret.path().to_str().unwrap())],
        )
        .unwrap();
        assert_eq!(loaded.config.public_url, "http://c.example");
    }

    #[test]
    fn numbers_out_of_bounds_are_refused() {
        for (key, number) in [
            ("web.feed_entries", "0"),
            ("web.feed_entries", "101"),
            ("web.sitemap_addresses", "50001"),
        ] {
            let name = format!("SOWER_{}", key.to_uppercase().replace('.', "__"));
            let error = read("", &[(&name, number)]).unwrap_err().to_string();
            assert!(
                error.contains(key) && error.contains("from 1 to"),
                "{error}"
            );
        }
    }

    #[test]
    fn addresses_that_cannot_work_are_refused() {
        for (key, value) in [
            ("public_url", "files.example.org"),
            ("public_url", "ftp://x"),
            ("peer.listen", "6881"),
            ("tracker.udp_listen", "6969"),
            ("dht.listen", "6881"),
            ("nat.gateway", "router.example"),
            ("nat.lifetime", "119"),
            ("nat.timeout", "0"),
            ("publish.watch_quiet", "0"),
            ("publish.watch_interval", "86401"),
        ] {
            let name = format!("SOWER_{}", key.to_uppercase().replace('.', "__"));
            let error = read("", &[(&name, value)]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(&name), "{error}");
        }
    }
}
