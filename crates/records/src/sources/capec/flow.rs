//! The steps of an attack out of the HTML in which the STIX bundle tells them.

use crate::clean::one_line;
use crate::sources::text::{Piece, pieces};

/// Stands between the lines of a step while it is collected.
const BLOCK: char = '\u{1}';

/// The steps in order: `Phase: Name: what is done`, and a line `- …` for each of its techniques.
pub(super) fn steps(html: &str) -> Vec<String> {
    let html = html.replace(BLOCK, " ");
    let mut flow = Flow::default();
    pieces(&html).into_iter().for_each(|piece| flow.take(piece));
    flow.finish_step();
    flow.steps
}

/// What is being read: headings name phases, the outermost list items are steps, table cells behind them techniques.
#[derive(Default)]
struct Flow {
    steps: Vec<String>,
    phase: String,
    step: String,
    in_heading: bool,
    in_cell: bool,
    /// How many list items are open.
    items: usize,
}

impl Flow {
    fn take(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Text(text) if self.in_heading => self.phase.push_str(text),
            Piece::Text(text) if self.in_cell || self.items > 0 => self.step.push_str(text),
            Piece::Text(_) => {}
            Piece::Open("h3") => {
                self.finish_step();
                self.phase.clear();
                (self.in_heading, self.in_cell, self.items) = (true, false, 0);
            }
            Piece::Close("h3") => self.in_heading = false,
            Piece::Open("li") => {
                if self.items == 0 && !self.in_cell {
                    self.finish_step();
                } else {
                    self.step.extend([BLOCK, '-', ' ']);
                }
                self.items += 1;
            }
            Piece::Close("li") => self.items = self.items.saturating_sub(1),
            Piece::Open("td") => {
                self.step.extend([BLOCK, '-', ' ']);
                self.in_cell = true;
            }
            Piece::Close("td") => self.in_cell = false,
            Piece::Open("p" | "div" | "br" | "tr") | Piece::Close("p" | "div" | "tr") => self.break_line(),
            Piece::Open(_) | Piece::Close(_) => {}
        }
    }

    /// A paragraph that begins an item begins no further line.
    fn break_line(&mut self) {
        if !self.step.ends_with("- ") {
            self.step.push(BLOCK);
        }
    }

    fn finish_step(&mut self) {
        let lines: Vec<String> =
            self.step.split(BLOCK).map(one_line).filter(|line| !line.is_empty() && line != "-").collect();
        self.step.clear();
        if lines.is_empty() {
            return;
        }
        let phase = one_line(&self.phase);
        let colon = if phase.is_empty() { "" } else { ": " };
        self.steps.push(format!("{phase}{colon}{}", lines.join("\n")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn techniques_follow_their_step_and_lists_within_a_step_are_lines() {
        let html = "<h2>Flow</h2><div><h3>Explore</h3><ol><li> <p><b>Look: </b>See <ul><xhtml:li>a</xhtml:li>\
                    <xhtml:li>b</xhtml:li></ul></p></li><table><tr><th>Techniques</th></tr><tr><td><p>Squint<xhtml:li>hard</xhtml:li></p></td></tr>\
                    </table><li><p>Wait.</p></li></ol></div><div><h3>Exploit</h3><ol><li><p>Go.</p></li></ol></div>";
        let want = ["Explore: Look: See\n- a\n- b\n- Squint\n- hard", "Explore: Wait.", "Exploit: Go."];
        assert_eq!(steps(html), want);
        assert!(steps("no list, no step").is_empty());
    }

    proptest! {
        #[test]
        fn no_html_makes_it_panic(parts in prop::collection::vec("</?(li|td|h3|p)>|[a-z -]{0,3}", 0..20)) {
            let all = steps(&parts.concat());
            prop_assert!(all.iter().all(|step| !step.is_empty()));
        }
    }
}
