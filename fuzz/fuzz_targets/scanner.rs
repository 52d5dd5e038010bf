//! Bencode: what passes the scan can be read to its last byte, and canonical bencode is written again as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sower::proto::bencode::{Encoder, Limits, Value, scan};

fn write_again(value: Value<'_>, encoder: &mut Encoder<'_>) {
    if let Some(integer) = value.as_integer() {
        encoder.integer(integer);
    } else if let Some(bytes) = value.as_bytes() {
        encoder.bytes(bytes);
    } else if let Some(list) = value.list() {
        encoder.begin_list();
        for element in list {
            write_again(element, encoder);
        }
        encoder.end();
    } else {
        encoder.begin_dict();
        for (key, element) in value.dict().expect("a value is one of the four") {
            write_again(element, encoder.key(key));
        }
        encoder.end();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::MESSAGE;
    let strict = scan::strict(bytes, &limits);
    let lenient = scan::lenient(bytes, &limits);
    if let Ok(value) = strict {
        assert_eq!(value.raw(), bytes);
        let lenient = lenient.expect("what strict readers take, lenient ones do");
        assert!(!lenient.has_unsorted_keys && !lenient.has_trailing_newline);
        let mut again = Vec::new();
        write_again(value, &mut Encoder::new(&mut again));
        assert_eq!(again, bytes);
    }
    if let Ok(found) = scan::lenient(bytes, &limits) {
        let (value, rest) = scan::prefix(bytes, &limits).expect("the value is there");
        assert_eq!(value, found.root);
        assert_eq!(value.raw().len() + rest.len(), bytes.len());
        assert_eq!(
            strict.is_ok(),
            !found.has_unsorted_keys && !found.has_trailing_newline
        );
        let mut read = 0;
        for element in value.list().into_iter().flatten() {
            read += element.raw().len();
        }
        for (key, element) in value.dict().into_iter().flatten() {
            assert_eq!(value.get(key), Some(element));
            read += key.len().to_string().len() + 1 + key.len() + element.raw().len();
        }
        if read > 0 {
            assert_eq!(read + 2, value.raw().len());
        }
    }
});
