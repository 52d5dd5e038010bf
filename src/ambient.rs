//! What the program takes from its surroundings: the clocks and randomness.
//!
//! Everything else is handed `now` and `rng`, so that it can be tested with a made-up clock and a seeded generator.
//! This is the one module that may ask the operating system for them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::ThreadRng;

/// The monotonic clock: for deadlines and expiry, untouched by changes of the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the monotonic clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, UTC: for what people read and what outlives the process.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn unix_now() -> i64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

/// This thread's cryptographically secure generator, seeded by the operating system.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that draws randomness"
)]
pub fn rng() -> ThreadRng {
    rand::rng()
}
