//! What endpoints are put together as: paths that differ by ids only are one endpoint.

use crate::model::RequestFields;
use std::borrow::Cow;

/// The endpoint with `{id}` for the parts of a path that are ids: numbers, UUIDs, 16 and more hex digits of which one is a digit. What is no path
/// stays as it is.
#[must_use]
pub fn group_of(endpoint: &str) -> Cow<'_, str> {
    if !endpoint.starts_with('/') || !endpoint.split('/').any(is_id) {
        return Cow::Borrowed(endpoint);
    }
    let parts = endpoint.split('/').map(|part| if is_id(part) { "{id}" } else { part });
    Cow::Owned(parts.collect::<Vec<_>>().join("/"))
}

/// What a request is put together with: its endpoint without ids, or its type where the protocol has no endpoints (`GET` of Redis).
#[must_use]
pub fn endpoint_of(fields: &RequestFields) -> Cow<'_, str> {
    if fields.endpoint.is_empty() { Cow::Borrowed(&fields.request_type) } else { group_of(&fields.endpoint) }
}

fn is_id(part: &str) -> bool {
    let b = part.as_bytes();
    let digits = b.iter().filter(|c| c.is_ascii_digit()).count();
    if digits == 0 {
        return false;
    }
    let is_hex = b.iter().all(u8::is_ascii_hexdigit);
    let is_uuid = || {
        let dashes = b
            .iter()
            .zip(0..)
            .all(|(c, i)| if [8, 13, 18, 23].contains(&i) { *c == b'-' } else { c.is_ascii_hexdigit() });
        b.len() == 36 && dashes
    };
    digits == b.len() || (is_hex && b.len() >= 16) || is_uuid()
}

#[cfg(test)]
mod tests {
    use super::group_of;

    #[test]
    fn paths_that_differ_by_ids_are_one() {
        for (endpoint, group) in [
            ("/item/17", "/item/{id}"),
            ("/7/orders", "/{id}/orders"),
            ("/u/3f0c0a3e-9d5b-4c57-8f5e-0a1b2c3d4e5f", "/u/{id}"),
            ("/blob/deadbeef00112233", "/blob/{id}"),
            // Words, versions and short names with digits are none.
            ("/v1/users", "/v1/users"),
            ("/effaced/decade", "/effaced/decade"),
            ("/", "/"),
            ("/img/a1b2", "/img/a1b2"),
            ("SELECT t17", "SELECT t17"),
            ("17", "17"),
            ("", ""),
        ] {
            assert_eq!(group_of(endpoint), group, "{endpoint}");
        }
    }
}
