//! Plots: the drawings of an analysis as SVG files that any browser shows, in light and dark.

pub(crate) mod map;
mod svg;

use crate::analysis::Analysis;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Draws everything into the folder `dir` (which exists) and returns the files.
///
/// # Errors
/// If a file cannot be written.
pub fn write_all(dir: &Path, analysis: &Analysis) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    let mut write = |name: String, svg: String| -> Result<()> {
        let path = dir.join(name);
        std::fs::write(&path, svg).with_context(|| format!("cannot write the plot {}", path.display()))?;
        out.push(path);
        Ok(())
    };
    write("map.svg".into(), map::standalone(analysis))?;
    Ok(out)
}
