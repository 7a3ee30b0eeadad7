//! The workloads that Hindsight is proved with: real servers from packages, in a network namespace of
//! their own, and a load generator whose log is the truth. `cargo xtask demo` runs the same workload.
//!
//! Everything started here is stopped when its guard is dropped, also on panic; only processes that
//! were started here are ended; nothing leaves the namespace.

pub mod children;
pub mod lab;
pub mod load;
pub mod netns;
pub mod programs;
pub mod shop;
pub mod venv;
