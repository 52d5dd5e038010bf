//! What proxies say of where a connection or a request came from: the PROXY protocol, `X-Forwarded-For`, `Forwarded`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::forwarded::{forwarded, forwarded_for};
use sower::proto::proxy::{self, Reading};

fuzz_target!(|bytes: &[u8]| {
    match proxy::read(bytes) {
        Ok(Reading::Header(header)) => {
            assert!(header.length <= bytes.len().min(proxy::MAX_LENGTH));
            assert_eq!(
                proxy::read(&bytes[..header.length]),
                Ok(Reading::Header(header))
            );
            assert_eq!(
                proxy::read(&bytes[..header.length - 1]),
                Ok(Reading::Part)
            );
        }
        Ok(Reading::Part) => assert!(bytes.len() < proxy::MAX_LENGTH),
        Ok(Reading::Absent) | Err(_) => {}
    }
    // Whatever stands before it, the entry that a proxy added is read.
    let hop = Some("192.0.2.7".parse().expect("it is an address"));
    let list = [bytes, b", 192.0.2.7"].concat();
    assert_eq!(forwarded_for(&list).next(), Some(hop));
    let list = [bytes, b",for=192.0.2.7;host=\"a\\\",b\""].concat();
    assert_eq!(forwarded(&list).next(), Some(hop));
    assert!(forwarded(&list).count() <= list.len() + 1);
});
