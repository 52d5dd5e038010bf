//! Who somebody is, and what they may do.

use super::*;

#[tokio::test]
async fn the_first_administrator_comes_by_a_link_that_works_once() {
    let site = Site::new().await;
    let token = site.auth.open_setup();
    assert_eq!(site.get("/setup").await.status, 403);
    assert_eq!(site.get("/setup?token=wrong").await.status, 403);
    let page = site.get(&format!("/setup?token={token}")).await;
    assert_eq!(page.status, 200);

    let short = format!("token={token}&name=ada&password=short");
    let answer = site.post_form("/setup", &short, &[]).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("at least 8 characters") && answer.text().contains("value=\"ada\"")
    );

    let good = format!("token={token}&name=ada&password=correct+horse");
    let answer = site.post_form("/setup", &good, &[]).await;
    assert_eq!((answer.status, answer.header(&LOCATION)), (303, "/publish"));
    let cookie = answer.cookie();
    let page = site
        .ask(Method::GET, "/publish", &[(COOKIE, &cookie)])
        .await;
    assert_eq!(page.status, 200);

    assert_eq!(site.get(&format!("/setup?token={token}")).await.status, 403);
    assert_eq!(site.post_form("/setup", &good, &[]).await.status, 403);
    assert_eq!(site.accounts.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_begins_anew_at_log_in_and_ends_at_log_out() {
    let site = Site::with("https://example.org", publish::Options::default()).await;
    site.add_account("ada", Role::Publisher).await;
    let login = "name=ada&password=correct+horse&next=/publish";
    let first = site.post_form("/login", login, &[]).await;
    assert_eq!((first.status, first.header(&LOCATION)), (303, "/publish"));
    for attribute in [
        "__Host-",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
        "Path=/",
        "Max-Age=",
    ] {
        assert!(first.header(&SET_COOKIE).contains(attribute), "{attribute}");
    }

    let before = first.cookie();
    let second = site.post_form("/login", login, &[(COOKIE, &before)]).await;
    let after = second.cookie();
    assert_ne!(before, after);
    let status = async |cookie: &str| {
        let answer = site.ask(Method::GET, "/publish", &[(COOKIE, cookie)]).await;
        answer.status
    };
    assert_eq!(status(&before).await, 303);
    assert_eq!(status(&after).await, 200);

    let answer = site.post_form("/logout", "", &[(COOKIE, &after)]).await;
    assert!(answer.header(&SET_COOKIE).contains("Max-Age=0"));
    assert_eq!(status(&after).await, 303);
}

#[tokio::test]
async fn a_log_in_leads_only_to_this_server() {
    let site = Site::new().await;
    site.add_account("ada", Role::Publisher).await;
    for next in [
        "//evil.example",
        "/%5Cevil.example",
        "https%3A%2F%2Fevil.example",
    ] {
        let form = format!("name=ada&password=correct+horse&next={next}");
        let answer = site.post_form("/login", &form, &[]).await;
        assert_eq!(
            (answer.status, answer.header(&LOCATION)),
            (303, "/"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn wrong_passwords_say_nothing_of_names_and_have_to_wait() {
    let site = Site::new().await;
    site.add_account("ada", Role::Publisher).await;
    let wrong = site
        .post_form("/login", "name=ada&password=wrong-one", &[])
        .await;
    let unknown = site
        .post_form("/login", "name=bob&password=wrong-one", &[])
        .await;
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(wrong.text().replace("ada", "bob"), unknown.text());
    for _ in 0..3 {
        site.post_form("/login", "name=ada&password=wrong-one", &[])
            .await;
    }
    let refused = site
        .post_form("/login", "name=ada&password=correct+horse", &[])
        .await;
    assert_eq!(refused.status, 429);
    assert_ne!(refused.header(&RETRY_AFTER), "");
    assert!(refused.text().contains("Wait "));
}

#[tokio::test]
async fn publishing_needs_the_role_that_the_server_asks_for() {
    let rules = publish::Options {
        who: WhoMayPublish::Admins,
        ..publish::Options::default()
    };
    let site = Site::with("http://example.org:8080", rules).await;
    site.add_account("ada", Role::Admin).await;
    site.add_account("pub", Role::Publisher).await;
    let form = Multipart::default().file("a.bin", b"abc");

    let nobody = site.upload(&form, &[]).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.json()["detail"].as_str().unwrap().contains("token"));
    assert_eq!(
        site.get("/publish").await.header(&LOCATION),
        "/login?next=/publish"
    );
    let posted = site.send(form.request("/publish", &[])).await;
    assert_eq!(posted.status, 303);

    let publisher = site.add_token("pub").await;
    let refused = site.upload(&form, &[(AUTHORIZATION, &publisher)]).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("publisher")
    );

    for bad in ["Bearer sower_unknown", "Basic YWRhOng=", "Bearer"] {
        let refused = site.upload(&form, &[(AUTHORIZATION, bad)]).await;
        assert_eq!(refused.status, 401, "{bad}");
    }
    assert!(site.is_empty().await);

    let admin = site.add_token("ada").await;
    let made = site.upload(&form, &[(AUTHORIZATION, &admin)]).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["publisher"], "ada");
}
