//! CRC-16 with the polynomial of XMODEM (0x1021, initial value 0, not reflected): the slots of Redis Cluster.

/// CRC-16/XMODEM of `data`, as `CLUSTER KEYSLOT` uses it (Redis Cluster specification, appendix A).
#[must_use]
pub fn crc16_xmodem(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc: u16, &byte| {
        let [high, _] = crc.to_be_bytes();
        (crc << 8) ^ entry(high ^ byte)
    })
}

/// What the byte that falls out of the register adds to it.
#[expect(clippy::indexing_slicing, reason = "a byte cannot exceed the 256 entries")]
#[inline]
pub(super) fn entry(byte: u8) -> u16 {
    TABLE[usize::from(byte)]
}

static TABLE: [u16; 256] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated by the compiler, index below 256"
)]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_check_value() {
        assert_eq!(crc16_xmodem(b"123456789"), 0x31c3);
        assert_eq!(crc16_xmodem(b""), 0);
    }
}
