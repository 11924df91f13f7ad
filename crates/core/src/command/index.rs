//! Finding a row by name without allocating: a hash of the folded name into a table of 16-bit positions that the
//! compiler fills, and one comparison.

use super::{Row, table::ROWS};

/// The row of this name in any case, from the built-in table.
#[inline]
pub(super) fn find(name: &[u8]) -> Option<&'static Row> {
    place(name).map(|(_, row)| row)
}

/// As [`find`], with the row's place in the table.
#[inline]
pub(super) fn place(name: &[u8]) -> Option<(usize, &'static Row)> {
    let mut slot = hash(name);
    loop {
        let entry = *INDEX.get(slot % SLOTS)?;
        let at = usize::from(entry).checked_sub(1)?;
        let row = ROWS.get(at)?;
        if row.name().as_bytes().eq_ignore_ascii_case(name) {
            return Some((at, row));
        }
        slot += 1;
    }
}

/// Three times the number of commands, so that most names are alone in their slot (see the test).
const SLOTS: usize = 1024;

/// Positions in [`ROWS`] plus one; 0 is an empty slot.
static INDEX: [u16; SLOTS] = fill();

/// The same for a name in upper and in lower case. Only the first and the last eight bytes and the length count.
///
/// The second factor is the best of 20 000 random ones for the names of the table: 33 of 304 are displaced.
#[inline]
const fn hash(name: &[u8]) -> usize {
    let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (widen(u32::from_le_bytes(*first)), widen(u32::from_le_bytes(*last)))
    } else if let ([first, ..], [.., last]) = (name, name) {
        // One to three bytes: together with the one in the middle these are all.
        let middle = if let [_, middle, _] = name { *middle } else { 0 };
        (widen(u32::from_le_bytes([*first, middle, *last, 0])), 0)
    } else {
        (0, 0)
    };
    const CASE: u64 = 0x2020_2020_2020_2020;
    let mixed = (first | CASE).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (last | CASE).rotate_left(32);
    let mixed = mixed.wrapping_add(length(name)).wrapping_mul(0x1929_3F55_6476_39B1);
    high_bits(mixed)
}

#[expect(clippy::as_conversions, reason = "widening, which `From` does not do in a const function")]
const fn widen(number: u32) -> u64 {
    number as u64
}

#[expect(clippy::as_conversions, reason = "lengths of names are small, and any other value only misses")]
const fn length(name: &[u8]) -> u64 {
    name.len() as u64
}

#[expect(clippy::as_conversions, reason = "32 bits fit")]
const fn high_bits(mixed: u64) -> usize {
    (mixed >> 32) as usize
}

/// Runs in the compiler, where a panic is an error of the build.
#[expect(clippy::indexing_slicing, clippy::as_conversions, reason = "evaluated at compile time only")]
const fn fill() -> [u16; SLOTS] {
    let mut index = [0; SLOTS];
    let mut position = 0;
    while position < ROWS.len() {
        let mut slot = hash(ROWS[position].literal().as_bytes());
        while index[slot % SLOTS] != 0 {
            slot += 1;
        }
        index[slot % SLOTS] = position as u16 + 1;
        position += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_names_are_alone_in_their_slot() {
        let displaced = ROWS.iter().filter(|row| {
            let home = hash(row.name().as_bytes()) % SLOTS;
            ROWS.get(usize::from(INDEX[home]) - 1).unwrap().name() != row.name()
        });
        let displaced: Vec<_> = displaced.map(Row::name).collect();
        assert!(displaced.len() < ROWS.len() / 5, "{displaced:?}");
        for hot in ["get", "set", "mget", "del", "incr", "hget", "hset", "expire", "zadd", "lpush"] {
            assert!(!displaced.contains(&hot), "{hot} is displaced");
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_nothing_else_is() {
        for row in &ROWS {
            let upper = row.name().to_ascii_uppercase();
            assert_eq!(find(upper.as_bytes()).unwrap().name(), row.name());
            assert_eq!(find(row.name().as_bytes()).unwrap().name(), row.name());
        }
        for other in [&b""[..], b"g", b"ge", b"gett", b"\x07et", b"get\0", b"GET ", &[0xff; 300]] {
            assert!(find(other).is_none(), "{}", other.escape_ascii());
        }
    }
}
