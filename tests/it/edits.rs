//! What is said of a publication is changed by those who may, and by nobody who has not seen the last change.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Server, get};

const PASSWORD: &str = "correct horse";

/// An answer: its status, its head and its body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// Holds the answer against what every refusal of the API owes (RFC 9457).
    pub(crate) fn expect_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        let kind = self.header("content-type");
        assert_eq!(kind, Some("application/problem+json"));
        let problem = self.json();
        for member in ["type", "title", "detail"] {
            let words = problem[member].as_str();
            assert!(words.is_some_and(|words| !words.is_empty()), "{problem}");
        }
        assert_eq!(problem["status"], status);
    }
}

/// Asks with curl, under these headers.
pub(crate) fn ask(method: &str, url: &str, headers: &[&str], body: Option<&str>) -> Answer {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "60", "-i", "-X", method]);
    for header in headers {
        curl.args(["-H", header]);
    }
    if let Some(body) = body {
        curl.args(["--data-binary", body]);
    }
    let output = curl.arg(url).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (mut head, mut body) = text.split_once("\r\n\r\n").unwrap();
    // Long bodies wait for a word.
    if head.starts_with("HTTP/1.1 100") {
        (head, body) = body.split_once("\r\n\r\n").unwrap();
    }
    let status = head.split(' ').nth(1).unwrap();
    Answer {
        status: status.parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// A publisher of this name, and the header with their token.
pub(crate) fn publisher(server: &Server, name: &str) -> String {
    let added = server.sower(
        &[
            "user",
            "add",
            name,
            "--role",
            "publisher",
            "--password-stdin",
        ],
        &format!("{PASSWORD}\n"),
    );
    assert!(added.status.success(), "{added:?}");
    let created = server.sower(&["token", "create", "--user", name], "");
    assert!(created.status.success(), "{created:?}");
    String::from_utf8(created.stdout).unwrap().trim().to_owned()
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The header of somebody's session in a browser.
pub(crate) fn log_in(server: &Server, name: &str) -> String {
    let form = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
    let answer = ask("POST", &format!("{}/login", server.url), &[], Some(&form));
    assert_eq!(answer.status, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").unwrap();
    format!("Cookie: {}", cookie.split(';').next().unwrap())
}

struct Published {
    server: Server,
    token: String,
    id: String,
    api: String,
    page: String,
}

/// A server with one publication, of the publisher bob.
fn published() -> Published {
    let server = Server::start();
    let token = publisher(&server, "bob");
    let words = [("title", "Soil"), ("description", "Of the marshes")];
    let (status, publication) = server.publish(&token, &words, &[("soil.csv", b"1;2;3\n")]);
    assert_eq!(status, 201, "{publication}");
    let id = publication["id"].as_str().unwrap().to_owned();
    Published {
        api: format!("{}/api/v1/publications/{id}", server.url),
        page: format!("{}/p/{id}", server.url),
        server,
        token,
        id,
    }
}

impl Published {
    fn patch(&self, token: &str, if_match: &str, body: &str) -> Answer {
        let headers = [
            &bearer(token),
            "Content-Type: application/merge-patch+json",
            &format!("If-Match: {if_match}"),
        ];
        ask("PATCH", &self.api, &headers, Some(body))
    }

    fn tag(&self) -> String {
        let answer = ask("GET", &self.api, &[], None);
        answer.header("etag").unwrap().to_owned()
    }

    fn described(&self) -> Value {
        serde_json::from_slice(&get(&self.api)).unwrap()
    }
}

#[test]
fn a_patch_changes_the_words_everywhere_and_the_torrent_nowhere() {
    let it = published();
    let torrent = get(&format!("{}.torrent", it.page));
    let before = it.described();
    let tag = it.tag();
    // The page is kept at hand with its old words.
    assert!(String::from_utf8(get(&it.page)).unwrap().contains("Soil"));

    let patched = it.patch(
        &it.token,
        &tag,
        r#"{"title":" Soil &  <b>water</b> ","description":null}"#,
    );
    assert_eq!(patched.status, 200, "{}", patched.body);
    let after = patched.json();
    assert_eq!(after["title"], "Soil & <b>water</b>");
    assert_eq!(after["description"], "");
    for member in ["id", "info_hash_v1", "name", "files", "magnet", "publisher"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    let new_tag = patched.header("etag").unwrap();
    assert_ne!(new_tag, tag);
    assert_eq!(it.tag(), new_tag);
    assert_eq!(get(&format!("{}.torrent", it.page)), torrent);

    let page = String::from_utf8(get(&it.page)).unwrap();
    assert!(page.contains("Soil &#38; &#60;b&#62;water"), "{page}");
    assert!(!page.contains("Of the marshes"), "{page}");
    let found = get(&format!("{}/api/v1/publications?q=water", it.server.url));
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!(found["publications"][0]["id"], it.id);

    let (server, api) = (it.server, it.api.clone());
    let old_url = server.url.clone();
    let server = server.restart();
    let again = get(&api.replace(&old_url, &server.url));
    let again: Value = serde_json::from_slice(&again).unwrap();
    assert_eq!(again["title"], after["title"], "the change did not last");
}

#[test]
fn a_removed_title_is_the_name_of_the_torrent() {
    let it = published();
    let patched = it.patch(&it.token, "*", r#"{"title":null}"#);
    assert_eq!(patched.json()["title"], "soil.csv", "{}", patched.body);
    assert_eq!(patched.json()["description"], "Of the marshes");
}

#[test]
fn a_change_that_was_not_seen_is_never_overwritten() {
    let it = published();
    let seen = it.tag();
    let first = it.patch(&it.token, &seen, r#"{"title":"First"}"#);
    assert_eq!(first.status, 200, "{}", first.body);
    let second = it.patch(&it.token, &seen, r#"{"title":"Second"}"#);
    second.expect_problem(412);
    let weak = format!("W/{}", it.tag());
    it.patch(&it.token, &weak, "{}").expect_problem(412);

    let headers = [&bearer(&it.token), "Content-Type: application/json"];
    let blind = ask("PATCH", &it.api, &headers, Some(r#"{"title":"Blind"}"#));
    blind.expect_problem(428);
    assert!(
        blind.json()["detail"]
            .as_str()
            .unwrap()
            .contains("If-Match")
    );
    assert_eq!(it.described()["title"], "First");
}

#[test]
fn of_many_changes_at_once_one_wins() {
    let it = published();
    let seen = it.tag();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let patches: Vec<_> = (0..8)
            .map(|number| {
                let (it, seen) = (&it, &seen);
                let body = json!({ "title": format!("Title {number}") }).to_string();
                scope.spawn(move || it.patch(&it.token, seen, &body).status)
            })
            .collect();
        let patches = patches.into_iter();
        patches.map(|patch| patch.join().unwrap()).collect()
    });
    let won = statuses.iter().filter(|status| **status == 200).count();
    let lost = statuses.iter().filter(|status| **status == 412).count();
    assert_eq!((won, lost), (1, 7), "{statuses:?}");
}

#[test]
fn only_the_publisher_and_administrators_change_a_publication() {
    let it = published();
    let eve = publisher(&it.server, "eve");
    let admin = it.server.token();
    it.patch(&eve, "*", r#"{"title":"Eve's"}"#)
        .expect_problem(403);
    it.patch("sower_unknown", "*", "{}").expect_problem(401);
    let nobody = ask("PATCH", &it.api, &["If-Match: *"], Some("{}"));
    nobody.expect_problem(401);
    assert_eq!(it.described()["title"], "Soil");
    let patched = it.patch(&admin, "*", r#"{"title":"Corrected"}"#);
    assert_eq!(patched.status, 200, "{}", patched.body);
    assert_eq!(patched.json()["publisher"], "bob");

    let nowhere = it.api.replace(&it.id, "aaaaaaaaaa");
    let headers = [&bearer(&admin), "If-Match: *"];
    ask("PATCH", &nowhere, &headers, Some("{}")).expect_problem(404);
}

#[test]
fn what_is_no_change_of_words_is_refused_in_words() {
    let it = published();
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"info_hash_v1":"00"}"#, 400),
        (r#"{"title":7}"#, 400),
    ] {
        it.patch(&it.token, "*", body).expect_problem(status);
    }
    let long = json!({ "title": "x".repeat(201) }).to_string();
    it.patch(&it.token, "*", &long).expect_problem(413);
    let long = json!({ "description": "x".repeat(65 * 1024) }).to_string();
    it.patch(&it.token, "*", &long).expect_problem(413);
    // The longest description of all still fits when every character is escaped.
    let escaped = "\\u0078".repeat(64 * 1024 - 1);
    let whole = it.server.folder().join("whole.json");
    std::fs::write(&whole, format!("{{\"description\":\"{escaped}\"}}")).unwrap();
    let whole = it.patch(&it.token, "*", &format!("@{}", whole.display()));
    assert_eq!(whole.status, 200, "{:.300}", whole.body);
    let headers = [
        &bearer(&it.token),
        "If-Match: *",
        "Content-Type: text/plain",
    ];
    let other = ask("PATCH", &it.api, &headers, Some("{}"));
    other.expect_problem(415);
    assert_eq!(
        other.header("accept-patch"),
        Some("application/merge-patch+json")
    );
    assert_eq!(it.described()["title"], "Soil");
}

/// The value of the form's hidden field.
fn seen(form: &str) -> String {
    let (_, rest) = form.split_once("name=\"seen\" value=\"").unwrap();
    let value = rest.split_once("\">").unwrap().0;
    value.replace("&#34;", "").replace('"', "")
}

#[test]
fn the_form_changes_the_words_without_a_script() {
    let it = published();
    let bob = log_in(&it.server, "bob");
    let page = ask("GET", &it.page, &[&bob], None);
    assert!(page.body.contains(&format!("href=\"/p/{}/edit\"", it.id)));
    let edit = format!("{}/edit", it.page);
    let form = ask("GET", &edit, &[&bob], None);
    assert_eq!(form.status, 200);
    assert!(form.body.contains("Of the marshes</textarea>"));
    let seen = seen(&form.body);

    let sent = format!("title=Water&description=One%0D%0ATwo&seen=%22{seen}%22");
    let origin = format!("Origin: {}", it.server.url);
    let saved = ask("POST", &edit, &[&bob, &origin], Some(&sent));
    assert_eq!(saved.status, 303, "{}", saved.body);
    assert_eq!(
        saved.header("location"),
        Some(format!("/p/{}", it.id)).as_deref()
    );
    let described = it.described();
    assert_eq!(described["title"], "Water");
    assert_eq!(described["description"], "One\nTwo");

    // The same form once more: somebody has changed it meanwhile. What was typed is kept, and goes in with a second try.
    let late = ask("POST", &edit, &[&bob, &origin], Some(&sent));
    assert_eq!(late.status, 412);
    assert!(late.body.contains("value=\"Water\""), "{}", late.body);
    assert!(late.body.contains("role=\"alert\""), "{}", late.body);
    let long = format!(
        "title={}&description=&seen=%22{}%22",
        "x".repeat(201),
        self::seen(&late.body)
    );
    let refused = ask("POST", &edit, &[&bob, &origin], Some(&long));
    assert_eq!(refused.status, 413);
    assert!(refused.body.contains("shorten it"), "{}", refused.body);
}

#[test]
fn the_form_is_for_those_who_may_and_from_our_own_page() {
    let it = published();
    publisher(&it.server, "eve");
    let edit = format!("{}/edit", it.page);
    let stranger = ask("GET", &it.page, &[], None);
    assert!(!stranger.body.contains("/edit\""), "strangers may edit");
    let sent_away = ask("GET", &edit, &[], None);
    let login = format!("/login?next=/p/{}/edit", it.id);
    assert_eq!(sent_away.status, 303);
    assert_eq!(sent_away.header("location"), Some(login.as_str()));

    let eve = log_in(&it.server, "eve");
    assert!(!ask("GET", &it.page, &[&eve], None).body.contains("/edit\""));
    assert_eq!(ask("GET", &edit, &[&eve], None).status, 403);
    let tag = it.tag().replace('"', "%22");
    let form = format!("title=Eve&description=&seen={tag}");
    assert_eq!(ask("POST", &edit, &[&eve], Some(&form)).status, 403);

    let bob = log_in(&it.server, "bob");
    let foreign = [bob.as_str(), "Origin: http://evil.example"];
    assert_eq!(ask("POST", &edit, &foreign, Some(&form)).status, 403);
    assert_eq!(it.described()["title"], "Soil");
}

#[test]
fn a_description_is_markdown_that_can_do_no_harm() {
    let it = published();
    let text =
        "# Marshes\nOne\nTwo <script>alert(1)</script>\n\n![map](https://example.org/map.png)";
    let body = json!({ "description": text }).to_string();
    let patched = it.patch(&it.token, "*", &body);
    assert_eq!(patched.json()["description"], text, "{}", patched.body);
    let page = ask("GET", &it.page, &[], None).body;
    for part in [
        "<h2>Marshes</h2>",
        "One<br>\nTwo &#60;script&#62;alert(1)",
        "<a href=\"https://example.org/map.png\" rel=\"nofollow ugc noopener\">map</a>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script>"), "{page}");
    let catalogue = ask("GET", &it.server.url, &[], None).body;
    assert!(catalogue.contains(">Marshes<"), "{catalogue}");
}
