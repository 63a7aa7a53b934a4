//! `template.yaml` and the settings types of its functions say the same: no variable is forgotten on either side,
//! every default is the same, and a value that the template accepts is accepted by the function.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken assumption must fail the test"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use saphyr::{LoadableYamlNode, Yaml};
use sentinel_core::settings::{
    CollectorSettings, HealthSettings, ReadinessSettings, RedriveSettings, Settings, SettingsError,
};

/// A parameter of the template.
#[derive(Debug)]
struct Parameter {
    default: Option<String>,
    range: Option<(i64, i64)>,
    words: Vec<String>,
}

/// What the template says about one function.
struct Template {
    parameters: BTreeMap<String, Parameter>,
    /// Environment variables and, where it is nothing but a parameter's value, that parameter.
    variables: BTreeMap<String, Option<String>>,
}

fn template(file: &str, function: &str) -> Template {
    let path = format!("{}/../../{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let yaml = Yaml::load_from_str(&text).unwrap().remove(0);
    let parameters = entries(&yaml["Parameters"])
        .map(|(name, parameter)| (name, Parameter::of(parameter)))
        .collect();
    let environment = &yaml["Resources"][function]["Properties"]["Environment"]["Variables"];
    let variables = entries(environment)
        .map(|(name, value)| (name, reference(value)))
        .collect();
    Template {
        parameters,
        variables,
    }
}

impl Parameter {
    fn of(yaml: &Yaml) -> Self {
        let number = |key| yaml.as_mapping_get(key).and_then(Yaml::as_integer);
        let words = yaml
            .as_mapping_get("AllowedValues")
            .and_then(Yaml::as_sequence);
        Self {
            default: yaml.as_mapping_get("Default").map(plain),
            range: number("MinValue").zip(number("MaxValue")),
            words: words.into_iter().flatten().map(plain).collect(),
        }
    }
}

fn entries<'a>(yaml: &'a Yaml) -> impl Iterator<Item = (String, &'a Yaml<'a>)> {
    yaml.as_mapping()
        .expect("a mapping")
        .iter()
        .map(|(key, value)| (plain(key), value))
}

fn plain(yaml: &Yaml) -> String {
    match yaml.as_integer() {
        Some(number) => number.to_string(),
        None => yaml.as_str().expect("text or a number").to_owned(),
    }
}

/// The parameter of `!Ref Parameter`.
fn reference(yaml: &Yaml) -> Option<String> {
    match yaml {
        Yaml::Tagged(tag, node) if tag.suffix == "Ref" => Some(plain(node)),
        _ => None,
    }
}

/// The settings in their Debug form, so that those of different functions are of one type.
type Read = fn(&dyn Fn(&str) -> Option<String>) -> Result<String, String>;

/// One function: its resource in the template, and how it reads its settings.
struct Function {
    file: &'static str,
    resource: &'static str,
    read: Read,
    /// What it reads and this template leaves to its default.
    unset: &'static [&'static str],
    /// Variables with a default, numbers with limits, variables that are one of some words.
    counts: [usize; 3],
    /// What limits another variable, put out of its way: each is tried alone.
    apart: &'static [(&'static str, &'static str)],
}

const ROOT: &str = "template.yaml";

const FUNCTIONS: [Function; 6] = [
    Function {
        file: ROOT,
        resource: "FailoverFunction",
        read: |lookup| told(Settings::from_lookup(lookup)),
        unset: &[],
        counts: [29, 20, 3],
        apart: &[
            ("CONTROL_TIMEOUT_MILLIS", "10000"),
            ("HEDGE_DELAY_MILLIS", "10"),
        ],
    },
    Function {
        file: ROOT,
        resource: "HealthCheckFunction",
        read: |lookup| told(HealthSettings::from_lookup(lookup)),
        unset: &["WITNESS_OF"],
        counts: [11, 8, 0],
        apart: &[
            ("PROBE_INTERVAL_SECONDS", "1"),
            ("EVIDENCE_MAX_AGE_SECONDS", "3600"),
            ("CONTROL_TIMEOUT_MILLIS", "10000"),
            ("HEDGE_DELAY_MILLIS", "10"),
        ],
    },
    Function {
        file: "functions/health-check/witness.yaml",
        resource: "WitnessFunction",
        read: |lookup| {
            let witness = |name: &str| match name {
                "WITNESS_OF" => {
                    lookup(name);
                    Some("sentinel-state@us-east-2".to_owned())
                }
                _ => lookup(name),
            };
            told(HealthSettings::from_lookup(witness))
        },
        // It wakes nobody, reads no metrics and no routes, and beats for nobody.
        unset: &[
            "CONTROL_TIMEOUT_MILLIS",
            "DETECTION_ROUNDS",
            "HEARTBEAT_REGION",
            "HEDGE_DELAY_MILLIS",
            "REPLICATION_METRICS_SECONDS",
            "WITNESS_REGION",
        ],
        counts: [5, 4, 0],
        apart: &[
            ("PROBE_INTERVAL_SECONDS", "1"),
            ("EVIDENCE_MAX_AGE_SECONDS", "3600"),
        ],
    },
    Function {
        file: ROOT,
        resource: "ReplicationEventsFunction",
        read: |lookup| told(CollectorSettings::from_lookup(lookup)),
        unset: &[],
        counts: [0, 0, 0],
        apart: &[],
    },
    Function {
        file: ROOT,
        resource: "RedriveFunction",
        read: |lookup| told(RedriveSettings::from_lookup(lookup)),
        unset: &[],
        counts: [15, 14, 1],
        apart: &[
            ("REDRIVE_SAMPLE_SECONDS", "60"),
            ("REDRIVE_SAMPLE_MAX_SECONDS", "604800"),
        ],
    },
    Function {
        file: ROOT,
        resource: "ReadinessCheckFunction",
        read: |lookup| told(ReadinessSettings::from_lookup(lookup)),
        unset: &[],
        counts: [6, 1, 2],
        apart: &[],
    },
];

fn told<T: Debug>(settings: Result<T, SettingsError>) -> Result<String, String> {
    settings
        .map(|settings| format!("{settings:?}"))
        .map_err(|error| error.to_string())
}

/// What only a deployment can tell.
const DEPLOYED: [(&str, &str); 7] = [
    (
        "MRAP_ARN",
        "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
    ),
    ("MEMBERS", "app-use1@us-east-1,app-euw1@eu-west-1"),
    ("STATE_BUCKET", "sentinel-state"),
    (
        "TOPIC_ARNS",
        "arn:aws:sns:us-east-2:111122223333:mrap-sentinel",
    ),
    (
        "WORK_BUCKETS",
        "app-work-use1@us-east-1,app-work-euw1@eu-west-1",
    ),
    (
        "ALARM_TOPIC_ARN",
        "arn:aws:sns:us-east-2:111122223333:mrap-sentinel-alarms",
    ),
    ("BATCH_ROLE_ARN", "arn:aws:iam::111122223333:role/batch"),
];

impl Function {
    fn read(&self, more: &[(&str, &str)]) -> Result<String, String> {
        (self.read)(&|name| {
            let mut found = more.iter().chain(&DEPLOYED);
            Some(found.find(|(known, _)| *known == name)?.1.to_owned())
        })
    }

    fn template(&self) -> Template {
        template(self.file, self.resource)
    }
}

/// Every variable whose value is nothing but a parameter's, with that parameter.
fn direct(template: &Template) -> impl Iterator<Item = (&str, &Parameter)> {
    template
        .variables
        .iter()
        .filter_map(|(variable, parameter)| {
            let parameter = template.parameters.get(parameter.as_ref()?)?;
            Some((variable.as_str(), parameter))
        })
}

#[test]
fn the_template_sets_exactly_what_the_settings_read() {
    for function in &FUNCTIONS {
        let asked = RefCell::new(BTreeSet::new());
        (function.read)(&|name| {
            asked.borrow_mut().insert(name.to_owned());
            let found = DEPLOYED.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        })
        .unwrap();
        let mut set: BTreeSet<String> = function.template().variables.into_keys().collect();
        set.extend(function.unset.iter().map(|name| (*name).to_owned()));
        assert_eq!(set, asked.into_inner(), "{}", function.resource);
    }
}

#[test]
fn a_parameter_is_named_like_its_variable() {
    for function in &FUNCTIONS {
        let template = function.template();
        for (variable, parameter) in &template.variables {
            let Some(parameter) = parameter else { continue };
            if template.parameters.contains_key(parameter) {
                let upper: String = parameter
                    .chars()
                    .enumerate()
                    .flat_map(|(at, c)| {
                        let word = at > 0 && c.is_uppercase();
                        word.then_some('_').into_iter().chain(c.to_uppercase())
                    })
                    .collect();
                assert_eq!(&upper, variable);
            }
        }
    }
}

#[test]
fn the_template_s_defaults_are_those_of_the_settings() {
    for function in &FUNCTIONS {
        let template = function.template();
        let defaults: Vec<(&str, &str)> = direct(&template)
            .filter_map(|(variable, parameter)| Some((variable, parameter.default.as_deref()?)))
            .collect();
        let [expected, ..] = function.counts;
        assert_eq!(defaults.len(), expected, "{defaults:?}");
        assert_eq!(function.read(&defaults), function.read(&[]));
    }
}

#[test]
fn the_template_s_limits_are_those_of_the_settings() {
    for function in &FUNCTIONS {
        let template = function.template();
        let accepts = |variable: &str, value: i64| {
            let value = value.to_string();
            let mut all = vec![(variable, value.as_str())];
            all.extend(
                function
                    .apart
                    .iter()
                    .filter(|(other, _)| *other != variable),
            );
            function.read(&all)
        };
        let mut tried = 0;
        for (variable, parameter) in direct(&template) {
            let Some((low, high)) = parameter.range else {
                continue;
            };
            for inside in [low, high] {
                let read = accepts(variable, inside);
                assert!(read.is_ok(), "{variable}={inside}: {read:?}");
            }
            for outside in [low - 1, high + 1] {
                assert!(accepts(variable, outside).is_err(), "{variable}={outside}");
            }
            tried += 1;
        }
        let [_, expected, _] = function.counts;
        assert_eq!(tried, expected, "limits of {}", function.resource);
    }
}

#[test]
fn the_template_s_words_are_those_of_the_settings() {
    for function in &FUNCTIONS {
        let template = function.template();
        let mut tried = 0;
        for (variable, parameter) in direct(&template) {
            for word in &parameter.words {
                assert!(
                    function.read(&[(variable, word)]).is_ok(),
                    "{variable}={word}"
                );
            }
            if parameter.words.is_empty() {
                continue;
            }
            // The refusal lists all words there are.
            let refusal = function.read(&[(variable, "?")]).unwrap_err();
            let (_, known) = refusal.split_once("is none of ").expect(&refusal);
            assert_eq!(
                known.split(", ").collect::<Vec<_>>(),
                parameter.words,
                "{variable}"
            );
            tried += 1;
        }
        let [_, _, expected] = function.counts;
        assert_eq!(tried, expected, "words of {}", function.resource);
    }
}

/// A period without a round has no data point, and those never let an alarm go off.
#[test]
fn every_period_of_a_member_s_alarm_has_a_round() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let yaml = Yaml::load_from_str(&text).unwrap().remove(0);
    let periods = &yaml["Mappings"]["MemberAlarmPeriod"]["Seconds"];
    let periods: BTreeMap<i64, i64> = entries(periods)
        .map(|(interval, period)| (interval.parse().unwrap(), period.as_integer().unwrap()))
        .collect();
    let template = FUNCTIONS[0].template();
    let (low, high) = template.parameters["ProbeIntervalSeconds"].range.unwrap();
    for interval in low..=high {
        let period = periods[&interval];
        // CloudWatch's periods for metrics of high resolution.
        assert!([10, 30, 60].contains(&period), "{interval}: {period}");
        assert!(period >= interval && (period == 10 || period < 3 * interval));
    }
}

#[test]
fn the_template_refuses_its_own_examples() {
    // Without defaults `sam build` could not expand the loops over them.
    let template = FUNCTIONS[0].template();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    for list in ["Members", "WorkBuckets"] {
        let default = template.parameters[list].default.clone().unwrap();
        let (first, _) = default.split_once(',').unwrap();
        let rule = format!("\"Fn::Contains\": [!Ref {list}, {first}]");
        assert!(text.contains(&rule), "{rule}");
    }
}

#[test]
fn every_parameter_is_used_shown_and_grouped() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let yaml = Yaml::load_from_str(&text).unwrap().remove(0);
    let (_, resources) = text.split_once("\nConditions:").unwrap();
    let groups = &yaml["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let grouped: Vec<String> = groups
        .as_sequence()
        .unwrap()
        .iter()
        .flat_map(|group| group["Parameters"].as_sequence().unwrap())
        .map(plain)
        .collect();
    let parameters: BTreeSet<String> = entries(&yaml["Parameters"]).map(|(name, _)| name).collect();
    assert_eq!(grouped.len(), parameters.len(), "one is grouped twice");
    assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), parameters);
    for parameter in &parameters {
        assert!(
            resources.contains(&format!("Ref {parameter}"))
                || resources.contains(&format!("${{{parameter}}}")),
            "{parameter} is not used"
        );
        let description = yaml["Parameters"][parameter.as_str()]["Description"].as_str();
        assert!(
            description.is_some_and(|text| !text.is_empty()),
            "{parameter}"
        );
    }
}
