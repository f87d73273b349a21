//! A picture of numbers over numbers: lines and dots on linear or logarithmic axes, as an SVG without scripts.

use super::markup::{Element, el, text_in};
use super::words;

/// The picture's size and margins, in its own units.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// Points drawn of a line; more are averaged in groups of neighbours.
const MOST_POINTS: usize = 400;
/// Dots of a line that carry their numbers; with more, the line speaks for itself.
const MOST_DOTS: usize = 60;
/// Classes of the style sheet for one line of several, in this order; then they begin again.
const COLOURS: [&str; 6] = ["training", "validation", "third", "fourth", "fifth", "sixth"];

/// Numbers over numbers.
pub(super) type Points = Vec<(f64, f64)>;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A line.
    Line,
    /// A line with a dot at each point.
    Dotted,
    /// Dots alone.
    Dots,
}

/// Numbers that belong together.
pub(super) struct Series {
    /// What they are called.
    pub name: String,
    /// Where they lie.
    pub points: Points,
    /// How they are drawn.
    pub mark: Mark,
}

/// An axis.
pub(super) struct Axis {
    /// What it measures, with the unit.
    pub title: &'static str,
    /// Even in the logarithm.
    pub log: bool,
}

/// A picture.
pub(super) struct Plot {
    /// Unlike that of any other picture of the page.
    pub id: &'static str,
    /// What is seen.
    pub title: String,
    /// Across.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// What is drawn, in the order of the legend.
    pub series: Vec<Series>,
}

impl Plot {
    /// The figure with its legend and `summary`, which says the same in words; `None` where there is nothing to draw.
    pub(super) fn figure(&self, summary: &str) -> Option<Element> {
        let shown: Vec<(&Series, Points)> = self.series.iter().map(|series| (series, self.usable(series))).collect();
        let frame = Frame::around(self, shown.iter().flat_map(|(_, points)| points))?;
        let (title, description) = (format!("{}-title", self.id), format!("{}-description", self.id));
        let mut picture = el("svg")
            .with("viewBox", format!("0 0 {WIDTH} {HEIGHT}"))
            .with("role", "img")
            .with("aria-labelledby", format!("{title} {description}"))
            .child(text_in("title", &self.title).with("id", title))
            .child(text_in("desc", summary).with("id", description))
            .child(frame.grid(self));
        for (at, (series, points)) in shown.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            if series.mark != Mark::Dots {
                let averaged = if series.mark == Mark::Line { averaged(points) } else { points.clone() };
                picture = picture.children(frame.line(&averaged, colour));
            }
            if series.mark != Mark::Line {
                picture = picture.children(frame.dots(points, colour, series.mark));
            }
        }
        let named = shown.iter().enumerate().filter(|(_, (_, points))| !points.is_empty());
        let names: Vec<(usize, &Series)> = named.map(|(at, (series, _))| (at, *series)).collect();
        Some(el("figure").child(picture).child(el("figcaption").child(legend(&names)).text(summary)))
    }

    /// Points that have a place on the axes.
    fn usable(&self, series: &Series) -> Points {
        let fits = |value: f64, axis: &Axis| value.is_finite() && (!axis.log || value > 0.0);
        series.points.iter().copied().filter(|(x, y)| fits(*x, &self.x) && fits(*y, &self.y)).collect()
    }
}

fn legend(names: &[(usize, &Series)]) -> Element {
    let key = |(at, series): &(usize, &Series)| {
        let colour = COLOURS[at % COLOURS.len()];
        let mark = match series.mark {
            Mark::Dots => el("circle").with("class", format!("dot {colour}")).with("cx", 12).with("cy", 4).with("r", 3),
            _ => el("path").with("class", format!("line {colour}")).with("d", "M0 4H24"),
        };
        let sample = el("svg").class("key").with("viewBox", "0 0 24 8").with("aria-hidden", "true").child(mark);
        el("span").class("legend").child(sample).text(&series.name)
    };
    el("span").children(names.iter().map(key)).child(el("br"))
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

/// The ranges of both axes, each beginning and ending at a tick.
struct Frame {
    x: Scale,
    y: Scale,
}

impl Frame {
    /// Axes that hold all points; `None` without points. Linear steps and the like begin at zero.
    fn around<'a>(plot: &Plot, points: impl Iterator<Item = &'a (f64, f64)>) -> Option<Self> {
        let range = |range: Option<(f64, f64)>, value: f64| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        };
        let (x, y) = points.fold((None, None), |(x, y), point| (range(x, point.0), range(y, point.1)));
        let (low, high): (f64, f64) = x?;
        let counts = !plot.x.log && low >= 0.0 && low < high / 2.0;
        let x = (if counts { 0.0 } else { low }, high);
        Some(Self { x: Scale::of(x, plot.x.log), y: Scale::of(y?, plot.y.log) })
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM))
    }

    fn line(&self, points: &Points, colour: &str) -> Option<Element> {
        let at = |(index, &point): (usize, &(f64, f64))| {
            let (x, y) = self.place(point);
            format!("{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' })
        };
        let path: String = points.iter().enumerate().map(at).collect();
        (points.len() > 1).then(|| el("path").with("class", format!("line {colour}")).with("d", path))
    }

    fn dots(&self, points: &Points, colour: &str, mark: Mark) -> Vec<Element> {
        let all = mark == Mark::Dots || points.len() <= MOST_DOTS;
        let shown = if all { points.as_slice() } else { &[] };
        let dot = |&point: &(f64, f64)| {
            let (x, y) = self.place(point);
            el("circle")
                .with("class", format!("dot {colour}"))
                .with("cx", format!("{x:.1}"))
                .with("cy", format!("{y:.1}"))
                .with("r", 2.5)
                .child(text_in("title", format!("{}: {}", short(point.0), words::significant(point.1))))
        };
        shown.iter().map(dot).collect()
    }

    /// Lines, ticks and titles.
    fn grid(&self, plot: &Plot) -> Element {
        let mut grid = el("g").class("axes").with("aria-hidden", "true");
        let bottom = HEIGHT - BOTTOM;
        for tick in self.x.ticks() {
            let (x, _) = self.place((tick, self.y.low));
            let label = label_at(self.x.label(tick), (x, bottom + 16.0), "middle");
            grid = grid.child(el("path").class("tick").with("d", format!("M{x:.1} {bottom}v4"))).child(label);
        }
        for tick in self.y.ticks() {
            let (_, y) = self.place((self.x.low, tick));
            let across = format!("M{LEFT} {y:.1}H{}", WIDTH - RIGHT);
            let label = label_at(self.y.label(tick), (LEFT - 6.0, y + 4.0), "end");
            grid = grid.child(el("path").class("grid").with("d", across)).child(label);
        }
        let middle = (TOP + bottom) / 2.0;
        let upwards = label_at(plot.y.title.into(), (0.0, 0.0), "middle")
            .with("transform", format!("translate(11 {middle:.1}) rotate(-90)"));
        let across = label_at(plot.x.title.into(), ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), "middle");
        grid.child(across).child(upwards)
    }
}

fn label_at(text: String, (x, y): (f64, f64), anchor: &'static str) -> Element {
    text_in("text", text).with("x", format!("{x:.1}")).with("y", format!("{y:.1}")).with("text-anchor", anchor)
}

/// A number where there is little room.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        whole if whole >= 1.0 && value.fract() == 0.0 && whole < 1e9 => words::count(value as u64),
        usual if (0.001..1e6).contains(&usual) => words::significant(value),
        _ => format!("{value:.1e}"),
    }
}

/// A range from tick to tick.
struct Scale {
    low: f64,
    high: f64,
    gap: f64,
    log: bool,
}

impl Scale {
    fn of((low, high): (f64, f64), log: bool) -> Self {
        if !log {
            return Self::over((low, high));
        }
        let high = if high > low * 1.001 { high } else { low * 2.0 };
        Self { low: low / 1.05, high: high * 1.05, gap: 0.0, log: true }
    }

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
        Self { low, high, gap, log: false }
    }

    fn share(&self, value: f64) -> f64 {
        match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.log {
            let count = ((self.high - self.low) / self.gap).round().clamp(1.0, 20.0) as usize;
            return (0..=count).map(|tick| self.low + tick as f64 * self.gap).collect();
        }
        let decades = (self.low.log10().floor() as i32..=self.high.log10().ceil() as i32).map(|p| 10_f64.powi(p));
        let within = |factors: &[f64]| -> Vec<f64> {
            let all = decades.clone().flat_map(|decade| factors.iter().map(move |factor| decade * factor));
            all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
        };
        let few = within(&[1.0]);
        let ticks = if few.len() >= 3 { few } else { within(&[1.0, 2.0, 5.0]) };
        match ticks.len() {
            0 | 1 => vec![self.low * 1.05, self.high / 1.05],
            many if many > 8 => ticks.into_iter().step_by(many.div_ceil(6)).collect(),
            _ => ticks,
        }
    }

    fn label(&self, tick: f64) -> String {
        match self.log || self.gap.fract() == 0.0 || tick.abs() >= 1e6 || self.gap < 1e-4 {
            true => short(tick),
            false => words::decimals(tick, self.decimals()),
        }
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

    fn plot(points: Points, log: bool) -> Plot {
        let axis = |title| Axis { title, log };
        let series = vec![Series { name: "a <b>".into(), points, mark: Mark::Dotted }];
        Plot { id: "p", title: "t".into(), x: axis("x"), y: axis("y"), series }
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
    fn logarithmic_scales_have_a_few_ticks_within() {
        for range in [(1e-5, 1e-2), (3.0, 4.0), (5.0, 5.0), (1e-9, 1e9), (1.0, 64.0)] {
            let scale = Scale::of(range, true);
            let ticks = scale.ticks();
            assert!((2..=8).contains(&ticks.len()), "{range:?}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (-1e-9..=1.0 + 1e-9).contains(&scale.share(*tick))), "{range:?}");
        }
    }

    #[test]
    fn long_runs_are_averaged_and_keep_their_mean() {
        let points: Points = (0..10_000).map(|step| (f64::from(step), 2.0)).collect();
        let drawn = averaged(&points);
        assert!(drawn.len() <= MOST_POINTS && drawn.iter().all(|point| point.1 == 2.0));
    }

    #[test]
    fn what_has_no_place_is_left_out_and_names_are_escaped() {
        assert!(plot(vec![], false).figure("").is_none());
        assert!(plot(vec![(1.0, f64::NAN), (0.0, 1.0)], true).figure("").is_none());
        let picture = plot(vec![(1.0, 2.0), (3.0, 4.0)], true).figure("words").unwrap().to_string();
        assert!(picture.contains("a &lt;b&gt;") && picture.matches("<circle").count() == 2, "{picture}");
    }
}
