//! What is said of a publication beside its words: versions, who finds it, links, DOI, citation, more trackers and web seeds.

use serde_json::{Value, json};

use crate::edits::{Answer, ask, bearer, log_in, publisher};
use crate::support::{Server, get, wait_for};

struct Site {
    server: Server,
    token: String,
}

/// A server with the publisher bob.
fn site() -> Site {
    let server = Server::start();
    let token = publisher(&server, "bob");
    Site { server, token }
}

impl Site {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.url)
    }

    /// Publishes one file of this content, which is also its title; gives the answer.
    fn publish(&self, content: &str, fields: &[(&str, &str)]) -> Value {
        let fields: Vec<_> = [("title", content)].iter().chain(fields).copied().collect();
        let file = [("a.txt", content.as_bytes())];
        let (status, publication) = self.server.publish(&self.token, &fields, &file);
        assert_eq!(status, 201, "{publication}");
        publication
    }

    fn patch(&self, token: &str, id: &str, body: &Value) -> Answer {
        let api = self.url(&format!("/api/v1/publications/{id}"));
        let headers = [
            &bearer(token),
            "Content-Type: application/json",
            "If-Match: *",
        ];
        ask("PATCH", &api, &headers, Some(&body.to_string()))
    }

    fn get(&self, path: &str) -> Answer {
        ask("GET", &self.url(path), &[], None)
    }

    fn described(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/publications/{id}")).json()
    }
}

fn id(publication: &Value) -> &str {
    publication["id"].as_str().unwrap()
}

#[test]
fn an_old_version_leads_to_the_newest() {
    let site = site();
    let one = site.publish("Soil 1.0", &[]);
    let one = id(&one);
    let page = site.url(&format!("/p/{one}"));
    let two = site.publish("Soil <2.0>", &[("replaces", &page)]);
    let two = id(&two);
    assert_eq!(site.described(two)["replaces"], one);
    let three = site.publish("Soil 3.0", &[("replaces", two)]);
    let three = id(&three);
    let first = site.described(one);
    assert_eq!(first["replaces"], Value::Null);
    assert_eq!(
        (&first["replaced_by"], &first["latest"]),
        (&json!(two), &json!(three))
    );
    let last = site.described(three);
    assert_eq!(
        (&last["replaced_by"], &last["latest"]),
        (&Value::Null, &json!(three))
    );

    let page = site.get(&format!("/p/{one}")).body;
    let banner = format!("A newer version exists:</strong> <a href=\"/p/{three}\"><bdi>Soil 3.0<");
    assert!(page.contains(&banner), "{page}");
    let page = site.get(&format!("/p/{three}")).body;
    assert!(!page.contains("A newer version exists"), "{page}");
    let older = format!("A newer version of <a href=\"/p/{two}\"><bdi>Soil &#60;2.0&#62;<");
    assert!(page.contains(&older), "{page}");
    for from in [one, two, three] {
        let latest = site.get(&format!("/p/{from}/latest"));
        assert_eq!(latest.status, 307, "{}", latest.body);
        let place = format!("/p/{three}");
        assert_eq!(latest.header("location"), Some(place.as_str()));
    }
    assert_eq!(site.get("/p/aaaaaaaaaa/latest").status, 404);
    let rss = site.get("/feed.xml").body;
    let link = format!(
        "<atom:link rel=\"predecessor-version\" href=\"http://localhost:{}/p/{two}\"/>",
        port(&site)
    );
    assert!(rss.contains(&link), "{rss}");
    let feed = site.get("/feed.json").json();
    let text = feed["items"][0]["content_text"].as_str().unwrap();
    assert!(
        text.ends_with(&format!(
            "A newer version of http://localhost:{}/p/{two}",
            port(&site)
        )),
        "{text}"
    );

    // The old ones stay in the catalogue; a withdrawn one is passed over.
    assert_eq!(site.server.publication_count(), 3);
    let api = site.url(&format!("/api/v1/publications/{two}"));
    assert_eq!(
        ask("DELETE", &api, &[&bearer(&site.token)], None).status,
        204
    );
    assert_eq!(site.described(one)["replaced_by"], three);
    let latest = site.get(&format!("/p/{two}/latest"));
    assert_eq!(latest.status, 307, "{}", latest.body);
    assert_eq!(site.get(&format!("/p/{three}")).status, 200);
    let api = site.url(&format!("/api/v1/publications/{three}"));
    assert_eq!(
        ask("DELETE", &api, &[&bearer(&site.token)], None).status,
        204
    );
    assert_eq!(site.get(&format!("/p/{two}/latest")).status, 410);
    assert_eq!(site.described(one)["latest"], one);
}

fn port(site: &Site) -> &str {
    site.server.url.rsplit(':').next().unwrap()
}

#[test]
fn what_a_publication_replaces_is_there_and_ones_own_and_no_newer_one() {
    let site = site();
    let eve = publisher(&site.server, "eve");
    let one = site.publish("1", &[]);
    let one = id(&one);
    let two = site.publish("2", &[("replaces", one)]);
    let two = id(&two);
    for older in [one, two] {
        let refusal = site.patch(&site.token, one, &json!({ "replaces": older }));
        refusal.expect_problem(409);
        assert!(
            refusal.body.contains("name an older one"),
            "{}",
            refusal.body
        );
    }
    let nothing = site.patch(&site.token, two, &json!({ "replaces": "aaaaaaaaaa" }));
    nothing.expect_problem(400);
    site.patch(&site.token, two, &json!({ "replaces": "version 1" }))
        .expect_problem(400);
    let (status, theirs) = site.server.publish(&eve, &[], &[("b", b"eve's")]);
    assert_eq!(status, 201, "{theirs}");
    site.patch(&eve, id(&theirs), &json!({ "replaces": one }))
        .expect_problem(403);
    let (status, refusal) = site
        .server
        .publish(&eve, &[("replaces", one)], &[("b", b"more")]);
    assert_eq!(status, 403, "{refusal}");
    let manifest = json!({ "replaces": one, "files": [{ "path": "b", "length": 1 }] });
    let headers = [&bearer(&eve), "Content-Type: application/json"];
    let list = site.url("/api/v1/publications");
    ask("POST", &list, &headers, Some(&manifest.to_string())).expect_problem(403);
    assert_eq!(site.server.publication_count(), 3);
    // An administrator may.
    let admin = site.server.token();
    let named = site.patch(&admin, id(&theirs), &json!({ "replaces": two }));
    assert_eq!(named.status, 200, "{}", named.body);
    assert_eq!(named.json()["replaces"], two);
    let taken_back = site.patch(&eve, id(&theirs), &json!({ "replaces": null }));
    assert_eq!(
        taken_back.json()["replaces"],
        Value::Null,
        "{}",
        taken_back.body
    );
}

#[test]
fn an_unlisted_publication_is_for_those_who_have_its_link() {
    let site = site();
    site.publish("Listed", &[]);
    let hidden = site.publish("Marshes", &[("unlisted", "true"), ("tags", "secret")]);
    assert_eq!(hidden["unlisted"], true);
    let hidden = id(&hidden);
    let lists = [
        "/",
        "/?q=marshes",
        "/?tag=secret",
        "/feed.xml",
        "/feed.json",
        "/sitemap.xml",
        "/api/v1/publications",
        "/api/v1/publications?q=marshes",
        "/api/v1/publications?tag=secret",
    ];
    let expect_hidden = || {
        for list in lists {
            let answer = site.get(list);
            assert_eq!(answer.status, 200, "{list}");
            assert!(!answer.body.contains(hidden), "{list}: {}", answer.body);
        }
    };
    expect_hidden();
    let catalogue = site.get("/").body;
    assert!(catalogue.contains("1 publication"), "{catalogue}");
    assert!(!catalogue.contains("secret"), "{catalogue}");
    let page = site.get(&format!("/p/{hidden}"));
    assert_eq!(page.header("x-robots-tag"), Some("noindex"));
    assert!(
        page.body
            .contains("<meta name=\"robots\" content=\"noindex\">")
    );
    assert!(
        page.body.contains("<strong>Unlisted</strong>"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("ld+json"), "{}", page.body);
    for path in [
        format!("/p/{hidden}.torrent"),
        format!("/files/{hidden}/a.txt"),
        format!("/web-seed/{hidden}/a.txt"),
        format!("/api/v1/publications/{hidden}"),
    ] {
        assert_eq!(site.get(&path).status, 200, "{path}");
    }
    let preview = site.get(&format!("/p/{hidden}/preview/a.txt"));
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert_eq!(preview.header("x-robots-tag"), Some("noindex"));
    let listed = site.patch(&site.token, hidden, &json!({ "unlisted": false }));
    assert_eq!(listed.status, 200, "{}", listed.body);
    for list in lists {
        let answer = site.get(list);
        assert!(answer.body.contains(hidden), "{list}: {}", answer.body);
    }
    assert_eq!(
        site.get(&format!("/p/{hidden}")).header("x-robots-tag"),
        None
    );
    site.patch(&site.token, hidden, &json!({ "unlisted": true }));
    expect_hidden();
}

#[test]
fn links_doi_and_citation_are_on_the_page_and_for_search_engines() {
    let site = site();
    let fields = [
        ("creator", "Ada & Bob"),
        ("doi", "https://doi.org/10.5281/zenodo.7"),
        (
            "links",
            "The <paper> https://example.org/paper?a=1&b=2\n\nhttps://example.org/code",
        ),
    ];
    let soil = site.publish("Soil 100%", &fields);
    assert_eq!(soil["doi"], "10.5281/zenodo.7");
    let links = json!([
        { "title": "The <paper>", "url": "https://example.org/paper?a=1&b=2" },
        { "title": "https://example.org/code", "url": "https://example.org/code" },
    ]);
    assert_eq!(soil["links"], links);
    let page = site.get(&format!("/p/{}", id(&soil))).body;
    for part in [
        "<a href=\"https://doi.org/10.5281/zenodo.7\" rel=\"noopener\">10.5281/zenodo.7</a>",
        "<a href=\"https://example.org/paper?a=1&#38;b=2\" rel=\"nofollow ugc noopener\"><bdi>The &#60;paper&#62;</bdi></a>",
        "title = {{Soil 100\\%}},\n  author = {{Ada \\&#38; Bob}},",
        "\"sameAs\":\"https://doi.org/10.5281/zenodo.7\"",
        "\"url\":\"https://example.org/code\"",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let citation = site.get(&format!("/p/{}.bib", id(&soil)));
    assert_eq!(
        citation.header("content-type"),
        Some("application/x-bibtex; charset=utf-8")
    );
    let entry = format!(
        "@misc{{sower-{},\n  title = {{{{Soil 100\\%}}}},",
        id(&soil)
    );
    assert!(citation.body.starts_with(&entry), "{}", citation.body);
    assert!(
        citation.body.contains("doi = {10.5281/zenodo.7}"),
        "{}",
        citation.body
    );

    for (change, status) in [
        (json!({ "doi": "7" }), 400),
        (
            json!({ "links": [{ "title": "x", "url": "javascript:alert(1)" }] }),
            400,
        ),
        (
            json!({ "links": vec![json!({ "url": "https://example.org/" }); 1] }),
            200,
        ),
        (
            json!({ "links": (0..21).map(|n| json!({ "url": format!("https://example.org/{n}") })).collect::<Vec<_>>() }),
            413,
        ),
    ] {
        let answer = site.patch(&site.token, id(&soil), &change);
        assert_eq!(answer.status, status, "{change}: {}", answer.body);
    }
    let cleared = site.patch(
        &site.token,
        id(&soil),
        &json!({ "doi": null, "links": null }),
    );
    assert_eq!(
        (&cleared.json()["doi"], &cleared.json()["links"]),
        (&json!(""), &json!([]))
    );
}

#[test]
fn other_trackers_and_web_seeds_come_later_and_leave_the_info_hash() {
    let site = site();
    let soil = site.publish("Soil", &[]);
    let path = format!("/p/{}.torrent", id(&soil));
    let torrent = || get(&site.url(&path)).escape_ascii().to_string();
    let rss = site.get("/feed.xml").body;
    let before = torrent();
    let change = json!({
        "trackers": ["udp://other.example.org:6969/announce"],
        "web_seeds": ["https://mirror.example.org/a.txt"],
    });
    let changed = site.patch(&site.token, id(&soil), &change);
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.json()["info_hash_v1"], soil["info_hash_v1"]);
    let magnet = changed.json()["magnet"].as_str().unwrap().to_owned();
    assert!(
        magnet.contains("other.example.org") && magnet.contains("mirror.example.org"),
        "{magnet}"
    );
    let after = torrent();
    assert!(
        after.contains("l37:udp://other.example.org:6969/announcee"),
        "{after}"
    );
    assert!(
        after.contains("32:https://mirror.example.org/a.txt"),
        "{after}"
    );
    let info = |torrent: &str| {
        torrent
            .split("4:info")
            .nth(1)
            .unwrap()
            .split("8:url-list")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(info(&before), info(&after));
    // The feed knows how long the torrent is now.
    assert_ne!(rss, site.get("/feed.xml").body);

    for bad in [
        json!({ "trackers": ["udp://other.example.org"] }),
        json!({ "trackers": ["file:///etc/passwd"] }),
        json!({ "web_seeds": ["udp://a:1"] }),
    ] {
        site.patch(&site.token, id(&soil), &bad).expect_problem(400);
    }
    let fields = [("private", "true"), ("trackers", "wss://other.example.org")];
    let (status, refusal) = site.server.publish(&site.token, &fields, &[("b", b"b")]);
    assert_eq!(status, 400, "{refusal}");
    assert!(
        refusal["detail"].as_str().unwrap().contains("BEP 27"),
        "{refusal}"
    );

    // Clients append the torrent's name to a folder's address, which has to end with a slash for that.
    let fields = [("web_seeds", "https://mirror.example.org/data")];
    let files: [(&str, &[u8]); 2] = [("box/a", b"1"), ("box/b", b"2")];
    let (_, folder) = site.server.publish(&site.token, &fields, &files);
    let torrent = get(&site.url(&format!("/p/{}.torrent", id(&folder))));
    let torrent = torrent.escape_ascii().to_string();
    assert!(
        torrent.contains("32:https://mirror.example.org/data/"),
        "{torrent}"
    );
}

#[test]
fn particulars_of_a_draft_are_those_of_its_publication() {
    let site = site();
    let one = site.publish("1", &[]);
    let manifest = json!({
        "files": [{ "path": "a.csv", "length": 1 }],
        "unlisted": true,
        "replaces": id(&one),
        "doi": "doi:10.5281/x",
        "links": [{ "title": "Paper", "url": "https://example.org/" }],
        "trackers": ["wss://other.example.org"],
        "web_seeds": ["https://mirror.example.org/a.csv"],
    });
    let headers = [&bearer(&site.token), "Content-Type: application/json"];
    let list = site.url("/api/v1/publications");
    let draft = ask("POST", &list, &headers, Some(&manifest.to_string()));
    assert_eq!(draft.status, 201, "{}", draft.body);
    let draft = draft.json();
    let headers = [
        &bearer(&site.token),
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Type: application/offset+octet-stream",
    ];
    let upload = draft["files"][0]["upload_url"].as_str().unwrap();
    let sent = ask("PATCH", upload, &headers, Some("x"));
    assert_eq!(sent.status, 204, "{}", sent.body);
    let api = format!("{list}/{}", id(&draft));
    let published = wait_for("the publication", || {
        let answer = ask("GET", &api, &[&bearer(&site.token)], None).json();
        (answer["state"] == "published").then_some(answer)
    });
    for (field, value) in [
        ("unlisted", json!(true)),
        ("replaces", json!(id(&one))),
        ("doi", json!("10.5281/x")),
        ("links", manifest["links"].clone()),
        ("trackers", manifest["trackers"].clone()),
        ("web_seeds", manifest["web_seeds"].clone()),
    ] {
        assert_eq!(published[field], value, "{field}");
        assert_eq!(draft[field], value, "{field}");
    }
}

#[test]
fn particulars_are_changed_by_the_form() {
    let site = site();
    let (one, two) = (site.publish("1", &[]), site.publish("2", &[]));
    let bob = log_in(&site.server, "bob");
    let edit = site.url(&format!("/p/{}/edit", id(&two)));
    let form = ask("GET", &edit, &[&bob], None).body;
    let (_, seen) = form.split_once("name=\"seen\" value=\"").unwrap();
    let seen = seen.split_once("\">").unwrap().0.replace("&#34;", "%22");
    let origin = format!("Origin: {}", site.server.url);
    let sent = format!(
        "title=2&description=&seen={seen}&unlisted=true&replaces={}&doi=10.5281%2Fx&links=Paper+https%3A%2F%2Fexample.org%2F%0D%0A&trackers=TRACKER&web_seeds=",
        id(&one)
    );
    let refused = ask("POST", &edit, &[&bob, &origin], Some(&sent));
    assert_eq!(refused.status, 400, "{}", refused.body);
    for part in [
        "is no tracker",
        "role=\"alert\"",
        ">TRACKER</textarea>",
        ">Paper https://example.org/",
        "value=\"true\" checked",
    ] {
        assert!(refused.body.contains(part), "{part}: {}", refused.body);
    }
    let unknown = sent.replace(&format!("replaces={}", id(&one)), "replaces=version+one");
    let refused = ask("POST", &edit, &[&bob, &origin], Some(&unknown));
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(
        refused.body.contains("value=\"version one\""),
        "{}",
        refused.body
    );
    let good = sent.replace("TRACKER", "wss%3A%2F%2Fother.example.org");
    let saved = ask("POST", &edit, &[&bob, &origin], Some(&good));
    assert_eq!(saved.status, 303, "{}", saved.body);
    let described = site.described(id(&two));
    for (field, value) in [
        ("unlisted", json!(true)),
        ("replaces", json!(id(&one))),
        ("doi", json!("10.5281/x")),
        (
            "links",
            json!([{ "title": "Paper", "url": "https://example.org/" }]),
        ),
        ("trackers", json!(["wss://other.example.org"])),
        ("web_seeds", json!([])),
    ] {
        assert_eq!(described[field], value, "{field}");
    }
    // A form that leaves them out leaves them.
    let form = ask("GET", &edit, &[&bob], None).body;
    let (_, seen) = form.split_once("name=\"seen\" value=\"").unwrap();
    let seen = seen.split_once("\">").unwrap().0.replace("&#34;", "%22");
    let sent = format!("title=Two&description=&seen={seen}");
    let saved = ask("POST", &edit, &[&bob, &origin], Some(&sent));
    assert_eq!(saved.status, 303, "{}", saved.body);
    assert_eq!(site.described(id(&two))["doi"], "10.5281/x");
}
