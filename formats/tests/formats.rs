//! Integration tests of the bundle and capture formats: one binary, a module per concern.

mod formats {
    mod roundtrip;
    mod sample;
}
