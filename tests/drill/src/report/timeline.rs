//! The timeline as a drawing: for each member when it was active and when it was down, the
//! clients' requests, groups of failed copies and the jobs for them, and when people were told
//! something.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use simulator::SimTime;

use super::escape;
use crate::history::{History, Served, attribute};
use crate::narration::stamp;

const LEFT: f64 = 130.0;
const WIDTH: f64 = 860.0;
const ROW: f64 = 26.0;
const REQUESTS: f64 = 60.0;
/// Columns of the requests' diagram.
const COLUMNS: u32 = 240;

#[derive(Debug)]
struct Scale {
    end: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn x(&self, at: SimTime) -> f64 {
        LEFT + WIDTH * (at.as_millis() as f64 / self.end).min(1.0)
    }
}

/// The drawing.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a drawing")]
pub(super) fn svg(history: &History) -> String {
    let scale = Scale {
        end: history.end.as_millis().max(1) as f64,
    };
    let rows = history.stage.members.len() as f64;
    let below = 20.0 + rows * ROW;
    let groups = &history.backlog.groups;
    let redrive = match groups.len() {
        0 => 0.0,
        count => (count as f64 + 1.0) * ROW,
    };
    let height = below + REQUESTS + redrive + 74.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 1000 {height:.0}\" role=\"img\" aria-label=\"routes, outages, requests and announcements over time\">\n"
    );
    for (row, member) in history.stage.members.iter().enumerate() {
        let y = 14.0 + row as f64 * ROW;
        label(&mut svg, y + 13.0, &member.region);
        band(
            &mut svg,
            &scale,
            y,
            (SimTime::ZERO, history.end),
            "#8882",
            "passive",
        );
        active(&mut svg, &scale, y, history, &member.region);
        for outage in history
            .outages
            .iter()
            .filter(|outage| outage.region == member.region)
        {
            let span = (outage.from, outage.until.unwrap_or(history.end));
            let (x, width) = extent(&scale, span);
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"6\" fill=\"#cf222e\"><title>{} is down from {} to {}</title></rect>",
                y + 12.0,
                escape(&member.region),
                stamp(span.0),
                stamp(span.1)
            );
        }
    }
    requests(&mut svg, &scale, below, history);
    if !groups.is_empty() {
        backlog(&mut svg, &scale, below + REQUESTS + 8.0, history);
    }
    let below = below + REQUESTS + redrive;
    told(&mut svg, &scale, below + 18.0, history);
    story(&mut svg, &scale, below + 38.0, history);
    axis(&mut svg, &scale, below + 60.0, history.end);
    svg.push_str("</svg>\n");
    svg.push_str(LEGEND);
    svg
}

const LEGEND: &str = "<p class=\"legend\">Members: green is active, grey is passive, the red line is down. \
Requests: blue were served, red failed. Groups of failed copies: red is held, brown sampled, blue released, \
grey final or closed. Told: red is critical, brown a warning, blue for information. \
Point at anything to read what it is.</p>";

/// What the script did.
fn story(svg: &mut String, scale: &Scale, y: f64, history: &History) {
    label(svg, y + 4.0, "story");
    for step in history
        .stage
        .script
        .iter()
        .filter(|step| !step.story.is_empty())
    {
        let x = scale.x(step.at);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" fill=\"currentColor\" transform=\"rotate(45 {x:.1} {y:.1})\"><title>{} {}</title></rect>",
            x - 3.5,
            y - 3.5,
            stamp(step.at),
            escape(&step.story)
        );
    }
}

fn label(svg: &mut String, y: f64, text: &str) {
    let _ = writeln!(svg, "<text x=\"0\" y=\"{y:.1}\">{}</text>", escape(text));
}

fn extent(scale: &Scale, (from, until): (SimTime, SimTime)) -> (f64, f64) {
    let x = scale.x(from);
    (x, (scale.x(until) - x).max(1.0))
}

fn band(
    svg: &mut String,
    scale: &Scale,
    y: f64,
    span: (SimTime, SimTime),
    fill: &str,
    title: &str,
) {
    let (x, width) = extent(scale, span);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"18\" fill=\"{fill}\"><title>{}</title></rect>",
        escape(title)
    );
}

fn active(svg: &mut String, scale: &Scale, y: f64, history: &History, region: &str) {
    for (position, change) in history.routes.iter().enumerate() {
        let on = change
            .after
            .iter()
            .any(|route| route.region == region && route.dial == 100);
        let until = history
            .routes
            .get(position + 1)
            .map_or(history.end, |next| next.at);
        if on {
            let title = format!(
                "{region} is active from {} to {}",
                stamp(change.at),
                stamp(until)
            );
            band(svg, scale, y, (change.at, until), "#2da44e", &title);
        }
    }
}

/// Requests per column: those that succeeded above, those that failed in red on top of them.
fn requests(svg: &mut String, scale: &Scale, top: f64, history: &History) {
    label(svg, top + REQUESTS / 2.0, "requests");
    let column = (history.end.as_millis() / u64::from(COLUMNS)).max(1);
    let mut counts: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
    for request in &history.requests {
        let count = counts.entry(request.done.as_millis() / column).or_default();
        if request.served == Served::Failed {
            count.1 += 1;
        } else {
            count.0 += 1;
        }
    }
    let most = counts
        .values()
        .map(|(ok, failed)| ok + failed)
        .max()
        .unwrap_or(0)
        .max(1);
    let tall = |count: u32| REQUESTS * f64::from(count) / f64::from(most);
    for (number, (ok, failed)) in &counts {
        let from = SimTime::from_millis(number * column);
        let (x, width) = extent(scale, (from, SimTime::from_millis((number + 1) * column)));
        let base = top + REQUESTS;
        for (count, from, fill) in [(*ok, 0, "#54aeff"), (*failed, *ok, "#cf222e")] {
            if count > 0 {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
                    base - tall(from) - tall(count),
                    tall(count)
                );
            }
        }
    }
}

fn told(svg: &mut String, scale: &Scale, y: f64, history: &History) {
    label(svg, y + 4.0, "told");
    for page in history.pages() {
        let fill = match attribute(page, "severity") {
            "critical" => "#cf222e",
            "warning" => "#bf8700",
            _ => "#54aeff",
        };
        let _ = writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\"><title>{} {}</title></circle>",
            scale.x(page.at),
            stamp(page.at),
            escape(page.subject.as_deref().unwrap_or_default())
        );
    }
}

/// A row for each group of failed copies, and one for the jobs.
#[expect(clippy::cast_precision_loss, reason = "a drawing")]
fn backlog(svg: &mut String, scale: &Scale, top: f64, history: &History) {
    let groups = history.backlog.groups.values();
    for (row, group) in groups.enumerate() {
        let y = top + row as f64 * ROW;
        label(svg, y + 13.0, &group.group.reason);
        let ends = group.phases.iter().skip(1).map(|(at, _)| *at);
        for ((from, phase), until) in group.phases.iter().zip(ends.chain([history.end])) {
            let fill = match phase.as_str() {
                "held" => "#cf222e",
                "sampled" => "#bf8700",
                "released" => "#54aeff",
                _ => "#8886",
            };
            let title = format!("{}: {phase} from {}", group.label(), stamp(*from));
            band(svg, scale, y, (*from, until), fill, &title);
        }
    }
    let y = top + history.backlog.groups.len() as f64 * ROW;
    label(svg, y + 13.0, "jobs");
    for job in &history.backlog.jobs {
        let span = (job.created, job.ended.unwrap_or(history.end));
        let title = format!(
            "{} versions of {}, {} from {}",
            job.tasks.len(),
            job.source,
            job.status,
            stamp(job.created)
        );
        band(svg, scale, y, span, "#8250df", &title);
    }
}

fn axis(svg: &mut String, scale: &Scale, y: f64, end: SimTime) {
    for minute in (0..=end.as_secs() / 60).step_by(15) {
        let x = scale.x(SimTime::from_secs(minute * 60));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"10\" y2=\"{:.1}\" stroke=\"#8884\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{minute} min</text>",
            y - 6.0,
            y + 8.0
        );
    }
}
