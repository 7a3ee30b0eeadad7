//! Bundles and captures as files: independent readers, damage, determinism, the report. No root needed.

mod damage;
mod determinism;
mod readers;
mod report;
mod stretch;

use crate::Test;
use std::path::PathBuf;

/// Name and function of each test.
pub(crate) const TESTS: &[Test] = &[
    ("file::readers::python_reader_agrees", readers::python_reader_agrees),
    ("file::readers::tshark_and_capinfos_open_it", readers::tshark_and_capinfos_open_it),
    ("file::damage::cut_at_200_places", damage::cut_at_200_places),
    ("file::damage::flipped_200_bits", damage::flipped_200_bits),
    ("file::damage::malformed_captures", damage::malformed_captures),
    ("file::determinism::one_and_two_threads_give_the_same_bytes", determinism::threads),
    ("file::stretch::a_stretch_of_time", stretch::a_stretch_of_time),
    ("file::report::opens_in_a_browser", report::opens_in_a_browser),
];

/// The bundle that ships with the project: the three-tier workload, recorded by `record`.
pub(crate) fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name)
}
