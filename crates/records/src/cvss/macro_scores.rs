//! The scores of version 4's 270 macro-vectors, which the specification states and nobody computes.
//!
//! Specification: CVSS v4.0, the table of macro-vectors that comes with section 8; FIRST's experts ordered them by hand.
//! Behind each row stand its levels of EQ1, EQ2, EQ3 and EQ6. EQ3 and EQ6 have five pairs, for level 2 of EQ3 goes with
//! level 1 of EQ6 only. Within a row the nine scores are of EQ4 = 0, 1, 2, and for each of these of EQ5 = 0, 1, 2.

/// Scores in tenths: thirty rows of EQ1, EQ2 and the pair, nine columns of EQ4 and EQ5.
#[rustfmt::skip]
pub(super) const MACRO_SCORES: [[u8; 9]; 30] = [
    [100, 98, 95, 100, 93, 91, 93, 89, 81], // 0000
    [99, 95, 92, 96, 87, 81, 90, 80, 68], // 0001
    [98, 95, 90, 93, 89, 81, 88, 78, 69], // 0010
    [95, 92, 84, 92, 81, 65, 80, 70, 48], // 0011
    [92, 82, 72, 79, 69, 50, 69, 55, 27], // 0021
    [99, 95, 92, 95, 90, 84, 92, 82, 72], // 0100
    [97, 92, 85, 91, 83, 71, 81, 71, 53], // 0101
    [95, 92, 85, 92, 80, 70, 84, 71, 50], // 0110
    [93, 85, 73, 82, 72, 59, 70, 52, 30], // 0111
    [86, 75, 52, 71, 52, 29, 63, 29, 17], // 0121
    [98, 94, 91, 94, 86, 77, 87, 74, 63], // 1000
    [95, 87, 81, 89, 74, 64, 75, 63, 49], // 1001
    [94, 88, 76, 86, 74, 59, 72, 57, 52], // 1010
    [89, 77, 67, 76, 58, 50, 57, 52, 25], // 1011
    [83, 70, 54, 65, 58, 26, 53, 21, 13], // 1021
    [95, 88, 76, 90, 75, 61, 77, 68, 52], // 1100
    [90, 76, 70, 77, 62, 53, 66, 59, 30], // 1101
    [89, 76, 62, 74, 57, 47, 61, 57, 24], // 1110
    [78, 67, 58, 59, 57, 23, 52, 29, 16], // 1111
    [71, 59, 30, 58, 26, 15, 23, 13, 6], // 1121
    [93, 86, 75, 86, 74, 56, 70, 52, 40], // 2000
    [87, 72, 58, 74, 61, 34, 54, 40, 22], // 2001
    [85, 74, 62, 72, 55, 46, 53, 34, 19], // 2010
    [75, 55, 51, 57, 41, 19, 36, 19, 8], // 2011
    [64, 51, 20, 47, 21, 11, 24, 9, 4], // 2021
    [88, 73, 60, 73, 59, 41, 54, 45, 20], // 2100
    [75, 53, 50, 55, 40, 20, 43, 22, 11], // 2101
    [75, 58, 40, 61, 48, 20, 46, 17, 8], // 2110
    [55, 45, 21, 51, 18, 9, 18, 7, 2], // 2111
    [53, 24, 14, 24, 12, 5, 10, 3, 1], // 2121
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_begins_at_10_ends_at_a_tenth_and_falls_with_eq4_and_eq5() {
        assert_eq!((MACRO_SCORES[0][0], MACRO_SCORES[29][8]), (100, 1));
        for row in MACRO_SCORES {
            for (at, score) in row.iter().enumerate() {
                assert!(at % 3 == 2 || *score >= row[at + 1], "EQ5 in {row:?}");
                assert!(at >= 6 || *score >= row[at + 3], "EQ4 in {row:?}");
            }
        }
    }
}
