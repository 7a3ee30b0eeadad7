//! `analyze`: tables, plots and a report out of a bundle.
fn main() {}
