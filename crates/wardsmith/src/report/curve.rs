//! The loss curve: training and validation loss over steps.

use super::CurvePoint;
use super::markup::{Element, el, text_in};
use super::plot::{Axis, Mark, Plot, Points, Series};
use super::words;

/// The section; `None` where there is no point to draw.
pub(super) fn section(points: &[CurvePoint]) -> Option<Element> {
    let figure = figure(points)?;
    Some(el("section").with("id", "loss").child(text_in("h2", "Loss curve")).child(figure))
}

/// The picture alone.
pub(super) fn figure(points: &[CurvePoint]) -> Option<Element> {
    let training = series(points, |point| point.train_loss);
    let validation = series(points, |point| point.validation_loss);
    let summary = summary(&training, &validation);
    let plot = Plot {
        id: "curve",
        title: "Loss over steps".into(),
        x: Axis { title: "step", log: false },
        y: Axis { title: "loss (nats per token)", log: false },
        series: vec![
            Series { name: "training".into(), points: training, mark: Mark::Line },
            Series { name: "validation".into(), points: validation, mark: Mark::Dotted },
        ],
    };
    plot.figure(&summary)
}

fn series(points: &[CurvePoint], loss: impl Fn(&CurvePoint) -> Option<f64>) -> Points {
    let point = |point: &CurvePoint| {
        let loss = loss(point).filter(|loss| loss.is_finite())?;
        Some((point.step as f64, loss))
    };
    points.iter().filter_map(point).collect()
}

/// Where lines begin and end, in words.
fn summary(training: &Points, validation: &Points) -> String {
    let path = |name: &str, points: &Points| {
        let (first, last) = (points.first()?, points.last()?);
        Some(format!(
            "{name} loss goes from {} at step {} to {} at step {}.",
            words::decimals(first.1, 3),
            words::count(first.0 as u64),
            words::decimals(last.1, 3),
            words::count(last.0 as u64)
        ))
    };
    let parts = [path("Training", training), path("Validation", validation)];
    let said: Vec<_> = parts.into_iter().flatten().collect();
    format!("{} In nats per supervised token; lower is better.", said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64, train_loss: Option<f64>, validation_loss: Option<f64>) -> CurvePoint {
        CurvePoint { step, train_loss, validation_loss }
    }

    #[test]
    fn a_run_without_losses_has_no_curve() {
        assert!(section(&[]).is_none());
        assert!(section(&[point(1, Some(f64::NAN), None)]).is_none());
        assert!(section(&[point(1, Some(2.0), None)]).is_some());
    }
}
