//! How a publication introduces itself to search engines (a Dataset of schema.org) and to whatever shows links (the Open Graph protocol).
//!
//! It is the same for everybody: addresses alone, in which nobody's passkey stands.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::domain::doi;
use crate::domain::publication::Publication;
use crate::web::error::WebError;
use crate::web::links::Links;
use crate::web::markdown::beginning;
use crate::web::media::media_type;
use crate::web::text::{counted, cut, excerpt, machine_time, shown, size};

/// Characters of a description beside a link.
const SUMMARY: usize = 200;

/// Characters of a description in a dataset.
const DESCRIPTION: usize = 2000;

/// Files that a dataset names; the torrent and the API have all.
const FILES: usize = 20;

/// What stands in the head of a publication's page.
pub(super) struct About {
    /// The page's own address.
    pub(super) page: String,
    /// The site's name.
    pub(super) site: String,
    /// The publication in a line.
    pub(super) summary: String,
    /// The dataset as JSON-LD that can stand in a page as it is.
    pub(super) dataset: String,
}

impl About {
    /// Introduces a publication, with its torrent where whoever looks may have it.
    pub(super) fn new(
        links: &Links,
        publication: &Publication,
        has_torrent: bool,
    ) -> Result<Self, WebError> {
        let dataset = serde_json::to_string(&dataset(links, publication, has_torrent))
            .map_err(|error| WebError::Internal(Box::new(error)))?;
        let summary = match excerpt(&shown(&beginning(&publication.description)), SUMMARY) {
            nothing if nothing.is_empty() => extent(publication),
            summary => summary,
        };
        Ok(Self {
            page: links.page(publication.id),
            site: links.host().to_string(),
            summary,
            dataset: inert(&dataset),
        })
    }
}

fn dataset(links: &Links, publication: &Publication, has_torrent: bool) -> Value {
    let hashes = &publication.info_hashes;
    // BEP 9 and 52: 1220 is how a multihash begins that is SHA-256.
    let identifiers: Vec<String> = (hashes.v1().map(|hash| format!("urn:btih:{hash}")))
        .into_iter()
        .chain(hashes.v2().map(|hash| format!("urn:btmh:1220{hash}")))
        .chain(doi_urn(&publication.particulars.doi))
        .collect();
    let torrent = has_torrent.then(|| {
        json!({
            "@type": "DataDownload",
            "name": format!("{}.torrent", publication.name),
            "encodingFormat": "application/x-bittorrent",
            "contentUrl": links.torrent(publication.id),
        })
    });
    let files = publication.files.iter().take(FILES).map(|file| {
        json!({
            "@type": "DataDownload",
            "name": file.path.to_string(),
            "encodingFormat": media_type(file.path.as_str()).essence_str(),
            "contentSize": format!("{} B", file.length),
            "contentUrl": links.file(publication, &file.path),
            "sha256": HEXLOWER.encode(&file.sha256),
        })
    });
    let mut dataset = json!({
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": publication.title,
        "description": match beginning(&publication.description).trim_end() {
            "" => extent(publication),
            description => cut(description, DESCRIPTION),
        },
        "url": links.page(publication.id),
        "identifier": identifiers,
        "datePublished": machine_time(publication.published_at),
        "isAccessibleForFree": true,
        "includedInDataCatalog": { "@type": "DataCatalog", "name": links.host().to_string(), "url": links.address("/") },
        "distribution": torrent.into_iter().chain(files).collect::<Vec<_>>(),
    });
    if !publication.publisher.is_empty() {
        dataset["publisher"] = json!({ "@type": "Person", "name": publication.publisher });
    }
    if !publication.creator.is_empty() {
        dataset["creator"] = json!({ "@type": "Person", "name": publication.creator });
    }
    if let Some(licence) = &publication.licence {
        dataset["license"] = json!(licence.address().unwrap_or_else(|| licence.to_string()));
    }
    let particulars = &publication.particulars;
    if !particulars.doi.is_empty() {
        dataset["sameAs"] = json!(doi::address(&particulars.doi));
    }
    if !particulars.links.is_empty() {
        let links = particulars.links.iter().map(|link| link.url.as_str());
        dataset["subjectOf"] = links
            .map(|url| json!({ "@type": "WebPage", "url": url }))
            .collect();
    }
    if let Some(older) = particulars.replaces {
        dataset["isBasedOn"] = json!(links.page(older));
    }
    if !publication.tags.is_empty() {
        dataset["keywords"] = json!(publication.tags);
    }
    dataset
}

/// An identifier as schema.org's readers know it.
fn doi_urn(doi: &str) -> Option<String> {
    (!doi.is_empty()).then(|| format!("doi:{doi}"))
}

fn extent(publication: &Publication) -> String {
    let files = counted(publication.files.len() as u64, "file", "files");
    format!("{} in {files}", size(publication.total_length))
}

/// JSON in which no character means anything to HTML, so that nothing in it can end the script element that holds it. They stand in
/// strings alone, where an escape is as good.
fn inert(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::{folder, single_file};

    fn about(publication: &Publication) -> (About, Value) {
        let links = Links::new(&"https://example.org".parse().unwrap()).unwrap();
        let about = About::new(&links, publication, true).unwrap();
        let dataset = serde_json::from_str(&about.dataset).unwrap();
        (about, dataset)
    }

    #[test]
    fn nothing_that_a_publisher_writes_ends_the_script() {
        let mut publication = single_file("a.txt", 5);
        publication.title = "</script><script>alert(1)</script><!-- &amp;".to_owned();
        publication.description = publication.title.clone();
        let (about, dataset) = about(&publication);
        assert!(
            !about.dataset.contains(['<', '>', '&']),
            "{}",
            about.dataset
        );
        assert_eq!(dataset["name"], publication.title);
        let description = dataset["description"].as_str().unwrap();
        assert!(
            description.contains("<script>alert(1)</script>"),
            "{description}"
        );
    }

    #[test]
    fn descriptions_are_told_without_the_signs_of_markdown() {
        let mut publication = single_file("a.txt", 5);
        publication.description =
            "# Soil\n\nof the *Elbe* [marshes](https://example.org)".to_owned();
        let (about, dataset) = about(&publication);
        assert_eq!(about.summary, "Soil");
        assert_eq!(dataset["description"], "Soil\nof the Elbe marshes");
    }

    #[test]
    fn a_publication_without_a_description_says_how_much_it_is() {
        let (about, dataset) = about(&folder("box", &[("a", 1000), ("b", 500)]));
        assert_eq!(about.summary, "1.5 kB in 2 files");
        assert_eq!(dataset["description"], about.summary);
    }

    #[test]
    fn a_dataset_names_so_many_files_and_no_more() {
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let (_, dataset) = about(&folder("box", &files));
        // The torrent is one more.
        assert_eq!(dataset["distribution"].as_array().unwrap().len(), FILES + 1);
    }
}
