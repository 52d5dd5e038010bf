//! The command line: configuration, accounts, health, and how it refuses.

use crate::support::{Server, run};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_defaults_are_printed_and_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let defaults = run(folder.path(), &[], &["config", "--defaults"], "");
    assert!(defaults.status.success());
    std::fs::write(folder.path().join("config.toml"), &defaults.stdout).unwrap();
    let check = run(folder.path(), &[], &["config", "--check"], "");
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn the_configuration_in_force_says_where_each_value_came_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config.toml"),
        "listen = \"127.0.0.1:9\"\n",
    )
    .unwrap();
    let environment = [(
        "SOWER_PUBLIC_URL".to_owned(),
        "http://files.example".to_owned(),
    )];
    let shown = text(&run(folder.path(), &environment, &["config"], "").stdout);
    assert!(
        shown.contains("listen = \"127.0.0.1:9\"  # config.toml"),
        "{shown}"
    );
    assert!(
        shown.contains("public_url = \"http://files.example\"  # SOWER_PUBLIC_URL"),
        "{shown}"
    );
    assert!(shown.contains("data_dir = \"data\"  # default"), "{shown}");
}

#[test]
fn a_bad_configuration_names_key_file_and_line_and_the_server_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.toml"), "\nlissen = \"x\"\n").unwrap();
    for arguments in [&["config", "--check"][..], &["serve"]] {
        let refused = run(folder.path(), &[], arguments, "");
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        for part in ["config.toml", "line 2", "lissen"] {
            assert!(said.contains(part), "{said}");
        }
    }
}

#[test]
fn accounts_have_names_passwords_and_no_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let add = |name: &str, password: &str| {
        run(
            folder.path(),
            &[],
            &[
                "user",
                "add",
                name,
                "--role",
                "publisher",
                "--password-stdin",
            ],
            password,
        )
    };
    assert!(add("grace", "long enough\n").status.success());
    for (name, password, word) in [
        ("grace", "long enough\n", "taken"),
        ("Grace", "long enough\n", "taken"),
        ("ada", "short\n", "at least 8"),
        ("a b", "long enough\n", "name"),
    ] {
        let refused = add(name, password);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert!(text(&refused.stderr).contains(word), "{refused:?}");
    }
    let token = run(
        folder.path(),
        &[],
        &["token", "create", "--user", "nobody"],
        "",
    );
    assert_eq!(token.status.code(), Some(1));
    assert!(
        text(&token.stderr).contains("sower user add nobody"),
        "{token:?}"
    );
}

#[test]
fn wrong_usage_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve", "--nonsense"][..],
        &["frobnicate"],
        &["token", "create"],
        &["user", "add", "x", "--role", "king"],
    ] {
        assert_eq!(
            run(folder.path(), &[], arguments, "").status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn health_tells_a_server_that_can_serve() {
    let mut server = Server::start();
    let asked = server.sower(&["health", &server.url], "");
    assert!(asked.status.success(), "{asked:?}");
    let url = server.url.clone();
    assert!(
        server.stop().success(),
        "a server that is told to stop ends well"
    );
    assert_eq!(server.sower(&["health", &url], "").status.code(), Some(1));
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let server = Server::start();
    let second = server.sower(&["serve"], "");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another Sower"), "{second:?}");
}

#[test]
fn the_set_up_link_makes_one_administrator() {
    let server = Server::start();
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
    let link = log
        .split_whitespace()
        .find(|word| word.contains("/setup?token="))
        .expect("a set-up link");
    assert!(link.starts_with(&server.url), "{link}");
    server.token();
    let server = server.restart();
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
    assert_eq!(
        log.matches("/setup?token=").count(),
        1,
        "the link is offered although there is an account"
    );
}
