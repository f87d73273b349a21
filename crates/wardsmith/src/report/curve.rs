//! The loss curve as an SVG: training and validation loss over steps, on plain linear axes.

use super::CurvePoint;
use super::markup::{Element, el, text_in};
use super::words;

/// The picture's size and margins, in its own units.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// Points drawn of a line; more are averaged in groups of neighbours.
const MOST_POINTS: usize = 400;

type Points = Vec<(f64, f64)>;

/// The section; `None` where there is no point to draw.
pub(super) fn section(points: &[CurvePoint]) -> Option<Element> {
    let training = series(points, |point| point.train_loss);
    let validation = series(points, |point| point.validation_loss);
    let axes = Axes::around(training.iter().chain(&validation))?;
    let summary = summary(&training, &validation);
    let picture = el("svg")
        .with("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
        .with("role", "img")
        .with("aria-labelledby", "curve-title curve-description")
        .child(text_in("title", "Loss over steps").with("id", "curve-title"))
        .child(text_in("desc", &summary).with("id", "curve-description"))
        .child(axes.grid())
        .children(line(&axes, &averaged(&training), "training"))
        .children(line(&axes, &validation, "validation"))
        .children(dots(&axes, &validation));
    let figure = el("figure")
        .child(picture)
        .child(el("figcaption").child(legend([!training.is_empty(), !validation.is_empty()])).text(summary));
    Some(el("section").with("id", "loss").child(text_in("h2", "Loss curve")).child(figure))
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

fn legend([training, validation]: [bool; 2]) -> Element {
    let key = |class: &'static str, name: &str| {
        let sample = el("svg")
            .class("key")
            .with("viewBox", "0 0 24 8")
            .with("aria-hidden", "true")
            .child(el("path").class(class).with("d", "M0 4H24"));
        el("span").class("legend").child(sample).text(name)
    };
    let mut legend = el("span");
    if training {
        legend = legend.child(key("line training", "training"));
    }
    if validation {
        legend = legend.child(key("line validation", "validation"));
    }
    legend.child(el("br"))
}

/// Means of groups of neighbours, where there are too many points to draw.
fn averaged(points: &Points) -> Points {
    let group = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |group: &[(f64, f64)]| {
        let count = group.len() as f64;
        let sum = group.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(group).map(mean).collect()
}

fn line(axes: &Axes, points: &Points, series: &'static str) -> Option<Element> {
    let path: String = points
        .iter()
        .enumerate()
        .map(|(index, &point)| {
            let (x, y) = axes.place(point);
            format!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' })
        })
        .collect();
    let class = match series {
        "training" => "line training",
        _ => "line validation",
    };
    (points.len() > 1).then(|| el("path").class(class).with("d", path))
}

fn dots<'a>(axes: &'a Axes, points: &'a Points) -> impl Iterator<Item = Element> + 'a {
    let shown = if points.len() > 60 { &points[..0] } else { &points[..] };
    shown.iter().map(|&point| {
        let (x, y) = axes.place(point);
        let told = format!("step {}: {}", words::count(point.0 as u64), words::decimals(point.1, 3));
        el("circle")
            .class("dot validation")
            .with("cx", format!("{x:.1}"))
            .with("cy", format!("{y:.1}"))
            .with("r", 2.5)
            .child(text_in("title", told))
    })
}

/// The ranges of both axes, each beginning and ending at a tick.
struct Axes {
    steps: Scale,
    loss: Scale,
}

impl Axes {
    /// Axes that hold all points; `None` without points.
    fn around<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> Option<Self> {
        let range = |range: Option<(f64, f64)>, value: f64| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        };
        let (steps, loss) =
            points.fold((None, None), |(steps, loss), point| (range(steps, point.0), range(loss, point.1)));
        Some(Self { steps: Scale::over((0.0, steps?.1)), loss: Scale::over(loss?) })
    }

    fn place(&self, (step, loss): (f64, f64)) -> (f64, f64) {
        (
            LEFT + self.steps.share(step) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - self.loss.share(loss) * (HEIGHT - TOP - BOTTOM),
        )
    }

    /// Lines, ticks and titles.
    fn grid(&self) -> Element {
        let mut grid = el("g").class("axes").with("aria-hidden", "true");
        let bottom = HEIGHT - BOTTOM;
        for step in self.steps.ticks() {
            let (x, _) = self.place((step, self.loss.low));
            let label = words::count(step as u64);
            grid = grid.child(el("path").class("tick").with("d", format!("M{x:.1} {bottom}v4"))).child(label_at(
                label,
                (x, bottom + 16.0),
                "middle",
            ));
        }
        for loss in self.loss.ticks() {
            let (_, y) = self.place((0.0, loss));
            let across = format!("M{LEFT} {y:.1}H{}", WIDTH - RIGHT);
            let label = words::decimals(loss, self.loss.decimals());
            grid = grid.child(el("path").class("grid").with("d", across)).child(label_at(
                label,
                (LEFT - 6.0, y + 4.0),
                "end",
            ));
        }
        let middle = (TOP + bottom) / 2.0;
        let loss_title = label_at("loss (nats per token)".into(), (0.0, 0.0), "middle")
            .with("transform", format!("translate(11 {middle:.1}) rotate(-90)"));
        grid.child(label_at("step".into(), ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), "middle")).child(loss_title)
    }
}

fn label_at(text: String, (x, y): (f64, f64), anchor: &'static str) -> Element {
    text_in("text", text).with("x", format!("{x:.1}")).with("y", format!("{y:.1}")).with("text-anchor", anchor)
}

/// A range from tick to tick.
struct Scale {
    low: f64,
    high: f64,
    gap: f64,
}

impl Scale {
    /// About four round gaps that cover `low` to `high`.
    fn over((low, high): (f64, f64)) -> Self {
        let rough = ((high - low) / 4.0).max(high.abs().max(low.abs()) * 1e-6).max(1e-9);
        let power = 10_f64.powf(rough.log10().floor());
        let gap = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|gap| *gap >= rough * 0.999)
            .unwrap_or(10.0 * power);
        let low = (low / gap).floor() * gap;
        let high = ((high / gap).ceil() * gap).max(low + gap);
        Self { low, high, gap }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let count = ((self.high - self.low) / self.gap).round().clamp(1.0, 20.0) as usize;
        (0..=count).map(|tick| self.low + tick as f64 * self.gap)
    }

    /// Decimal places that tell ticks apart.
    fn decimals(&self) -> usize {
        let places = (0..=6).find(|&places| {
            let scaled = self.gap * 10_f64.powi(places);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
        });
        places.unwrap_or(6) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64, train_loss: Option<f64>, validation_loss: Option<f64>) -> CurvePoint {
        CurvePoint { step, train_loss, validation_loss }
    }

    #[test]
    fn scales_begin_and_end_at_round_numbers() {
        let scale = Scale::over((0.13, 3.9));
        assert_eq!((scale.low, scale.high, scale.gap), (0.0, 4.0, 1.0));
        let scale = Scale::over((2.0, 2.0));
        assert!(scale.high > scale.low && scale.share(2.0).is_finite());
        assert_eq!(Scale::over((0.0, 0.9)).decimals(), 2);
    }

    #[test]
    fn long_runs_are_averaged_and_keep_their_mean() {
        let points: Points = (0..10_000).map(|step| (f64::from(step), 2.0)).collect();
        let drawn = averaged(&points);
        assert!(drawn.len() <= MOST_POINTS && drawn.iter().all(|point| point.1 == 2.0));
    }

    #[test]
    fn a_run_without_losses_has_no_curve() {
        assert!(section(&[]).is_none());
        assert!(section(&[point(1, Some(f64::NAN), None)]).is_none());
        assert!(section(&[point(1, Some(2.0), None)]).is_some());
    }
}
