//! The inner side of an upload: each buffer is written and hashed once, on a thread that may block.
//!
//! To hash while bytes come in, the format and the piece length must be known before the first of them. Where what was
//! expected turns out to be far from what came, or files of a torrent did not come in its order, the staged files are read and hashed
//! once more at the end.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::domain::publication::PublicationId;
use crate::proto::metainfo::hash::{HashedContent, TorrentHasher};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::original::Original;
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::store::StoreError;
use crate::store::content::{ContentStore, Staging};

/// Bytes read at once when staged files are hashed a second time.
pub(super) const READ_BYTES: usize = 256 * 1024;

/// What an upload is made of, in order.
#[derive(Debug)]
pub(super) enum Part {
    /// The next file begins.
    File {
        /// What it is called.
        path: FilePath,
        /// Its place in the torrent that it belongs to already.
        place: Option<usize>,
    },
    /// The next bytes of the current file.
    Bytes(bytes::Bytes),
    /// That was all, and this is what it shall become.
    End(Format),
}

/// An upload that is whole, staged and hashed.
pub(super) struct Hashed {
    pub(super) staging: Box<dyn Staging>,
    pub(super) content: HashedContent,
}

/// How an upload is hashed while it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// For a new torrent.
    New {
        format: Format,
        piece_length: PieceLength,
    },
    /// For one that exists.
    Again(Arc<Original>),
}

impl Plan {
    /// A hasher by this plan. A publication tells the SHA-256 of its files, so it takes that too.
    fn hasher(&self) -> TorrentHasher {
        match self {
            Self::New {
                format,
                piece_length,
            } => TorrentHasher::new(*format, *piece_length).with_sums(),
            Self::Again(original) => original.hasher().with_sums(),
        }
    }

    /// Whether what was hashed by this plan will do for a torrent that should have been hashed by `wanted`.
    ///
    /// The expected length counts what a form adds to its files, so it may fall just across a step of the table.
    fn will_do_for(&self, wanted: &Self) -> bool {
        match (self, wanted) {
            (
                Self::New {
                    format: our_format,
                    piece_length: ours,
                },
                Self::New {
                    format,
                    piece_length: theirs,
                },
            ) => {
                let (ours, theirs) = (ours.get(), theirs.get());
                our_format == format && ours.max(theirs) <= ours.min(theirs).saturating_mul(2)
            }
            (ours, theirs) => ours == theirs,
        }
    }
}

/// Takes the parts of an upload until its end. `None` where the sender went away before: then nothing is left of it.
///
/// Blocks. A sender that is faster than the disk waits for room in the channel.
pub(super) fn receive(
    content: &dyn ContentStore,
    id: PublicationId,
    plan: Option<Plan>,
    mut parts: mpsc::Receiver<Part>,
) -> Result<Option<Hashed>, StoreError> {
    let mut intake = Intake {
        staging: content.stage(id)?,
        hasher: plan.as_ref().map(Plan::hasher),
        plan,
        files: Vec::new(),
    };
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::File { path, place } => intake.begin_file(path, place)?,
            Part::Bytes(bytes) => intake.write(&bytes)?,
            Part::End(format) => return intake.finish(format).map(Some),
        }
    }
    Ok(None)
}

struct Intake {
    staging: Box<dyn Staging>,
    plan: Option<Plan>,
    /// `None` where nobody said how much would come.
    hasher: Option<TorrentHasher>,
    /// The files in the order in which they are staged.
    files: Vec<TakenIn>,
}

struct TakenIn {
    path: FilePath,
    length: u64,
    place: Option<usize>,
}

impl Intake {
    fn begin_file(&mut self, path: FilePath, place: Option<usize>) -> Result<(), StoreError> {
        self.staging.begin_file()?;
        if place.is_some_and(|place| place != self.files.len()) {
            // Not in the torrent's order.
            self.hasher = None;
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.begin_file(path.clone());
        }
        self.files.push(TakenIn {
            path,
            length: 0,
            place,
        });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.staging.write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if let Some(file) = self.files.last_mut() {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            file.length = file.length.saturating_add(length);
        }
        Ok(())
    }

    fn finish(mut self, format: Format) -> Result<Hashed, StoreError> {
        let wanted = self.wanted(format);
        let hasher = match (&self.plan, self.hasher.take()) {
            (Some(plan), Some(hasher)) if plan.will_do_for(&wanted) => hasher,
            _ => self.hash_again(&wanted)?,
        };
        Ok(Hashed {
            staging: self.staging,
            content: hasher.finish(),
        })
    }

    /// How all of it should be hashed, now that all lengths are known.
    fn wanted(&self, format: Format) -> Plan {
        if let Some(plan @ Plan::Again(_)) = &self.plan {
            return plan.clone();
        }
        let lengths: Vec<u64> = self.files.iter().map(|file| file.length).collect();
        Plan::New {
            format,
            piece_length: PieceLength::for_files(format, &lengths),
        }
    }

    fn hash_again(&self, plan: &Plan) -> Result<TorrentHasher, StoreError> {
        let mut hasher = plan.hasher();
        let mut buffer = vec![0; READ_BYTES];
        let mut files: Vec<_> = (0_u32..).zip(&self.files).collect();
        files.sort_by_key(|(_, file)| file.place);
        for (stored_as, file) in files {
            hasher.begin_file(file.path.clone());
            let mut file = self.staging.reopen(stored_as)?;
            loop {
                let length = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error.into()),
                };
                hasher.update(buffer.get(..length).unwrap_or_default());
            }
        }
        Ok(hasher)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::files::{FileStore, Options};

    /// Receives files whose bytes come in parts of these lengths, over and over.
    fn receive_files(
        files: &[Vec<u8>],
        part_lengths: &[usize],
        plan: Option<Plan>,
        format: Format,
    ) -> HashedContent {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), Options::default()).unwrap();
        let mut parts = Vec::new();
        let mut lengths = part_lengths.iter().copied().cycle();
        for (number, bytes) in files.iter().enumerate() {
            let path = FilePath::parse(&format!("file {number}")).unwrap();
            parts.push(Part::File { path, place: None });
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(lengths.next().unwrap().min(rest.len()));
                parts.push(Part::Bytes(bytes::Bytes::copy_from_slice(now)));
                rest = later;
            }
        }
        parts.push(Part::End(format));
        let (sender, receiver) = mpsc::channel(parts.len());
        for part in parts {
            sender.try_send(part).unwrap();
        }
        let id = "abcdefghij".parse().unwrap();
        let hashed = receive(&store, id, plan, receiver).unwrap().unwrap();
        hashed.content
    }

    fn plan(format: Format, piece_length: u32) -> Plan {
        Plan::New {
            format,
            piece_length: PieceLength::new(piece_length).unwrap(),
        }
    }

    #[test]
    fn a_step_beside_the_table_will_do_and_two_will_not() {
        let wanted = plan(Format::V1, 64 << 10);
        for (format, kib, will_do) in [
            (Format::V1, 64, true),
            (Format::V1, 32, true),
            (Format::V1, 128, true),
            (Format::V1, 16, false),
            (Format::V1, 256, false),
            (Format::Hybrid, 64, false),
        ] {
            assert_eq!(plan(format, kib << 10).will_do_for(&wanted), will_do);
        }
    }

    #[test]
    fn a_plan_far_off_is_made_good_by_a_second_reading() {
        let files = [vec![1; 50_000], vec![2; 70_000]];
        let expected = receive_files(&files, &[1000], None, Format::V1);
        for far_off in [plan(Format::V2, 16 << 10), plan(Format::V1, 1 << 20)] {
            let content = receive_files(&files, &[1000], Some(far_off), Format::V1);
            assert_eq!(content, expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn bytes_hash_the_same_however_they_come(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 1..4),
            part_lengths in prop::collection::vec(1_usize..20_000, 1..8),
            format in prop::sample::select(vec![Format::V1, Format::V2, Format::Hybrid]),
        ) {
            let as_they_come = plan(format, 16 << 10);
            let at_once = receive_files(&files, &part_lengths, Some(as_they_come), format);
            let read_again = receive_files(&files, &[usize::MAX], None, format);
            prop_assert_eq!(at_once, read_again);
        }
    }
}
