//! The PROXY protocol: how a proxy that passes whole connections on says where each came from, before its first byte
//! (haproxy.org, "The PROXY protocol", versions 1 and 2).
//!
//! Only what names the source is read; what else version 2 brings along is skipped, within a bound. Whether the sender may be
//! believed is not decided here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header, at most: version 1 never has more than 107, and version 2 seldom more than a certificate's name.
pub const MAX_LENGTH: usize = 4_096;

/// Bytes of a header of version 1, at most, its end of line counted.
const MAX_LINE: usize = 107;

/// How version 1 begins.
const LINE: &[u8] = b"PROXY ";

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes at the start of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The beginning of a header: more must come.
    Part,
    /// Something else.
    Absent,
    /// A header.
    Header(Header),
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the connection came from; `None` where the proxy speaks for itself, as in a health check, or does not know.
    pub source: Option<SocketAddr>,
    /// Bytes of the header; what the client says follows them.
    pub length: usize,
}

/// Why a header is none that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A line of version 1 is not put together by its rules.
    #[error("the line of PROXY protocol version 1 is malformed")]
    MalformedLine,
    /// Version 2 with a version, command or address that it does not have.
    #[error("the header of PROXY protocol version 2 is malformed")]
    MalformedHeader,
    /// It is longer than is read here.
    #[error("the header of the PROXY protocol has {0} bytes, which is more than {MAX_LENGTH}")]
    TooLong(usize),
}

/// Reads the header at the start of a connection.
///
/// # Errors
/// [`HeaderError`] where it begins as a header and is none.
pub fn read(bytes: &[u8]) -> Result<Reading, HeaderError> {
    if let Some(rest) = bytes.strip_prefix(LINE) {
        return read_line(rest);
    }
    if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        return read_binary(rest);
    }
    let may_become_one = LINE.starts_with(bytes) || SIGNATURE.starts_with(bytes);
    Ok(if may_become_one {
        Reading::Part
    } else {
        Reading::Absent
    })
}

/// Reads what follows `PROXY ` in version 1.
fn read_line(rest: &[u8]) -> Result<Reading, HeaderError> {
    let longest = MAX_LINE.saturating_sub(LINE.len());
    let within = rest.get(..longest).unwrap_or(rest);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if rest.len() < longest {
            Ok(Reading::Part)
        } else {
            Err(HeaderError::MalformedLine)
        };
    };
    let line = rest.get(..end).unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| HeaderError::MalformedLine)?;
    let source = if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        None
    } else {
        Some(line_source(text).ok_or(HeaderError::MalformedLine)?)
    };
    let length = LINE.len().saturating_add(end).saturating_add(2);
    Ok(Reading::Header(Header { source, length }))
}

/// The source in `TCP4 192.0.2.1 192.0.2.2 1024 80`.
fn line_source(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let family = words.next()?;
    let (source, destination) = (words.next()?, words.next()?);
    let (source, destination): (IpAddr, IpAddr) = match family {
        "TCP4" => (
            source.parse::<Ipv4Addr>().ok()?.into(),
            destination.parse::<Ipv4Addr>().ok()?.into(),
        ),
        "TCP6" => (
            source.parse::<Ipv6Addr>().ok()?.into(),
            destination.parse::<Ipv6Addr>().ok()?.into(),
        ),
        _ => return None,
    };
    let (port, _) = (port(words.next()?)?, port(words.next()?)?);
    let is_whole = words.next().is_none() && source.is_ipv4() == destination.is_ipv4();
    is_whole.then(|| SocketAddr::new(source, port))
}

fn port(text: &str) -> Option<u16> {
    // Parsing alone would take a sign.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Reads what follows the signature of version 2.
fn read_binary(rest: &[u8]) -> Result<Reading, HeaderError> {
    let Some((&[command, family, high, low], rest)) = rest.split_first_chunk() else {
        // What has come already must be of a header.
        return match rest.first() {
            Some(command) if !matches!(command, 0x20 | 0x21) => Err(HeaderError::MalformedHeader),
            _ => Ok(Reading::Part),
        };
    };
    let body_length = usize::from(u16::from_be_bytes([high, low]));
    let length = SIGNATURE
        .len()
        .saturating_add(4)
        .saturating_add(body_length);
    if length > MAX_LENGTH {
        return Err(HeaderError::TooLong(length));
    }
    if !matches!(command, 0x20 | 0x21) {
        return Err(HeaderError::MalformedHeader);
    }
    let Some(body) = rest.get(..body_length) else {
        return Ok(Reading::Part);
    };
    let source = match (command, family) {
        (0x21, 0x11) => Some(binary_source::<4>(body).ok_or(HeaderError::MalformedHeader)?),
        (0x21, 0x21) => Some(binary_source::<16>(body).ok_or(HeaderError::MalformedHeader)?),
        // A connection of the proxy's own, or of a kind that has no address on the Internet.
        _ => None,
    };
    Ok(Reading::Header(Header { source, length }))
}

/// The source at the start of an address block: two addresses of `N` bytes, and two ports.
fn binary_source<const N: usize>(body: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (_destination, ports) = rest.split_first_chunk::<N>()?;
    let (port, ports) = ports.split_first_chunk()?;
    let _destination_port = ports.first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    Some(SocketAddr::new((*source).into(), port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(bytes: &[u8]) -> Header {
        match read(bytes) {
            Ok(Reading::Header(header)) => header,
            other => panic!("{other:?}"),
        }
    }

    /// A header of version 2 as a proxy writes it.
    fn binary(command: u8, source: SocketAddr, more: &[u8]) -> Vec<u8> {
        let (family, addresses) = match source.ip() {
            IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[192, 0, 2, 2]].concat()),
            IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[9; 16]].concat()),
        };
        let ports = [source.port().to_be_bytes(), [0, 80]].concat();
        let body = [&addresses, &ports, more].concat();
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, &body].concat()
    }

    #[test]
    fn reads_the_examples_of_the_specification() {
        let line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(
            header(line),
            Header {
                source: Some("192.168.0.1:56324".parse().unwrap()),
                length: 47
            }
        );
        let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(header(longest).length, 104);
        let unknown = b"PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n";
        assert_eq!(header(unknown).source, None);
        assert_eq!(header(b"PROXY UNKNOWN\r\n").length, 15);
    }

    #[test]
    fn reads_both_families_of_version_2_and_skips_what_follows_the_addresses() {
        for source in ["198.51.100.7:6881", "[2001:db8::7]:6881"] {
            let source: SocketAddr = source.parse().unwrap();
            let bytes = binary(0x21, source, b"\x03\x00\x04\x01\x02\x03\x04");
            let read = header(&[&bytes[..], b"\x13BitTorrent protocol"].concat());
            assert_eq!((read.source, read.length), (Some(source), bytes.len()));
        }
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_no_source() {
        let source = "198.51.100.7:6881".parse().unwrap();
        assert_eq!(header(&binary(0x20, source, b"")).source, None);
        let bare = [SIGNATURE, b"\x20\0\0\0"].concat();
        assert_eq!(header(&bare).length, 16);
        let unix = [SIGNATURE, b"\x21\x31\0\xd8", &[b'/'; 216]].concat();
        assert_eq!(header(&unix).source, None);
    }

    #[test]
    fn methods_and_handshakes_are_no_headers() {
        for start in [
            "POST / HTTP/1.1",
            "PRI * HTTP/2.0",
            "PROXYING",
            "GET /",
            "\x13BitTorrent protocol",
            "\r\n\r\nGET /",
        ] {
            assert_eq!(read(start.as_bytes()), Ok(Reading::Absent), "{start}");
        }
        assert_eq!(read(b"P"), Ok(Reading::Part));
    }

    #[test]
    fn refuses_what_begins_as_a_header_and_is_none() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY \u{fe}\r\n",
            &format!("PROXY UNKNOWN {}\r\n", "x".repeat(100)),
        ] {
            assert_eq!(
                read(line.as_bytes()),
                Err(HeaderError::MalformedLine),
                "{line}"
            );
        }
        let source = "198.51.100.7:6881".parse().unwrap();
        for command in [0x11, 0x22, 0x31, 0] {
            let bytes = binary(command, source, b"");
            assert_eq!(read(&bytes), Err(HeaderError::MalformedHeader));
            assert_eq!(read(&bytes[..13]), Err(HeaderError::MalformedHeader));
        }
        let short = [SIGNATURE, b"\x21\x11\0\x0b", &[1; 11]].concat();
        assert_eq!(read(&short), Err(HeaderError::MalformedHeader));
        let long = [SIGNATURE, b"\x21\x11\xff\xff"].concat();
        assert_eq!(read(&long), Err(HeaderError::TooLong(65_551)));
    }

    fn any_source() -> impl Strategy<Value = SocketAddr> {
        any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    fn any_header() -> impl Strategy<Value = (Vec<u8>, SocketAddr)> {
        let more = proptest::collection::vec(any::<u8>(), 0..200);
        (any_source(), more, any::<bool>()).prop_map(|(source, more, is_line)| {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (ip, port) = (source.ip(), source.port());
            let line = format!("PROXY {family} {ip} {ip} {port} 80\r\n");
            let bytes = if is_line {
                line.into_bytes()
            } else {
                binary(0x21, source, &more)
            };
            (bytes, source)
        })
    }

    proptest! {
        #[test]
        fn what_proxies_write_is_read_and_every_beginning_of_it_waits(
            (bytes, source) in any_header(), rest in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            for end in 0..bytes.len() {
                prop_assert_eq!(read(&bytes[..end]), Ok(Reading::Part));
            }
            let whole = [&bytes[..], &rest].concat();
            let expected = Header { source: Some(source), length: bytes.len() };
            prop_assert_eq!(read(&whole), Ok(Reading::Header(expected)));
        }

        #[test]
        fn no_header_is_longer_than_what_was_read(
            start in 0..3_usize, rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [[&b""[..], LINE, SIGNATURE][start], &rest].concat();
            match read(&bytes) {
                Ok(Reading::Header(header)) => prop_assert!(header.length <= bytes.len()),
                Ok(Reading::Part) => prop_assert!(bytes.len() < MAX_LENGTH),
                Ok(Reading::Absent) | Err(_) => {}
            }
        }
    }
}
