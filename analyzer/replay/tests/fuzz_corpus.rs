//! The kept inputs of the fuzz targets (fuzz/corpus, and what they once broke) on stable Rust: no panic, no endless loop.

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::path::Path;
use std::time::{Duration, Instant};

/// An input takes milliseconds; what takes this long loops, even on a busy machine.
const ENDLESS: Duration = Duration::from_secs(30);

#[test]
fn kept_inputs_are_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in targets::ALL {
        let mut inputs: Vec<_> =
            std::fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 5, "{name} has inputs");
        for input in inputs {
            let data = std::fs::read(&input).unwrap();
            let started = Instant::now();
            // Prefixes reach what ends in the middle of something.
            for len in [data.len(), data.len() / 2, data.len().saturating_sub(1)] {
                target(&data[..len]);
            }
            assert!(started.elapsed() < ENDLESS, "{} takes {:?}", input.display(), started.elapsed());
        }
    }
}
