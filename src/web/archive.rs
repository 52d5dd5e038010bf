//! A publication as one ZIP archive, made as the connection takes it: nothing is written to disk, and little lies in memory.
//!
//! Members are stored as they are, and their lengths and sums are known, so the archive has a length before its first byte, is the same
//! byte by byte each time, and can be gone on with at any place. A file that has changed on disk ends the transfer.

use std::collections::HashMap;
use std::ops::Range;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::body::Stretch;
use super::conditions::{Begun, begin};
use super::content::{Content, Whole};
use super::error::WebError;
use super::media::attachment;
use super::text::dos_time;
use crate::proto::zip::{self, DosTime, Member};
use crate::reader::ReadError;

/// Bytes in a frame.
const FRAME: usize = 64 * 1024;

/// The way in which archives are laid out: another one gives other entity tags.
const LAYOUT: u32 = 1;

/// `GET /files/{id}.zip`
pub(super) async fn archive(
    State(content): State<Content>,
    method: Method,
    Path(name): Path<String>,
    asked: HeaderMap,
) -> Result<Response, WebError> {
    let Some(id) = name.strip_suffix(".zip") else {
        return Err(WebError::NotFound(
            "There is nothing at this address. The archive of a publication ends with .zip."
                .to_owned(),
        ));
    };
    let whole = content.whole(id).await?;
    let layout = Layout::of(&whole);
    let etag = format!("\"{id}-zip{LAYOUT}\"");
    let (mut response, span) = match begin(&method, &asked, &etag, layout.length)? {
        Begun::Done(response) => return Ok(response),
        Begun::Bytes(response, span) => (response, span),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = format!("{}.zip", whole.shelved.publication.name);
    headers.insert(CONTENT_DISPOSITION, attachment(&name));
    if method != Method::HEAD {
        let writer = Writer::new(whole, layout, span);
        let frames = stream::try_unfold(writer, async |mut writer| {
            let frame = writer.next().await.inspect_err(|error| {
                tracing::warn!(%error, "an archive was cut off");
            })?;
            Ok::<_, ReadError>(frame.map(|frame| (frame, writer)))
        });
        *response.body_mut() = Body::from_stream(frames);
    }
    Ok(response)
}

/// How long the parts of an archive are.
#[derive(Clone, Copy)]
struct Layout {
    directory_at: u64,
    directory_length: u64,
    length: u64,
}

impl Layout {
    fn of(whole: &Whole) -> Self {
        let (mut at, mut directory_length) = (0_u64, 0_u64);
        let files = &whole.shelved.publication.files;
        for file in files {
            let name = whole.shelved.download_path(file);
            let member = member(&name, file.length);
            directory_length = directory_length.saturating_add(member.central_header_length(at));
            at = past(at, member);
        }
        let end = zip::end_length(files.len() as u64, at, directory_length);
        Self {
            directory_at: at,
            directory_length,
            length: at.saturating_add(directory_length).saturating_add(end),
        }
    }
}

const fn member(name: &str, length: u64) -> Member<'_> {
    Member { name, length }
}

/// Where the member behind one that begins at `at` begins.
fn past(at: u64, member: Member<'_>) -> u64 {
    at.saturating_add(member.local_header_length())
        .saturating_add(member.length)
}

/// Makes a span of an archive, from its first byte to its last.
struct Writer {
    whole: Whole,
    layout: Layout,
    span: Range<u64>,
    modified: DosTime,
    /// Where the next part begins, in bytes from the start of the archive.
    at: u64,
    part: Part,
    /// Sums that were not known before.
    sums: HashMap<usize, u32>,
}

/// What comes next.
enum Part {
    /// The header of the file at this place.
    Header(usize),
    /// Its bytes.
    Bytes(usize),
    /// The rest of them.
    Rest(usize, Stretch),
    /// The directory, from the line of the file at this place on, whose header begins there.
    Directory(usize, u64),
    End,
    Nothing,
}

impl Writer {
    fn new(whole: Whole, layout: Layout, span: Range<u64>) -> Self {
        Self {
            modified: dos_time(whole.shelved.publication.published_at),
            whole,
            layout,
            span,
            at: 0,
            part: Part::Header(0),
            sums: HashMap::new(),
        }
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while self.at < self.span.end {
            let made = match std::mem::replace(&mut self.part, Part::Nothing) {
                Part::Header(place) => self.header(place).await?,
                Part::Bytes(place) => self.open(place).await?,
                Part::Rest(place, stretch) => self.bytes(place, stretch).await?,
                Part::Directory(place, at) => self.directory(place, at).await?,
                Part::End => self.end(),
                Part::Nothing => break,
            };
            if let Some(bytes) = made.filter(|bytes| !bytes.is_empty()) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    async fn header(&mut self, place: usize) -> Result<Option<Bytes>, ReadError> {
        let shelved = &self.whole.shelved;
        let Some(file) = shelved.publication.files.get(place) else {
            self.part = Part::Directory(0, 0);
            return Ok(None);
        };
        let (name, length) = (shelved.download_path(file), file.length);
        let member = member(&name, length);
        self.part = Part::Bytes(place);
        let past = self.at.saturating_add(member.local_header_length());
        if past <= self.span.start {
            self.at = past;
            return Ok(None);
        }
        let crc32 = self.crc32(place).await?;
        Ok(self.cut(zip::local_header(member, crc32, self.modified)))
    }

    async fn open(&mut self, place: usize) -> Result<Option<Bytes>, ReadError> {
        let length = self.length_of(place);
        let from = self.span.start.saturating_sub(self.at).min(length);
        let to = self.span.end.saturating_sub(self.at).min(length);
        self.at = self.at.saturating_add(from);
        self.part = Part::Header(place.saturating_add(1));
        if from < to {
            let stretch = self.whole.stretch(place, from..to).await?;
            self.part = Part::Rest(place, stretch);
        }
        Ok(None)
    }

    async fn bytes(&mut self, place: usize, mut rest: Stretch) -> Result<Option<Bytes>, ReadError> {
        let Some(length) = rest.next(FRAME) else {
            self.part = Part::Header(place.saturating_add(1));
            return Ok(None);
        };
        let bytes = rest.take(length).await?;
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.part = Part::Rest(place, rest);
        Ok(Some(bytes))
    }

    /// Lines of the directory, about a frame of them.
    async fn directory(
        &mut self,
        mut place: usize,
        mut at: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        let mut lines = Vec::new();
        loop {
            let shelved = &self.whole.shelved;
            let Some(file) = shelved.publication.files.get(place) else {
                self.part = Part::End;
                break;
            };
            if lines.len() >= FRAME {
                self.part = Part::Directory(place, at);
                break;
            }
            let (name, length) = (shelved.download_path(file), file.length);
            let member = member(&name, length);
            let crc32 = self.crc32(place).await?;
            lines.extend(zip::central_header(member, crc32, at, self.modified));
            at = past(at, member);
            place = place.saturating_add(1);
        }
        Ok(self.cut(lines))
    }

    fn end(&mut self) -> Option<Bytes> {
        let members = self.whole.shelved.publication.files.len() as u64;
        let layout = self.layout;
        self.cut(zip::end(
            members,
            layout.directory_at,
            layout.directory_length,
        ))
    }

    /// Passes a part of the archive, and gives what of it is wanted.
    fn cut(&mut self, part: Vec<u8>) -> Option<Bytes> {
        let place = |bound: u64| {
            let offset = usize::try_from(bound.saturating_sub(self.at)).unwrap_or(usize::MAX);
            offset.min(part.len())
        };
        let (from, to) = (place(self.span.start), place(self.span.end));
        self.at = self.at.saturating_add(part.len() as u64);
        (from < to).then(|| Bytes::from(part).slice(from..to))
    }

    fn length_of(&self, place: usize) -> u64 {
        let file = self.whole.shelved.publication.files.get(place);
        file.map_or(0, |file| file.length)
    }

    /// The CRC-32 of a file. What was published before it was taken down is read once for that.
    async fn crc32(&mut self, place: usize) -> Result<u32, ReadError> {
        let publication = &self.whole.shelved.publication;
        let file = publication.files.get(place);
        let known = file.and_then(|file| file.crc32);
        if let Some(crc32) = known.or_else(|| self.sums.get(&place).copied()) {
            return Ok(crc32);
        }
        let whole = 0..self.length_of(place);
        let mut rest = self.whole.stretch(place, whole).await?.uncounted();
        let mut hasher = crc32fast::Hasher::new();
        while let Some(length) = rest.next(FRAME) {
            hasher.update(&rest.take(length).await?);
        }
        let crc32 = hasher.finalize();
        self.sums.insert(place, crc32);
        if let Some(file) = file {
            let id = publication.id;
            let noted = self.whole.catalog.note_crc32(id, file.stored_as, crc32);
            if let Err(error) = noted.await {
                tracing::warn!(publication = %id, %error, "the sum of a file could not be kept; the next archive computes it again");
            }
        }
        Ok(crc32)
    }
}
