//! Tables as CSV (RFC 4180): rows under a head, with quoted fields that may go over several lines.

use std::io::{self, BufRead};

use crate::record::RejectReason;
use crate::sources::lines::read_line;

/// No row of these catalogues is near this long.
const MAX_ROW_BYTES: usize = 1 << 20;

/// The rows of a table, one after the other.
pub(super) struct Rows<'a> {
    reader: &'a mut dyn BufRead,
    line: Vec<u8>,
    /// The number of the line that was read last.
    pub(super) number: u64,
}

impl<'a> Rows<'a> {
    pub(super) fn new(reader: &'a mut dyn BufRead) -> Self {
        Self { reader, line: Vec::new(), number: 0 }
    }

    /// The fields of the next row that is not blank; `None` at the end. A row within which the file ends is malformed.
    pub(super) fn next_row(&mut self) -> io::Result<Option<Result<Vec<String>, RejectReason>>> {
        let (mut row, mut quotes) = (Vec::new(), 0);
        loop {
            if !read_line(self.reader, &mut self.line, MAX_ROW_BYTES)? {
                return Ok((!row.is_empty()).then_some(Err(RejectReason::Malformed)));
            }
            self.number += 1;
            let bom = if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
            row.extend_from_slice(&self.line[bom..]);
            quotes += self.line.iter().filter(|byte| **byte == b'"').count();
            if row.len() > MAX_ROW_BYTES {
                return Ok(Some(Err(RejectReason::TooLarge)));
            }
            if quotes == 0 && row.trim_ascii().is_empty() {
                row.clear();
            } else if quotes % 2 == 0 {
                return Ok(Some(std::str::from_utf8(&row).map(fields).map_err(|_| RejectReason::Malformed)));
            }
        }
    }
}

/// The fields of a row whose quotes are balanced.
fn fields(row: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    let mut chars = row.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        let last = found.last_mut().expect("there is always one field");
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                last.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => found.push(String::new()),
            c => last.push(c),
        }
    }
    found
}

/// The places of `names` among the columns, in any case; `None` where a column is missing.
pub(super) fn columns<const N: usize>(head: &[String], names: [&str; N]) -> [Option<usize>; N] {
    names.map(|name| head.iter().position(|column| column.trim().eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &[u8]) -> Vec<Result<Vec<String>, RejectReason>> {
        let mut reader = text;
        let mut rows = Rows::new(&mut reader);
        std::iter::from_fn(|| rows.next_row().unwrap()).collect()
    }

    #[test]
    fn quoted_fields_hold_commas_quotes_and_line_ends() {
        let found = rows(b"\xef\xbb\xbfa,\"b, \"\"c\"\"\",\r\n\n\"x\ny\",z\nlast");
        let want = [vec!["a", "b, \"c\"", ""], vec!["x\ny", "z"], vec!["last"]];
        assert_eq!(found.into_iter().map(Result::unwrap).collect::<Vec<_>>(), want);
    }

    #[test]
    fn a_quote_without_an_end_is_one_lost_row_of_bounded_size() {
        assert_eq!(rows(b"a\n\"b\nc"), [Ok(vec!["a".to_owned()]), Err(RejectReason::Malformed)]);
        let long = format!("\"{}\n", "x,\n".repeat(MAX_ROW_BYTES));
        assert_eq!(rows(long.as_bytes())[0], Err(RejectReason::TooLarge));
        assert_eq!(rows(b"\xff,\n"), [Err(RejectReason::Malformed)]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec("[a\",\n é]{1,6}", 1..4)) {
            let line: Vec<String> = fields.iter().map(|one| format!("\"{}\"", one.replace('"', "\"\""))).collect();
            prop_assert_eq!(rows(line.join(",").as_bytes()), [Ok(fields)]);
        }
    }
}
