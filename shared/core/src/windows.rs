//! Windows of time in which something may happen by itself: `Mon-Fri 09:00-17:00 Europe/Berlin`.
//!
//! A window is open while a clock on a wall of its time zone shows a time inside of it. So in the
//! night in which that clock is put back, a window inside the hour that comes twice opens twice,
//! and in the night in which it is put forward, one inside the hour that is left out stays shut.
//! The time zones are those compiled in (IANA), so that no file of the machine has a say.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// How far ahead an opening is looked for. A window opens every week, unless it lies in an hour
/// that the clocks leave out in just that week.
const HORIZON_DAYS: i32 = 16;

/// Most windows in one setting.
const MOST: usize = 50;

/// A list of windows: open while one of them is. None at all is always open.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Windows(Vec<Window>);

/// One window: days of the week on which it begins, times of day, and where.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    /// As it was written.
    text: String,
    /// Days on which it begins, Monday first.
    days: [bool; 7],
    from: Time,
    /// The first moment after it; `None` is the end of the day.
    until: Option<Time>,
    zone: TimeZone,
}

/// Why a list of windows was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// An entry does not have three parts.
    #[error(
        "{0:?} is not a window: write days, times and time zone, such as \"Mon-Fri 09:00-17:00 Europe/Berlin\""
    )]
    Shape(String),
    /// Days that are none.
    #[error(
        "{entry:?}: {days:?} are no days: write Mon, Tue, Wed, Thu, Fri, Sat, Sun, a span such as Mon-Fri, or several with commas"
    )]
    Days {
        /// The window.
        entry: String,
        /// What should be days.
        days: String,
    },
    /// Times that are none.
    #[error(
        "{entry:?}: {times:?} is no span of time: write 09:00-17:00, or 22:00-02:00 over midnight, or 00:00-24:00"
    )]
    Times {
        /// The window.
        entry: String,
        /// What should be a span of time.
        times: String,
    },
    /// A time zone that does not exist.
    #[error("{entry:?}: there is no time zone {zone:?}: write one such as Europe/Berlin or UTC")]
    Zone {
        /// The window.
        entry: String,
        /// What should be a time zone.
        zone: String,
    },
    /// More windows than anybody needs.
    #[error("{0} windows are too many, at most {MOST} are taken")]
    TooMany(usize),
}

impl Windows {
    /// Whether there is no limit at all.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is open.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.0.is_empty() || self.0.iter().any(|window| window.is_open(now))
    }

    /// The first moment from `now` on at which one of them is open: `now` itself if one is.
    ///
    /// `None` only if none opens within two weeks, which a window of a few minutes in the hour
    /// that the clocks leave out can bring about.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_open(now) {
            return Some(now);
        }
        let openings = self.0.iter().filter_map(|window| window.next_opening(now));
        openings.min()
    }
}

impl Window {
    fn is_open(&self, now: Timestamp) -> bool {
        let local = self.zone.to_datetime(now);
        let begins = |date: Date| {
            let day = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
            self.days.get(day).copied().unwrap_or_default()
        };
        let (today, time) = (local.date(), local.time());
        match self.until {
            None => begins(today) && self.from <= time,
            Some(until) if self.from < until => begins(today) && (self.from..until).contains(&time),
            // Over midnight: the evening of its day, or the morning after.
            Some(until) => {
                begins(today) && self.from <= time
                    || time < until && today.yesterday().is_ok_and(begins)
            }
        }
    }

    /// The candidates are the moments at which the clock can come to show a time inside: the
    /// beginning of the window on each day, both times where it comes twice, midnight for what
    /// began the day before, and the moments at which the clock is changed.
    fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        let end = now
            .checked_add(SignedDuration::from_hours(24 * i64::from(HORIZON_DAYS)))
            .ok()?;
        let days = (-1..HORIZON_DAYS).filter_map(|days| today.checked_add(days.days()).ok());
        let starts = days.flat_map(|date| {
            let at: DateTime = date.to_datetime(self.from);
            let ambiguous = self.zone.to_ambiguous_timestamp(at);
            [ambiguous.earlier().ok(), ambiguous.later().ok()]
        });
        let changes = self
            .zone
            .following(now)
            .map(|change| change.timestamp())
            .take_while(|at| *at <= end);
        starts
            .flatten()
            .chain(changes)
            .filter(|at| *at >= now && self.is_open(*at))
            .min()
    }
}

impl FromStr for Windows {
    type Err = WindowError;

    /// Reads windows that are separated by semicolons; nothing at all is always open.
    fn from_str(text: &str) -> Result<Self, WindowError> {
        let entries = text.split(';').map(str::trim);
        let windows: Vec<Window> = entries
            .filter(|entry| !entry.is_empty())
            .map(window)
            .collect::<Result<_, _>>()?;
        if windows.len() > MOST {
            return Err(WindowError::TooMany(windows.len()));
        }
        Ok(Self(windows))
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any time");
        }
        for (index, window) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            f.write_str(&window.text)?;
        }
        Ok(())
    }
}

fn window(entry: &str) -> Result<Window, WindowError> {
    let parts: Vec<&str> = entry.split_whitespace().collect();
    let [days, times, zone] = parts.as_slice() else {
        return Err(WindowError::Shape(entry.to_owned()));
    };
    let (from, until) = span(times).ok_or_else(|| WindowError::Times {
        entry: entry.to_owned(),
        times: (*times).to_owned(),
    })?;
    Ok(Window {
        text: parts.join(" "),
        days: days_of(days).ok_or_else(|| WindowError::Days {
            entry: entry.to_owned(),
            days: (*days).to_owned(),
        })?,
        from,
        until,
        zone: TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| WindowError::Zone {
                entry: entry.to_owned(),
                zone: (*zone).to_owned(),
            })?,
    })
}

fn day(name: &str) -> Option<Weekday> {
    Some(match name.to_ascii_lowercase().as_str() {
        "mon" => Weekday::Monday,
        "tue" => Weekday::Tuesday,
        "wed" => Weekday::Wednesday,
        "thu" => Weekday::Thursday,
        "fri" => Weekday::Friday,
        "sat" => Weekday::Saturday,
        "sun" => Weekday::Sunday,
        _ => return None,
    })
}

/// `Mon-Fri`, `Sat-Mon` over the week's end, `Mon,Wed,Fri-Sat`.
fn days_of(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    let mut set = |weekday: Weekday| {
        let at = usize::try_from(weekday.to_monday_zero_offset()).ok()?;
        *days.get_mut(at)? = true;
        Some(())
    };
    for part in text.split(',') {
        let Some((first, last)) = part.split_once('-') else {
            set(day(part)?)?;
            continue;
        };
        let (mut weekday, last) = (day(first)?, day(last)?);
        set(weekday)?;
        while weekday != last {
            weekday = weekday.next();
            set(weekday)?;
        }
    }
    Some(days)
}

/// `09:00-17:00`. A span that ends where it begins could mean nothing or all day: refused.
fn span(text: &str) -> Option<(Time, Option<Time>)> {
    let (from, until) = text.split_once('-')?;
    let from = time(from)?;
    if until == "24:00" {
        return Some((from, None));
    }
    let until = time(until)?;
    (from != until).then_some((from, Some(until)))
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        plain.then(|| digits.parse().ok()).flatten()
    };
    Time::new(two(hour)?, two(minute)?, 0, 0).ok()
}
