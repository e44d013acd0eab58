//! Names that are nearly right: the distance between two spellings, and the nearest of many.
//!
//! Refuses: correcting anything. It only says what was probably meant.

/// Names longer than this are not compared: the distance costs the product of the lengths.
const LENGTH_MAX: usize = 64;

/// How many letters have to be put in, left out, changed or swapped with their neighbour to turn `a` into `b`.
pub fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; width];
        for j in 1..width {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + changed);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// The candidate that `name` was probably meant to be: at most two letters off, one for names of four or five letters;
/// shorter names are too near to everything.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let letters = name.chars().count();
    let allowed = match letters {
        0..=3 => return None,
        4 | 5 => 1,
        _ => 2,
    };
    if LENGTH_MAX < letters {
        return None;
    }
    candidates
        .filter(|c| c.len().abs_diff(name.len()) <= allowed)
        .map(|c| (distance(name, c), c))
        .filter(|(off, _)| *off <= allowed)
        .min_by_key(|(off, _)| *off)
        .map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_off_are_counted() {
        for (a, b, off) in [
            ("EMAIL", "EMAIL", 0),
            ("EMIAL", "EMAIL", 1),
            ("VALEU", "VALUE", 1),
            ("CURENCY", "CURRENCY", 1),
            ("CURENCI", "CURRENCY", 2),
            ("", "ab", 2),
            ("ab", "", 2),
        ] {
            assert_eq!(distance(a, b), off, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_is_offered_and_nothing_far() {
        let names = || ["EMAIL", "VALUE", "TAX", "GBRAID"].into_iter();
        assert_eq!(nearest("EMIAL", names()), Some("EMAIL"));
        assert_eq!(nearest("TAG", names()), None);
        assert_eq!(nearest("BRAND", names()), None);
        assert_eq!(nearest("GBRAD", names()), Some("GBRAID"));
    }
}
