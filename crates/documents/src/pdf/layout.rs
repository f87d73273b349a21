//! Lines out of strokes: what is drawn on one base line, with blanks where there are gaps.

/// A string drawn on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub(super) begin: (f32, f32),
    pub(super) end: (f32, f32),
    /// Which way the text runs, of any length.
    pub(super) direction: (f32, f32),
    /// Of the font, on the page.
    pub(super) size: f32,
    /// Whether the file itself says that it is a running head or the like.
    pub(super) is_artifact: bool,
    /// Whether the font is one for code.
    pub(super) is_fixed: bool,
}

/// Text on one base line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) text: String,
    /// Of length 1.
    pub(super) direction: (f32, f32),
    /// Along the direction.
    pub(super) begin: f32,
    pub(super) end: f32,
    /// Across the direction; it falls from the top of a page to its foot.
    pub(super) height: f32,
    pub(super) size: f32,
    pub(super) is_artifact: bool,
    /// Whether all of it is in fonts for code.
    pub(super) is_fixed: bool,
    /// Where the last stroke begins, on the page and in the text.
    last_begin: f32,
    last_at: usize,
}

impl Line {
    /// What a line takes in memory beside its text.
    pub(super) const BYTES: usize = 32;
}

/// A gap of more than this many sizes is a blank.
const BLANK: f32 = 0.16;
/// Lines whose heights differ by less than this many sizes are one line; so much are subscripts lowered.
const SAME_LINE: f32 = 0.4;

/// The lines of a page, as strokes come in.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
}

impl Lines {
    /// Adds a string; whether it began a new line.
    pub(super) fn draw(&mut self, text: &str, stroke: &Stroke) -> bool {
        let length = stroke.direction.0.hypot(stroke.direction.1);
        let (x, y) = (stroke.direction.0 / length, stroke.direction.1 / length);
        let along = |(at_x, at_y): (f32, f32)| at_x * x + at_y * y;
        let (begin, end) = (along(stroke.begin), along(stroke.end));
        let height = stroke.begin.1 * x - stroke.begin.0 * y;
        if text.is_empty() || ![begin, end, height, stroke.size].iter().all(|number| number.is_finite()) {
            return false;
        }
        let line = Line {
            text: text.to_owned(),
            direction: (x, y),
            begin,
            end,
            height,
            size: stroke.size,
            is_artifact: stroke.is_artifact,
            is_fixed: stroke.is_fixed,
            last_begin: begin,
            last_at: 0,
        };
        if let Some(last) = self.lines.last_mut()
            && last.goes_on(&line)
        {
            last.add(&line);
            return false;
        }
        self.lines.push(line);
        true
    }

    pub(super) fn finish(self) -> Vec<Line> {
        self.lines
    }
}

impl Line {
    /// Whether `next` stands on the same base line and further on.
    fn goes_on(&self, next: &Self) -> bool {
        let size = self.size.max(next.size);
        self.runs_like(next)
            && self.is_artifact == next.is_artifact
            && (self.height - next.height).abs() < SAME_LINE * size
            && next.begin > self.last_begin - 0.3 * size
    }

    fn add(&mut self, next: &Self) {
        // Bold letters are sometimes drawn twice, a little apart.
        let is_again = (next.begin - self.last_begin).abs() < 0.3 * next.size && self.text[self.last_at..] == next.text;
        if is_again {
            return;
        }
        let is_apart = next.begin - self.end > BLANK * next.size.min(self.size);
        if is_apart && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
        self.last_at = self.text.len();
        self.last_begin = next.begin;
        self.text.push_str(&next.text);
        self.end = self.end.max(next.end);
        self.is_fixed &= next.is_fixed || next.is_blank();
        // A raised number or a lowered index does not make the line a smaller one.
        if next.size > self.size {
            self.size = next.size;
            self.height = next.height;
        }
    }

    /// Whether nothing of it can be seen.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Whether both run the same way.
    pub(super) fn runs_like(&self, other: &Self) -> bool {
        self.direction.0 * other.direction.0 + self.direction.1 * other.direction.1 > 0.99
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stroke(x: f32, y: f32, width: f32, size: f32) -> Stroke {
        Stroke { begin: (x, y), end: (x + width, y), direction: (1.0, 0.0), size, is_artifact: false, is_fixed: false }
    }

    #[test]
    fn strokes_on_one_line_are_joined_by_their_gaps() {
        let mut lines = Lines::default();
        assert!(lines.draw("vul", &stroke(0.0, 10.0, 15.0, 10.0)));
        assert!(!lines.draw("ner", &stroke(15.2, 10.0, 15.0, 10.0)));
        assert!(!lines.draw("ability", &stroke(29.0, 10.0, 30.0, 10.0)));
        assert!(!lines.draw("two", &stroke(62.0, 10.0, 15.0, 10.0)));
        assert!(!lines.draw("two", &stroke(62.1, 10.0, 15.0, 10.0)));
        assert!(!lines.draw("2", &stroke(77.0, 13.0, 3.0, 6.0)));
        assert!(lines.draw("below", &stroke(0.0, -2.0, 3.0, 10.0)));
        assert!(!lines.draw("nowhere", &stroke(f32::NAN, 0.0, 3.0, 10.0)));
        let texts: Vec<String> = lines.finish().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["vulnerability two2", "below"]);
    }
}
