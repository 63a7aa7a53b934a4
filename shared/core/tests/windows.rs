//! Windows of time: what is read, when they are open, and when they open next.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken assumption must fail the test"
)]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use sentinel_core::windows::Windows;

fn windows(text: &str) -> Windows {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn bad_windows_are_refused_with_what_would_be_right() {
    #[rustfmt::skip]
    let table = [
        ("always", "such as"),
        ("Mon-Fri 09:00-17:00", "time zone"),
        ("Mon-Fri 09:00 - 17:00 UTC", "days, times and time zone"),
        ("Mon-Fri 09:00-17:00 UTC, Sat 10:00-12:00 UTC", "days, times and time zone"),
        ("Mon-Friday 09:00-17:00 UTC", "no days"),
        ("Mon- 09:00-17:00 UTC", "no days"),
        ("Mon,,Tue 09:00-17:00 UTC", "no days"),
        ("Weekdays 09:00-17:00 UTC", "no days"),
        ("Mon 9:00-17:00 UTC", "no span of time"),
        ("Mon 09:00-25:00 UTC", "no span of time"),
        ("Mon 09:60-17:00 UTC", "no span of time"),
        ("Mon 24:00-24:00 UTC", "no span of time"),
        ("Mon 09:00-09:00 UTC", "no span of time"),
        ("Mon 09:00 UTC", "no span of time"),
        ("Mon +9:00-17:00 UTC", "no span of time"),
        ("Mon 09:00-17:00 Berlin", "no time zone"),
        ("Mon 09:00-17:00 CEST+1", "no time zone"),
        ("Mon 09:00-17:00 UTC; Tue 09:00-17:00 Mars/Olympus", "Mars/Olympus"),
    ];
    for (text, named) in table {
        let error = text.parse::<Windows>().expect_err(text).to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    let many = vec!["Mon 09:00-17:00 UTC"; 51].join(";");
    let error = many.parse::<Windows>().expect_err("too many");
    assert!(error.to_string().contains("at most 50"), "{error}");
}

#[test]
fn nothing_is_any_time() {
    for text in ["", "  ", ";", " ; "] {
        let any = windows(text);
        assert!(any.is_always());
        assert_eq!(any.to_string(), "any time");
        let now = at("2026-11-20T17:00:00Z");
        assert!(any.is_open(now));
        assert_eq!(any.next_opening(now), Some(now));
    }
}

#[test]
fn they_print_as_they_were_written() {
    let text = "Mon-Fri 09:00-17:00 Europe/Berlin; Sat 10:00-12:00 UTC";
    assert_eq!(windows(text).to_string(), text);
    assert_eq!(windows(&format!("  {text} ; ")).to_string(), text);
}

/// 2026-11-20 is a Friday.
#[test]
fn they_are_open_when_the_wall_says_so() {
    #[rustfmt::skip]
    let table = [
        // One hour ahead of UTC in winter.
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T07:59:59Z", false),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T08:00:00Z", true),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T15:59:59Z", true),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T16:00:00Z", false),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-21T10:00:00Z", false),
        // Two hours in summer.
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-07-10T07:00:00Z", true),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-07-10T06:59:59Z", false),
        // The day is the zone's: Friday in UTC is Saturday in Auckland already.
        ("Sat 08:00-10:00 Pacific/Auckland", "2026-11-20T19:30:00Z", true),
        ("Fri 08:00-10:00 Pacific/Auckland", "2026-11-20T19:30:00Z", false),
        // Over midnight it belongs to the day on which it begins.
        ("Fri 22:00-02:00 UTC", "2026-11-20T23:00:00Z", true),
        ("Fri 22:00-02:00 UTC", "2026-11-21T01:59:59Z", true),
        ("Fri 22:00-02:00 UTC", "2026-11-21T02:00:00Z", false),
        ("Fri 22:00-02:00 UTC", "2026-11-20T01:00:00Z", false),
        ("Fri 22:00-00:00 UTC", "2026-11-20T23:59:59Z", true),
        ("Fri 22:00-00:00 UTC", "2026-11-21T00:00:00Z", false),
        ("Fri 22:00-24:00 UTC", "2026-11-20T23:59:59Z", true),
        ("Fri 22:00-24:00 UTC", "2026-11-21T00:00:00Z", false),
        // Lists and spans of days, in any case of letters.
        ("mon,wed,FRI 10:00-11:00 UTC", "2026-11-20T10:30:00Z", true),
        ("Mon,Wed 10:00-11:00 UTC", "2026-11-20T10:30:00Z", false),
        ("Fri-Mon 10:00-11:00 UTC", "2026-11-22T10:30:00Z", true),
        ("Fri-Mon 10:00-11:00 UTC", "2026-11-24T10:30:00Z", false),
        ("Mon-Sun 00:00-24:00 UTC", "2026-11-24T00:00:00Z", true),
        // Several: open while one is.
        ("Mon 09:00-10:00 UTC; Fri 17:00-18:00 UTC", "2026-11-20T17:00:00Z", true),
        // 2026-10-25: from 03:00 back to 02:00 in Berlin. The hour comes twice.
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T00:30:00Z", true),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T01:30:00Z", true),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-10-25T02:00:00Z", false),
        // 2026-03-29: from 02:00 to 03:00. The hour is left out.
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T00:59:59Z", false),
        ("Sun 02:00-03:00 Europe/Berlin", "2026-03-29T01:00:00Z", false),
        ("Sun 02:30-03:30 Europe/Berlin", "2026-03-29T01:00:00Z", true),
        ("Sun 02:30-03:30 Europe/Berlin", "2026-03-29T01:30:00Z", false),
    ];
    for (text, moment, open) in table {
        assert_eq!(windows(text).is_open(at(moment)), open, "{text} {moment}");
    }
}

#[test]
fn they_open_next_when_they_should() {
    #[rustfmt::skip]
    let table = [
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T16:00:00Z", "2026-11-23T08:00:00Z"),
        ("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z"),
        ("Sat 10:00-12:00 UTC; Mon 09:00-10:00 UTC", "2026-11-20T16:00:00Z", "2026-11-21T10:00:00Z"),
        ("Fri 22:00-02:00 UTC", "2026-11-21T02:00:00Z", "2026-11-27T22:00:00Z"),
        // Daylight saving begins before it opens again, and ends.
        ("Mon 09:00-10:00 Europe/Berlin", "2026-03-27T12:00:00Z", "2026-03-30T07:00:00Z"),
        ("Mon 09:00-10:00 Europe/Berlin", "2026-10-23T12:00:00Z", "2026-10-26T08:00:00Z"),
        // It begins in the hour that is left out: open when the clocks are put forward.
        ("Sun 02:30-03:30 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"),
        // It lies in that hour altogether: open a week later.
        ("Sun 02:15-02:45 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-04-05T00:15:00Z"),
        // It comes twice.
        ("Sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z"),
    ];
    for (text, now, expected) in table {
        let opening = windows(text).next_opening(at(now));
        assert_eq!(opening, Some(at(expected)), "{text} {now}");
    }
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe", // half an hour of daylight saving
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Cairo", // clocks change at midnight
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

fn any_window() -> impl Strategy<Value = String> {
    let quarter = 0..96_u32;
    (0..7_usize, 0..7_usize, quarter.clone(), quarter, 0..8_usize)
        .prop_filter("a span", |(_, _, from, until, _)| from != until)
        .prop_map(|(first, last, from, until, zone)| {
            let clock = |quarter: u32| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15);
            format!(
                "{}-{} {}-{} {}",
                DAYS[first],
                DAYS[last],
                clock(from),
                clock(until),
                ZONES[zone]
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The next opening is what walking there in steps finds. All zones here change their clocks
    /// at full quarters of an hour.
    #[test]
    fn the_next_opening_is_the_first_open_quarter(text in any_window(), quarter in 0..35_040_i64) {
        let windows = windows(&text);
        let now = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(15 * quarter);
        let step = SignedDuration::from_mins(15);
        let walked = (0..15 * 96)
            .map(|steps| now + step.checked_mul(steps).unwrap())
            .find(|at| windows.is_open(*at));
        prop_assert_eq!(windows.next_opening(now), walked, "{} {}", text, now);
        if let Some(opening) = walked
            && opening > now
        {
            let before = opening - SignedDuration::from_secs(1);
            prop_assert!(!windows.is_open(before), "{} {}", text, opening);
        }
    }

    #[test]
    fn windows_that_were_written_read_back(text in any_window()) {
        prop_assert_eq!(windows(&windows(&text).to_string()), windows(&text));
    }
}
