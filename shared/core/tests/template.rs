//! `template.yaml` and the settings type say the same: no variable is forgotten on either side,
//! every default is the same, and a value that the template accepts is accepted by the function.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a broken assumption must fail the test"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use saphyr::{LoadableYamlNode, Yaml};
use sentinel_core::settings::Settings;

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

fn template(function: &str) -> Template {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");
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

/// What only a deployment can tell.
const DEPLOYED: [(&str, &str); 4] = [
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
];

fn read(more: &[(&str, &str)]) -> Result<Settings, String> {
    let lookup = |name: &str| {
        let mut found = more.iter().chain(&DEPLOYED);
        Some(found.find(|(known, _)| *known == name)?.1.to_owned())
    };
    Settings::from_lookup(lookup).map_err(|error| error.to_string())
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
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        let found = DEPLOYED.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    Settings::from_lookup(lookup).unwrap();
    let set: BTreeSet<String> = template("FailoverFunction").variables.into_keys().collect();
    assert_eq!(set, asked.into_inner());
}

#[test]
fn a_parameter_is_named_like_its_variable() {
    let template = template("FailoverFunction");
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

#[test]
fn the_template_s_defaults_are_those_of_the_settings() {
    let template = template("FailoverFunction");
    let defaults: Vec<(&str, &str)> = direct(&template)
        .filter_map(|(variable, parameter)| Some((variable, parameter.default.as_deref()?)))
        .collect();
    assert!(defaults.len() > 20, "{defaults:?}");
    assert_eq!(read(&defaults).unwrap(), read(&[]).unwrap());
}

#[test]
fn the_template_s_limits_are_those_of_the_settings() {
    let template = template("FailoverFunction");
    // Two thresholds limit each other; each is tried with the other out of the way.
    let apart = [
        ("CONTROL_TIMEOUT_MILLIS", "10000"),
        ("HEDGE_DELAY_MILLIS", "10"),
    ];
    let accepts = |variable: &str, value: i64| {
        let value = value.to_string();
        let mut all = vec![(variable, value.as_str())];
        all.extend(apart.iter().filter(|(other, _)| *other != variable));
        read(&all)
    };
    let mut tried = 0;
    for (variable, parameter) in direct(&template) {
        let Some((low, high)) = parameter.range else {
            continue;
        };
        assert!(accepts(variable, low).is_ok(), "{variable}={low}");
        assert!(
            accepts(variable, low - 1).is_err(),
            "{variable}={}",
            low - 1
        );
        assert!(accepts(variable, high).is_ok(), "{variable}={high}");
        assert!(
            accepts(variable, high + 1).is_err(),
            "{variable}={}",
            high + 1
        );
        tried += 1;
    }
    assert_eq!(tried, 17, "thresholds with limits");
}

#[test]
fn the_template_s_words_are_those_of_the_settings() {
    let template = template("FailoverFunction");
    let mut tried = 0;
    for (variable, parameter) in direct(&template) {
        for word in &parameter.words {
            assert!(read(&[(variable, word)]).is_ok(), "{variable}={word}");
        }
        if parameter.words.is_empty() {
            continue;
        }
        // The refusal lists all words there are.
        let refusal = read(&[(variable, "?")]).unwrap_err();
        let (_, known) = refusal.split_once("is none of ").expect(&refusal);
        assert_eq!(
            known.split(", ").collect::<Vec<_>>(),
            parameter.words,
            "{variable}"
        );
        tried += 1;
    }
    assert_eq!(tried, 3, "MODE, FAILBACK and TOPOLOGY");
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
