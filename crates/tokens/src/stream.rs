//! Text as its tokens come, up to a stop string.
//!
//! A character may take several tokens, and some decoders look at neighbours: a token's text is what it adds to the text of
//! those before it, and is held back while its last character is not whole.

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Stands in a decoded text for bytes that are no character yet.
const REPLACEMENT: char = '\u{fffd}';

/// The text of one answer.
#[derive(Debug)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Where the tokens begin that are decoded with the new ones.
    from: usize,
    /// How many tokens have been told.
    told: usize,
}

impl<'a> TextStream<'a> {
    /// Nothing yet.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), from: 0, told: 0 }
    }

    /// What the text grows by with this token; often nothing.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.ids.push(id);
        self.new_text(false)
    }

    /// What was held back, at the end.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn rest(&mut self) -> Result<String> {
        self.new_text(true)
    }

    fn new_text(&mut self, all: bool) -> Result<String> {
        let before = self.tokenizer.decode(&self.ids[self.from..self.told])?;
        let now = self.tokenizer.decode(&self.ids[self.from..])?;
        if now.len() <= before.len() || (now.ends_with(REPLACEMENT) && !all) {
            return Ok(String::new());
        }
        let new = now.get(before.len()..).unwrap_or_default().to_owned();
        (self.from, self.told) = (self.told, self.ids.len());
        Ok(new)
    }
}

/// Ends a text before the first of some strings, however it is cut into pieces.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    stops: Vec<String>,
    /// The end of the text so far, which may be the beginning of a stop string.
    held: String,
    hit: bool,
}

impl Stops {
    /// Stops before any of these; empty ones never stop.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        let stops = stops.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stops, ..Self::default() }
    }

    /// What of the text is certain to stand before a stop string, now that `piece` has come.
    pub fn push(&mut self, piece: &str) -> String {
        if self.hit {
            return String::new();
        }
        self.held.push_str(piece);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        self.hit = first.is_some();
        let certain = first.unwrap_or_else(|| self.held.len() - self.open());
        let rest = self.held.split_off(certain);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop string has come.
    #[must_use]
    pub fn hit(&self) -> bool {
        self.hit
    }

    /// What was held back, where no stop string came of it.
    pub fn rest(&mut self) -> String {
        if self.hit { String::new() } else { std::mem::take(&mut self.held) }
    }

    /// Bytes of the longest end of the held text that a stop string begins with.
    fn open(&self) -> usize {
        let starts = self.held.char_indices().map(|(at, _)| &self.held[at..]);
        let begins = |end: &&str| self.stops.iter().any(|stop| stop.starts_with(end));
        starts.into_iter().find(begins).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{SENTENCES, tokenizer};

    #[test]
    fn pieces_are_the_text_and_no_character_is_cut() {
        let tokenizer = tokenizer();
        for text in SENTENCES.iter().copied().chain(["naïve 💥💥 ﷽ — \n\n\t end", "💥"]) {
            let ids = tokenizer.encode(text).unwrap();
            let mut stream = TextStream::new(&tokenizer);
            let mut pieces: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
            assert!(pieces.iter().all(|piece| !piece.contains(REPLACEMENT)));
            pieces.push(stream.rest().unwrap());
            assert_eq!(pieces.concat(), text);
        }
        // Half a character at the end is told as what it decodes to.
        let ids = tokenizer.encode("a💥").unwrap();
        let mut stream = TextStream::new(&tokenizer);
        let told: String = ids[..ids.len() - 1].iter().map(|id| stream.push(*id).unwrap()).collect();
        assert_eq!(told, "a");
        assert_eq!(told + &stream.rest().unwrap(), tokenizer.decode(&ids[..ids.len() - 1]).unwrap());
    }

    #[test]
    fn a_text_ends_before_the_first_stop_string_wherever_it_is_cut() {
        let text = "one ##one ### two END three";
        for size in 1..text.len() {
            let pieces = |stops: &mut Stops| -> String {
                let pieces = text.as_bytes().chunks(size).map(|piece| stops.push(std::str::from_utf8(piece).unwrap()));
                let told: String = pieces.collect();
                told + &stops.rest()
            };
            let mut stops = Stops::new(&["END".into(), "###".into(), String::new()]);
            assert_eq!(pieces(&mut stops), "one ##one ");
            assert!(stops.hit());
            let mut none = Stops::new(&["absent".into(), "threefold".into()]);
            assert_eq!(pieces(&mut none), text);
            assert!(!none.hit());
        }
    }
}
