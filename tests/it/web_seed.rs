//! Ranges of the web seed and the direct download (RFC 9110 section 14; HARDENING, ranges).

use serde_json::Value;

use crate::support::{Server, curl};

struct Published {
    _server: Server,
    content: Vec<u8>,
    urls: [String; 2],
}

fn published() -> Published {
    let server = Server::start();
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(&server.token(), &[], &[("a file.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    let file = publication["files"][0]["url"].as_str().unwrap().to_owned();
    assert!(file.contains("/files/"), "{file}");
    let web_seed = file.replace("/files/", "/web-seed/");
    Published {
        _server: server,
        content,
        urls: [file, web_seed],
    }
}

struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn ask(url: &str, arguments: &[&str]) -> Response {
    let bytes = curl(&[&["-D", "-", "-o", "-"], arguments, &[url]].concat());
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Response {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

#[test]
fn the_whole_file_comes_with_a_strong_tag() {
    let published = published();
    for url in &published.urls {
        let whole = ask(url, &[]);
        assert_eq!(whole.status, 200);
        assert!(whole.body == published.content);
        assert_eq!(whole.header("content-length"), Some("400000"));
        assert_eq!(whole.header("accept-ranges"), Some("bytes"));
        assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
        let tag = whole.header("etag").unwrap();
        assert!(tag.starts_with('"'), "{tag}");
        let head = ask(url, &["-I"]);
        assert_eq!(head.header("content-length"), Some("400000"));
        assert_eq!(head.header("etag"), Some(tag));
        assert_eq!(
            ask(url, &["-H", &format!("If-None-Match: {tag}")]).status,
            304
        );
    }
}

#[test]
fn ranges_are_exact() {
    let published = published();
    for url in &published.urls {
        for (range, from, to) in [
            ("bytes=0-0", 0, 0),
            ("bytes=100-199", 100, 199),
            ("bytes=399999-", 399_999, 399_999),
            ("bytes=399990-999999999", 399_990, 399_999),
            ("bytes=-10", 399_990, 399_999),
            ("bytes=-99999999", 0, 399_999),
        ] {
            let part = ask(url, &["-H", &format!("Range: {range}")]);
            assert_eq!(part.status, 206, "{range}");
            assert_eq!(
                part.header("content-range"),
                Some(format!("bytes {from}-{to}/400000").as_str())
            );
            assert!(part.body == published.content[from..=to], "{range}");
        }
    }
}

#[test]
fn ranges_past_the_end_are_unsatisfiable() {
    let published = published();
    for url in &published.urls {
        for range in ["bytes=400000-", "bytes=999999999999999999999-", "bytes=-0"] {
            let refused = ask(url, &["-H", &format!("Range: {range}")]);
            assert_eq!(refused.status, 416, "{range}");
            assert_eq!(refused.header("content-range"), Some("bytes */400000"));
        }
    }
}

#[test]
fn what_is_no_range_is_ignored() {
    let published = published();
    for url in &published.urls {
        for range in [
            "lines=1-2",
            "bytes=",
            "bytes=a-b",
            "bytes=5-2",
            "bytes",
            "bytes=1-2-3",
        ] {
            assert_eq!(
                ask(url, &["-H", &format!("Range: {range}")]).status,
                200,
                "{range}"
            );
        }
    }
}

#[test]
fn if_range_keeps_two_versions_apart() {
    let published = published();
    for url in &published.urls {
        let tag = ask(url, &["-I"]).header("etag").unwrap().to_owned();
        let asked = |validator: &str| {
            let validator = format!("If-Range: {validator}");
            ask(url, &["-H", "Range: bytes=0-9", "-H", &validator]).status
        };
        assert_eq!(asked(&tag), 206);
        assert_eq!(asked("\"another\""), 200);
        assert_eq!(asked(&format!("W/{tag}")), 200);
    }
}

#[test]
fn a_thousand_ranges_do_not_multiply_the_answer() {
    let published = published();
    let many: Vec<String> = (0..1000).map(|_| "0-399999".to_owned()).collect();
    let range = format!("Range: bytes={}", many.join(","));
    let answer = ask(&published.urls[1], &["-H", &range]);
    assert!(answer.body.len() <= 450_000, "{} bytes", answer.body.len());
}

#[test]
fn what_could_run_as_a_page_is_an_attachment() {
    let server = Server::start();
    let token = server.token();
    let (_, publication) = server.publish(
        &token,
        &[("title", "pages")],
        &[
            ("evil.html", b"<script>alert(1)</script>"),
            ("evil.svg", b"<svg onload='alert(1)'/>"),
            ("a.txt", b"text"),
        ],
    );
    for file in publication["files"].as_array().unwrap() {
        let answer = ask(file["url"].as_str().unwrap(), &[]);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(
            answer
                .header("content-security-policy")
                .unwrap()
                .contains("sandbox"),
            "{}",
            answer.head
        );
        if file["path"] != "a.txt" {
            let disposition = answer.header("content-disposition").unwrap();
            assert!(disposition.starts_with("attachment"), "{disposition}");
        }
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let published = published();
    for url in &published.urls {
        for path in ["/nothing", "/../../etc/passwd", "%00", "/%2e%2e/x"] {
            assert_eq!(
                ask(&format!("{url}{path}"), &["--path-as-is"]).status,
                404,
                "{path}"
            );
        }
    }
}

#[test]
fn bytes_are_counted_apart() {
    let published = published();
    let id = published.urls[0]
        .split("/files/")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let api = format!(
        "{}/api/v1/publications/{id}",
        published.urls[0].split("/files/").next().unwrap()
    );
    ask(&published.urls[0], &["-H", "Range: bytes=0-999"]);
    ask(&published.urls[1], &["-H", "Range: bytes=0-4999"]);
    let publication: Value = serde_json::from_slice(&curl(&[&api])).unwrap();
    assert_eq!(publication["served"]["file_bytes"], 1_000, "{publication}");
    assert_eq!(
        publication["served"]["web_seed_bytes"], 5_000,
        "{publication}"
    );
}
