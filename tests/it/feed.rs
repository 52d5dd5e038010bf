//! What is published is found by programs: the feed, as readers and crawlers see it.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

use crate::support::{Server, curl, get};

const PUBLIC_URL: &str = "https://files.example.org";

/// Reads XML with the parser of Python's library, which stops at the first fault, and writes it as JSON: `[tag, attributes, text, children]`.
const READ_XML: &str = "
import json, sys, xml.etree.ElementTree as tree
def show(e): return [e.tag, e.attrib, e.text or '', [show(child) for child in e]]
json.dump(show(tree.fromstring(sys.stdin.buffer.read())), sys.stdout)
";

/// An element of an XML document.
#[derive(Clone, Debug)]
struct Element(Value);

impl Element {
    fn read(xml: &[u8]) -> Self {
        let mut python = Command::new("python3")
            .args(["-c", READ_XML])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 reads the XML");
        python.stdin.take().unwrap().write_all(xml).unwrap();
        let output = python.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", xml.escape_ascii());
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn all(&self, tag: &str) -> Vec<Self> {
        let children = self.0[3].as_array().unwrap().iter();
        let named = children.filter(|child| child[0] == tag);
        named.cloned().map(Self).collect()
    }

    fn one(&self, tag: &str) -> Self {
        match self.all(tag).as_slice() {
            [only] => only.clone(),
            others => panic!("{} of {tag} in {}", others.len(), self.0),
        }
    }

    fn text(&self, tag: &str) -> String {
        self.one(tag).0[2].as_str().unwrap().to_owned()
    }

    fn attribute(&self, name: &str) -> &str {
        self.0[1][name].as_str().unwrap()
    }
}

/// An answer with its head.
struct Answer {
    status: String,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(named, _)| named.eq_ignore_ascii_case(name))
            .unwrap_or_else(|| panic!("no {name} in {}", self.head))
            .1
    }
}

fn ask(server: &Server, path: &str, headers: &[&str]) -> Answer {
    let url = format!("{}{path}", server.url);
    let mut arguments = vec!["-i", &url];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    let answer = curl(&arguments);
    let mut windows = answer.windows(4);
    let end = windows.position(|part| part == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().to_owned(),
        head,
        body: answer[end + 4..].to_vec(),
    }
}

/// The same address, where this machine reaches the server.
fn here(server: &Server, address: &str) -> String {
    let path = address.strip_prefix(PUBLIC_URL);
    let path = path.unwrap_or_else(|| panic!("{address} is not of {PUBLIC_URL}"));
    format!("{}{path}", server.url)
}

fn publish(server: &Server, token: &str, fields: &[(&str, &str)], content: &[u8]) -> Value {
    let (status, publication) = server.publish(token, fields, &[("a.bin", content)]);
    assert_eq!(status, 201, "{publication}");
    publication
}

#[test]
fn readers_find_the_newest_first_with_their_torrents() {
    let server = Server::start_with(&[
        ("SOWER_PUBLIC_URL", PUBLIC_URL),
        ("SOWER_WEB__FEED_ENTRIES", "2"),
    ]);
    let token = server.token();
    for (title, content) in [("One", 1), ("Two", 2), ("Three", 3)] {
        publish(&server, &token, &[("title", title)], &[content; 50_000]);
    }
    let listed = get(&format!("{}/api/v1/publications?limit=2", server.url));
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    let rss = ask(&server, "/feed.xml", &[]);
    assert_eq!(
        rss.header("content-type"),
        "application/rss+xml; charset=utf-8"
    );
    let channel = Element::read(&rss.body).one("channel");
    assert_eq!(channel.text("link"), format!("{PUBLIC_URL}/"));
    let items = channel.all("item");
    let json: Value = serde_json::from_slice(&get(&format!("{}/feed.json", server.url))).unwrap();
    assert_eq!(json["version"], "https://jsonfeed.org/version/1.1");
    assert_eq!(json["feed_url"], format!("{PUBLIC_URL}/feed.json"));
    assert_eq!(
        (items.len(), json["items"].as_array().unwrap().len()),
        (2, 2)
    );

    for (place, item) in items.iter().enumerate() {
        let publication = &listed["publications"][place];
        let page = publication["page_url"].as_str().unwrap();
        assert_eq!(item.text("title"), publication["title"].as_str().unwrap());
        assert_eq!(
            (item.text("link"), item.text("guid")),
            (page.to_owned(), page.to_owned())
        );
        assert_eq!(item.text("description"), "<p>50 kB in 1 file</p>");
        let extension = |name| item.text(&format!("{{http://xmlns.ezrss.it/0.1/}}{name}"));
        assert_eq!(
            extension("infoHash"),
            publication["info_hash_v1"].as_str().unwrap()
        );
        assert_eq!(extension("contentLength"), "50000");

        let enclosure = item.one("enclosure");
        assert_eq!(enclosure.attribute("type"), "application/x-bittorrent");
        let torrent = get(&here(&server, enclosure.attribute("url")));
        assert_eq!(enclosure.attribute("length"), torrent.len().to_string());
        let parsed = TorrentFile::parse(&torrent, &InfoLimits::default()).unwrap();
        assert_eq!(
            parsed.info.hashes.v1().unwrap().to_string(),
            extension("infoHash")
        );

        let entry = json!({
            "id": page,
            "url": page,
            "title": publication["title"],
            "content_text": "50 kB in 1 file",
            "date_published": publication["published_at"],
            "authors": [{ "name": "ada" }],
            "attachments": [{
                "url": publication["torrent_url"],
                "mime_type": "application/x-bittorrent",
                "size_in_bytes": torrent.len(),
            }],
        });
        assert_eq!(json["items"][place], entry);
    }
}

#[test]
fn a_feed_is_well_formed_whatever_a_publisher_writes() {
    let server = Server::start();
    let title = "<b>Größe</b> & \"Maß\" ]]> 🌱";
    let description =
        "\u{1}first \u{b}<script>alert('1')</script> `&amp;`\n\u{ffff}]]></description>";
    let fields = [("title", title), ("description", description)];
    publish(&server, &server.token(), &fields, b"content");
    let rss = get(&format!("{}/feed.xml", server.url));
    let item = Element::read(&rss).one("channel").one("item");
    assert_eq!(item.text("title"), title);
    // Readers take it for HTML: what the publisher wrote stays text in it.
    let html = item.text("description");
    for tag in ["<script", "</script", "<b>", "</description"] {
        assert!(!html.contains(tag), "{html}");
    }
    assert!(html.starts_with("<p>first &#60;script&#62;"), "{html}");
    assert!(html.contains("&#38;amp;<br>]]&#62;"), "{html}");

    let json: Value = serde_json::from_slice(&get(&format!("{}/feed.json", server.url))).unwrap();
    let words = description.replace('`', "");
    assert_eq!(json["items"][0]["content_text"], words);
    assert_eq!(json["items"][0]["title"], title);
}

#[test]
fn a_feed_is_sent_again_only_when_it_has_changed() {
    let server = Server::start();
    let token = server.token();
    let empty = Element::read(&get(&format!("{}/feed.xml", server.url)));
    assert!(empty.one("channel").all("item").is_empty());
    publish(&server, &token, &[], b"one");
    let paths = ["/feed.xml", "/feed.json"];
    let before = paths.map(|path| {
        let first = ask(&server, path, &[]);
        assert_eq!(first.status, "200");
        let tag = format!("If-None-Match: {}", first.header("etag"));
        let date = format!("If-Modified-Since: {}", first.header("last-modified"));
        for condition in [&tag, &date] {
            let again = ask(&server, path, &[condition]);
            assert_eq!(again.status, "304", "{path} {condition}");
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), first.header("etag"));
        }
        // A tag overrules a date.
        assert_eq!(
            ask(&server, path, &["If-None-Match: \"x\"", &date]).status,
            "200"
        );
        tag
    });
    publish(&server, &token, &[], b"two");
    for (path, tag) in paths.iter().zip(&before) {
        assert_eq!(ask(&server, path, &[tag]).status, "200", "{path}");
    }
}

#[test]
fn a_private_trackers_feed_encloses_no_torrent_and_knows_no_passkey() {
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "private")]);
    let token = server.token();
    publish(&server, &token, &[("title", "Ours")], b"content");
    let shown = server.sower(&["user", "passkey", "ada"], "");
    let passkey = String::from_utf8(shown.stdout).unwrap().trim().to_owned();
    assert_eq!(passkey.len(), 32);
    let bearer = format!("Authorization: Bearer {token}");
    for path in ["/feed.xml", "/feed.json"] {
        let [anonymous, ours] = [&[][..], &[bearer.as_str()]].map(|it| ask(&server, path, it).body);
        assert_eq!(anonymous, ours, "{path}");
        let text = String::from_utf8(ours).unwrap();
        assert!(text.contains("Ours"), "{text}");
        for secret in [passkey.as_str(), "announce", ".torrent\"", "magnet:"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let rss = get(&format!("{}/feed.xml", server.url));
    let item = Element::read(&rss).one("channel").one("item");
    assert!(item.all("enclosure").is_empty());
    let json: Value = serde_json::from_slice(&get(&format!("{}/feed.json", server.url))).unwrap();
    assert_eq!(json["items"][0].get("attachments"), None);
}

#[test]
fn a_publication_whose_torrent_is_gone_takes_no_other_out_of_the_feed() {
    let mut server = Server::start();
    let token = server.token();
    let gone = publish(&server, &token, &[], b"one");
    publish(&server, &token, &[], b"two");
    server.kill();
    let script = "import sqlite3, sys; db = sqlite3.connect('data/sower.db'); db.execute('DELETE FROM metainfo WHERE publication = ?', sys.argv[1:]); db.commit()";
    let deleted = Command::new("python3")
        .args(["-c", script, gone["id"].as_str().unwrap()])
        .current_dir(server.folder())
        .status();
    assert!(deleted.unwrap().success());
    let server = server.start_again();
    let rss = get(&format!("{}/feed.xml", server.url));
    let items = Element::read(&rss).one("channel").all("item");
    let enclosures = items.iter().map(|item| item.all("enclosure").len());
    assert_eq!((items.len(), enclosures.sum::<usize>()), (2, 1));
}

#[test]
fn the_catalogue_says_where_its_feeds_are() {
    let server = Server::start();
    let page = String::from_utf8(get(&server.url)).unwrap();
    let (head, _) = page.split_once("</head>").unwrap();
    let links = head
        .lines()
        .filter(|line| line.contains("rel=\"alternate\""));
    let attribute = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let feeds: Vec<_> = links
        .map(|line| (attribute(line, "href"), attribute(line, "type")))
        .collect();
    assert_eq!(feeds.len(), 2);
    for (path, kind) in feeds {
        let feed = ask(&server, &path, &[]);
        assert_eq!(
            feed.header("content-type"),
            format!("{kind}; charset=utf-8")
        );
    }
}

const SITEMAP: &str = "{http://www.sitemaps.org/schemas/sitemap/0.9}";

/// The addresses in a sitemap or in an index of sitemaps.
fn addresses(xml: &[u8], entry: &str) -> Vec<String> {
    let entries = Element::read(xml).all(&format!("{SITEMAP}{entry}"));
    let address = |entry: &Element| entry.text(&format!("{SITEMAP}loc"));
    entries.iter().map(address).collect()
}

#[test]
fn crawlers_find_every_page_through_robots_txt() {
    let server = Server::start_with(&[
        ("SOWER_PUBLIC_URL", PUBLIC_URL),
        ("SOWER_WEB__SITEMAP_ADDRESSES", "2"),
    ]);
    let token = server.token();
    let mut pages = Vec::new();
    for content in 1..=5 {
        let publication = publish(&server, &token, &[], &[content]);
        pages.push(publication["page_url"].as_str().unwrap().to_owned());
        let robots = String::from_utf8(get(&format!("{}/robots.txt", server.url))).unwrap();
        assert!(robots.contains("\nDisallow: /files/\n"), "{robots}");
        let (_, sitemap) = robots.split_once("\nSitemap: ").unwrap();
        let whole = get(&here(&server, sitemap.trim()));
        let mut found = addresses(&whole, "url");
        let parts = addresses(&whole, "sitemap");
        assert_eq!(parts.len(), [0, 0, 2, 2, 3][usize::from(content) - 1]);
        for part in parts {
            let more = addresses(&get(&here(&server, &part)), "url");
            assert!((1..=2).contains(&more.len()), "{more:?}");
            found.extend(more);
        }
        found.sort();
        pages.sort();
        assert_eq!(found, pages);
    }
    for (part, status) in [("0", "404"), ("3", "200"), ("4", "404"), ("x", "400")] {
        let answer = ask(&server, &format!("/sitemap.xml?part={part}"), &[]);
        assert_eq!(answer.status, status, "part {part}");
    }
}

/// What a publication's page says between these two words.
fn between<'a>(page: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = page
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start} in {page}"));
    rest.split_once(end).unwrap().0
}

const DATASET: &str = "<script type=\"application/ld+json\">";

#[test]
fn search_engines_read_a_dataset_that_no_publisher_can_break_out_of() {
    let server = Server::start_with(&[("SOWER_PUBLIC_URL", PUBLIC_URL)]);
    let title = "</script><script>alert(1)</script>\"><meta x=\"";
    let fields = [
        ("title", title),
        ("description", "Two\nlines"),
        ("format", "hybrid"),
    ];
    let publication = publish(&server, &server.token(), &fields, b"content");
    let address = publication["page_url"].as_str().unwrap();
    let answer = ask(&server, address.strip_prefix(PUBLIC_URL).unwrap(), &[]);
    // Data blocks are none of its business, and scripts must come from files.
    let policy = answer.header("content-security-policy");
    assert!(
        policy.contains("script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    let page = String::from_utf8(answer.body).unwrap();
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    assert!(!page.contains("<meta x"), "{page}");
    for (property, content) in [("og:url", address), ("og:description", "Two")] {
        let meta = format!("<meta property=\"{property}\" content=\"{content}\">");
        assert!(page.contains(&meta), "no {meta} in {page}");
    }

    let dataset: Value = serde_json::from_str(between(&page, DATASET, "</script>")).unwrap();
    assert_eq!(
        (&dataset["@type"], &dataset["name"]),
        (&json!("Dataset"), &json!(title))
    );
    assert_eq!(dataset["url"], address);
    assert_eq!(dataset["datePublished"], publication["published_at"]);
    let (v1, v2) = (&publication["info_hash_v1"], &publication["info_hash_v2"]);
    let identifiers = [
        format!("urn:btih:{}", v1.as_str().unwrap()),
        format!("urn:btmh:1220{}", v2.as_str().unwrap()),
    ];
    assert_eq!(dataset["identifier"], json!(identifiers));
    let [torrent, file] = dataset["distribution"].as_array().unwrap().as_slice() else {
        panic!("{dataset}");
    };
    assert_eq!(torrent["contentUrl"], publication["torrent_url"]);
    assert_eq!(file["sha256"], publication["files"][0]["sha256"]);
    let content = get(&here(&server, file["contentUrl"].as_str().unwrap()));
    assert_eq!(content, b"content");
}

#[test]
fn a_private_trackers_dataset_is_the_same_for_all_but_for_the_torrents_address() {
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "private")]);
    let token = server.token();
    let publication = publish(&server, &token, &[], b"content");
    let page = format!("/p/{}", publication["id"].as_str().unwrap());
    let dataset = |headers: &[&str]| -> Value {
        let page = String::from_utf8(ask(&server, &page, headers).body).unwrap();
        serde_json::from_str(between(&page, DATASET, "</script>")).unwrap()
    };
    let anonymous = dataset(&[]);
    assert_eq!(anonymous["distribution"].as_array().unwrap().len(), 1);
    let mut ours = dataset(&[&format!("Authorization: Bearer {token}")]);
    let torrent = ours["distribution"].as_array_mut().unwrap().remove(0);
    assert_eq!(torrent["contentUrl"], publication["torrent_url"]);
    assert_eq!(ours, anonymous);
}
