//! Columns in which some rows have no value.

use polars_arrow::bitmap::{Bitmap, MutableBitmap};

/// Which rows have a value. Many columns have none at all, many have one in every row: neither takes memory.
#[derive(Debug, Default)]
pub(super) struct Present {
    /// Rows there will be.
    all: usize,
    rows: usize,
    nulls: usize,
    /// Once there are rows of both kinds.
    bits: Option<MutableBitmap>,
}

impl Present {
    pub(super) fn new(all: usize) -> Self {
        Self { all, ..Self::default() }
    }

    /// The next row.
    #[inline]
    pub(super) fn push(&mut self, present: bool) {
        let Some(bits) = &mut self.bits else { return self.push_run((present, 1)) };
        bits.push(present);
        self.rows += 1;
        self.nulls += usize::from(!present);
    }

    /// The next rows, which all have a value or have none, and how many they are.
    #[inline]
    fn push_run(&mut self, (present, rows): (bool, usize)) {
        let nulls_of_the_other_kind = if present { self.rows } else { 0 };
        match &mut self.bits {
            Some(bits) => bits.extend_constant(rows, present),
            None if self.rows > 0 && rows > 0 && self.nulls == nulls_of_the_other_kind => self.begin(present, rows),
            None => {}
        }
        self.rows += rows;
        self.nulls += if present { 0 } else { rows };
    }

    #[cold]
    fn begin(&mut self, present: bool, rows: usize) {
        let mut bits = MutableBitmap::with_capacity(self.all);
        bits.extend_constant(self.rows, !present);
        bits.extend_constant(rows, present);
        self.bits = Some(bits);
    }

    pub(super) fn all(&self) -> usize {
        self.all
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows without value.
    pub(super) fn nulls(&self) -> usize {
        self.nulls
    }

    pub(super) fn get(&self, row: usize) -> bool {
        match &self.bits {
            Some(bits) => row < bits.len() && bits.get(row),
            None => self.nulls == 0,
        }
    }

    /// For Polars; `None`: every row has a value.
    pub(super) fn validity(&self) -> Option<Bitmap> {
        match &self.bits {
            Some(bits) => Some(bits.clone().freeze()),
            None if self.nulls == 0 => None,
            None => Some(Bitmap::new_zeroed(self.rows)),
        }
    }
}

/// Integers that may be unknown.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Those that are known.
    pub(super) values: Vec<i64>,
    pub(super) present: Present,
}

impl Known {
    pub(super) fn new(all: usize) -> Self {
        Self { values: Vec::new(), present: Present::new(all) }
    }

    /// The next row.
    #[inline]
    pub(super) fn push(&mut self, value: Option<i64>) {
        self.extend(std::iter::once(value));
    }

    /// The next rows.
    #[inline]
    pub(super) fn extend(&mut self, rows: impl Iterator<Item = Option<i64>>) {
        // Nearly always all of them have a value, or none has: they are told of together.
        let mut run = (false, 0);
        for value in rows {
            if value.is_some() != run.0 {
                self.present.push_run(run);
                run = (value.is_some(), 0);
            }
            run.1 += 1;
            if let Some(value) = value {
                if self.values.len() == self.values.capacity() {
                    self.grow();
                }
                self.values.push(value);
            }
        }
        self.present.push_run(run);
    }

    /// Makes room for all rows at the first value, not before: many columns have none.
    #[cold]
    fn grow(&mut self) {
        self.values.reserve(self.present.all.max(1));
    }

    /// Row by row.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<i64>> {
        let mut values = self.values.iter();
        (0..self.present.rows).map(move |row| if self.present.get(row) { values.next().copied() } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_present_as_pushed() {
        for rows in [&[][..], &[true], &[false], &[true, true], &[false, false, true], &[true, false, false, true]] {
            let mut known = Known::new(rows.len());
            for (n, present) in (0..).zip(rows) {
                known.push(Some(n).filter(|_| *present));
            }
            let mut together = Known::new(rows.len());
            together.extend((0..).zip(rows).map(|(n, present)| Some(n).filter(|_| *present)));
            assert_eq!(together.rows().collect::<Vec<_>>(), known.rows().collect::<Vec<_>>());
            let expected: Vec<Option<i64>> = (0..).zip(rows).map(|(n, present)| Some(n).filter(|_| *present)).collect();
            assert_eq!(known.rows().collect::<Vec<_>>(), expected);
            assert_eq!(known.present.nulls(), rows.iter().filter(|present| !**present).count());
            let bits = known.present.validity();
            let bits = bits.map_or_else(|| vec![true; rows.len()], |bits| bits.iter().collect());
            assert_eq!(bits, rows);
        }
    }
}
