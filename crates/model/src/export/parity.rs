//! The gate of an export: what was written is read back and run, and its logits must be near those of the model.
//!
//! A difference is told relative to the spread of the logits, their standard deviation: only differences between logits count
//! for a probability.

use crate::error::{Error, Result};
use crate::head::HeadKind;
use crate::layers::workspace::Workspace;
use crate::model::{Batch, Model, Target};
use crate::ops::exp;

/// A model's logits on some prompts: of a language model at every position, of a classifier at the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// (rows, classes).
    values: Vec<f32>,
    classes: usize,
    /// Each row's prompt and position.
    places: Vec<(usize, usize)>,
}

/// How far logits lie from those that they should be near to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The largest root mean square over a row, in standard deviations of all logits.
    pub relative: f32,
    /// The largest difference of one logit.
    pub largest: f32,
    /// Prompt and position of that row.
    pub place: (usize, usize),
}

/// Runs prompts one by one.
///
/// # Errors
/// A prompt does not fit the model.
pub fn logits(model: &Model, prompts: &[Vec<u32>]) -> Result<Logits> {
    let workspace = &mut Workspace::default();
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for (i, ids) in prompts.iter().enumerate() {
        let first = if model.head.kind == HeadKind::Classifier { ids.len().saturating_sub(1) } else { 0 };
        let targets = (first..ids.len()).map(|position| Target { position: position as u32, token: 0 }).collect();
        let batch = Batch { ids: ids.clone(), lengths: vec![ids.len()], targets, ..Batch::default() };
        values.extend(model.logits(&batch, workspace)?);
        places.extend((first..ids.len()).map(|position| (i, position)));
    }
    Ok(Logits { values, classes: model.head.linear.outputs, places })
}

/// How far `other` lies from `reference`; the logits of one model on the same prompts.
pub fn difference(reference: &Logits, other: &Logits) -> Difference {
    let n = reference.values.len().max(1) as f64;
    let mean = reference.values.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let spread = (reference.values.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let mut worst = Difference { relative: 0.0, largest: 0.0, place: (0, 0) };
    let rows = reference.values.chunks_exact(reference.classes).zip(other.values.chunks_exact(reference.classes));
    for ((a, b), place) in rows.zip(&reference.places) {
        let off: Vec<f32> = a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect();
        let square = off.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / off.len() as f64;
        let relative = (square.sqrt() / spread.max(f64::MIN_POSITIVE)) as f32;
        // A difference that is not a number is the worst of all.
        if relative.is_nan() || relative > worst.relative {
            worst = Difference { relative, largest: exp::max(&off), place: *place };
        }
        if relative.is_nan() {
            break;
        }
    }
    worst
}

/// Passes where `other` lies within `tolerance` of `reference`.
///
/// # Errors
/// It does not; the error names the worst difference.
pub fn hold(what: &str, reference: &Logits, other: &Logits, tolerance: f32) -> Result<Difference> {
    let same = reference.places == other.places && reference.classes == other.classes;
    let found = if same {
        difference(reference, other)
    } else {
        Difference { relative: f32::NAN, largest: f32::NAN, place: (0, 0) }
    };
    if found.relative <= tolerance {
        return Ok(found);
    }
    let Difference { relative, largest, place: (prompt, position) } = found;
    Err(Error::Parity { what: what.to_owned(), relative, largest, prompt, position, tolerance })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Logits {
        Logits { values: values.to_vec(), classes: 2, places: vec![(0, 0), (0, 1)] }
    }

    #[test]
    fn the_worst_row_counts_in_units_of_the_spread() {
        let reference = of(&[1.0, -1.0, 1.0, -1.0]);
        let found = difference(&reference, &of(&[1.0, -1.0, 1.5, -1.5]));
        assert_eq!((found.relative, found.largest, found.place), (0.5, 0.5, (0, 1)));
        assert!(hold("x", &reference, &reference, 0.0).is_ok());
        let refused = hold("the file", &reference, &of(&[1.0, f32::NAN, 1.0, -1.0]), 1.0).unwrap_err().to_string();
        assert!(refused.contains("the file") && refused.contains("position 0"), "{refused}");
    }

    #[test]
    fn other_shapes_never_pass() {
        let other = Logits { values: vec![0.0; 4], classes: 4, places: vec![(0, 0)] };
        assert!(hold("x", &of(&[1.0, -1.0, 1.0, -1.0]), &other, 9.0).is_err());
    }
}
