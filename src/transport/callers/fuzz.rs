//! Fuzz target of callers' credentials.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};

use super::client_secret;
use super::credential::{KeyHash, presented};

/// A credential is read from one header alone, and only the key that was sent is looked up. A form says
/// the same as the header that is made of it.
pub(crate) fn authorization(data: &[u8]) {
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = values.map(|value| (header::AUTHORIZATION, value)).collect();
    if let Ok(read) = presented(&headers) {
        assert_eq!(headers.len(), usize::from(read.is_some()));
        let text = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let (Some(read), Some((scheme, rest))) = (read, text.and_then(|it| it.split_once(' '))) {
            if read.name.is_some() {
                assert!(scheme.eq_ignore_ascii_case("basic"));
                assert!(STANDARD.decode(rest.trim()).is_ok_and(|pair| pair.contains(&b':')));
            } else {
                assert!(scheme.eq_ignore_ascii_case("bearer"));
                assert!(read.hash == KeyHash::of(rest.trim()));
            }
        }
    }
    if let Some(made) = client_secret::credential(data) {
        let one = |name: &str| {
            let mut values = form_urlencoded::parse(data).filter(|(known, _)| known == name);
            values.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let (name, key) = (one("client_id"), one("client_secret"));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, made)]);
        let read = presented(&headers).ok().flatten();
        // A part that is empty is no credential.
        let expected =
            (!name.is_empty() && !key.is_empty()).then(|| (KeyHash::of(&key), Some(name)));
        assert!(read.map(|read| (read.hash, read.name)) == expected);
    }
}
