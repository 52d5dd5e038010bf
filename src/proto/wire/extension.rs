//! The extension protocol (BEP 10), and the metadata exchange that it carries (BEP 9).
