//! Content streams, ISO 32000-1 §7.8.2 and §9.4: where on a page which text is drawn.

use std::collections::BTreeMap;
use std::rc::Rc;

use lopdf::{Dictionary, Object};

use super::file::{File, find};
use super::font::Font;
use super::layout::{Line, Lines, Stroke};
use super::object::{Item, Lexer, References, is_space};
use super::pages::Page;
use super::{name, number};
use crate::error::{Error, Result};
use crate::limits::Limits;

/// Forms within forms; they may also draw themselves.
const MAX_FORMS: usize = 8;
/// Saved states and marked contents that are kept; more are counted and not kept.
const MAX_SAVED: usize = 256;
/// Operands that are kept; no operator has more.
const MAX_OPERANDS: usize = 64;
/// What an operator costs beside its bytes.
const OPERATOR_WORK: usize = 16;

/// Reads pages one after the other; fonts are kept from page to page.
pub(super) struct Reader<'a> {
    file: &'a File<'a>,
    limits: &'a Limits,
    fonts: BTreeMap<u32, Rc<Font>>,
    /// How much text may still come.
    left_bytes: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File<'a>, limits: &'a Limits) -> Self {
        Self { file, limits, fonts: BTreeMap::new(), left_bytes: limits.output_bytes }
    }

    /// The lines of text on a page, in the order in which they are drawn.
    pub(super) fn page(&mut self, page: &Page) -> Result<Vec<Line>> {
        let Some(Object::Dictionary(dictionary)) = self.file.get(page.id)? else {
            return Ok(Vec::new());
        };
        let own = match self.file.entry(&dictionary, b"Resources")? {
            Some(Object::Dictionary(resources)) => Some(Rc::new(resources)),
            _ => page.inherited.clone(),
        };
        let resources = own.unwrap_or_default();
        let content = self.content_of(&dictionary)?;
        let mut canvas = Canvas { reader: self, lines: Lines::default(), artifacts: Vec::new(), marks_beyond: 0 };
        canvas.run(&content, &resources, &State::default(), 0)?;
        Ok(canvas.lines.finish())
    }

    /// The content streams of a page as one.
    fn content_of(&self, page: &Dictionary) -> Result<Vec<u8>> {
        let Ok(contents) = page.get(b"Contents") else {
            return Ok(Vec::new());
        };
        let mut references = match contents {
            Object::Reference(id) => vec![Object::Reference(*id)],
            Object::Array(array) => array.clone(),
            _ => Vec::new(),
        };
        // One reference may lead to an array of streams.
        if let [Object::Reference((id, _))] = references[..]
            && let Some(Object::Array(array)) = self.file.get(id)?
        {
            references = array;
        }
        let mut content = Vec::new();
        for reference in references {
            let Object::Reference((id, _)) = reference else {
                continue;
            };
            if let Some(part) = self.file.stream(id)? {
                content.extend_from_slice(&part);
                content.push(b'\n');
            }
            if content.len() > self.limits.pdf_stream_bytes {
                return Err(Error::too_many_bytes("the content of a page", self.limits.pdf_stream_bytes));
            }
        }
        Ok(content)
    }

    fn font(&mut self, reference: &Object) -> Result<Option<Rc<Font>>> {
        let id = reference.as_reference().ok().map(|(id, _)| id);
        if let Some(font) = id.and_then(|id| self.fonts.get(&id)) {
            return Ok(Some(Rc::clone(font)));
        }
        let Some(Object::Dictionary(dictionary)) = self.file.resolve(reference)? else {
            return Ok(None);
        };
        let font = Rc::new(Font::read(self.file, &dictionary)?);
        if let Some(id) = id {
            self.fonts.insert(id, Rc::clone(&font));
        }
        Ok(Some(font))
    }

    /// Takes the text of a stroke off what may still come.
    fn pay(&mut self, bytes: usize) -> Result<()> {
        self.left_bytes = self
            .left_bytes
            .checked_sub(bytes)
            .ok_or_else(|| Error::too_many_bytes("the text", self.limits.output_bytes))?;
        Ok(())
    }
}

/// A transformation, ISO 32000-1 §8.3.3: `[a b c d e f]`.
type Matrix = [f32; 6];

const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

/// First `a`, then `b`.
fn product(a: &Matrix, b: &Matrix) -> Matrix {
    [
        a[0] * b[0] + a[1] * b[2],
        a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2],
        a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4],
        a[4] * b[1] + a[5] * b[3] + b[5],
    ]
}

/// The part of the graphics state that text depends on, ISO 32000-1 §9.3.
#[derive(Clone)]
struct State {
    page: Matrix,
    text: Matrix,
    line: Matrix,
    font: Option<Rc<Font>>,
    size: f32,
    char_space: f32,
    word_space: f32,
    /// 1 for unscaled.
    scale: f32,
    leading: f32,
    rise: f32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            page: IDENTITY,
            text: IDENTITY,
            line: IDENTITY,
            font: None,
            size: 1.0,
            char_space: 0.0,
            word_space: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
        }
    }
}

impl State {
    fn move_line(&mut self, x: f32, y: f32) {
        self.line = product(&[1.0, 0.0, 0.0, 1.0, x, y], &self.line);
        self.text = self.line;
    }

    fn move_text(&mut self, x: f32) {
        self.text = product(&[1.0, 0.0, 0.0, 1.0, x, 0.0], &self.text);
    }

    /// Where the pen stands on the page, and how text is turned and sized there.
    fn pen(&self) -> Matrix {
        product(&product(&[1.0, 0.0, 0.0, 1.0, 0.0, self.rise], &self.text), &self.page)
    }
}

/// A page being drawn.
struct Canvas<'r, 'a> {
    reader: &'r mut Reader<'a>,
    lines: Lines,
    /// For each marked content around the place, whether it is an artifact: a running head, a page number.
    artifacts: Vec<bool>,
    /// Marked contents around the place that are not kept.
    marks_beyond: usize,
}

/// What a content stream names, looked up when it is first named.
struct Names<'d> {
    resources: &'d Dictionary,
    fonts: Option<Dictionary>,
    found_fonts: BTreeMap<Vec<u8>, Option<Rc<Font>>>,
    forms: Option<Dictionary>,
}

impl Canvas<'_, '_> {
    /// Draws a content stream.
    fn run(&mut self, content: &[u8], resources: &Dictionary, state: &State, depth: usize) -> Result<()> {
        let file = self.reader.file;
        let dictionary = |key: &[u8]| -> Result<Option<Dictionary>> {
            Ok(file.entry(resources, key)?.and_then(|object| object.as_dict().ok().cloned()))
        };
        let mut names = Names {
            resources,
            fonts: dictionary(b"Font")?,
            found_fonts: BTreeMap::new(),
            forms: dictionary(b"XObject")?,
        };
        let mut state = state.clone();
        let mut saved: Vec<State> = Vec::new();
        let mut operands: Vec<Object> = Vec::new();
        let mut lexer = Lexer::new(content, 0, References::None);
        let mut before = 0;
        loop {
            let item = lexer.next();
            file.spend(lexer.at - before)?;
            before = lexer.at;
            let word = match item {
                Item::Object(object) => {
                    if operands.len() < MAX_OPERANDS {
                        operands.push(object);
                    }
                    continue;
                }
                Item::End if lexer.at >= content.len() => return Ok(()),
                Item::End => continue,
                Item::Word(word) => word,
            };
            file.spend(OPERATOR_WORK)?;
            match word {
                b"q" if saved.len() < MAX_SAVED => saved.push(state.clone()),
                b"Q" => state = saved.pop().unwrap_or(state),
                b"ID" => lexer.at = end_of_image(content, lexer.at),
                b"Do" => self.draw_form(&operands, &mut names, &state, depth)?,
                b"Tf" => self.set_font(&operands, &mut names, &mut state)?,
                b"BMC" | b"BDC" => self.begin_mark(&operands),
                b"EMC" => self.end_mark(),
                word => {
                    if !set_state(word, &operands, &mut state) {
                        self.draw_text(word, &operands, &mut state)?;
                    }
                }
            }
            operands.clear();
        }
    }

    fn begin_mark(&mut self, operands: &[Object]) {
        if self.artifacts.len() >= MAX_SAVED {
            self.marks_beyond += 1;
            return;
        }
        let is_artifact = matches!(operands.first(), Some(Object::Name(name)) if name == b"Artifact");
        self.artifacts.push(is_artifact);
    }

    fn end_mark(&mut self) {
        if self.marks_beyond > 0 {
            self.marks_beyond -= 1;
        } else {
            self.artifacts.pop();
        }
    }

    fn set_font(&mut self, operands: &[Object], names: &mut Names<'_>, state: &mut State) -> Result<()> {
        let [Object::Name(font), size] = operands else {
            return Ok(());
        };
        state.size = number(size).unwrap_or(1.0);
        if let Some(found) = names.found_fonts.get(font) {
            state.font.clone_from(found);
            return Ok(());
        }
        let reference = names.fonts.as_ref().and_then(|fonts| fonts.get(font).ok());
        state.font = match reference {
            Some(reference) => self.reader.font(reference)?,
            None => None,
        };
        names.found_fonts.insert(font.clone(), state.font.clone());
        Ok(())
    }

    /// Draws a form XObject, ISO 32000-1 §8.10; pictures hold no text.
    fn draw_form(&mut self, operands: &[Object], names: &mut Names<'_>, state: &State, depth: usize) -> Result<()> {
        let file = self.reader.file;
        let Some(Object::Name(form)) = operands.last() else {
            return Ok(());
        };
        let reference = names.forms.as_ref().and_then(|forms| forms.get(form).ok());
        let Some((id, _)) = reference.and_then(|reference| reference.as_reference().ok()) else {
            return Ok(());
        };
        let Some(Object::Dictionary(dictionary)) = file.get(id)? else {
            return Ok(());
        };
        if name(&dictionary, b"Subtype") != Some(b"Form") || depth >= MAX_FORMS {
            return Ok(());
        }
        let mut inner = state.clone();
        if let Some(Object::Array(matrix)) = file.entry(&dictionary, b"Matrix")?
            && let Some(matrix) = matrix_of(&matrix)
        {
            inner.page = product(&matrix, &inner.page);
        }
        let resources = match file.entry(&dictionary, b"Resources")? {
            Some(Object::Dictionary(resources)) => resources,
            _ => names.resources.clone(),
        };
        match file.stream(id)? {
            Some(content) => self.run(&content, &resources, &inner, depth + 1),
            None => Ok(()),
        }
    }

    fn draw_text(&mut self, word: &[u8], operands: &[Object], state: &mut State) -> Result<()> {
        match (word, operands) {
            (b"Tj", [Object::String(string, _)]) => self.show(string, state),
            (b"'", [Object::String(string, _)]) => {
                state.move_line(0.0, -state.leading);
                self.show(string, state)
            }
            (b"\"", [word_space, char_space, Object::String(string, _)]) => {
                state.word_space = number(word_space).unwrap_or(0.0);
                state.char_space = number(char_space).unwrap_or(0.0);
                state.move_line(0.0, -state.leading);
                self.show(string, state)
            }
            (b"TJ", [Object::Array(parts)]) => {
                for part in parts {
                    match part {
                        Object::String(string, _) => self.show(string, state)?,
                        part => {
                            let back = number(part).unwrap_or(0.0);
                            state.move_text(-back / 1000.0 * state.size * state.scale);
                        }
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Draws a string and moves the pen behind it.
    fn show(&mut self, string: &[u8], state: &mut State) -> Result<()> {
        let Some(font) = state.font.clone() else {
            return Ok(());
        };
        let shown = font.show(string);
        let begin = state.pen();
        let spaces = shown.codes as f32 * state.char_space + shown.blanks as f32 * state.word_space;
        state.move_text((shown.width / 1000.0 * state.size + spaces) * state.scale);
        let end = state.pen();
        let stroke = Stroke {
            begin: (begin[4], begin[5]),
            end: (end[4], end[5]),
            direction: (begin[0], begin[1]),
            size: (state.size * begin[2].hypot(begin[3])).abs(),
            is_artifact: self.artifacts.contains(&true),
            is_fixed: font.is_fixed,
        };
        self.reader.pay(shown.text.len())?;
        if self.lines.draw(&shown.text, &stroke) {
            self.reader.pay(Line::BYTES)?;
        }
        Ok(())
    }
}

/// Carries out an operator that only changes the state; `false` where it is another one.
fn set_state(word: &[u8], operands: &[Object], state: &mut State) -> bool {
    let first = operands.first().and_then(number).unwrap_or(0.0);
    let second = operands.get(1).and_then(number).unwrap_or(0.0);
    match word {
        b"BT" => {
            state.text = IDENTITY;
            state.line = IDENTITY;
        }
        b"Tc" => state.char_space = first,
        b"Tw" => state.word_space = first,
        b"Tz" => state.scale = first / 100.0,
        b"TL" => state.leading = first,
        b"Ts" => state.rise = first,
        b"Td" => state.move_line(first, second),
        b"TD" => {
            state.leading = -second;
            state.move_line(first, second);
        }
        b"T*" => state.move_line(0.0, -state.leading),
        b"Tm" => {
            if let Some(matrix) = matrix_of(operands) {
                state.line = matrix;
                state.text = matrix;
            }
        }
        b"cm" => {
            if let Some(matrix) = matrix_of(operands) {
                state.page = product(&matrix, &state.page);
            }
        }
        _ => return false,
    }
    true
}

fn matrix_of(operands: &[Object]) -> Option<Matrix> {
    let mut matrix = IDENTITY;
    if operands.len() != matrix.len() {
        return None;
    }
    for (entry, operand) in matrix.iter_mut().zip(operands) {
        *entry = number(operand)?;
    }
    Some(matrix)
}

/// Where an inline image ends: behind `EI` between white space, ISO 32000-1 §8.9.7.
fn end_of_image(content: &[u8], begin: usize) -> usize {
    let mut at = begin;
    while let Some(step) = find(&content[at..], b"EI") {
        let end = at + step + 2;
        let is_alone = content[..end - 2].last().is_some_and(|byte| is_space(*byte))
            && content.get(end).is_none_or(|byte| is_space(*byte));
        if is_alone {
            return end;
        }
        at = end;
    }
    content.len()
}
