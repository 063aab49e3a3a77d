//! RFC 4648 base32, lower case, without padding: the text form of 32-byte keys.

use core::fmt;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Characters of a 32-byte value: 256 bits at 5 a character, rounded up.
pub(crate) const LEN32: usize = 52;

/// Writes `bytes` as text.
pub(crate) fn encode(bytes: &[u8], out: &mut impl fmt::Write) -> fmt::Result {
    let (mut bits, mut have) = (0u32, 0u32);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        have = have.saturating_add(8);
        while have >= 5 {
            have = have.saturating_sub(5);
            out.write_char(symbol(bits >> have))?;
        }
        bits &= !(u32::MAX << have);
    }
    if have > 0 {
        out.write_char(symbol(bits << 5u32.saturating_sub(have)))?;
    }
    Ok(())
}

fn symbol(bits: u32) -> char {
    ALPHABET
        .get((bits & 31) as usize)
        .map_or('a', |&byte| char::from(byte))
}

/// Reads exactly 32 bytes; upper case is accepted, anything else but the
/// canonical form is not.
pub(crate) fn decode32(text: &str) -> Option<[u8; 32]> {
    if text.len() != LEN32 {
        return None;
    }
    let mut bytes = [0; 32];
    let mut slots = bytes.iter_mut();
    let (mut bits, mut have) = (0u32, 0u32);
    for character in text.bytes() {
        let value = ALPHABET
            .iter()
            .position(|&known| known == character.to_ascii_lowercase())?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        have = have.saturating_add(5);
        if have >= 8 {
            have = have.saturating_sub(8);
            *slots.next()? = u8::try_from((bits >> have) & 0xff).ok()?;
            bits &= !(u32::MAX << have);
        }
    }
    (bits == 0).then_some(bytes)
}
