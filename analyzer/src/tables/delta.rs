//! Pages of differences: integers (`DELTA_BINARY_PACKED`), and texts behind their lengths (`DELTA_LENGTH_BYTE_ARRAY`).
//!
//! Polars comes to the same bytes, value by value through iterators; here each step goes over a whole block, for most columns of all tables are integers.

use super::texts::{List, Plain};
use polars_arrow::bitmap::Bitmap;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::encoding::{bitpacked, hybrid_rle, uleb128, zigzag_leb128};
use polars_parquet::parquet::metadata::Descriptor;
use polars_parquet::parquet::page::{DataPage, DataPageHeader, DataPageHeaderV1};
use polars_parquet::parquet::schema::types::PrimitiveType;
use polars_parquet::parquet::statistics::{BinaryStatistics, ParquetStatistics, PrimitiveStatistics};
use polars_parquet::write::{Encoding, ParquetType};
use std::io;

/// Values in a block, which has one miniblock.
const BLOCK: usize = 256;

/// Integers as one page: `values` are those of the rows that have one. `None` if the column is nested.
pub(super) fn integers(
    values: &[i64],
    rows: usize,
    validity: Option<&Bitmap>,
    field: &ParquetType,
) -> io::Result<Option<DataPage>> {
    let ParquetType::PrimitiveType(kind) = field else { return Ok(None) };
    let mut bytes = levels(rows, validity)?;
    let range = differences(values, &mut bytes);
    let statistics = PrimitiveStatistics::<i64> {
        primitive_type: kind.clone(),
        null_count: Some((rows - values.len()) as i64),
        distinct_count: None,
        min_value: range.map(|(least, _)| least),
        max_value: range.map(|(_, most)| most),
    };
    Ok(Some(page(bytes, rows, kind, Encoding::DeltaBinaryPacked, Some(statistics.serialize()))))
}

/// A page of rows that have no value. `None` if the column is nested.
pub(super) fn nothing(rows: usize, field: &ParquetType) -> io::Result<Option<DataPage>> {
    let ParquetType::PrimitiveType(kind) = field else { return Ok(None) };
    let mut bytes = vec![0; 4];
    <bool as hybrid_rle::Encoder<bool>>::run_length_encode(&mut bytes, rows, false, 1)?;
    set_length(&mut bytes);
    let statistics = BinaryStatistics {
        primitive_type: kind.clone(),
        null_count: Some(rows as i64),
        distinct_count: None,
        max_value: None,
        min_value: None,
    };
    Ok(Some(page(bytes, rows, kind, Encoding::Plain, Some(statistics.serialize()))))
}

/// Numbers of texts of a dictionary as one page: `keys` are those of the rows that have one. `None` if the column is nested.
pub(super) fn keys(
    keys: &[u32],
    rows: usize,
    validity: Option<&Bitmap>,
    field: &ParquetType,
    statistics: Option<ParquetStatistics>,
) -> io::Result<Option<DataPage>> {
    let ParquetType::PrimitiveType(kind) = field else { return Ok(None) };
    let mut bytes = levels(rows, validity)?;
    let bits = keys.iter().max().map_or(0, |most| u32::BITS - most.leading_zeros());
    bytes.push(bits as u8);
    hybrid_rle::encode::<u32, _, _>(&mut bytes, keys.iter().copied(), bits)?;
    Ok(Some(page(bytes, rows, kind, Encoding::RleDictionary, statistics)))
}

/// Texts as one page, their lengths apart from them: equal lengths take no place then. `None` if the column is nested.
pub(super) fn texts(plain: &Plain, field: &ParquetType) -> io::Result<Option<DataPage>> {
    let ParquetType::PrimitiveType(kind) = field else { return Ok(None) };
    let mut bytes = levels(plain.present.rows(), plain.present.validity().as_ref())?;
    let lengths: Vec<i64> = plain.texts.iter().map(|text| text.len() as i64).collect();
    differences(&lengths, &mut bytes);
    bytes.extend_from_slice(plain.texts.bytes());
    let (least, most) = least_and_most(&plain.texts).unzip();
    let statistics = BinaryStatistics {
        primitive_type: kind.clone(),
        null_count: Some(plain.present.nulls() as i64),
        distinct_count: None,
        max_value: most.map(|text| text.as_bytes().to_vec()),
        min_value: least.map(|text| text.as_bytes().to_vec()),
    };
    let statistics = Some(statistics.serialize());
    Ok(Some(page(bytes, plain.present.rows(), kind, Encoding::DeltaLengthByteArray, statistics)))
}

/// Texts as one page, each behind its length. `None` if the column is nested.
pub(super) fn plain(
    plain: &Plain,
    field: &ParquetType,
    statistics: Option<ParquetStatistics>,
) -> io::Result<Option<DataPage>> {
    let ParquetType::PrimitiveType(kind) = field else { return Ok(None) };
    let mut bytes = levels(plain.present.rows(), plain.present.validity().as_ref())?;
    bytes.reserve(plain.texts.bytes().len() + plain.texts.len() * size_of::<u32>());
    for text in plain.texts.iter() {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Ok(Some(page(bytes, plain.present.rows(), kind, Encoding::Plain, statistics)))
}

/// The first and the last by their bytes. Nearly always the first eight of them decide, as a number.
pub(super) fn least_and_most(texts: &List) -> Option<(&str, &str)> {
    let number = |text: &str| match text.as_bytes().first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => text.bytes().rev().fold(0, |number, b| number >> 8 | u64::from(b) << 56),
    };
    let mut all = texts.iter().map(|text| (number(text), text));
    let first = all.next()?;
    let (least, most) = all.fold((first, first), |(least, most), text| (text.min(least), text.max(most)));
    Some((least.1, most.1))
}

/// A page, version 1.
fn page(
    bytes: Vec<u8>,
    rows: usize,
    kind: &PrimitiveType,
    encoding: Encoding,
    statistics: Option<ParquetStatistics>,
) -> DataPage {
    let header = DataPageHeader::V1(DataPageHeaderV1 {
        num_values: rows as i32,
        encoding: encoding.into(),
        definition_level_encoding: Encoding::Rle.into(),
        repetition_level_encoding: Encoding::Rle.into(),
        statistics,
    });
    let descriptor = Descriptor { primitive_type: kind.clone(), max_def_level: 0, max_rep_level: 0 };
    DataPage::new(header, CowBuffer::Owned(bytes), descriptor, rows)
}

/// What a page begins with: which rows have a value (`None`: all), and how many bytes tell that.
fn levels(rows: usize, validity: Option<&Bitmap>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    match validity {
        None => <bool as hybrid_rle::Encoder<bool>>::run_length_encode(&mut bytes, rows, true, 1)?,
        Some(validity) => hybrid_rle::encode::<bool, _, _>(&mut bytes, validity.iter(), 1)?,
    }
    set_length(&mut bytes);
    Ok(bytes)
}

/// Puts the length of what follows into the first four bytes.
fn set_length(bytes: &mut [u8]) {
    let length = bytes.len().saturating_sub(4) as u32;
    if let Some(first) = bytes.first_chunk_mut() {
        *first = length.to_le_bytes();
    }
}

/// Differences from value to value, as far as they are from the smallest of their block, in as many bits as the largest of them needs.
/// Returns the smallest and the largest value.
fn differences(values: &[i64], bytes: &mut Vec<u8>) -> Option<(i64, i64)> {
    let number = |n: u64, bytes: &mut Vec<u8>| {
        let mut coded = [0; 10];
        let len = uleb128::encode(n, &mut coded);
        bytes.extend_from_slice(&coded[..len]);
    };
    let signed = |n: i64, bytes: &mut Vec<u8>| {
        let (coded, len) = zigzag_leb128::encode(n);
        bytes.extend_from_slice(&coded[..len]);
    };
    number(BLOCK as u64, bytes);
    number(1, bytes);
    number(values.len() as u64, bytes);
    let (first, rest) = values.split_first().map_or((0, values), |(first, rest)| (*first, rest));
    signed(first, bytes);
    let mut before = first;
    let mut range = values.first().map(|first| (*first, *first));
    // A last block that is not full has anything behind its values.
    let mut deltas = [0u64; BLOCK];
    for block in rest.chunks(BLOCK) {
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        let (mut lowest, mut highest) = (before, before);
        for (delta, value) in deltas.iter_mut().zip(block) {
            let difference = value.wrapping_sub(before);
            before = *value;
            (least, most) = (least.min(difference), most.max(difference));
            (lowest, highest) = (lowest.min(*value), highest.max(*value));
            *delta = difference.cast_unsigned();
        }
        range = range.map(|(low, high)| (low.min(lowest), high.max(highest)));
        let bits = (u64::BITS - most.abs_diff(least).leading_zeros()) as usize;
        for delta in deltas.iter_mut().take(block.len()) {
            *delta = delta.wrapping_sub(least.cast_unsigned());
        }
        signed(least, bytes);
        bytes.push(bits as u8);
        if bits == 0 {
            continue;
        }
        let start = bytes.len();
        bytes.resize(start + BLOCK * bits / 8, 0);
        if let Some(packed) = bytes.get_mut(start..) {
            bitpacked::encode(&deltas, bits, packed);
        }
    }
    range
}

#[cfg(test)]
mod tests {
    use super::super::output::{Format, Output};
    use super::super::texts::{PROBE, Texts};
    use super::*;
    use polars::prelude::df;
    use polars_arrow::array::{Array, PrimitiveArray, Utf8ViewArray};
    use polars_parquet::write::{CompressionOptions, Page, WriteOptions, array_to_columns};

    #[test]
    fn the_bytes_are_those_of_polars() {
        let mut sink = Vec::new();
        let empty = df!("n" => Vec::<i64>::new()).unwrap();
        let form = Output::new(Format::Parquet, None, &mut sink, &empty).unwrap().form();
        let form = form.parquet().unwrap();
        let options = WriteOptions { compression: CompressionOptions::Uncompressed, ..form.options };
        let field = form.fields.first().unwrap();
        let kinds: [fn(u64) -> i64; 7] = [
            |_| 7,
            |n| n as i64,
            |n| (n * n % 1009) as i64,
            |n| -((n * 1_000_003 % 977) as i64) << 20,
            |n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).cast_signed(),
            |n| [i64::MIN, i64::MAX, 0][n as usize % 3],
            |n| if n < 300 { n as i64 } else { 300 },
        ];
        for rows in [0u64, 1, 2, 255, 256, 257, 258, 512, 513, 4000] {
            for kind in kinds {
                for keep in [1, 2, 3, 1000] {
                    let value = |n: u64| Some(kind(n)).filter(|_| keep == 1 || !n.is_multiple_of(keep));
                    let array: PrimitiveArray<i64> = (0..rows).map(value).collect();
                    let theirs =
                        array_to_columns(array.to_boxed(), field.clone(), options, &[Encoding::DeltaBinaryPacked]);
                    let theirs: Vec<Page> = theirs.unwrap().into_iter().flatten().map(Result::unwrap).collect();
                    let values: Vec<i64> = array.non_null_values_iter().collect();
                    let here = integers(&values, array.len(), array.validity(), field).unwrap().unwrap();
                    match &theirs[..] {
                        [] => assert_eq!(rows, 0),
                        [Page::Data(theirs)] => {
                            assert_eq!(theirs.buffer(), here.buffer(), "{rows} {keep}");
                            assert_eq!(format!("{:?}", theirs.header()), format!("{:?}", here.header()));
                        }
                        _ => panic!("one page of data"),
                    }
                }
            }
        }
    }

    #[test]
    fn pages_without_values_are_those_of_polars() {
        let mut sink = Vec::new();
        let empty = df!("n" => Vec::<i64>::new(), "t" => Vec::<String>::new()).unwrap();
        let form = Output::new(Format::Parquet, None, &mut sink, &empty).unwrap().form();
        let form = form.parquet().unwrap();
        let options = WriteOptions { compression: CompressionOptions::Uncompressed, ..form.options };
        // Up to eight are packed as bits there.
        for rows in [9, 300] {
            let integers = PrimitiveArray::<i64>::from(vec![None::<i64>; rows]).to_boxed();
            let texts = Utf8ViewArray::from_slice(vec![None::<&str>; rows]).to_boxed();
            for (array, field) in [integers, texts].into_iter().zip(&form.fields) {
                let theirs = array_to_columns(array, field.clone(), options, &[Encoding::Plain]).unwrap();
                let here = nothing(rows, field).unwrap().unwrap();
                for page in theirs.into_iter().flatten() {
                    let Page::Data(theirs) = page.unwrap() else { panic!("a page of data") };
                    assert_eq!(theirs.buffer(), here.buffer(), "{rows}");
                    assert_eq!(format!("{:?}", theirs.header()), format!("{:?}", here.header()));
                }
            }
        }
    }

    #[test]
    fn texts_are_those_of_polars() {
        let mut sink = Vec::new();
        let empty = df!("t" => Vec::<String>::new()).unwrap();
        let form = Output::new(Format::Parquet, None, &mut sink, &empty).unwrap().form();
        let form = form.parquet().unwrap();
        let options = WriteOptions { compression: CompressionOptions::Uncompressed, ..form.options };
        let field = form.fields.first().unwrap();
        for keep in [1, 5, 7] {
            // Of several lengths, some of them alike at the beginning.
            let text = |n: u64| Some(format!("{:x}", n * n * n)).filter(|_| keep == 1 || !n.is_multiple_of(keep));
            let rows: Vec<Option<String>> = (1..8 * PROBE as u64).map(text).collect();
            let mut column = Texts::new(rows.len());
            rows.iter().for_each(|text| column.push(text.as_deref().unwrap_or("")));
            let array = Utf8ViewArray::from_slice(&rows);
            let Texts::Plain(column) = column else { panic!("texts are different") };
            for encoding in [Encoding::DeltaLengthByteArray, Encoding::Plain] {
                let theirs = array_to_columns(array.to_boxed(), field.clone(), options, &[encoding]);
                for page in theirs.unwrap().into_iter().flatten() {
                    let Page::Data(theirs) = page.unwrap() else { panic!("a page of data") };
                    let here = match encoding {
                        Encoding::Plain => {
                            let statistics = theirs.statistics().map(|s| s.unwrap().serialize());
                            plain(&column, field, statistics).unwrap().unwrap()
                        }
                        _ => texts(&column, field).unwrap().unwrap(),
                    };
                    assert_eq!(theirs.buffer(), here.buffer(), "{keep} {encoding:?}");
                    assert_eq!(format!("{:?}", theirs.header()), format!("{:?}", here.header()));
                }
            }
        }
    }
}
