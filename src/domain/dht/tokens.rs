//! Tokens: proofs that who announces has asked before from the same address (BEP 5, `announce_peer`).
//!
//! A token is a keyed hash of the address and of the time, so nothing is kept for those who ask.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Duration;

/// Seconds in which an address gets the same token. It holds for as long again: BEP 5 wants ten minutes at most.
const WINDOW: u64 = 5 * 60;

/// Gives and checks tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// `SipHash` under a key that is drawn at random.
    key: RandomState,
}

impl Tokens {
    pub(super) fn give(&self, address: IpAddr, uptime: Duration) -> [u8; 8] {
        self.of_window(address, uptime.as_secs() / WINDOW)
            .to_be_bytes()
    }

    /// Takes as long for a wrong token as for a right one.
    pub(super) fn holds(&self, token: &[u8], address: IpAddr, uptime: Duration) -> bool {
        let Ok(token) = token.try_into().map(u64::from_be_bytes) else {
            return false;
        };
        let window = uptime.as_secs() / WINDOW;
        let now = black_box(self.of_window(address, window) ^ token);
        let before = black_box(self.of_window(address, window.wrapping_sub(1)) ^ token);
        now.min(before) == 0
    }

    fn of_window(&self, address: IpAddr, window: u64) -> u64 {
        self.key.hash_one((address.to_canonical(), window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_address_and_holds_for_five_to_ten_minutes() {
        let tokens = Tokens::default();
        let ip = |last| IpAddr::from([198, 51, 100, last]);
        for start in [0_u64, 299, 1_000] {
            let at = |seconds: u64| Duration::from_secs(start + seconds);
            let token = tokens.give(ip(7), at(0));
            assert!(tokens.holds(&token, ip(7), at(300)));
            assert!(!tokens.holds(&token, ip(8), at(0)));
            assert!(!tokens.holds(&token, ip(7), at(600)));
            assert!(!tokens.holds(&token[..7], ip(7), at(0)));
            assert!(!Tokens::default().holds(&token, ip(7), at(0)));
        }
    }
}
