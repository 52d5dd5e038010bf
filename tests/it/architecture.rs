//! The floors of the house: who may import whom. Reads the sources, so that a wall cannot be moved unnoticed.

use std::fs;
use std::path::{Path, PathBuf};

/// Each top-level module and its floor. A module imports lower floors only; modules of one floor do not import each other.
const FLOORS: [(&str, u8); 22] = [
    ("main", 9),
    ("cli", 8),
    ("app", 7),
    ("config", 6),
    ("web", 5),
    ("door", 5),
    ("watch", 5),
    ("publish", 4),
    ("tracker", 4),
    ("engine", 4),
    ("discovery", 4),
    ("client", 4),
    ("offline", 4),
    ("scrub", 4),
    ("catalog", 3),
    ("reader", 3),
    ("store", 2),
    ("domain", 1),
    ("proto", 0),
    ("telemetry", 0),
    ("ambient", 0),
    ("lib", 9),
];

struct Source {
    path: PathBuf,
    module: String,
    /// The text before the file's tests.
    code: String,
    text: String,
}

impl Source {
    fn is_below(&self, folder: &str) -> bool {
        self.path.starts_with(Path::new("src").join(folder))
    }

    /// Whether all of it is for tests: a file of that name, or one in a folder of that name.
    fn is_test(&self) -> bool {
        let parts = self.path.with_extension("");
        let names = ["tests", "testing", "conformance"];
        parts
            .iter()
            .any(|part| names.iter().any(|name| part == *name))
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(&root.join("src"), &mut found);
    assert!(found.len() > 40, "the sources were not found");
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_owned();
            let first = path
                .components()
                .nth(1)
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap();
            let module = first.trim_end_matches(".rs").to_owned();
            let code = text.split("\nmod tests {").next().unwrap().to_owned();
            Source {
                path,
                module,
                code,
                text,
            }
        })
        .collect()
}

fn floor(module: &str) -> u8 {
    let found = FLOORS.iter().find(|(name, _)| *name == module);
    found
        .unwrap_or_else(|| panic!("{module} has no floor: add it to FLOORS, and to the docs"))
        .1
}

/// The lines of `text` without comments: what documentation names is no import.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Every top-level module that a line names by `crate::`.
fn imports(line: &str) -> Vec<String> {
    line.match_indices("crate::")
        .map(|(at, found)| &line[at + found.len()..])
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => group
                .split('}')
                .next()
                .unwrap()
                .split(',')
                .map(str::trim)
                .collect(),
            None => vec![rest],
        })
        .map(|path| {
            path.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        })
        .filter(|module| FLOORS.iter().any(|(name, _)| name == module))
        .collect()
}

#[test]
fn imports_run_down_the_floors() {
    for source in sources() {
        let own = floor(&source.module);
        for line in code_lines(&source.text) {
            for imported in imports(line) {
                let is_allowed = imported == source.module || floor(&imported) < own;
                assert!(
                    is_allowed,
                    "{} imports {imported}: {line}",
                    source.path.display()
                );
            }
        }
    }
}

#[test]
fn protocols_and_decisions_name_no_runtime() {
    let forbidden = [
        "tokio",
        "sqlx",
        "axum",
        "reqwest",
        "hyper",
        "std::fs",
        "TcpStream",
        "UdpSocket",
        "Instant::now",
        "ambient::",
    ];
    for source in sources()
        .iter()
        .filter(|source| source.is_below("proto") || source.is_below("domain"))
        .filter(|source| !source.path.ends_with("tests.rs"))
    {
        for line in code_lines(&source.code) {
            for name in forbidden {
                assert!(
                    !line.contains(name),
                    "{} names {name}: {line}",
                    source.path.display()
                );
            }
        }
    }
}

#[test]
fn only_app_and_cli_know_the_configuration() {
    for source in sources() {
        if !["app", "cli", "config", "lib"].contains(&source.module.as_str()) {
            assert!(
                !source.code.contains("crate::config"),
                "{} knows the configuration",
                source.path.display()
            );
        }
    }
}

#[test]
fn each_language_is_spoken_in_one_place() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        let path = source.path.display();
        let speaks = |name: &str| code_lines(&source.code).any(|line| line.contains(name));
        if !source.is_below("store/sqlite") {
            assert!(!speaks("sqlx"), "{path} speaks SQL");
        }
        // These read the codes of others, trackers and servers; they answer nobody.
        let reads_http = source.is_below("discovery") || source.module == "client";
        let answers_http =
            source.is_below("web") || source.path == Path::new("src/tracker/http.rs");
        if !answers_http && !reads_http {
            assert!(!speaks("StatusCode"), "{path} speaks HTTP status codes");
        }
        if !source.is_below("proto") {
            assert!(!speaks("proto::bencode"), "{path} speaks bencode");
        }
    }
}

#[test]
fn modules_stay_small() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = code_lines(&source.code)
            .filter(|line| !line.trim().is_empty())
            .count();
        assert!(
            lines <= 500,
            "{} has {lines} lines of code: look for the second noun inside",
            source.path.display()
        );
    }
}
