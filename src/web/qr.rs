//! A text as a QR code for the camera of a phone, drawn into the page: no script, no picture from elsewhere.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder};

/// Modules of light around the code (ISO/IEC 18004, section 9.1).
const QUIET_ZONE: usize = 4;

/// A code as an SVG path: stretches of dark modules, each a stroke one module wide.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QrCode {
    /// Modules on each side, the light around them counted.
    pub(super) size: usize,
    /// The path's `d`.
    pub(super) path: String,
}

impl QrCode {
    /// The code of a text; `None` where it is too long for one.
    pub(super) fn of(text: &str) -> Option<Self> {
        let code = QRBuilder::new(text).ecl(ECL::L).build().ok()?;
        let mut path = String::new();
        for row in 0..code.size {
            let mut dark = (0..code.size).filter(|column| code[row][*column].value());
            let mut next = dark.next();
            while let Some(first) = next {
                let mut last = first;
                next = dark.next();
                while next == Some(last + 1) {
                    last += 1;
                    next = dark.next();
                }
                let (x, y) = (first + QUIET_ZONE, row + QUIET_ZONE);
                // Writing to a string cannot fail.
                let _ = write!(path, "M{x} {y}.5h{}", last - first + 1);
            }
        }
        Some(Self {
            size: code.size + 2 * QUIET_ZONE,
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once() {
        let text = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
        let drawn = QrCode::of(text).unwrap();
        let code = QRBuilder::new(text).ecl(ECL::L).build().unwrap();
        let mut dark = 0;
        for stroke in drawn.path.split('M').skip(1) {
            let (x, rest) = stroke.split_once(' ').unwrap();
            let (y, length) = rest.split_once(".5h").unwrap();
            let [x, y, length] = [x, y, length].map(|number| number.parse::<usize>().unwrap());
            for column in x..x + length {
                assert!(code[y - QUIET_ZONE][column - QUIET_ZONE].value());
                dark += 1;
            }
        }
        let all = (0..code.size).flat_map(|row| (0..code.size).map(move |column| (row, column)));
        assert_eq!(
            dark,
            all.filter(|(row, column)| code[*row][*column].value())
                .count()
        );
        assert_eq!(QrCode::of(&"x".repeat(5_000)), None);
    }
}
