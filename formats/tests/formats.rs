//! Integration tests of the bundle and capture formats: one binary, a module per concern.

mod formats {
    mod captures;
    mod damage;
    mod layout;
    mod roundtrip;
    mod sample;
    mod specification;
}
