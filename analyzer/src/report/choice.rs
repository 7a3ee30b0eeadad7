//! The most interesting rows of many, without sorting all of them.

/// The first `most` of `items` in the order of `key`, sorted by it. Keys must differ, for the choice to be the same each time.
pub(crate) fn first_by<T, K: Ord>(mut items: Vec<T>, most: usize, key: impl Fn(&T) -> K) -> Vec<T> {
    if most == 0 {
        return Vec::new();
    }
    if items.len() > most {
        items.select_nth_unstable_by_key(most - 1, &key);
        items.truncate(most);
    }
    items.sort_unstable_by_key(key);
    items
}

#[cfg(test)]
mod tests {
    use super::first_by;

    #[test]
    fn it_is_the_beginning_of_the_sorted_list() {
        // 37 and 101 have no common divisor: all remainders once, mixed.
        let mixed: Vec<u32> = (0..101).map(|n| n * 37 % 101).collect();
        for most in [0, 1, 2, 50, 100, 101, 500] {
            let expected: Vec<u32> = (0..101).take(most).collect();
            assert_eq!(first_by(mixed.clone(), most, |n| *n), expected, "{most}");
        }
    }
}
