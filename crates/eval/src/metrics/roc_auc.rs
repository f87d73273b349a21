//! The area under the receiver operating characteristic: how often a right example is ranked above a wrong one, ties half
//! (Hanley and McNeil 1982), each label against the rest, the plain mean over the labels that occur: scikit-learn's
//! `roc_auc_score(multi_class="ovr", average="macro")`.

use super::ranking::{AreaTally, Group};
use crate::metric::{Answer, Tally};

metric! {
    /// Over answers that all rank the same labels, at most 64.
    RocAuc, "roc_auc", "area", HIGHER, prepare
}

fn prepare(answers: &[Answer]) -> Box<dyn Tally> {
    let pairs_won = |group: &Group| group.negatives * (group.positives_before + 0.5 * group.positives);
    AreaTally::new(answers, pairs_won, |positives, negatives| positives * negatives)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric as _, answers};

    pub(crate) fn binary(cases: &[(bool, f64)]) -> Vec<Answer> {
        let mut given = answers(&vec![("", "yes"); cases.len()]);
        for (answer, &(gold, p)) in given.iter_mut().zip(cases) {
            answer.gold = if gold { "yes" } else { "no" }.into();
            answer.ranked = vec![("yes".into(), p.ln()), ("no".into(), (1.0 - p).ln())];
        }
        given
    }

    #[test]
    fn it_counts_pairs_in_the_right_order_and_ties_half() {
        let given = binary(&[(true, 0.9), (false, 0.5), (true, 0.5), (false, 0.1)]);
        // Four pairs: three won, one tied.
        assert_eq!(RocAuc.compute(&given, &[1; 4]), Some(3.5 / 4.0));
        assert_eq!(RocAuc.compute(&given, &[1, 0, 1, 0]), None);
        assert_eq!(RocAuc.compute(&answers(&[("a", "a"), ("b", "a")]), &[1; 2]), None);
    }
}
