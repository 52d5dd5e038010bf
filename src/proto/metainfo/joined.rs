//! Paths put together from components, one behind another in one text.

use std::ops::Range;
use std::sync::Arc;

use super::path::{MAX_DEPTH, MAX_PATH_LENGTH, PathError, check_bytes, refuse_controls};

/// Paths one behind another, of which the last may be in the making.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// UTF-8, but for the path in the making.
    text: Vec<u8>,
    /// Where the path in the making begins.
    begin: usize,
    /// Its components so far.
    depth: usize,
    has_beyond_ascii: bool,
}

impl Joined {
    /// Adds a component to the path in the making, if it is safe by itself.
    pub(super) fn push(&mut self, component: &[u8]) -> Result<(), PathError> {
        if self.depth >= MAX_DEPTH {
            return Err(PathError::TooDeep { limit: MAX_DEPTH });
        }
        self.has_beyond_ascii |= check_bytes(component)?;
        if self.depth > 0 {
            self.text.push(b'/');
        }
        self.text.extend_from_slice(component);
        self.depth = self.depth.saturating_add(1);
        Ok(())
    }

    /// Ends the path in the making, and tells where in the text it is.
    ///
    /// What is no UTF-8 in it is replaced: old torrents are in the publisher's local encoding, and a strange name is better
    /// than none.
    pub(super) fn end(&mut self) -> Result<Range<usize>, PathError> {
        if self.depth == 0 {
            return Err(PathError::Empty);
        }
        if self.has_beyond_ascii {
            self.check_unicode()?;
        }
        let path = self.begin..self.text.len();
        if path.len() > MAX_PATH_LENGTH {
            return Err(PathError::TooLong {
                length: path.len(),
                limit: MAX_PATH_LENGTH,
            });
        }
        self.begin = path.end;
        self.depth = 0;
        self.has_beyond_ascii = false;
        Ok(path)
    }

    fn check_unicode(&mut self) -> Result<(), PathError> {
        let path = self.text.get(self.begin..).unwrap_or_default();
        if let Ok(path) = std::str::from_utf8(path) {
            return path.split('/').try_for_each(refuse_controls);
        }
        let path = String::from_utf8_lossy(path).into_owned();
        self.give_up();
        path.split('/').try_for_each(|component| {
            refuse_controls(component)?;
            self.push(component.as_bytes())
        })
    }

    /// Gives the path in the making up.
    pub(super) fn give_up(&mut self) {
        self.text.truncate(self.begin);
        self.depth = 0;
        self.has_beyond_ascii = false;
    }

    /// The text of the paths that were ended. A new one begins, in the same room.
    pub(super) fn take_text(&mut self) -> Arc<String> {
        self.give_up();
        // Each path was checked when it ended. A copy is exactly as long as it must be.
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let text = Arc::new(text.to_owned());
        self.text.clear();
        self.begin = 0;
        text
    }
}
