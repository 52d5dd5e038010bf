//! What search engines ask for: `robots.txt` (RFC 9309), and the sitemap (sitemaps.org, protocol 0.9), which is cut into parts that an
//! index names where one document cannot hold it.
//!
//! Parts lie at `/sitemap.xml?part=1` and on, since a sitemap speaks only of what lies beneath its own folder. They begin with the oldest, so
//! what is published later changes the last part alone.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::error::WebError;
use super::links::Links;
use super::state::Options;
use super::text::machine_time;
use crate::catalog::Catalog;
use crate::domain::publication::Publication;
use crate::store::publications::{PageQuery, Total};

/// Pages may be found; bytes are not for crawlers, and neither is what needs an account.
const RULES: &str = "User-agent: *
Disallow: /files/
Disallow: /web-seed/
Disallow: /api/
Disallow: /login
Disallow: /setup
Disallow: /account
Disallow: /publish
Disallow: /takedowns
";

/// Tells crawlers to leave an answer about an unlisted publication out of their index.
pub(super) fn hide_unlisted(publication: &Publication, response: &mut Response) {
    if publication.particulars.unlisted {
        let noindex = HeaderValue::from_static("noindex");
        response.headers_mut().insert("x-robots-tag", noindex);
    }
}

/// `GET /robots.txt`
pub(super) async fn robots(State(links): State<Arc<Links>>) -> String {
    format!("{RULES}\nSitemap: {}\n", links.address("/sitemap.xml"))
}

/// Which part of the sitemap is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    part: Option<u64>,
}

/// `GET /sitemap.xml`
pub(super) async fn sitemap(
    State(catalog): State<Catalog>,
    State(links): State<Arc<Links>>,
    State(options): State<Arc<Options>>,
    Query(asked): Query<Asked>,
) -> Result<Response, WebError> {
    let most = options.sitemap_addresses.get();
    let Total::Exactly(listed) = catalog.store().page(&PageQuery::default()).await?.total else {
        return Err(WebError::Internal("the catalogue is not counted".into()));
    };
    let parts = listed.div_ceil(most.into()).max(1);
    let xml = match asked.part {
        None if parts > 1 => index(&links, parts),
        None => part(&catalog, &links, 0, most).await?,
        Some(number) if (1..=parts).contains(&number) => {
            let skip = number.saturating_sub(1).saturating_mul(most.into());
            part(&catalog, &links, skip, most).await?
        }
        Some(_) => {
            let words =
                "There is no such part of the sitemap. /sitemap.xml names those that there are.";
            return Err(WebError::NotFound(words.to_owned()));
        }
    };
    Ok(([(CONTENT_TYPE, "application/xml; charset=utf-8")], xml).into_response())
}

// Addresses and times have no character that XML would read as its own: hosts are ASCII without `&` and `<`, ids are base32.

async fn part(catalog: &Catalog, links: &Links, skip: u64, most: u32) -> Result<String, WebError> {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for (id, published_at) in catalog.store().oldest_first(skip, most).await? {
        let (address, time) = (links.page(id), machine_time(published_at));
        // Writing to a string cannot fail.
        let _ = writeln!(
            xml,
            "<url><loc>{address}</loc><lastmod>{time}</lastmod></url>"
        );
    }
    xml.push_str("</urlset>\n");
    Ok(xml)
}

fn index(links: &Links, parts: u64) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for number in 1..=parts {
        let address = links.address(&format!("/sitemap.xml?part={number}"));
        // Writing to a string cannot fail.
        let _ = writeln!(xml, "<sitemap><loc>{address}</loc></sitemap>");
    }
    xml.push_str("</sitemapindex>\n");
    xml
}
