//! A publication: its page, its torrent file, its magnet link and how it is cited.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};

use super::Frame;
use super::about::About;
use super::details::name_in_words;
use super::draft;
use super::report::report_address;
use super::takedowns::may_take_down;
use super::versions::Versions;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::doi;
use crate::domain::history::SwarmSize;
use crate::domain::licence::Licence;
use crate::domain::particulars::Particulars;
use crate::domain::publication::{Publication, PublishedFile};
use crate::domain::tally::Counts;
use crate::proto::metainfo::info::Format;
use crate::web::auth::Viewer;
use crate::web::chart::Chart;
use crate::web::citation::bibtex;
use crate::web::crawlers::hide_unlisted;
use crate::web::error::{WebError, page as render};
use crate::web::links::{encode_segment, file_path, preview_path};
use crate::web::markdown::to_html;
use crate::web::media::{Preview, attachment};
use crate::web::peek::{beginning, is_markdown, readme};
use crate::web::personal::Personal;
use crate::web::qr::QrCode;
use crate::web::state::WebState;
use crate::web::text::{counted, day, grouped, machine_time, shown, size};
use crate::web::torrent::Mint;
use crate::web::verification::Health;

/// A swarm while nobody is in it but this server.
const UNATTENDED: SwarmSize = SwarmSize {
    seeders: 1,
    leechers: 0,
};

/// Bytes of a README that the page shows.
const README: u64 = 64 * 1024;

/// Files that the page lists; the API and the torrent list all.
const LISTED_FILES: usize = 1000;

#[derive(Template)]
#[template(path = "publication.html")]
struct PublicationPage<'a> {
    frame: Frame,
    about: About,
    title: String,
    /// HTML.
    description: String,
    publisher: String,
    creator: String,
    creator_href: String,
    licence: Option<LicenceWords>,
    tags: Vec<TagLink>,
    particulars: &'a Particulars,
    versions: Versions,
    /// Empty where there is none.
    doi_href: String,
    bibtex: String,
    bib_href: String,
    day: String,
    machine_time: String,
    /// `None` where whoever looks must log in for it.
    torrent: Option<TorrentWords>,
    login_href: String,
    /// Where the only file is downloaded directly; `None` for a folder.
    only_file: Option<FileRow>,
    size: String,
    exact_size: String,
    file_count: String,
    format: &'static str,
    is_private: bool,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    piece_length: String,
    web_seed: String,
    folder: Option<String>,
    files: Vec<FileRow>,
    readme: Option<ReadmeWords>,
    qr: Option<QrCode>,
    unlisted: Option<String>,
    api_href: String,
    /// The feed in which a newer version would stand; `None` where this one stands in none.
    feed_href: Option<String>,
    report_href: Option<String>,
    /// All files in one.
    archive_href: String,
    checksums_href: String,
    /// What the addresses to change it begin with; `None` where whoever looks may not.
    own: Option<String>,
    may_take_down: bool,
    /// Whether peers from the Internet have come to this server.
    is_reached: bool,
    /// What cannot be sent, and why; `None` where all is well, as far as it was read.
    damage: Option<String>,
    verified: String,
    verified_machine_time: String,
    swarm: SwarmWords,
    given: GivenWords,
    chart: Option<Chart>,
}

struct LicenceWords {
    name: String,
    /// What it allows, where that is known.
    meaning: Option<&'static str>,
    /// Where its text is.
    href: Option<String>,
}

struct TagLink {
    href: String,
    name: String,
}

/// The README, or the first part of it.
struct ReadmeWords {
    name: String,
    /// Where the file is shown by itself.
    href: String,
    text: String,
    is_html: bool,
    is_cut: bool,
}

#[derive(Clone)]
struct FileRow {
    href: String,
    /// Where it is shown, if it can be.
    preview: Option<String>,
    path: String,
    size: String,
    exact_size: String,
    sha256: String,
}

/// The torrent, as whoever looks gets it.
struct TorrentWords {
    href: String,
    size: String,
    magnet: String,
    announce: String,
}

/// Who has the files, in words.
struct SwarmWords {
    copies: String,
    leechers: String,
    completed: String,
}

/// What this server has sent of the files.
struct GivenWords {
    /// Connected to this server's own seed now.
    peers_now: String,
    by_peers: String,
    by_web_seed: String,
    directly: String,
    /// An estimate of what peers gave each other.
    saved: String,
}

/// `GET /p/{id}`, `/p/{id}.torrent`, `/p/{id}.magnet` and `/p/{id}.bib`
pub(in crate::web) async fn page_or_torrent(
    State(state): State<WebState>,
    State(mint): State<Mint>,
    State(personal): State<Personal>,
    Viewer(viewer): Viewer,
    Path(name): Path<String>,
) -> Result<Response, WebError> {
    let viewer = viewer.as_ref();
    let (id, kind) = name.split_once('.').unwrap_or((&name, ""));
    // A draft that is published meanwhile is found on the shelf.
    if kind.is_empty()
        && let Some(draft) = draft::page(&state, viewer, id).await?
    {
        return Ok(draft);
    }
    let shelved = match kind {
        "" | "torrent" | "magnet" | "bib" => state.shelf.find(id).await?,
        _ => return Err(WebError::no_publication()),
    };
    let publication = &shelved.publication;
    let mut answer = match kind {
        "torrent" => {
            let trackers = personal.trackers_or_log_in(viewer).await?;
            torrent_file(&mint, publication, &trackers).await?
        }
        "magnet" => {
            let trackers = personal.trackers_or_log_in(viewer).await?;
            magnet_link(&mint, publication, &trackers)?
        }
        "bib" => citation(&state, publication),
        _ => {
            let trackers = personal.trackers(viewer).await?;
            page(&state, &mint, viewer, trackers.as_deref(), publication).await?
        }
    };
    hide_unlisted(publication, &mut answer);
    Ok(personal.keep(answer))
}

fn citation(state: &WebState, publication: &Publication) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-bibtex; charset=utf-8"),
        ),
        (
            CONTENT_DISPOSITION,
            attachment(&format!("{}.bib", publication.id)),
        ),
    ];
    (headers, bibtex(&state.links, publication)).into_response()
}

async fn page(
    state: &WebState,
    mint: &Mint,
    viewer: Option<&Account>,
    trackers: Option<&[Vec<String>]>,
    publication: &Publication,
) -> Result<Response, WebError> {
    let torrent = match trackers {
        Some(trackers) => Some(TorrentWords {
            href: format!("/p/{}.torrent", publication.id),
            size: size(mint.torrent_file(publication, trackers).await?.len() as u64),
            magnet: mint.magnet(publication, trackers),
            announce: trackers
                .iter()
                .flatten()
                .next()
                .cloned()
                .unwrap_or_default(),
        }),
        None => None,
    };
    let counts = state.catalog.tally(publication.id).counts();
    let history = state.catalog.store().history(publication.id).await?;
    let swarm = state.tracker.counts(&publication.info_hashes);
    let health = Health::of(state, publication).await?;
    let frame = Frame::new(viewer, state.who_may_publish);
    let readme = read_readme(state, publication).await;
    let qr = trackers.and_then(|trackers| QrCode::of(&mint.short_magnet(publication, trackers)));
    let rows = publication
        .files
        .iter()
        .take(LISTED_FILES)
        .map(|file| FileRow::new(publication, file));
    let files: Vec<FileRow> = rows.collect();
    let page = PublicationPage {
        frame,
        about: About::new(&state.links, publication, torrent.is_some())?,
        title: shown(&publication.title),
        description: to_html(&shown(&publication.description)),
        publisher: publication.publisher.clone(),
        creator: shown(&publication.creator),
        creator_href: format!("/?creator={}", encode_segment(&publication.creator)),
        licence: publication.licence.as_ref().map(LicenceWords::new),
        tags: publication
            .tags
            .iter()
            .map(|tag| TagLink::new(tag))
            .collect(),
        particulars: &publication.particulars,
        versions: Versions::of(state, publication).await?,
        doi_href: match publication.particulars.doi.as_str() {
            "" => String::new(),
            doi => doi::address(doi),
        },
        bibtex: bibtex(&state.links, publication),
        bib_href: format!("/p/{}.bib", publication.id),
        day: day(publication.published_at),
        machine_time: machine_time(publication.published_at),
        torrent,
        readme,
        qr,
        login_href: format!("/login?next=/p/{}", publication.id),
        only_file: files
            .first()
            .filter(|_| publication.files.len() == 1)
            .cloned(),
        size: size(publication.total_length),
        exact_size: grouped(publication.total_length),
        file_count: counted(publication.files.len() as u64, "file", "files"),
        format: format_in_words(publication.format),
        is_private: publication.private,
        info_hash_v1: publication.info_hashes.v1().map(|hash| hash.to_string()),
        info_hash_v2: publication.info_hashes.v2().map(|hash| hash.to_string()),
        piece_length: grouped(publication.piece_length.into()),
        web_seed: state.links.web_seed(publication),
        folder: (!publication.is_single_file()).then(|| shown(&publication.name)),
        unlisted: publication
            .files
            .len()
            .checked_sub(LISTED_FILES)
            .filter(|more| *more > 0)
            .map(|more| counted(more as u64, "more file", "more files")),
        archive_href: format!("/files/{}.zip", publication.id),
        checksums_href: format!("/files/{}/SHA256SUMS", publication.id),
        api_href: format!("/api/v1/publications/{}", publication.id),
        feed_href: feed_of(publication),
        report_href: report_address(&state.options.contact, &state.links.page(publication.id)),
        may_take_down: may_take_down(viewer),
        is_reached: state.engine.figures().is_reached(),
        own: viewer
            .filter(|viewer| publication.may_be_edited_by(viewer))
            .map(|_| format!("/p/{}", publication.id)),
        files,
        damage: damage_in_words(health.damaged_files),
        verified: day(health.verified_at),
        verified_machine_time: machine_time(health.verified_at),
        chart: Chart::draw(&history, ambient::unix_now(), UNATTENDED),
        swarm: SwarmWords {
            copies: copies_in_words(u64::from(swarm.seeders)),
            leechers: grouped(u64::from(swarm.leechers)),
            completed: grouped(counts.completed),
        },
        given: GivenWords::new(state.engine.peer_count(publication.id), &counts),
    };
    Ok(render(&page)?.into_response())
}

fn feed_of(publication: &Publication) -> Option<String> {
    let feed = match publication.creator.as_str() {
        "" => "/feed.xml".to_owned(),
        creator => format!("/feed.xml?creator={}", encode_segment(creator)),
    };
    (!publication.particulars.unlisted).then_some(feed)
}

/// The README of a publication, if there is one and it can be read: without it the page is still of use.
async fn read_readme(state: &WebState, publication: &Publication) -> Option<ReadmeWords> {
    let place = readme(publication)?;
    let path = &publication.files.get(place)?.path;
    let whole = state.content.whole(publication.id.as_str()).await.ok()?;
    let read = beginning(&whole, place, README).await.ok()?;
    let text = read.text.filter(|text| !text.trim().is_empty())?;
    let is_html = is_markdown(path.file_name());
    Some(ReadmeWords {
        name: path.file_name().to_owned(),
        href: preview_path(publication, path),
        text: if is_html { to_html(&text) } else { text },
        is_html,
        is_cut: read.is_cut,
    })
}

async fn torrent_file(
    mint: &Mint,
    publication: &Publication,
    trackers: &[Vec<String>],
) -> Result<Response, WebError> {
    let bytes = mint.torrent_file(publication, trackers).await?;
    let name = format!("{}.torrent", publication.name);
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-bittorrent"),
        ),
        (CONTENT_DISPOSITION, attachment(&name)),
    ];
    Ok((headers, bytes).into_response())
}

fn magnet_link(
    mint: &Mint,
    publication: &Publication,
    trackers: &[Vec<String>],
) -> Result<Response, WebError> {
    let magnet = mint.magnet(publication, trackers);
    let location =
        HeaderValue::from_str(&magnet).map_err(|error| WebError::Internal(Box::new(error)))?;
    // Temporary: the link is today's, as the torrent file is.
    Ok((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response())
}

impl GivenWords {
    fn new(peers: u64, counts: &Counts) -> Self {
        Self {
            peers_now: grouped(peers),
            by_peers: size(counts.peer_bytes),
            by_web_seed: size(counts.web_seed_bytes),
            directly: size(counts.file_bytes),
            saved: size(counts.saved_bytes()),
        }
    }
}

impl LicenceWords {
    fn new(licence: &Licence) -> Self {
        Self {
            name: name_in_words(licence),
            meaning: licence.known().map(|known| known.meaning),
            href: licence.address(),
        }
    }
}

impl TagLink {
    fn new(tag: &str) -> Self {
        Self {
            href: format!("/?tag={}", encode_segment(tag)),
            name: shown(tag),
        }
    }
}

impl FileRow {
    fn new(publication: &Publication, file: &PublishedFile) -> Self {
        Self {
            href: file_path(publication, &file.path),
            preview: Preview::of(file.path.file_name())
                .map(|_| preview_path(publication, &file.path)),
            path: shown(&file.path.to_string()),
            size: size(file.length),
            exact_size: grouped(file.length),
            sha256: HEXLOWER.encode(&file.sha256),
        }
    }
}

const fn format_in_words(format: Format) -> &'static str {
    match format {
        Format::V1 => "v1, for every client",
        Format::V2 => "v2, for newer clients",
        Format::Hybrid => "hybrid, v1 and v2",
    }
}

/// How many files fail the check.
fn damage_in_words(files: u64) -> Option<String> {
    match files {
        0 => None,
        1 => Some("1 file fails the check".to_owned()),
        files => Some(format!("{} files fail the check", grouped(files))),
    }
}

/// Full copies in the swarm, in which this server's own is counted.
fn copies_in_words(seeders: u64) -> String {
    match seeders {
        0 | 1 => "1 full copy, on this server".to_owned(),
        copies => format!("{} full copies, one on this server", grouped(copies)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_servers_own_copy_is_always_there() {
        assert_eq!(copies_in_words(0), "1 full copy, on this server");
        assert_eq!(
            copies_in_words(1234),
            "1,234 full copies, one on this server"
        );
    }
}
