//! `record`: what a Linux node does, into one file.
fn main() {}
