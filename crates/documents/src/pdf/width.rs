//! How far the codes of a font move the pen, ISO 32000-1 §9.2.4 and §9.7.4.3.
//!
//! Ranges stay ranges: a few bytes of a file may give a width to 65,536 codes.

use lopdf::{Dictionary, Object};

use super::file::File;
use super::number;
use crate::error::Result;

/// How many ranges of widths a font may have; a font has at most 65,536 glyphs.
const MAX_RANGES: usize = 70_000;
/// What a range costs: it takes memory as long as the document is read.
const RANGE_WORK: usize = 100;
/// What a width is where the font does not say; half its size.
const USUAL: f32 = 500.0;

/// Widths in thousandths of the font's size.
#[derive(Debug)]
pub(super) enum Widths {
    /// First code, last code, width; sorted by the first code.
    Known { ranges: Vec<(u32, u32, f32)>, default: f32 },
    /// The fourteen standard fonts come without them.
    Guessed,
}

impl Widths {
    /// The widths of a font whose codes are single bytes.
    pub(super) fn simple(file: &File<'_>, font: &Dictionary) -> Result<Self> {
        let Some(Object::Array(widths)) = file.entry(font, b"Widths")? else {
            return Ok(Self::Guessed);
        };
        // Type 3 fonts have their own unit.
        let unit = match file.entry(font, b"FontMatrix")? {
            Some(Object::Array(matrix)) => matrix.first().and_then(number).unwrap_or(0.001) * 1000.0,
            _ => 1.0,
        };
        let first = file.entry(font, b"FirstChar")?.as_ref().and_then(code).unwrap_or(0);
        let mut ranges = Vec::new();
        for (code, width) in (first..).zip(widths.iter().take(256)) {
            if let Some(width) = file.resolve(width)?.as_ref().and_then(number) {
                ranges.push((code, code, width * unit));
            }
        }
        Ok(Self::Known { ranges, default: USUAL })
    }

    /// The widths of a composite font; codes are taken for glyph numbers.
    pub(super) fn composite(file: &File<'_>, font: &Dictionary) -> Result<Self> {
        let mut ranges = Vec::new();
        let mut default = 1000.0;
        let descendants = file.entry(font, b"DescendantFonts")?;
        let descendant = match &descendants {
            Some(Object::Array(descendants)) => {
                descendants.first().map(|font| file.resolve(font)).transpose()?.flatten()
            }
            _ => None,
        };
        if let Some(Object::Dictionary(descendant)) = descendant {
            if let Some(width) = file.entry(&descendant, b"DW")?.as_ref().and_then(number) {
                default = width;
            }
            if let Some(Object::Array(widths)) = file.entry(&descendant, b"W")? {
                ranges = ranges_of(file, &widths)?;
            }
        }
        file.spend(ranges.len() * RANGE_WORK)?;
        ranges.sort_by_key(|(first, _, _)| *first);
        Ok(Self::Known { ranges, default })
    }

    /// The width of a code, which shows `text`.
    pub(super) fn of(&self, code: u32, text: &str) -> f32 {
        match self {
            Self::Known { ranges, default } => {
                let after = ranges.partition_point(|(first, _, _)| *first <= code);
                let range = ranges[..after].last().filter(|(_, last, _)| code <= *last);
                range.map_or(*default, |(_, _, width)| *width)
            }
            Self::Guessed => text.chars().map(guessed).sum(),
        }
    }
}

/// `first [width width …]` and `first last width`, in any order.
fn ranges_of(file: &File<'_>, widths: &[Object]) -> Result<Vec<(u32, u32, f32)>> {
    let mut ranges = Vec::new();
    let mut rest = widths;
    while let [first, second, after @ ..] = rest {
        let Some(first) = code(first) else {
            break;
        };
        rest = after;
        match file.resolve(second)? {
            Some(Object::Array(each)) => {
                let each = (first..).zip(each.iter().filter_map(number));
                ranges.extend(each.take(MAX_RANGES).map(|(code, width)| (code, code, width)));
            }
            Some(last) => {
                let (Some(last), Some((width, after))) = (code(&last), after.split_first()) else {
                    break;
                };
                ranges.push((first, last, number(width).unwrap_or(USUAL)));
                rest = after;
            }
            None => break,
        }
        if ranges.len() > MAX_RANGES {
            break;
        }
    }
    Ok(ranges)
}

fn code(object: &Object) -> Option<u32> {
    object.as_i64().ok().and_then(|code| u32::try_from(code).ok())
}

/// About as wide as in Helvetica.
fn guessed(c: char) -> f32 {
    match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' | ' ' | 'f' | 't' | '/' | '[' | ']' => 270.0,
        'm' | 'M' | 'w' | 'W' | '%' | '@' => 850.0,
        'r' | '(' | ')' | '-' => 335.0,
        c if c.is_uppercase() => 690.0,
        _ => 545.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, Work};

    #[test]
    fn widths_of_codes_and_ranges_are_found() {
        let bytes = b"1 0 obj <</DescendantFonts[<</DW 500/W[10 [600 601] 20 4000000000 700 1 2]>>]>> endobj \
                      2 0 obj <</FirstChar 65/Widths[1 2]/FontMatrix[0.01 0 0 0.01 0 0]>> endobj";
        let (limits, work) = (Limits::default(), Work::new(100_000));
        let file = File::open(bytes, &limits, &work).unwrap();
        let font = |id| file.get(id).unwrap().unwrap().as_dict().unwrap().clone();
        let widths = Widths::composite(&file, &font(1)).unwrap();
        assert_eq!(
            [9, 10, 11, 12, 20, 3_999_999_999].map(|code| widths.of(code, "")),
            [500.0, 600.0, 601.0, 500.0, 700.0, 700.0]
        );
        let widths = Widths::simple(&file, &font(2)).unwrap();
        assert_eq!([65, 66, 67].map(|code| widths.of(code, "")), [10.0, 20.0, 500.0]);
        assert!(Widths::Guessed.of(0, "m") > Widths::Guessed.of(0, "i"));
    }
}
