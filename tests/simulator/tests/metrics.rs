//! Metrics: which there are, at which resolution, and alarms by the ten seconds.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::list_metrics::ListMetricsOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, Metric, MetricDataQuery, MetricDatum, MetricStat, RecentlyActive,
};
use common::{AWAY, HOME, at, cloudwatch, config, put, refusal, s3, secs, start};
use simulator::cloudwatch::{AlarmConfig, AlarmState, MetricName, Statistic, TreatMissing};
use simulator::{SimTime, Simulator};

/// A dimension's name and perhaps its value.
type Filter = (&'static str, Option<&'static str>);

const OPERATIONS: &str = "OperationsPendingReplication";

async fn list(client: &Client, name: Option<&str>, filters: &[Filter]) -> ListMetricsOutput {
    let filters = filters.iter().map(|(name, value)| {
        let filter = DimensionFilter::builder().name(*name);
        filter.set_value(value.map(str::to_owned)).build()
    });
    client
        .list_metrics()
        .namespace("AWS/S3")
        .set_metric_name(name.map(str::to_owned))
        .set_dimensions(Some(filters.collect()))
        .send()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn metrics_are_listed_where_they_are_and_as_filtered() {
    let sim = start(config(1));
    put(&s3(&sim, "app", "us-east-1"), HOME, "k", "12345").await;
    put(&s3(&sim, "app", "eu-west-1"), AWAY, "k", "12345").await;
    sim.sleep(secs(120)).await;
    let source = |bucket| ("SourceBucket", Some(bucket));
    let destination = |bucket| ("DestinationBucket", Some(bucket));
    let cases: &[(&str, Option<&str>, &[Filter], usize)] = &[
        (
            "eu-west-1",
            Some(OPERATIONS),
            &[source(HOME), destination(AWAY)],
            1,
        ),
        (
            "us-east-1",
            Some(OPERATIONS),
            &[source(HOME), destination(AWAY)],
            0,
        ),
        (
            "us-east-1",
            Some(OPERATIONS),
            &[source(AWAY), destination(HOME)],
            1,
        ),
        ("us-west-2", Some(OPERATIONS), &[], 0),
        (
            "eu-west-1",
            Some("BytesPendingReplication"),
            &[source(HOME)],
            1,
        ),
        ("eu-west-1", None, &[source(HOME)], 2),
        // With that of failures, which is published in the source's Region.
        ("eu-west-1", None, &[("RuleId", None)], 3),
        ("eu-west-1", None, &[("RuleId", Some("another"))], 0),
        ("eu-west-1", None, &[("rule", None)], 0),
        // With those of requests: all, 4xx and 5xx.
        ("eu-west-1", None, &[], 6),
        (
            "eu-west-1",
            None,
            &[("FilterId", None), ("BucketName", Some(AWAY))],
            3,
        ),
    ];
    for (region, name, filters, expected) in cases {
        let client = cloudwatch(&sim, "watcher", region);
        let found = list(&client, *name, filters).await;
        assert_eq!(
            found.metrics().len(),
            *expected,
            "{region} {name:?} {filters:?}"
        );
        assert_eq!(found.next_token(), None);
    }
    let client = cloudwatch(&sim, "watcher", "eu-west-1");
    let found = list(&client, Some(OPERATIONS), &[source(HOME)]).await;
    let rule = format!("to-{AWAY}");
    let expected = pending_metric(&rule);
    assert_eq!(found.metrics(), [expected]);
}

fn pending_metric(rule: &str) -> Metric {
    let is = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    Metric::builder()
        .namespace("AWS/S3")
        .metric_name(OPERATIONS)
        .dimensions(is("DestinationBucket", AWAY))
        .dimensions(is("RuleId", rule))
        .dimensions(is("SourceBucket", HOME))
        .build()
}

/// What a reader does who knows the buckets but not the rules.
#[tokio::test(start_paused = true)]
async fn the_backlog_of_an_unknown_rule_is_found_while_its_source_is_down() {
    let sim = start(config(1));
    sim.with(|w| w.set_replication_delay(HOME, AWAY, 600_000..=600_000));
    put(&s3(&sim, "app", "us-east-1"), HOME, "a", "1").await;
    put(&s3(&sim, "app", "us-east-1"), HOME, "b", "2").await;
    sim.sleep(secs(90)).await;
    sim.with(|w| w.region_down(simulator::Outage::hang("us-east-1", w.now(), secs(3600))));
    sim.sleep(secs(120)).await;
    let client = cloudwatch(&sim, "watcher", "eu-west-1");
    let found = list(&client, Some(OPERATIONS), &[("SourceBucket", Some(HOME))]).await;
    let metric = found.metrics()[0].clone();
    let (_, values) = data(&sim, &client, metric, (60, "Maximum")).await.unwrap();
    assert!(values.len() >= 2 && values.iter().all(|value| *value == 2.0));
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_five_hundred_metrics() {
    let sim = start(config(1));
    sim.with(|w| {
        for number in 0..1_100 {
            let metric = MetricName::new("N", "M").dimension("Number", number.to_string());
            w.put_metric("us-east-2", &metric, 1.0);
        }
    });
    let client = cloudwatch(&sim, "watcher", "us-east-2");
    let (mut sizes, mut found) = (Vec::new(), BTreeSet::new());
    let mut pages = client.list_metrics().into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let numbers = page.metrics().iter().map(|metric| &metric.dimensions()[0]);
        found.extend(numbers.map(|number| number.value().unwrap().to_owned()));
        sizes.push(page.metrics().len());
    }
    assert_eq!((sizes, found.len()), (vec![500, 500, 100], 1_100));
    for token in ["none", "0", "{}"] {
        let request = client.list_metrics().next_token(token);
        let refused = refusal(request.send().await);
        assert_eq!(refused, (400, "InvalidParameterValue".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn old_metrics_are_not_recently_active() {
    let sim = start(config(1));
    let feed = |name| sim.with(|w| w.put_metric("us-east-2", &MetricName::new("N", name), 1.0));
    feed("old");
    sim.sleep(Duration::from_hours(4)).await;
    feed("new");
    let client = cloudwatch(&sim, "watcher", "us-east-2");
    let all = client.list_metrics().send().await.unwrap();
    assert_eq!(all.metrics().len(), 2);
    let recent = client.list_metrics().recently_active(RecentlyActive::Pt3H);
    let recent = recent.send().await.unwrap();
    assert_eq!(recent.metrics().len(), 1);
    assert_eq!(recent.metrics()[0].metric_name(), Some("new"));
}

/// Seconds since the epoch and values, oldest first; or the refusal.
async fn data(
    sim: &Simulator,
    client: &Client,
    metric: Metric,
    (period, stat): (i32, &str),
) -> Result<(Vec<i64>, Vec<f64>), (u16, String)> {
    let stat = MetricStat::builder()
        .metric(metric)
        .period(period)
        .stat(stat);
    let query = MetricDataQuery::builder().id("q").metric_stat(stat.build());
    let (epoch, now) = sim.with(|w| (w.calendar(SimTime::ZERO), w.calendar(w.now())));
    let answer = client
        .get_metric_data()
        .start_time(DateTime::from_secs(epoch.as_second()))
        .end_time(DateTime::from_secs(now.as_second() + 1))
        .scan_by("TimestampAscending".into())
        .metric_data_queries(query.build())
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        refused => return Err(refusal(refused)),
    };
    let result = &answer.metric_data_results()[0];
    let times = result.timestamps().iter();
    let times = times.map(|time| time.secs() - epoch.as_second()).collect();
    Ok((times, result.values().to_vec()))
}

/// One value every ten seconds from second 1 on.
async fn feed(sim: &Simulator, client: &Client, resolution: i32, values: &[f64]) {
    sim.clock().sleep_until(at(1)).await;
    for (step, value) in values.iter().enumerate() {
        let datum = MetricDatum::builder().metric_name("Failed").value(*value);
        let datum = datum.storage_resolution(resolution).build();
        let request = client.put_metric_data().namespace("Canary");
        request.metric_data(datum).send().await.unwrap();
        sim.clock().sleep_until(at(step as u64 * 10 + 11)).await;
    }
}

fn canary() -> Metric {
    let metric = Metric::builder().namespace("Canary");
    metric.metric_name("Failed").build()
}

#[tokio::test(start_paused = true)]
async fn short_periods_show_high_resolution_only() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    for (resolution, by_ten, by_thirty, by_minute) in [
        (1, &values[..8], &[6.0, 15.0, 15.0][..], &[21.0][..]),
        (60, &[], &[], &[21.0]),
    ] {
        let sim = start(config(1));
        let client = cloudwatch(&sim, "canary", "us-east-2");
        feed(&sim, &client, resolution, &values).await;
        // What came after second 80, or within the last minute, is not visible yet.
        sim.clock().sleep_until(at(94)).await;
        for (period, expected) in [(10, by_ten), (30, by_thirty), (60, by_minute)] {
            let (times, found) = data(&sim, &client, canary(), (period, "Sum"))
                .await
                .unwrap();
            assert_eq!(found, expected, "{period} s of resolution {resolution}");
            let starts = (0_i64..).step_by(usize::try_from(period).unwrap());
            assert!(times.into_iter().eq(starts.take(found.len())));
        }
    }
    let sim = start(config(1));
    let client = cloudwatch(&sim, "canary", "us-east-2");
    for period in [0, 15, 40, 90] {
        let refused = data(&sim, &client, canary(), (period, "Sum")).await;
        let invalid = "InvalidParameterValue".to_owned();
        assert_eq!(refused, Err((400, invalid)), "{period}");
    }
}

fn alarm(name: &str, period: u64) -> AlarmConfig {
    let metric = MetricName::new("Canary", "Failed");
    AlarmConfig::metric("us-east-2", name, metric, 0.5).with(|rule| {
        rule.period_seconds = period;
        (rule.evaluation_periods, rule.datapoints_to_alarm) = (3, 3);
        rule.statistic = Statistic::Maximum;
        rule.treat_missing = TreatMissing::Missing;
    })
}

/// When each alarm became `ALARM`, in seconds, if the canary fails from second 120 on.
async fn raised(resolution: i32) -> Vec<(String, u64)> {
    let world = config(1)
        .alarm(alarm("ten", 10))
        .alarm(alarm("twenty", 20))
        .alarm(alarm("thirty", 30))
        .alarm(alarm("minute", 60))
        .alarm(AlarmConfig::composite("us-east-2", "any", "ALARM(ten)"));
    let sim = start(world);
    let client = cloudwatch(&sim, "canary", "us-east-2");
    let values: Vec<f64> = (0..50)
        .map(|step| f64::from(u8::from(step >= 12)))
        .collect();
    feed(&sim, &client, resolution, &values).await;
    let deliveries = sim.with(simulator::World::take_deliveries);
    deliveries
        .into_iter()
        .filter(|delivery| delivery.state == AlarmState::Alarm)
        .map(|delivery| (delivery.alarm, delivery.changed_at.as_secs()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

#[tokio::test(start_paused = true)]
async fn alarms_of_short_periods_are_quick_and_the_others_as_ever() {
    let expected = |all: &[(&str, u64)]| -> Vec<_> {
        let all = all.iter();
        all.map(|(name, at)| ((*name).to_owned(), *at)).collect()
    };
    // Three periods and five seconds, or three minutes and twenty seconds.
    let quick = [
        ("any", 155),
        ("minute", 320),
        ("ten", 155),
        ("thirty", 215),
        ("twenty", 185),
    ];
    assert_eq!(raised(1).await, expected(&quick));
    // Data by the minute say nothing about a part of it.
    assert_eq!(raised(60).await, expected(&[("minute", 320)]));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a period of 45 s")]
async fn an_impossible_period_is_refused() {
    start(config(1).alarm(alarm("odd", 45)));
}
