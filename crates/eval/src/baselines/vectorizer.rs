//! TF-IDF over words and word pairs, with the conventions of scikit-learn's `TfidfVectorizer` (Pedregosa et al. 2011):
//! lower case, words of two or more word characters, pairs of neighbouring words, 1 + ln(count), smoothed
//! idf = ln((1 + documents) / (1 + documents with the term)) + 1, rows of length 1.

use std::collections::HashMap;

use rayon::prelude::*;

/// A sparse row: (column, value), columns ascending.
pub type Row = Vec<(u32, f32)>;

/// Which terms become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorizerOptions {
    /// Documents that a term must occur in.
    pub min_document_frequency: u32,
    /// Columns at most: the most frequent terms, equally frequent ones in the order of their letters.
    pub max_features: usize,
}

impl Default for VectorizerOptions {
    fn default() -> Self {
        Self { min_document_frequency: 3, max_features: 300_000 }
    }
}

/// A fitted vocabulary with its inverse document frequencies.
#[derive(Debug, Clone)]
pub struct Vectorizer {
    /// Number of each word that is part of some column.
    words: HashMap<String, u32>,
    /// Column of each term.
    columns: HashMap<Term, u32>,
    /// Inverse document frequency of each column.
    idf: Vec<f32>,
}

/// One word, or two neighbouring words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Term {
    first: u32,
    /// `NONE` for a single word.
    second: u32,
}

const NONE: u32 = u32::MAX;

/// How often a term occurs, in all and in how many documents.
#[derive(Debug, Clone, Copy, Default)]
struct Frequency {
    total: u64,
    documents: u32,
}

impl Vectorizer {
    /// Learns the vocabulary of `texts`. Columns are numbered in the order of the terms' letters.
    #[must_use]
    pub fn fit(texts: &[&str], options: VectorizerOptions) -> Self {
        let (names, frequencies) = count(texts);
        let mut kept: Vec<(String, Term, Frequency)> = frequencies
            .into_iter()
            .filter(|(_, frequency)| frequency.documents >= options.min_document_frequency)
            .map(|(term, frequency)| (spelling(term, &names), term, frequency))
            .collect();
        kept.par_sort_unstable_by(|left, right| right.2.total.cmp(&left.2.total).then_with(|| left.0.cmp(&right.0)));
        kept.truncate(options.max_features.min(NONE as usize));
        kept.par_sort_unstable_by(|left, right| left.0.cmp(&right.0));
        let idf = kept.iter().map(|(_, _, frequency)| idf(texts.len(), frequency.documents)).collect();
        let columns = kept.iter().zip(0..).map(|(&(_, term, _), column)| (term, column)).collect();
        Self { words: used_words(&kept, &names), columns, idf }
    }

    /// Number of columns.
    #[must_use]
    pub fn features(&self) -> usize {
        self.idf.len()
    }

    /// The row of one text; empty if it has no known term, else of Euclidean length 1.
    #[must_use]
    pub fn transform(&self, text: &str) -> Row {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(self.words.get(word).copied().unwrap_or(NONE)));
        let mut columns: Vec<u32> = terms(&words).filter_map(|term| self.columns.get(&term).copied()).collect();
        columns.sort_unstable();
        let weight = |same: &[u32]| {
            let count = same.len() as f32;
            (same[0], (1.0 + count.ln()) * self.idf[same[0] as usize])
        };
        let mut row: Row = columns.chunk_by(|left, right| left == right).map(weight).collect();
        let length = row.iter().map(|(_, value)| value * value).sum::<f32>().sqrt();
        row.iter_mut().for_each(|(_, value)| *value /= length);
        row
    }

    /// The rows of many texts, in parallel.
    #[must_use]
    pub fn transform_all(&self, texts: &[&str]) -> Vec<Row> {
        texts.par_iter().map(|text| self.transform(text)).collect()
    }
}

/// Numbers all words and counts all terms.
fn count(texts: &[&str]) -> (Vec<String>, HashMap<Term, Frequency>) {
    let mut numbers: HashMap<String, u32> = HashMap::new();
    let mut frequencies: HashMap<Term, Frequency> = HashMap::new();
    let mut words = Vec::new();
    let mut of_text = Vec::new();
    for text in texts {
        words.clear();
        for_each_word(text, |word| words.push(number(&mut numbers, word)));
        of_text.clear();
        of_text.extend(terms(&words));
        of_text.sort_unstable();
        for same in of_text.chunk_by(|left, right| left == right) {
            let frequency = frequencies.entry(same[0]).or_default();
            frequency.total += same.len() as u64;
            frequency.documents += 1;
        }
    }
    let mut names = vec![String::new(); numbers.len()];
    numbers.into_iter().for_each(|(word, number)| names[number as usize] = word);
    (names, frequencies)
}

/// The number of `word`, a new one at its first sight; [`NONE`] (unknown) once all numbers are given away.
fn number(numbers: &mut HashMap<String, u32>, word: &str) -> u32 {
    if let Some(&known) = numbers.get(word) {
        return known;
    }
    let next = u32::try_from(numbers.len()).unwrap_or(NONE);
    if next != NONE {
        numbers.insert(word.to_owned(), next);
    }
    next
}

/// Calls `each` with every run of two or more word characters of `text` in lower case.
fn for_each_word(text: &str, each: impl FnMut(&str)) {
    text.to_lowercase()
        .split(|symbol: char| !(symbol.is_alphanumeric() || symbol == '_'))
        .filter(|word| word.chars().nth(1).is_some())
        .for_each(each);
}

/// The words and the pairs of neighbours among them; unknown words belong to no term.
fn terms(words: &[u32]) -> impl Iterator<Item = Term> {
    let single = words.iter().map(|&first| Term { first, second: NONE });
    let pairs = words.windows(2).filter(|pair| pair[1] != NONE).map(|pair| Term { first: pair[0], second: pair[1] });
    single.chain(pairs).filter(|term| term.first != NONE)
}

fn spelling(term: Term, names: &[String]) -> String {
    let first = &names[term.first as usize];
    if term.second == NONE { first.clone() } else { format!("{first} {}", names[term.second as usize]) }
}

fn idf(documents: usize, with_term: u32) -> f32 {
    (((1.0 + documents as f64) / (1.0 + f64::from(with_term))).ln() + 1.0) as f32
}

/// The words that some kept term needs.
fn used_words(kept: &[(String, Term, Frequency)], names: &[String]) -> HashMap<String, u32> {
    let numbers = kept.iter().flat_map(|(_, term, _)| [term.first, term.second]);
    numbers.filter(|&number| number != NONE).map(|number| (names[number as usize].clone(), number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: VectorizerOptions = VectorizerOptions { min_document_frequency: 1, max_features: 100 };

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word.to_owned()));
        words
    }

    fn vocabulary(vectorizer: &Vectorizer) -> Vec<String> {
        let mut names = vec![String::new(); vectorizer.words.values().max().map_or(0, |&most| most as usize + 1)];
        vectorizer.words.iter().for_each(|(word, &number)| names[number as usize] = word.clone());
        let mut columns: Vec<_> =
            vectorizer.columns.iter().map(|(&term, &column)| (column, spelling(term, &names))).collect();
        columns.sort();
        columns.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn words_have_two_characters_and_ignore_case_and_punctuation() {
        assert_eq!(words("A Héap-based bug_2 in x (v1.20)!"), ["héap", "based", "bug_2", "in", "v1", "20"]);
    }

    #[test]
    fn a_dropped_short_word_makes_its_neighbours_neighbours() {
        assert_eq!(vocabulary(&Vectorizer::fit(&["read a file"], ANY)), ["file", "read", "read file"]);
    }

    #[test]
    fn weights_are_those_of_the_published_formulae() {
        let vectorizer = Vectorizer::fit(&["red red fox", "red owl", "grey owl"], ANY);
        assert_eq!(vocabulary(&vectorizer), ["fox", "grey", "grey owl", "owl", "red", "red fox", "red owl", "red red"]);
        // Terms of the first text: fox, red fox, red red in one of three documents, red (twice) in two.
        let (rare, red) = (2.0_f32.ln() + 1.0, (1.0 + 2.0_f32.ln()) * ((4.0_f32 / 3.0).ln() + 1.0));
        let length = (3.0 * rare * rare + red * red).sqrt();
        let expected = [(0, rare / length), (4, red / length), (5, rare / length), (7, rare / length)];
        let row = vectorizer.transform("Red, red FOX");
        assert_eq!(row.iter().map(|&(column, _)| column).collect::<Vec<_>>(), expected.map(|(column, _)| column));
        assert!(row.iter().zip(expected).all(|(left, right)| (left.1 - right.1).abs() < 1e-6), "{row:?}");
    }

    #[test]
    fn weights_are_those_that_scikit_learn_1_9_1_gives() {
        // TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True) on the same texts.
        let vectorizer = Vectorizer::fit(&["red red fox", "red owl", "grey owl"], ANY);
        let row = vectorizer.transform("Red, red FOX");
        let expected = [0.463_334_27, 0.596_627_24, 0.463_334_27, 0.463_334_27_f32];
        assert!(row.iter().zip(expected).all(|(left, right)| (left.1 - right).abs() < 1e-6));
    }

    #[test]
    fn rare_terms_fall_to_the_document_frequency_and_the_rest_to_the_number_of_columns() {
        let texts = ["cat dog", "cat dog", "cat eel", "eel emu"];
        let twice = VectorizerOptions { min_document_frequency: 2, max_features: 100 };
        assert_eq!(vocabulary(&Vectorizer::fit(&texts, twice)), ["cat", "cat dog", "dog", "eel"]);
        let two = VectorizerOptions { max_features: 2, ..twice };
        assert_eq!(vocabulary(&Vectorizer::fit(&texts, two)), ["cat", "cat dog"], "ties in the order of letters");
    }

    #[test]
    fn a_text_without_known_terms_is_an_empty_row() {
        let vectorizer = Vectorizer::fit(&["red fox"], ANY);
        assert!(vectorizer.transform("blue 1 whale").is_empty());
        assert!(Vectorizer::fit(&[], ANY).transform("red fox").is_empty());
    }
}
