//! CloudWatch as the deployed template sets it up: metrics that come out of the functions' logs, the
//! alarms over them, and the wake-ups that go through the topic of the alarms.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;
use serde_json::{Value, json};
use simulator::cloudwatch::{
    AlarmConfig, AlarmState, Comparison, MetricName, Statistic, TreatMissing,
};
use simulator::truth::Published;
use simulator::{SimTime, Simulator};

use super::lambda::Lambda;
use super::spectator::{Kind, Spectator};
use crate::history::Cause;
use crate::{
    ACCOUNT, ALIAS, CONTROL_REGION, TOPIC, WATCHDOG, WATCHDOG_REGION, alarm_name, alarm_topic_arn,
};

/// Until a line of a log is a data point, in milliseconds. AWS names no figure.
const INGESTION: std::ops::RangeInclusive<u64> = 500..=4_000;

/// Between a publication and the function that is subscribed, in milliseconds.
const DELIVERY: std::ops::RangeInclusive<u64> = 50..=500;

/// How often it is looked for publications.
const GLANCE: Duration = Duration::from_millis(100);

/// Where the alarms send their actions: straight to the function, and to the topic that it reads.
fn actions(alarm: AlarmConfig) -> AlarmConfig {
    alarm
        .action("arn:aws:lambda:us-east-2:111122223333:function:failover")
        .action(alarm_topic_arn())
}

fn of_mrap(name: &str) -> MetricName {
    MetricName::new("MrapSentinel", name).dimension("Mrap", ALIAS)
}

/// The template's alarm about a member: unavailable in three of six periods of ten seconds.
pub(super) fn member_alarm(region: &str) -> AlarmConfig {
    let metric = of_mrap("Availability").dimension("Region", region);
    let alarm = AlarmConfig::metric(CONTROL_REGION, alarm_name(region), metric, 50.0);
    actions(alarm.with(|rule| {
        rule.period_seconds = 10;
        (rule.evaluation_periods, rule.datapoints_to_alarm) = (6, 3);
        rule.comparison = Comparison::LessThanThreshold;
        rule.treat_missing = TreatMissing::Ignore;
    }))
}

/// The template's alarm of the daily self-test.
pub(super) fn self_test_alarm() -> AlarmConfig {
    let stem = ALIAS.split('.').next().unwrap_or(ALIAS);
    let name = format!("mrap-sentinel-{stem}-self-test");
    let alarm = AlarmConfig::metric(CONTROL_REGION, name, of_mrap("SelfTest"), 0.0);
    actions(alarm.with(|rule| {
        rule.statistic = Statistic::Sum;
        rule.period_seconds = 60;
        (rule.evaluation_periods, rule.datapoints_to_alarm) = (1, 1);
        rule.treat_missing = TreatMissing::NotBreaching;
    }))
}

/// The alarm of `data-plane/watchdog.yaml`: no heartbeat in five minutes.
pub(super) fn watchdog() -> AlarmConfig {
    let metric = of_mrap("Heartbeat").dimension("Region", CONTROL_REGION);
    let alarm = AlarmConfig::metric(WATCHDOG_REGION, WATCHDOG, metric, 1.0).with(|rule| {
        rule.statistic = Statistic::Sum;
        rule.period_seconds = 60;
        (rule.evaluation_periods, rule.datapoints_to_alarm) = (5, 5);
        rule.comparison = Comparison::LessThanThreshold;
        rule.treat_missing = TreatMissing::Breaching;
    });
    alarm.action(format!("arn:aws:sns:{WATCHDOG_REGION}:{ACCOUNT}:{TOPIC}"))
}

/// Makes data points of embedded metrics. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Monitoring {
    sim: Simulator,
    dice: Arc<Mutex<Rng>>,
}

impl Monitoring {
    pub(super) fn new(sim: &Simulator, dice: Rng) -> Self {
        Self {
            sim: sim.clone(),
            dice: Arc::new(Mutex::new(dice)),
        }
    }

    /// Reads a line of a log; the data points appear a while later, under their own time.
    pub(super) fn read(&self, line: &str) {
        if !line.contains("\"_aws\"") {
            return;
        }
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            return;
        };
        let points = points(&line);
        let sim = self.sim.clone();
        let delay = Duration::from_millis(self.dice.lock().unwrap().u64(INGESTION));
        tokio::task::spawn_local(async move {
            sim.sleep(delay).await;
            sim.with(|world| {
                for point in points {
                    let at = point.at.duration_since(world.config().epoch).as_millis();
                    let at = SimTime::from_millis(u64::try_from(at).unwrap_or(0));
                    let (metric, fine) = (&point.metric, point.fine);
                    world.put_metric_at(CONTROL_REGION, metric, (at, fine), point.value);
                }
            });
        });
    }
}

/// A data point of a line.
struct Point {
    metric: MetricName,
    at: Timestamp,
    /// Whether it is kept by the second.
    fine: bool,
    value: f64,
}

fn points(line: &Value) -> Vec<Point> {
    let millis = line["_aws"]["Timestamp"].as_i64().unwrap_or(0);
    let at = Timestamp::from_millisecond(millis).unwrap_or_default();
    let mut points = Vec::new();
    for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
        for dimensions in list(&directive["Dimensions"]) {
            for definition in list(&directive["Metrics"]) {
                let (namespace, name) = (text(&directive["Namespace"]), text(&definition["Name"]));
                let mut metric = MetricName::new(namespace, name);
                for dimension in list(dimensions).filter_map(Value::as_str) {
                    metric = metric.dimension(dimension, text(&line[dimension]));
                }
                points.extend(line[name].as_f64().map(|value| Point {
                    metric,
                    at,
                    fine: definition["StorageResolution"] == 1,
                    value,
                }));
            }
        }
    }
    points
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Brings what is published on the topic of the alarms to the function that is subscribed.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) sim: Simulator,
    pub(super) lambda: Lambda,
    pub(super) spectator: Spectator,
    /// Whether everything gets lost on the way.
    pub(super) lost: bool,
}

impl Subscription {
    /// Delivers for as long as it is polled.
    pub(super) async fn deliver(self, mut dice: Rng) {
        let topic = alarm_topic_arn();
        let mut seen = 0;
        loop {
            self.sim.sleep(GLANCE).await;
            let new: Vec<Published> = self.sim.with(|world| {
                let all = world.published();
                let new = all[seen..].iter();
                let new = new.filter(|one| one.topic_arn == topic).cloned().collect();
                seen = all.len();
                new
            });
            for one in new {
                self.hand_over(&one, &mut dice);
            }
        }
    }

    fn hand_over(&self, published: &Published, dice: &mut Rng) {
        let by_protocol: Value = serde_json::from_str(&published.message).unwrap_or_default();
        let message = text(&by_protocol["lambda"]).to_owned();
        let wake: Value = serde_json::from_str(&message).unwrap_or_default();
        let region = text(&wake["detail"]["region"]).to_owned();
        let fate = if self.lost { ", which is lost" } else { "" };
        let told = format!("a wake-up: {region} is bad{fate}");
        self.spectator.tell(published.at, Kind::Alarm, told);
        if self.lost {
            return;
        }
        let record = json!({
            "EventSource": "aws:sns",
            "EventVersion": "1.0",
            "Sns": {
                "Type": "Notification",
                "MessageId": published.message_id,
                "TopicArn": published.topic_arn,
                "Subject": published.subject,
                "Message": message,
            },
        });
        let payload = json!({ "Records": [record] });
        let (sim, lambda) = (self.sim.clone(), self.lambda.clone());
        let delay = Duration::from_millis(dice.u64(DELIVERY));
        tokio::task::spawn_local(async move {
            sim.sleep(delay).await;
            lambda.send(payload, Cause::Wake(region));
        });
    }
}

/// What the watchdog's alarm said, in order of time.
pub(super) type Barks = Arc<Mutex<Vec<(SimTime, AlarmState)>>>;

#[cfg(test)]
mod tests {
    use saphyr::{LoadableYamlNode, Yaml};
    use simulator::cloudwatch::AlarmRule;

    use super::*;

    fn resources(file: &str) -> Yaml<'static> {
        let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        Yaml::load_from_str(text.leak()).unwrap().remove(0)["Resources"].clone()
    }

    /// What is deployed and what is played are the same alarm, but for names and actions.
    fn agree(deployed: &Yaml<'_>, period: Option<u64>, played: &AlarmConfig) {
        let AlarmRule::Metric(rule) = &played.rule else {
            panic!("{} is no alarm over a metric", played.name);
        };
        let deployed = &deployed["Properties"];
        let number = |key: &str| {
            let number = deployed.as_mapping_get(key).and_then(Yaml::as_integer)?;
            u64::try_from(number).ok()
        };
        let word = |key: &str| deployed[key].as_str().unwrap().to_lowercase();
        let periods = rule.evaluation_periods as u64;
        assert_eq!(word("Namespace"), rule.metric.namespace.to_lowercase());
        assert_eq!(word("MetricName"), rule.metric.name.to_lowercase());
        assert_eq!(
            word("Statistic"),
            format!("{:?}", rule.statistic).to_lowercase()
        );
        assert_eq!(
            period.or_else(|| number("Period")),
            Some(rule.period_seconds)
        );
        assert_eq!(number("EvaluationPeriods"), Some(periods));
        assert_eq!(
            number("DatapointsToAlarm").unwrap_or(periods),
            rule.datapoints_to_alarm as u64
        );
        let threshold = number("Threshold").map(|number| number.to_string());
        assert_eq!(threshold, Some(rule.threshold.to_string()));
        assert_eq!(
            word("ComparisonOperator"),
            format!("{:?}", rule.comparison).to_lowercase()
        );
        assert_eq!(
            word("TreatMissingData"),
            format!("{:?}", rule.treat_missing).to_lowercase()
        );
    }

    #[test]
    fn the_alarms_are_those_of_the_templates() {
        let automation = resources("template.yaml");
        let each = &automation["Fn::ForEach::MemberAlarms"][2]["MemberAlarm&{Member}"];
        agree(each, Some(10), &member_alarm("us-east-1"));
        agree(&automation["SelfTestAlarm"], None, &self_test_alarm());
        agree(
            &resources("data-plane/watchdog.yaml")["Alarm"],
            None,
            &watchdog(),
        );
    }
}
