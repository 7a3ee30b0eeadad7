//! Compressed parts of messages: the first bytes of what was compressed, as far as the captured bytes reach.
//!
//! Captures cut messages, so a block that ends early gives what its beginning says, which the usual decoders of blocks refuse to. What
//! comes out is bounded by the caller, whatever lengths the bytes claim.

use super::cursor::Cursor;
use std::io::Read;

/// How it was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// A block of LZ4 (`lz4_Block_format.md`), without a length in front.
    Lz4,
    /// Blocks of LZ4 in a frame (`lz4_Frame_format.md`).
    Lz4Frame,
    /// Snappy's raw format (`format_description.txt`): its length is in front.
    Snappy,
    /// Blocks of Snappy as Kafka's Java clients frame them (`snappy-java`, `SnappyOutputStream`); without that frame as `Snappy`.
    SnappyBlocks,
    /// RFC 1950.
    Zlib,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// The first `limit` bytes of what was compressed, fewer if the bytes end or are damaged before.
pub(super) fn unpack(packing: Packing, bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    match packing {
        Packing::Lz4 => drop(lz4(bytes, limit, &mut plain)),
        Packing::Lz4Frame => drop(lz4_frame(bytes, limit, &mut plain)),
        Packing::Snappy => drop(snappy(bytes, limit, &mut plain)),
        Packing::SnappyBlocks => drop(snappy_blocks(bytes, limit, &mut plain)),
        Packing::Zlib => read(flate2::read::ZlibDecoder::new(bytes), limit, &mut plain),
        Packing::Gzip => read(flate2::read::GzDecoder::new(bytes), limit, &mut plain),
        Packing::Zstd => {
            if let Ok(mut decoder) = zstd::stream::read::Decoder::new(bytes)
                && decoder.window_log_max(ZSTD_WINDOW).is_ok()
            {
                read(decoder, limit, &mut plain);
            }
        }
    }
    plain
}

/// Largest window that a frame of Zstandard may ask for: 8 MiB, as all readers must grant (RFC 8878 section 3.1.1.1.2).
const ZSTD_WINDOW: u32 = 23;

/// Reads until the end, an error or the limit.
fn read(mut from: impl Read, limit: usize, plain: &mut Vec<u8>) {
    let mut piece = [0_u8; 1024];
    while plain.len() < limit {
        let wanted = (limit - plain.len()).min(piece.len());
        match from.read(piece.get_mut(..wanted).unwrap_or_default()) {
            Ok(n) if n > 0 => plain.extend_from_slice(piece.get(..n).unwrap_or_default()),
            _ => return,
        }
    }
}

/// Literals, up to the limit; `None` if they end before.
fn literals(cursor: &mut Cursor<'_>, length: usize, limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let taken = cursor.up_to(length);
    let room = limit.saturating_sub(plain.len());
    plain.extend_from_slice(taken.get(..room).unwrap_or(taken));
    (taken.len() == length && plain.len() < limit).then_some(())
}

/// Repeats what stands `offset` bytes before the end.
fn repeat(offset: usize, length: usize, limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let from = plain.len().checked_sub(offset).filter(|_| offset > 0)?;
    for at in from..from.saturating_add(length.min(limit.saturating_sub(plain.len()))) {
        plain.push(*plain.get(at)?);
    }
    (plain.len() < limit).then_some(())
}

fn lz4(bytes: &[u8], limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    loop {
        let token = cursor.u8()?;
        let length = lz4_length(&mut cursor, token >> 4)?;
        literals(&mut cursor, length, limit, plain)?;
        let offset = usize::from(cursor.u16_le()?);
        let length = lz4_length(&mut cursor, token & 0xf)?.saturating_add(4);
        repeat(offset, length, limit, plain)?;
    }
}

/// Four bits, and bytes that add to it while they are full.
fn lz4_length(cursor: &mut Cursor<'_>, first: u8) -> Option<usize> {
    let mut length = usize::from(first);
    if first == 15 {
        loop {
            let more = cursor.u8()?;
            length = length.saturating_add(usize::from(more));
            if more < 255 {
                break;
            }
        }
    }
    Some(length)
}

/// Blocks may refer to what came in earlier ones.
fn lz4_frame(bytes: &[u8], limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    cursor.u32_le().filter(|magic| *magic == 0x184d_2204)?;
    let flags = cursor.u8()?;
    let _largest = cursor.u8()?;
    // Content size, dictionary, the head's checksum.
    cursor.take(usize::from(flags >> 3 & 1) * 8 + usize::from(flags & 1) * 4 + 1)?;
    while plain.len() < limit {
        let size = cursor.u32_le().filter(|size| *size != 0)?;
        let block = cursor.up_to((size & 0x7fff_ffff) as usize);
        if size >> 31 == 1 {
            plain.extend_from_slice(block.get(..limit - plain.len()).unwrap_or(block));
        } else {
            // It ends where its bytes end, with literals.
            let _ = lz4(block, limit, plain);
        }
        cursor.take(usize::from(flags >> 4 & 1) * 4)?;
    }
    Some(())
}

fn snappy_blocks(bytes: &[u8], limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let Some(rest) = bytes.strip_prefix(b"\x82SNAPPY\0") else {
        return snappy(bytes, limit, plain);
    };
    let mut cursor = Cursor::new(rest);
    let _versions = cursor.u64()?;
    while plain.len() < limit {
        let size = cursor.u32()?;
        let mut block = Vec::new();
        let _ = snappy(cursor.up_to(size as usize), limit - plain.len(), &mut block);
        plain.append(&mut block);
    }
    Some(())
}

fn snappy(bytes: &[u8], limit: usize, plain: &mut Vec<u8>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    for _ in 0..5 {
        // The length that is promised: the limit is what counts.
        if cursor.u8()? < 0x80 {
            break;
        }
    }
    loop {
        let tag = cursor.u8()?;
        let six = usize::from(tag >> 2);
        match tag & 3 {
            0 => {
                let length = match six {
                    60 => usize::from(cursor.u8()?),
                    61 => usize::from(cursor.u16_le()?),
                    62 => cursor.u24_le()? as usize,
                    63 => cursor.u32_le()? as usize,
                    small => small,
                };
                literals(&mut cursor, length.saturating_add(1), limit, plain)?;
            }
            1 => {
                let offset = usize::from(tag >> 5) << 8 | usize::from(cursor.u8()?);
                repeat(offset, (six & 7) + 4, limit, plain)?;
            }
            2 => repeat(usize::from(cursor.u16_le()?), six + 1, limit, plain)?,
            _ => repeat(cursor.u32_le()? as usize, six + 1, limit, plain)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::hex;
    use super::*;
    use proptest::prelude::*;

    /// What python-snappy 0.7 (two blocks of it behind `SnappyOutputStream`'s head), lz4.block (`store_size=False`), lz4.frame, zlib, gzip
    /// and the `zstd` program make of this text.
    const TEXT: &[u8] = b"find find find find find find collection collection collection";
    const PACKED: [(Packing, &str); 7] = [
        (Packing::Lz4, "5f66696e6420050006ad636f6c6c656374696f6e0b00506374696f6e"),
        (Packing::Snappy, "3e1066696e642062050024636f6c6c656374696f6e560b00"),
        (Packing::Zlib, "789c4bcbcc4b5148c34524e7e7e4a4269764e6e761670200c9a2174b"),
        (Packing::Gzip, "1f8b08000000000002034bcbcc4b5148c34524e7e7e4a4269764e6e7616702001af078dd3e000000"),
        (
            Packing::Lz4Frame,
            "04224d187c403e00000000000000cf1c0000005f66696e6420050006ad636f6c6c656374696f6e0b00506374696f6e99d7ae0f0000000094d26e6d",
        ),
        (
            Packing::SnappyBlocks,
            "82534e415050590000000001000000010000000a1e1066696e6420620500000000102028636f6c6c656374696f6e20520b00",
        ),
        (Packing::Zstd, "28b52ffd0458bd00007866696e6420636f6c6c656374696f6e02002e0ac252b40f9f2c17"),
    ];

    #[test]
    fn each_kind() {
        for (packing, packed) in PACKED {
            let packed = hex(packed);
            assert_eq!(unpack(packing, &packed, 1 << 16), TEXT, "{packing:?}");
            assert_eq!(unpack(packing, &packed, 20), &TEXT[..20], "{packing:?}");
            for cut in 0..packed.len() {
                let some = unpack(packing, &packed[..cut], 1 << 16);
                assert!(TEXT.starts_with(&some), "{packing:?} cut at {cut}: {some:?}");
            }
        }
        // A block that is cut says what it has said so far.
        let packed = hex(PACKED[0].1);
        assert_eq!(unpack(Packing::Lz4, &packed[..6], 99), b"find ");
    }

    /// Lengths of 4 GB, copies from before the start, copies without end.
    #[test]
    fn hostile_lengths() {
        assert_eq!(unpack(Packing::Snappy, &hex("ffffffff0f fc ffffffff 41"), 64), b"A");
        assert_eq!(unpack(Packing::Snappy, &hex("ffffffff0f 00 41 ff 01000000 ff 01000000"), 64), [b'A'; 64]);
        assert_eq!(unpack(Packing::Snappy, &hex("04 01 05"), 64), b"");
        assert_eq!(unpack(Packing::Lz4, &hex("1f 41 0100 ffffffffffffffff 00"), 100), [b'A'; 100]);
        assert_eq!(unpack(Packing::Lz4, &hex("10 41 0000 00"), 64), b"A");
        assert_eq!(unpack(Packing::Lz4, &hex("10 41 0200 00"), 64), b"A");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn garbage_is_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300), limit in 0_usize..5000) {
            for (packing, magic) in [
                (Packing::Lz4, ""), (Packing::Snappy, ""), (Packing::Lz4Frame, "04224d18"), (Packing::SnappyBlocks, "82534e4150505900"), (Packing::Zlib, "789c"), (Packing::Gzip, "1f8b0800000000000003"),
                (Packing::Zstd, "28b52ffd"),
            ] {
                let bytes = [hex(magic), bytes.clone()].concat();
                prop_assert!(unpack(packing, &bytes, limit).len() <= limit);
            }
        }
    }
}
