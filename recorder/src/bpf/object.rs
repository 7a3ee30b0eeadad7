//! The object file with the programs, and the one thing in it that depends on settings before it is
//! loaded: the size of a ring.

use anyhow::{Context as _, Result};
use aya::include_bytes_aligned;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// As `cargo xtask ebpf` built it.
static OBJECT: &[u8] = include_bytes_aligned!("hindsight.bpf.o");

/// `value_size` in `struct bpf_map_def`.
const VALUE_SIZE_AT: usize = 8;

/// The object with values of the map `RINGS` of this size.
pub(crate) fn with_ring_value(size: usize) -> Result<Vec<u8>> {
    let file = object::File::parse(OBJECT).context("the embedded eBPF object is damaged")?;
    let symbol = file.symbols().find(|s| s.name() == Ok("RINGS")).context("the eBPF object has no map RINGS")?;
    let section = file.section_by_index(symbol.section_index().context("map RINGS has no section")?)?;
    let (start, _) = section.file_range().context("the section of maps is empty")?;
    let at = (start + symbol.address()) as usize + VALUE_SIZE_AT;
    let mut bytes = OBJECT.to_vec();
    let field = bytes.get_mut(at..at + 4).context("map RINGS lies outside of the object")?;
    field.copy_from_slice(&u32::try_from(size)?.to_ne_bytes());
    Ok(bytes)
}
