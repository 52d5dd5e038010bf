//! The catalogue by tag, licence and creator, and in other orders: its pages, the API and the feeds.

use serde_json::Value;

use crate::edits::{ask, bearer};
use crate::support::{Server, get};

fn json(server: &Server, path: &str) -> Value {
    serde_json::from_slice(&get(&format!("{}{path}", server.url))).unwrap()
}

fn text(server: &Server, path: &str) -> String {
    String::from_utf8(get(&format!("{}{path}", server.url))).unwrap()
}

fn titles(page: &Value) -> Vec<&str> {
    let publications = page["publications"].as_array().unwrap().iter();
    publications
        .map(|it| it["title"].as_str().unwrap())
        .collect()
}

/// A server with three publications: `a` is the largest and `c` the newest.
fn library() -> (Server, String) {
    let server = Server::start();
    let token = server.token();
    for (title, tags, licence, creator, length) in [
        ("a", "soil,marsh", "MIT", "Ada & Co", 30),
        ("b", "Soil", "CC0-1.0", "Ada & Co", 10),
        ("c", "audio", "CC0-1.0", "", 20),
    ] {
        let fields = [
            ("title", title),
            ("tags", tags),
            ("licence", licence),
            ("creator", creator),
        ];
        let content = vec![title.as_bytes()[0]; length];
        let (status, publication) = server.publish(&token, &fields, &[(title, &content)]);
        assert_eq!(status, 201, "{publication}");
    }
    (server, token)
}

#[test]
fn the_api_filters_and_sorts() {
    let (server, _) = library();
    for (query, expected) in [
        ("", vec!["c", "b", "a"]),
        ("sort=oldest", vec!["a", "b", "c"]),
        ("sort=largest", vec!["a", "c", "b"]),
        ("tag=soil", vec!["b", "a"]),
        ("tag=%23SOIL&sort=largest", vec!["a", "b"]),
        ("tag=soil&licence=cc0-1.0", vec!["b"]),
        ("creator=Ada+%26+Co&sort=oldest", vec!["a", "b"]),
        ("licence=CC0-1.0&q=audio", vec!["c"]),
        ("tag=soil&tag_typo=1", vec!["b", "a"]),
        ("tag=nothing", vec![]),
        ("tag=soil&q=nothing", vec![]),
        ("tag=&licence=&creator=&q=&sort=", vec!["c", "b", "a"]),
    ] {
        let whole = json(&server, &format!("/api/v1/publications?{query}"));
        assert_eq!(titles(&whole), expected, "{query}");
        assert_eq!(whole["total"], expected.len(), "{query}");
        // The same, one by one.
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/publications?{query}&limit=1{cursor}");
            let page = json(&server, &path);
            seen.extend(titles(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, expected, "{query}");
    }
    for query in ["sort=size", "cursor=x", "limit=0"] {
        let url = format!("{}/api/v1/publications?{query}", server.url);
        ask("GET", &url, &[], None).expect_problem(400);
    }
}

#[test]
fn most_wanted_is_what_was_downloaded_most() {
    let (server, _) = library();
    let all = json(&server, "/api/v1/publications?sort=oldest");
    let announce = |place: usize, peer: u32| {
        let hash = all["publications"][place]["info_hash_v1"].as_str().unwrap();
        let hash: String = (0..20)
            .map(|byte| ["%", &hash[2 * byte..2 * byte + 2]].concat())
            .collect();
        for (event, left) in [("started", 1), ("completed", 0)] {
            get(&format!(
                "{}/announce?info_hash={hash}&peer_id=-XX0001-{peer:012}&port={}&uploaded=0&downloaded=0&left={left}&event={event}",
                server.url,
                6000 + peer
            ));
        }
    };
    announce(1, 1);
    announce(1, 2);
    announce(0, 3);
    // Totals are written down once a minute, and at the end.
    let server = server.restart();
    for (query, expected) in [
        ("sort=wanted", vec!["b", "a", "c"]),
        ("sort=wanted&licence=CC0-1.0", vec!["b", "c"]),
        ("sort=wanted&tag=soil&q=ada", vec!["b", "a"]),
    ] {
        let page = json(&server, &format!("/api/v1/publications?{query}"));
        let found = titles(&page);
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn the_catalogue_says_what_it_shows_and_how_to_see_more() {
    let (server, token) = library();
    let all = text(&server, "/");
    for part in [
        "<option value=\"soil\">soil (2)</option>",
        "<option value=\"CC0-1.0\">CC0 (2)</option>",
        "<option value=\"wanted\">Most wanted first</option>",
        "<details class=\"filters\">",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let soil = text(
        &server,
        "/?q=&tag=soil&licence=&creator=Ada+%26+Co&sort=largest",
    );
    for part in [
        "<title>2 publications tagged “soil”, by Ada &#38; Co ·",
        "<option value=\"soil\" selected>soil (2)</option>",
        "<option value=\"largest\" selected>",
        "<h2 id=\"list\">Largest first</h2>",
        "<input type=\"hidden\" name=\"creator\" value=\"Ada &#38; Co\">",
        "<a href=\"/?creator=Ada%20%26%20Co&#38;sort=largest\"><bdi>tagged “soil”</bdi>",
        "href=\"/feed.xml?tag=soil&#38;creator=Ada%20%26%20Co\"",
        "<details class=\"filters\" open>",
    ] {
        assert!(soil.contains(part), "{part}: {soil}");
    }
    let none = text(&server, "/?tag=peat&licence=MIT");
    assert!(
        none.contains("No publication here is tagged “peat”, under MIT."),
        "{none}"
    );
    assert!(none.contains("Clear the search"), "{none}");
    assert_eq!(
        ask("GET", &format!("{}/?sort=x", server.url), &[], None).status,
        400
    );

    // Who is withdrawn is counted no more, and a filter without publications is not offered.
    let id = json(&server, "/api/v1/publications")["publications"][0]["id"].clone();
    let api = format!(
        "{}/api/v1/publications/{}",
        server.url,
        id.as_str().unwrap()
    );
    assert_eq!(ask("DELETE", &api, &[&bearer(&token)], None).status, 204);
    let all = text(&server, "/");
    assert!(!all.contains("audio"), "{all}");
    assert!(all.contains("CC0 (1)"), "{all}");
}

#[test]
fn feeds_follow_a_tag_or_a_creator() {
    let (server, _) = library();
    for (query, expected) in [
        ("?tag=soil", 2),
        ("?creator=Ada%20%26%20Co", 2),
        ("?tag=audio", 1),
        ("?tag=audio&creator=Ada%20%26%20Co", 0),
        ("", 3),
    ] {
        let rss = text(&server, &format!("/feed.xml{query}"));
        assert_eq!(rss.matches("<item>").count(), expected, "{query}: {rss}");
        let own = format!("/feed.xml{}\" rel=\"self\"", query.replace('&', "&#38;"));
        assert!(rss.contains(&own), "{query}: {rss}");
        let feed = json(&server, &format!("/feed.json{query}"));
        assert_eq!(feed["items"].as_array().unwrap().len(), expected, "{query}");
        let address = feed["feed_url"].as_str().unwrap();
        assert!(
            address.ends_with(&format!("/feed.json{query}")),
            "{address}"
        );
    }
    let rss = text(&server, "/feed.xml?tag=soil");
    assert!(rss.contains(", tagged “soil”</title>"), "{rss}");
}
