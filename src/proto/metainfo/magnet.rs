//! Landing soon.
