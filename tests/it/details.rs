//! Who made a publication, under which licence, and its tags: said when it is published, changed later, and told everywhere.

use serde_json::{Value, json};

use crate::edits::{Answer, ask, bearer, log_in, publisher};
use crate::support::{Server, get, wait_for};

fn patch(server: &Server, token: &str, id: &str, body: &str) -> Answer {
    let api = format!("{}/api/v1/publications/{id}", server.url);
    let headers = [
        &bearer(token),
        "Content-Type: application/json",
        "If-Match: *",
    ];
    ask("PATCH", &api, &headers, Some(body))
}

fn text(url: &str) -> String {
    String::from_utf8(get(url)).unwrap()
}

#[test]
fn details_are_told_on_the_page_in_the_api_in_feeds_and_to_search_engines() {
    let server = Server::start();
    let fields = [
        ("title", "Soil"),
        ("creator", "Grace  <b>Hopper</b>"),
        ("licence", "cc-by-4.0"),
        ("tags", "Soil Survey, #Elbe,soil survey"),
    ];
    let (status, publication) = server.publish(&server.token(), &fields, &[("a.csv", b"1")]);
    assert_eq!(status, 201, "{publication}");
    assert_eq!(publication["creator"], "Grace <b>Hopper</b>");
    assert_eq!(publication["licence"], "CC-BY-4.0");
    assert_eq!(publication["tags"], json!(["soil survey", "elbe"]));

    let id = publication["id"].as_str().unwrap();
    let page = text(&format!("{}/p/{id}", server.url));
    for part in [
        "By <a href=\"/?creator=Grace%20%3Cb%3EHopper%3C%2Fb%3E\"><bdi>Grace &#60;b&#62;Hopper",
        "<a href=\"https://spdx.org/licenses/CC-BY-4.0.html\" rel=\"license noopener\">CC BY 4.0</a>",
        "any use, if you name the creator",
        "<bdi>soil survey</bdi>",
        "<meta property=\"article:tag\" content=\"elbe\">",
        "\"license\":\"https://spdx.org/licenses/CC-BY-4.0.html\"",
        "\"keywords\":[\"soil survey\",\"elbe\"]",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let rss = text(&format!("{}/feed.xml", server.url));
    for part in [
        "<dc:creator>Grace &#60;b&#62;Hopper",
        "<dc:rights>CC-BY-4.0</dc:rights>",
        "<category>soil survey</category>",
        "<category>elbe</category>",
    ] {
        assert!(rss.contains(part), "{part}: {rss}");
    }
    let feed: Value = serde_json::from_slice(&get(&format!("{}/feed.json", server.url))).unwrap();
    assert_eq!(feed["items"][0]["tags"], json!(["soil survey", "elbe"]));
    let catalogue = text(&server.url);
    assert!(catalogue.contains("<li>CC BY 4.0</li>"), "{catalogue}");
    for search in ["hopper", "%22soil+survey%22", "elb"] {
        let found = text(&format!("{}/api/v1/publications?q={search}", server.url));
        assert!(found.contains(id), "{search}: {found}");
    }
}

#[test]
fn details_are_changed_by_the_api_and_by_the_form() {
    let server = Server::start();
    let token = publisher(&server, "bob");
    let (_, publication) = server.publish(&token, &[("tags", "old")], &[("a.csv", b"1")]);
    let id = publication["id"].as_str().unwrap();
    let patched = patch(
        &server,
        &token,
        id,
        r#"{"tags":["New","b, c"],"licence":"EUPL-1.2","creator":"Ada"}"#,
    );
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(patched.json()["tags"], json!(["new", "b", "c"]));
    assert_eq!(patched.json()["title"], publication["title"]);
    let found = text(&format!("{}/api/v1/publications?q=old", server.url));
    assert!(!found.contains(id), "{found}");

    let bob = log_in(&server, "bob");
    let edit = format!("{}/p/{id}/edit", server.url);
    let form = ask("GET", &edit, &[&bob], None).body;
    for part in [
        "name=\"creator\" type=\"text\" value=\"Ada\"",
        "name=\"tags\" type=\"text\" value=\"new, b, c\"",
        "<option value=\"EUPL-1.2\" selected>",
        "<option value=\"CC0-1.0\">CC0: no rights reserved, for any use</option>",
    ] {
        assert!(form.contains(part), "{part}: {form}");
    }
    let (_, seen) = form.split_once("name=\"seen\" value=\"").unwrap();
    let seen = seen.split_once("\">").unwrap().0.replace("&#34;", "%22");
    let origin = format!("Origin: {}", server.url);
    let sent = format!("title=T&description=&creator=&licence=nonsense!&tags=x%2Cy&seen={seen}");
    let refused = ask("POST", &edit, &[&bob, &origin], Some(&sent));
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("SPDX"), "{}", refused.body);
    assert!(refused.body.contains("value=\"x, y\""), "{}", refused.body);
    let saved = ask(
        "POST",
        &edit,
        &[&bob, &origin],
        Some(&sent.replace("nonsense!", "MIT")),
    );
    assert_eq!(saved.status, 303, "{}", saved.body);
    let described = get(&format!("{}/api/v1/publications/{id}", server.url));
    let described: Value = serde_json::from_slice(&described).unwrap();
    assert_eq!(described["tags"], json!(["x", "y"]));
    assert_eq!(described["licence"], "MIT");
    assert_eq!(described["creator"], "");
}

#[test]
fn details_of_a_draft_are_those_of_its_publication() {
    let server = Server::start();
    let token = server.token();
    let manifest = json!({
        "files": [{ "path": "a.csv", "length": 1 }],
        "tags": ["Soil", "#soil", "elbe"],
        "licence": "odbl-1.0",
        "creator": "Ada",
    });
    let headers = [&bearer(&token), "Content-Type: application/json"];
    let list = format!("{}/api/v1/publications", server.url);
    let draft = ask("POST", &list, &headers, Some(&manifest.to_string()));
    assert_eq!(draft.status, 201, "{}", draft.body);
    let draft = draft.json();
    assert_eq!(draft["tags"], json!(["soil", "elbe"]));
    let upload = draft["files"][0]["upload_url"].as_str().unwrap();
    let headers = [
        &bearer(&token),
        "Tus-Resumable: 1.0.0",
        "Upload-Offset: 0",
        "Content-Type: application/offset+octet-stream",
    ];
    let sent = ask("PATCH", upload, &headers, Some("x"));
    assert_eq!(sent.status, 204, "{}", sent.body);
    let api = format!("{list}/{}", draft["id"].as_str().unwrap());
    let published = wait_for("the publication", || {
        let answer = ask("GET", &api, &[&bearer(&token)], None).json();
        (answer["state"] == "published").then_some(answer)
    });
    assert_eq!(published["tags"], json!(["soil", "elbe"]));
    assert_eq!(published["licence"], "ODbL-1.0");
    assert_eq!(published["creator"], "Ada");
}

#[test]
fn details_out_of_bounds_are_refused_in_words() {
    let server = Server::start();
    let token = server.token();
    let many: Vec<String> = (0..21).map(|number| number.to_string()).collect();
    let (long, many, name) = ("x".repeat(51), many.join(","), "x".repeat(201));
    for (field, value, expected) in [
        ("tags", long.as_str(), 413),
        ("tags", &many, 413),
        ("creator", &name, 413),
        ("licence", "All rights reserved", 400),
    ] {
        let (status, problem) = server.publish(&token, &[(field, value)], &[("a", b"1")]);
        assert_eq!(status, expected, "{field}: {problem}");
        assert_eq!(problem["status"], expected, "{field}: {problem}");
    }
    assert_eq!(server.publication_count(), 0);
    assert_eq!(server.stored(), 0);
}
