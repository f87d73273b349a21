//! `ToUnicode` maps, ISO 32000-1 §9.10.3: codes of a font as text.
//!
//! Ranges stay ranges, whatever they span.

use lopdf::Object;

use super::object::{Item, Lexer, References};

/// How many texts a map may hold; the rest is left out. A font has at most 65,536 glyphs.
const MAX_TEXTS: usize = 70_000;
/// How many ranges that begin before a code are looked at, where ranges overlap.
const MAX_OVERLAP: usize = 8;

/// Which codes are which text.
#[derive(Debug, Default)]
pub(super) struct CMap {
    /// Sorted by their first code.
    ranges: Vec<Range>,
    /// First code, last code, length in bytes.
    spaces: Vec<(u32, u32, usize)>,
    texts: usize,
}

#[derive(Debug)]
struct Range {
    first: u32,
    last: u32,
    target: Target,
}

/// UTF-16 code units.
#[derive(Debug)]
enum Target {
    /// The last unit grows with the code.
    From(Vec<u16>),
    /// One for each code.
    Each(Vec<Vec<u16>>),
}

impl CMap {
    /// Reads a map; what is written wrongly is left out.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        let mut lexer = Lexer::new(bytes, 0, References::None);
        let mut operands: Vec<Object> = Vec::new();
        loop {
            match lexer.next() {
                Item::Object(object) => operands.push(object),
                Item::End if lexer.at >= bytes.len() => break,
                Item::End => {}
                Item::Word(word) => {
                    match word {
                        b"endcodespacerange" => map.add_spaces(&operands),
                        b"endbfchar" => map.add_characters(&operands),
                        b"endbfrange" => map.add_ranges(&operands),
                        _ => {}
                    }
                    operands.clear();
                }
            }
            if map.texts + operands.len() > 3 * MAX_TEXTS {
                break;
            }
        }
        map.ranges.sort_by_key(|range| range.first);
        map
    }

    fn add_spaces(&mut self, operands: &[Object]) {
        for pair in operands.chunks_exact(2) {
            if let (Some((first, length)), Some((last, _))) = (code(&pair[0]), code(&pair[1]))
                && self.spaces.len() < 256
            {
                self.spaces.push((first, last, length));
            }
        }
    }

    fn add_characters(&mut self, operands: &[Object]) {
        for pair in operands.chunks_exact(2) {
            if let (Some((first, _)), Some(units)) = (code(&pair[0]), units(&pair[1])) {
                self.add(Range { first, last: first, target: Target::From(units) });
            }
        }
    }

    fn add_ranges(&mut self, operands: &[Object]) {
        for triple in operands.chunks_exact(3) {
            let (Some((first, _)), Some((last, _))) = (code(&triple[0]), code(&triple[1])) else {
                continue;
            };
            let target = match &triple[2] {
                Object::Array(each) => Target::Each(each.iter().map(|each| units(each).unwrap_or_default()).collect()),
                from => match units(from) {
                    Some(units) => Target::From(units),
                    None => continue,
                },
            };
            if first <= last {
                self.add(Range { first, last, target });
            }
        }
    }

    fn add(&mut self, range: Range) {
        let texts = if let Target::Each(each) = &range.target { each.len() } else { 1 };
        if self.texts + texts <= MAX_TEXTS {
            self.texts += texts;
            self.ranges.push(range);
        }
    }

    /// How many texts it holds, each of which takes memory.
    pub(super) fn texts(&self) -> usize {
        self.texts
    }

    /// The length in bytes of the code at the beginning of `bytes`, for fonts whose codes are longer than one.
    pub(super) fn code_length(&self, bytes: &[u8]) -> usize {
        let fits = |(first, last, length): &&(u32, u32, usize)| {
            let code = bytes.get(..*length).map(big_endian);
            code.is_some_and(|code| (first..=last).contains(&&code))
        };
        self.spaces.iter().find(fits).map_or(2, |(_, _, length)| *length)
    }

    /// Adds the text of a code; `false` where it is not mapped.
    pub(super) fn push(&self, code: u32, out: &mut String) -> bool {
        let after = self.ranges.partition_point(|range| range.first <= code);
        let near = self.ranges[..after].iter().rev().take(MAX_OVERLAP);
        let Some(range) = near.into_iter().find(|range| code <= range.last) else {
            return false;
        };
        let step = code - range.first;
        match &range.target {
            Target::From(units) => push_units(units, step, out),
            Target::Each(each) => match usize::try_from(step).ok().and_then(|step| each.get(step)) {
                Some(units) => push_units(units, 0, out),
                None => return false,
            },
        }
        true
    }
}

/// Adds UTF-16 code units, the last one raised by `step`.
fn push_units(units: &[u16], step: u32, out: &mut String) {
    let Some((last, before)) = units.split_last() else {
        return;
    };
    // Only the lower half of the step can matter: a unit has sixteen bits.
    let last = last.wrapping_add((step & 0xffff) as u16);
    let all = before.iter().copied().chain([last]);
    out.extend(char::decode_utf16(all).map(|unit| unit.unwrap_or('\u{fffd}')));
}

/// A code of one to four bytes, and how many they are.
fn code(object: &Object) -> Option<(u32, usize)> {
    match object {
        Object::String(bytes, _) if (1..=4).contains(&bytes.len()) => Some((big_endian(bytes), bytes.len())),
        _ => None,
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |code, byte| code << 8 | u32::from(*byte))
}

/// The text of a code; longer ones than any ligature are cut.
fn units(object: &Object) -> Option<Vec<u16>> {
    match object {
        Object::String(bytes, _) if bytes.len() == 1 => Some(vec![u16::from(bytes[0])]),
        Object::String(bytes, _) => {
            Some(bytes.chunks_exact(2).take(32).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(map: &CMap, code: u32) -> Option<String> {
        let mut out = String::new();
        map.push(code, &mut out).then_some(out)
    }

    #[test]
    fn characters_and_ranges_are_mapped() {
        let map = CMap::read(
            b"1 begincodespacerange <00><80> <8140><FEFE> endcodespacerange
            2 beginbfchar <01> <00660069> <0002> <D83DDE00> endbfchar
            2 beginbfrange <0010> <0012> <0041> <0020> <0021> [<0061> <00620063>] endbfrange",
        );
        assert_eq!(mapped(&map, 1).as_deref(), Some("fi"));
        assert_eq!(mapped(&map, 2).as_deref(), Some("😀"));
        assert_eq!(mapped(&map, 0x12).as_deref(), Some("C"));
        assert_eq!(mapped(&map, 0x21).as_deref(), Some("bc"));
        assert_eq!(mapped(&map, 0x13), None);
        assert_eq!((map.code_length(b"\x41\x41"), map.code_length(b"\x82\x41"), map.code_length(b"\xff")), (1, 2, 2));
    }

    #[test]
    fn a_range_of_all_codes_costs_nothing() {
        let map = CMap::read(b"1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange");
        assert_eq!(mapped(&map, u32::MAX).as_deref(), Some("@"));
        assert!(CMap::read(&b"<00> ".repeat(4 * MAX_TEXTS)).texts() == 0);
        assert!(CMap::read(&b"[[[[ endbfchar".repeat(1000)).texts() == 0);
        let long = format!("1 beginbfrange <0000> <FFFF> [{}] endbfrange", "<0041>".repeat(MAX_TEXTS + 1));
        assert!(CMap::read(long.as_bytes()).texts() == 0);
    }
}
