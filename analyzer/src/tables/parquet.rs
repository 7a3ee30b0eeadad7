//! Columns as Parquet pages (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).
//!
//! Polars would estimate the number of different values of every column, build a dictionary by hashing all of them, and make a new
//! compression context for every page. What these tables hold is known better: integers are times, sizes and ids, which differences
//! make small (`DELTA_BINARY_PACKED`) at a fraction of the time and without compression; texts come again and again, often many rows
//! one after the other.

use super::delta;
use super::frame::{Frame, Made};
use super::texts::{Coded, List, Plain, Texts};
use polars::prelude::{CompatLevel, PlSmallStr, PolarsResult};
use polars_arrow::array::{Array, DictionaryArray, MutableBinaryViewArray, PrimitiveArray, Utf8ViewArray};
use polars_arrow::datatypes::PhysicalType;
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::compression::Compression;
use polars_parquet::parquet::page::{CompressedDataPage, CompressedDictPage, DataPage, DataPageHeader, DictPage};
use polars_parquet::parquet::statistics::ParquetStatistics;
use polars_parquet::write::{
    CompressedPage, CompressionOptions, Encoding, Page, ParquetType, WriteOptions, array_to_columns, compress,
};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch};

/// zstd's level for texts: 1 takes half the time of the usual 3, for some percent of size.
pub(super) const LEVEL: i32 = 1;
/// zstd's level for random digits: it looks at one place in so many.
const DIGITS_LEVEL: i32 = -100;
/// Bytes of texts in a page, at most, where that is for us to say.
const PAGE: usize = 1 << 20;
/// Texts that are looked at to tell whether a column is of random digits.
const DIGITS_PROBE: usize = 32;
/// Lengths of such ids: shorter numbers have digits in common, longer ones have other statistics.
const DIGITS_LEAST: usize = 16;
const DIGITS_MOST: usize = 64;

/// What the pages of a table are made with.
#[derive(Debug)]
pub(super) struct Form {
    /// Types of the columns.
    pub(super) fields: Vec<ParquetType>,
    /// Version of pages, statistics.
    pub(super) options: WriteOptions,
}

impl Form {
    /// The pages of every column of a row group.
    pub(super) fn columns(&self, frame: Frame) -> PolarsResult<Vec<Vec<CompressedPage>>> {
        let mut zstd = Zstd { compressor: Compressor::new(LEVEL)?, scratch: Vec::new(), content: Content::Texts };
        let rows = frame.height();
        frame.into_columns().zip(&self.fields).map(|(made, field)| self.column(made, rows, field, &mut zstd)).collect()
    }

    fn column(
        &self,
        made: Made,
        rows: usize,
        field: &ParquetType,
        zstd: &mut Zstd,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let made = if let Made::Time(ns) = made { *ns } else { made };
        let page = match &made {
            Made::Opt(known) if known.values.is_empty() => delta::nothing(rows, field)?,
            Made::Opt(known) => delta::integers(&known.values, rows, known.present.validity().as_ref(), field)?,
            Made::Int(values) => delta::integers(values, rows, None, field)?,
            Made::Text(Texts::Coded(texts)) if texts.keys().is_empty() => delta::nothing(rows, field)?,
            Made::Text(Texts::Coded(texts)) => return self.dictionary(texts, rows, field, zstd),
            // Others are few, or without pattern.
            _ => None,
        };
        if let Some(page) = page {
            return Ok(vec![compress(Page::Data(page), Vec::new(), CompressionOptions::Uncompressed)?]);
        }
        if let Made::Text(Texts::Plain(texts)) = &made
            && let Some(page) = self.texts(texts, field, zstd)?
        {
            return Ok(vec![page]);
        }
        let series = made.into_series(PlSmallStr::EMPTY)?.rechunk();
        let array = series.to_arrow(0, CompatLevel::newest());
        match array.dtype().to_physical_type() {
            PhysicalType::Utf8View | PhysicalType::Boolean => {
                self.compressed(array.as_ref(), field, Encoding::Plain, zstd)
            }
            // Nothing but nulls takes some bytes.
            _ => self.plain(array.as_ref(), field, Encoding::Plain),
        }
    }

    /// Different texts as one page; `None` if they are too much for one: Polars makes several then.
    fn texts(&self, texts: &Plain, field: &ParquetType, zstd: &mut Zstd) -> PolarsResult<Option<CompressedPage>> {
        if are_digits(&texts.texts) {
            let Some(page) = delta::texts(texts, field)? else { return Ok(None) };
            zstd.expect(Content::Digits)?;
            let page = zstd.page(Page::Data(page));
            zstd.expect(Content::Texts)?;
            return page.map(Some);
        }
        if texts.texts.bytes().len() > PAGE {
            return Ok(None);
        }
        let ends: Vec<&str> = delta::least_and_most(&texts.texts).into_iter().flat_map(<[&str; 2]>::from).collect();
        let ends = Utf8ViewArray::from_slice_values(ends);
        let mut statistics = None;
        for page in
            array_to_columns(ends.boxed(), field.clone(), self.options, &[Encoding::Plain])?.into_iter().flatten()
        {
            if let Page::Data(page) = page? {
                statistics = statistics_of(&page, texts.present.nulls())?;
            }
        }
        delta::plain(texts, field, statistics)?.map(|page| zstd.page(Page::Data(page))).transpose()
    }

    /// Texts by number. The dictionary and the statistics of the column are made by Polars, the numbers here: it would go over them four times.
    fn dictionary(
        &self,
        texts: &Coded,
        rows: usize,
        field: &ParquetType,
        zstd: &mut Zstd,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let values = MutableBinaryViewArray::<str>::from_values_iter(texts.different().iter()).freeze();
        let one = PrimitiveArray::from_slice([0_u32]);
        let coded = DictionaryArray::try_from_keys(one, values.boxed(), false)?;
        let mut pages = Vec::with_capacity(2);
        for page in array_to_columns(coded.boxed(), field.clone(), self.options, &[Encoding::RleDictionary])?
            .into_iter()
            .flatten()
        {
            let page = match page? {
                Page::Dict(values) => Page::Dict(values),
                Page::Data(of_one) => {
                    let statistics = statistics_of(&of_one, texts.null_count())?;
                    match delta::keys(texts.keys(), rows, texts.validity().as_ref(), field, statistics)? {
                        Some(page) => Page::Data(page),
                        None => continue,
                    }
                }
            };
            pages.push(zstd.page(page)?);
        }
        Ok(pages)
    }

    /// Pages as they are.
    fn plain(&self, array: &dyn Array, field: &ParquetType, encoding: Encoding) -> PolarsResult<Vec<CompressedPage>> {
        let options = WriteOptions { compression: CompressionOptions::Uncompressed, ..self.options };
        let pages = array_to_columns(array, field.clone(), options, &[encoding])?;
        let as_they_are = |page: PolarsResult<Page>| Ok(compress(page?, Vec::new(), options.compression)?);
        pages.into_iter().flatten().map(as_they_are).collect()
    }

    fn compressed(
        &self,
        array: &dyn Array,
        field: &ParquetType,
        encoding: Encoding,
        zstd: &mut Zstd,
    ) -> PolarsResult<Vec<CompressedPage>> {
        let pages = array_to_columns(array, field.clone(), self.options, &[encoding])?;
        pages.into_iter().flatten().map(|page| zstd.page(page?)).collect()
    }
}

/// Statistics that Polars made of some values, for a column that has these, and rows without any.
fn statistics_of(page: &DataPage, nulls: usize) -> PolarsResult<Option<ParquetStatistics>> {
    let known = page.statistics().transpose()?;
    Ok(known.map(|known| ParquetStatistics { null_count: Some(nulls as i64), ..known.serialize() }))
}

/// A compression context, used for page after page.
struct Zstd {
    compressor: Compressor<'static>,
    scratch: Vec<u8>,
    content: Content,
}

/// What is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Whatever comes again is looked for.
    Texts,
    /// Digits at random, such as ids: nothing comes again, but there are only 16 of them, which Huffman's code is for.
    Digits,
}

impl Zstd {
    fn expect(&mut self, content: Content) -> PolarsResult<()> {
        if content != self.content {
            let (level, literals) = match content {
                Content::Texts => (LEVEL, ParamSwitch::Auto),
                Content::Digits => (DIGITS_LEVEL, ParamSwitch::Enable),
            };
            self.compressor.set_parameter(CParameter::CompressionLevel(level))?;
            self.compressor.set_parameter(CParameter::LiteralCompressionMode(literals))?;
            self.content = content;
        }
        Ok(())
    }

    fn page(&mut self, page: Page) -> PolarsResult<CompressedPage> {
        Ok(match page {
            Page::Data(page) => CompressedPage::Data(self.data(&page)?),
            Page::Dict(DictPage { buffer, num_values, is_sorted }) => {
                let compressed = self.bytes(&[], &buffer)?;
                let size = buffer.len();
                CompressedPage::Dict(CompressedDictPage::new(
                    compressed,
                    Compression::Zstd,
                    size,
                    num_values,
                    is_sorted,
                ))
            }
        })
    }

    fn data(&mut self, page: &DataPage) -> PolarsResult<CompressedDataPage> {
        let bytes = page.buffer();
        // Levels stand before the values, in version 2 uncompressed.
        let levels = match page.header() {
            DataPageHeader::V1(_) => 0,
            DataPageHeader::V2(h) => {
                usize::try_from(h.repetition_levels_byte_length + h.definition_levels_byte_length).unwrap_or(0)
            }
        };
        let (levels, values) = bytes.split_at_checked(levels).unwrap_or((&[], bytes));
        let compressed = self.bytes(levels, values)?;
        let (header, rows) = (page.header().clone(), page.num_rows().unwrap_or_else(|| page.num_values()));
        let descriptor = page.descriptor.clone();
        Ok(CompressedDataPage::new(header, compressed, Compression::Zstd, bytes.len(), descriptor, rows))
    }

    /// `before` as it is, and `bytes` compressed.
    fn bytes(&mut self, before: &[u8], bytes: &[u8]) -> PolarsResult<CowBuffer> {
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.compressor.compress_to_buffer(bytes, &mut self.scratch)?;
        Ok(CowBuffer::Owned([before, &self.scratch].concat()))
    }
}

/// Whether texts are hexadecimal ids drawn at random, as far as a few from all over the column tell. They are known to be different.
fn are_digits(texts: &List) -> bool {
    let step = (texts.len() / DIGITS_PROBE).max(1);
    let mut probed: Vec<&[u8]> = texts.iter().step_by(step).map(str::as_bytes).collect();
    let is_id = |t: &&[u8]| (DIGITS_LEAST..=DIGITS_MOST).contains(&t.len()) && t.iter().all(|b| b.is_ascii_hexdigit());
    if probed.len() < DIGITS_PROBE || !probed.iter().all(is_id) {
        return false;
    }
    // Of those that are counted up, the first digits are alike.
    let first = |t: &&[u8]| t.first_chunk::<4>().copied();
    probed.sort_unstable_by_key(first);
    probed.dedup_by_key(|t| first(t));
    probed.len() > DIGITS_PROBE / 4 * 3
}

#[cfg(test)]
mod tests {
    use super::super::output::{Format, ROW_GROUP_ROWS, write};
    use super::super::texts::PROBE;
    use super::*;
    use polars::prelude::*;

    fn round_trip(frame: &DataFrame) {
        let mut file = Vec::new();
        write(&mut frame.clone(), Format::Parquet, None, &mut file).unwrap();
        let back = ParquetReader::new(std::io::Cursor::new(file)).finish().unwrap();
        assert!(back.equals_missing(frame), "{back}\n{frame}");
    }

    #[test]
    fn whatever_columns_hold_reads_back() {
        let rows = ROW_GROUP_ROWS + PROBE + 1;
        let some = |keep: usize| move |n: usize| (!n.is_multiple_of(keep)).then_some(n);
        let (all, sparse): (Vec<usize>, Vec<_>) = ((0..rows).collect(), (0..rows).map(some(3)).collect());
        let edges = [i64::MIN, i64::MAX, 0, -1, 1 << 40];
        let id = |n: usize| (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        round_trip(
            &df!(
                "counted" => all.iter().map(|&n| n as i64).collect::<Vec<_>>(),
                "edges" => all.iter().map(|&n| edges[n * n % 5]).collect::<Vec<_>>(),
                "some" => sparse.iter().map(|n| n.map(|n| n as i64 * 7919 % 1000)).collect::<Vec<_>>(),
                "none" => vec![None::<i64>; rows],
                "ratio" => all.iter().map(|&n| n as f64 / 3.0).collect::<Vec<_>>(),
                "flag" => all.iter().map(|n| n.is_multiple_of(5)).collect::<Vec<_>>(),
                "one" => vec!["the same text in every row"; rows],
                "empty" => all.iter().map(|n| [None, Some("x")][n % 2]).collect::<Vec<_>>(),
                "few" => sparse.iter().map(|n| n.map(|n| format!("text number {}", n % 40))).collect::<Vec<_>>(),
                "short" => all.iter().map(|n| (n % 40).to_string()).collect::<Vec<_>>(),
                "different" => sparse.iter().map(|n| n.map(|n| format!("this is row {n}"))).collect::<Vec<_>>(),
                // Different only where nobody probes.
                "later" => all.iter().map(|&n| n.saturating_sub(PROBE).to_string()).collect::<Vec<_>>(),
                "no text" => vec![None::<&str>; rows],
                "ids" => all.iter().map(|&n| format!("{:016x}", id(n))).collect::<Vec<_>>(),
                "some ids" => sparse.iter().map(|n| n.map(|n| format!("{:032x}", u128::from(id(n)) << 64 | 7))).collect::<Vec<_>>(),
            )
            .unwrap(),
        );
    }

    #[test]
    fn few_rows_read_back() {
        for rows in [0, 1, 2, 255, 256, 257, 258, 513] {
            let texts: Vec<_> = (0..rows).map(|n| (n % 2 == 0).then(|| n.to_string())).collect();
            let numbers: Vec<_> = (0..rows).map(|n| (n % 7 != 0).then_some(n * n)).collect();
            round_trip(&df!("texts" => texts, "numbers" => numbers).unwrap());
        }
    }

    #[test]
    fn ids_are_told_from_texts_that_begin_alike() {
        let column = |of: &dyn Fn(u64) -> String| -> bool {
            let mut column = Texts::new(5000);
            (1..5000).for_each(|n| column.push(&of(n)));
            let Texts::Plain(column) = column else { panic!("texts are different") };
            are_digits(&column.texts)
        };
        let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        assert!(column(&|n| format!("{:016x}", random(n))));
        assert!(!column(&|n| format!("{n:016x}")));
        assert!(!column(&|n| format!("{:032x}", random(n))));
        assert!(!column(&|n| format!("/api/{:016x}", random(n))));
        assert!(!column(&|n| format!("{:08x}", random(n) >> 32)));
    }
}
