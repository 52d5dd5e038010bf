//! What is published is found by its words: in the catalogue, page by page, and by programs.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use crate::edits::{ask, bearer};
use crate::support::{Server, get};

fn encode(text: &[u8]) -> String {
    percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A page of the API's list.
fn list(server: &Server, query: &str) -> Value {
    let page = get(&format!("{}/api/v1/publications?{query}", server.url));
    serde_json::from_slice(&page).unwrap()
}

fn titles(page: &Value) -> Vec<&str> {
    let publications = page["publications"].as_array().unwrap().iter();
    publications
        .map(|it| it["title"].as_str().unwrap())
        .collect()
}

/// The titles of what a search finds.
fn find(server: &Server, text: &str) -> Vec<String> {
    let page = list(server, &format!("q={}", encode(text.as_bytes())));
    let found = titles(&page);
    assert_eq!(page["total"], found.len());
    assert_eq!(page["total_is_exact"], true);
    found.into_iter().map(str::to_owned).collect()
}

fn publish(server: &Server, token: &str, title: &str, description: &str, file: &str) -> Value {
    let words = [("title", title), ("description", description)];
    let content = format!("{title}{file}");
    let (status, publication) = server.publish(token, &words, &[(file, content.as_bytes())]);
    assert_eq!(status, 201, "{publication}");
    publication
}

#[test]
fn titles_descriptions_and_file_names_are_found_by_words_their_beginnings_and_phrases() {
    let server = Server::start();
    let token = server.token();
    let (soil, audio) = ("Böden der Elbmarsch", "Marsh at dawn");
    let survey = publish(
        &server,
        &token,
        soil,
        "A survey of soils",
        "maps/core_07.tif",
    );
    publish(&server, &token, audio, "Of the survey", "dawn.flac");
    for (text, expected) in [
        ("marsh", vec![audio]),
        ("SURVEY", vec![audio, soil]),
        ("boden elbm", vec![soil]),
        ("maps 07 tif", vec![soil]),
        ("core_07.tif", vec![soil]),
        ("\"a survey of\"", vec![soil]),
        ("\"survey a of\"", vec![]),
        ("survey -flac", vec![audio]),
        ("nothing", vec![]),
    ] {
        assert_eq!(find(&server, text), expected, "{text}");
    }

    let api = format!(
        "{}/api/v1/publications/{}",
        server.url,
        survey["id"].as_str().unwrap()
    );
    let headers = [
        &bearer(&token),
        "Content-Type: application/json",
        "If-Match: *",
    ];
    let patched = ask("PATCH", &api, &headers, Some(r#"{"title":"Peat"}"#));
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(find(&server, "boden"), [""; 0]);
    assert_eq!(find(&server, "peat core"), ["Peat"]);
    let server = server.restart();
    assert_eq!(find(&server, "peat core"), ["Peat"]);
    let api = format!(
        "{}/{}",
        list_address(&server),
        survey["id"].as_str().unwrap()
    );
    assert_eq!(ask("DELETE", &api, &headers[..1], None).status, 204);
    assert_eq!(find(&server, "core"), [""; 0]);
    assert_eq!(find(&server, "survey"), [audio]);
}

fn list_address(server: &Server) -> String {
    format!("{}/api/v1/publications", server.url)
}

#[test]
fn pages_lose_and_repeat_nothing_while_others_publish_and_withdraw() {
    let server = Server::start();
    let token = server.token();
    let mut old = Vec::new();
    for number in 0..7 {
        let title = format!("Report {number}");
        old.push(publish(&server, &token, &title, "", "report.pdf"));
    }
    for search in ["", "q=report&"] {
        let first = list(&server, &format!("{search}limit=3"));
        let mut seen: Vec<String> = titles(&first).into_iter().map(str::to_owned).collect();
        let title = format!("Report of late {search:?}");
        publish(&server, &token, &title, "", "late.pdf");
        let mut cursor = first["next_cursor"].clone();
        while let Some(text) = cursor.as_str() {
            let page = list(&server, &format!("{search}limit=3&cursor={text}"));
            seen.extend(titles(&page).into_iter().map(str::to_owned));
            cursor = page["next_cursor"].clone();
        }
        let reports = seen.iter().filter(|title| !title.contains("late"));
        let expected: Vec<String> = (0..7).rev().map(|it| format!("Report {it}")).collect();
        assert_eq!(reports.cloned().collect::<Vec<_>>(), expected, "{search}");
        assert!(!seen.contains(&title));
    }
    let first = list(&server, "limit=3");
    let cursor = first["next_cursor"].as_str().unwrap();
    let last = first["publications"][2]["id"].as_str().unwrap();
    let api = format!("{}/{last}", list_address(&server));
    assert_eq!(ask("DELETE", &api, &[&bearer(&token)], None).status, 204);
    let second = list(&server, &format!("limit=3&cursor={cursor}"));
    assert_eq!(titles(&second), ["Report 5", "Report 4", "Report 3"]);
    assert_eq!(second["total"], 8);
}

#[test]
fn no_search_is_an_error() {
    let server = Server::start();
    publish(&server, &server.token(), "Soil", "", "soil.csv");
    let long = "x ".repeat(2_000);
    for text in [
        &b"\""[..],
        b"\"\"",
        b"'",
        b"\"soil",
        b"soil\"",
        b"*",
        b"soil*",
        b"^soil",
        b"title:soil",
        b"{title}:soil",
        b"soil AND",
        b"NOT",
        b"NEAR(",
        b")",
        b"soil\0\"",
        b"-",
        b"\\",
        b"%",
        "日本 ﷽ 🦀 e\u{301}\u{302} \u{202e}".as_bytes(),
        b"\xff\xfe",
        long.as_bytes(),
    ] {
        for path in ["/?q=", "/api/v1/publications?q="] {
            let url = format!("{}{path}{}", server.url, encode(text));
            let status = ask("GET", &url, &[], None).status;
            assert_eq!(status, 200, "{}", text.escape_ascii());
        }
    }
    let none = String::from_utf8(get(&format!("{}/?q=%22%22", server.url))).unwrap();
    assert!(none.contains("Nothing here matches “&#34;&#34;”"), "{none}");
}
