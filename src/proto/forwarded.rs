//! Where a request came from, as the proxies on its way say: `X-Forwarded-For`, and `Forwarded` of RFC 7239.
//!
//! Each proxy adds at the end, so lists are read from there: what a client wrote before the first proxy, however crooked, cannot
//! change how the entries behind it are read. Whether an entry may be believed is not decided here.

use std::net::{IpAddr, SocketAddr};

/// The hops of a value of `X-Forwarded-For`, the nearest first; `None` for one that is no address.
pub fn forwarded_for(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    FromRight::new(value, b',').map(|hop| node(hop.trim_ascii()))
}

/// The hops of a value of `Forwarded`, the nearest first; `None` for one that names no address, as those that hide.
pub fn forwarded(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    FromRight::new(value, b',').map(element_node)
}

/// The address in `for=192.0.2.1;proto=https`.
fn element_node(element: &[u8]) -> Option<IpAddr> {
    let mut named = FromRight::new(element, b';').filter_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        let is_for = name.trim_ascii().eq_ignore_ascii_case(b"for");
        is_for.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    let value = named.next()?;
    // RFC 7239, section 4: no parameter occurs twice in an element.
    if named.next().is_some() {
        return None;
    }
    match value {
        [b'"', quoted @ .., b'"'] => node(quoted),
        token => node(token),
    }
}

/// The address of a node, with or without its port. IPv6 stands in brackets, or in `X-Forwarded-For` bare.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let address = bare
        .parse()
        .or_else(|_| text.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// The entries of a list from its end to its beginning. A separator in a quoted string separates nothing.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> FromRight<'a> {
    fn new(list: &'a [u8], separator: u8) -> Self {
        Self {
            rest: Some(list),
            separator,
        }
    }
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut is_quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            let (before, from) = rest.split_at_checked(at)?;
            // Read backwards, the first quotation mark closes; one with a backslash before it stands for itself.
            if *byte == b'"' && !(is_quoted && is_escaped(before)) {
                is_quoted = !is_quoted;
            } else if *byte == self.separator && !is_quoted {
                self.rest = Some(before);
                return from.get(1..);
            }
        }
        Some(rest)
    }
}

/// Whether what comes next has its meaning taken by a backslash, which another one did not take before.
fn is_escaped(before: &[u8]) -> bool {
    let others = before.iter().rev().take_while(|byte| **byte == b'\\');
    others.count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(hops: impl Iterator<Item = Option<IpAddr>>) -> Vec<String> {
        let hops = hops.map(|hop| hop.map_or_else(|| "hidden".to_owned(), |hop| hop.to_string()));
        hops.collect()
    }

    #[test]
    fn the_nearest_hop_comes_first() {
        let value = b"192.0.2.43, 2001:db8::1 ,[2001:db8::2], 198.51.100.7:4711,[2001:db8::3]:80, ::ffff:192.0.2.9";
        assert_eq!(
            text(forwarded_for(value)),
            [
                "192.0.2.9",
                "2001:db8::3",
                "198.51.100.7",
                "2001:db8::2",
                "2001:db8::1",
                "192.0.2.43"
            ]
        );
    }

    #[test]
    fn what_is_no_address_is_a_hidden_hop() {
        for value in [
            "",
            "unknown",
            "_hidden",
            "192.0.2.1.5",
            "example.org",
            "[::1",
            "fe80::1%eth0",
            "\u{fe}",
            "1.2.3.4;",
        ] {
            assert_eq!(text(forwarded_for(value.as_bytes())), ["hidden"], "{value}");
        }
    }

    #[test]
    fn reads_the_examples_of_rfc_7239() {
        for (value, hops) in [
            ("for=\"_gazonk\"", vec!["hidden"]),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                vec!["2001:db8:cafe::17"],
            ),
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                vec!["192.0.2.60"],
            ),
            (
                "for=192.0.2.43, for=198.51.100.17",
                vec!["198.51.100.17", "192.0.2.43"],
            ),
            (
                "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
                vec!["hidden", "2001:db8:cafe::17", "192.0.2.43"],
            ),
            ("proto=https", vec!["hidden"]),
            ("for=192.0.2.1;for=192.0.2.2", vec!["hidden"]),
        ] {
            assert_eq!(text(forwarded(value.as_bytes())), hops, "{value}");
        }
    }

    #[test]
    fn quoted_separators_separate_nothing() {
        let value =
            br#"for=192.0.2.1;host="a\",for=192.0.2.66;b=\"",for=192.0.2.2;by="x,for=192.0.2.66""#;
        assert_eq!(text(forwarded(value)), ["192.0.2.2", "192.0.2.1"]);
    }

    #[test]
    fn a_quotation_mark_that_a_client_leaves_open_hides_nothing_behind_it() {
        for client in ["for=\"evil", "for=192.0.2.66;x=\"\\", "\"", "\\\""] {
            let value = format!("{client}, for=\"[2001:db8::7]\"");
            let nearest = forwarded(value.as_bytes()).next();
            assert_eq!(nearest, Some("2001:db8::7".parse().ok()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_the_proxys_entry_is_read(
            client in proptest::collection::vec(any::<u8>(), 0..60), hop in any::<IpAddr>(),
        ) {
            let plain = [&client[..], format!(", {hop}").as_bytes()].concat();
            prop_assert_eq!(forwarded_for(&plain).next(), Some(Some(hop.to_canonical())));
            let node = if hop.is_ipv6() { format!("\"[{hop}]:1\"") } else { hop.to_string() };
            let pairs = [&client[..], format!(",for={node};proto=https").as_bytes()].concat();
            prop_assert_eq!(forwarded(&pairs).next(), Some(Some(hop.to_canonical())));
        }
    }
}
