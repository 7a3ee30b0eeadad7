//! `cargo xtask`: the tasks of the project.
fn main() {}
