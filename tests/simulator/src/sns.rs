//! SNS: topics and what was published to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::SimTime;
use crate::call::Call;
use crate::config::WorldConfig;
use crate::log::sha256_hex;
use crate::truth::Published;
use crate::wire::query;
use crate::wire::xml::Writer;
use crate::wire::{Answer, ServiceError};

/// SNS's limit for message and attributes together.
const MAX_BYTES: usize = 262_144;

/// All topics of the account.
#[derive(Debug)]
pub(crate) struct Topics {
    account: String,
    arns: BTreeSet<String>,
    /// Protocol, endpoint, and whether it was confirmed, by topic.
    subscriptions: BTreeMap<String, Vec<(String, String, bool)>>,
    published: Vec<Published>,
}

impl Topics {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        let arns: BTreeSet<String> = config
            .topics
            .iter()
            .map(|topic| config.topic_arn(&topic.region, &topic.name))
            .collect();
        let somebody = ("email".to_owned(), "sre@example.com".to_owned(), true);
        Self {
            account: config.account.clone(),
            subscriptions: arns
                .iter()
                .map(|arn| (arn.clone(), vec![somebody.clone()]))
                .collect(),
            arns,
            published: Vec::new(),
        }
    }

    pub(crate) fn published(&self) -> &[Published] {
        &self.published
    }

    pub(crate) fn arns(&self) -> &BTreeSet<String> {
        &self.arns
    }

    pub(crate) fn subscribe(&mut self, topic: &str, subscriptions: &[(&str, &str, bool)]) {
        let owned = subscriptions.iter().map(|(protocol, endpoint, confirmed)| {
            ((*protocol).to_owned(), (*endpoint).to_owned(), *confirmed)
        });
        self.subscriptions.insert(topic.to_owned(), owned.collect());
    }

    /// Everybody who subscribes to a topic, on one page.
    fn list(
        &self,
        form: &BTreeMap<String, String>,
        call: &Call,
        seq: u64,
    ) -> Result<Answer, ServiceError> {
        let topic = self.topic(form, &call.region)?;
        let mut xml = Writer::new();
        let root =
            "ListSubscriptionsByTopicResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"";
        xml.element(root, |w| {
            w.element("ListSubscriptionsByTopicResult", |w| {
                w.element("Subscriptions", |w| {
                    for (protocol, endpoint, confirmed) in
                        self.subscriptions.get(&topic).into_iter().flatten()
                    {
                        let arn = if *confirmed {
                            format!("{topic}:{}", uuid(&format!("{topic} {endpoint}")))
                        } else {
                            "PendingConfirmation".to_owned()
                        };
                        w.element("member", |w| {
                            w.text("TopicArn", &topic);
                            w.text("Protocol", protocol);
                            w.text("SubscriptionArn", arn);
                            w.text("Owner", &self.account);
                            w.text("Endpoint", endpoint);
                        });
                    }
                });
            });
            w.element("ResponseMetadata", |w| {
                w.text("RequestId", format!("{seq:016x}"));
            });
        });
        Ok(Answer::new(200)
            .header("content-type", "text/xml")
            .body(xml.finish()))
    }

    pub(crate) fn handle(
        &mut self,
        call: &Call,
        client: &str,
        seq: u64,
        at: SimTime,
    ) -> Result<Answer, ServiceError> {
        if call.operation == "ListSubscriptionsByTopic" {
            let form = query::parse(std::str::from_utf8(&call.body).unwrap_or_default());
            return self.list(&form, call, seq);
        }
        if call.operation != "Publish" {
            let message = format!("The action {} is not valid", call.operation);
            return Err(ServiceError::new(400, "InvalidAction", message));
        }
        let form = query::parse(std::str::from_utf8(&call.body).unwrap_or_default());
        let topic_arn = self.topic(&form, &call.region)?;
        let message = form.get("Message").map_or("", String::as_str);
        let subject = form.get("Subject").cloned();
        if let Some(subject) = &subject {
            check_subject(subject)?;
        }
        let json_structure = match form.get("MessageStructure").map(String::as_str) {
            Some("json") => true,
            None => false,
            Some(_) => return Err(invalid("MessageStructure")),
        };
        check_message(message, json_structure)?;
        let attributes = attributes(&form)?;
        let size: usize = attributes.iter().map(|(k, v)| k.len() + v.len()).sum();
        if message.len() + size > MAX_BYTES {
            return Err(invalid("Message too long"));
        }
        let message_id = uuid(&format!("sns-{seq}"));
        self.published.push(Published {
            at,
            client: client.to_owned(),
            seq,
            topic_arn,
            message_id: message_id.clone(),
            subject,
            message: message.to_owned(),
            json_structure,
            attributes,
        });
        let mut xml = Writer::new();
        let root = "PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"";
        xml.element(root, |w| {
            w.element("PublishResult", |w| w.text("MessageId", &message_id));
            w.element("ResponseMetadata", |w| {
                w.text("RequestId", format!("{seq:016x}"));
            });
        });
        Ok(Answer::new(200)
            .header("content-type", "text/xml")
            .body(xml.finish()))
    }

    fn topic(&self, form: &BTreeMap<String, String>, region: &str) -> Result<String, ServiceError> {
        let arn = form.get("TopicArn").ok_or_else(|| invalid("TopicArn"))?;
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", "aws", "sns", topic_region, account, name] = parts.as_slice() else {
            return Err(invalid("TopicArn"));
        };
        if *topic_region != region || name.is_empty() {
            return Err(invalid("TopicArn"));
        }
        if *account != self.account {
            let message = format!("not authorized to perform: SNS:Publish on resource: {arn}");
            return Err(ServiceError::new(403, "AuthorizationError", message));
        }
        if !self.arns.contains(arn) {
            return Err(ServiceError::new(404, "NotFound", "Topic does not exist"));
        }
        Ok(arn.clone())
    }
}

/// At most 100 printable ASCII characters that start with a letter, number or punctuation mark.
fn check_subject(subject: &str) -> Result<(), ServiceError> {
    let printable = subject.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let starts_well = subject
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_graphic());
    if printable && starts_well && subject.len() <= 100 {
        Ok(())
    } else {
        Err(invalid("Subject"))
    }
}

fn check_message(message: &str, json_structure: bool) -> Result<(), ServiceError> {
    if message.is_empty() {
        return Err(invalid("Empty message"));
    }
    if !json_structure {
        return Ok(());
    }
    let parsed: serde_json::Value = serde_json::from_str(message)
        .map_err(|_| invalid("Message Structure - JSON message body failed to parse"))?;
    match parsed.get("default") {
        Some(serde_json::Value::String(_)) => Ok(()),
        _ => Err(invalid(
            "Message Structure - No default entry in JSON message body",
        )),
    }
}

fn attributes(form: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut found = BTreeMap::new();
    for number in 1.. {
        let prefix = format!("MessageAttributes.entry.{number}");
        let Some(name) = form.get(&format!("{prefix}.Name")) else {
            break;
        };
        let value = form
            .get(&format!("{prefix}.Value.StringValue"))
            .or_else(|| form.get(&format!("{prefix}.Value.BinaryValue")))
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                let message =
                    format!("The message attribute '{name}' must contain a non-empty value.");
                ServiceError::new(400, "ParameterValueInvalid", message)
            })?;
        if !form.contains_key(&format!("{prefix}.Value.DataType")) {
            return Err(invalid("MessageAttributes"));
        }
        found.insert(name.clone(), value.clone());
    }
    Ok(found)
}

fn invalid(what: &str) -> ServiceError {
    ServiceError::new(
        400,
        "InvalidParameter",
        format!("Invalid parameter: {what}"),
    )
}

/// A UUID that follows from a text.
pub(crate) fn uuid(text: &str) -> String {
    let hash = sha256_hex(text.as_bytes());
    format!(
        "{}-{}-4{}-8{}-{}",
        &hash[..8],
        &hash[8..12],
        &hash[13..16],
        &hash[17..20],
        &hash[20..32]
    )
}

/// An SNS error document.
pub(crate) fn render_error(error: &ServiceError, request_id: &str) -> Answer {
    let kind = if error.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    let mut xml = Writer::new();
    xml.element(
        "ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"",
        |w| {
            w.element("Error", |w| {
                w.text("Type", kind);
                w.text("Code", &error.code);
                w.text("Message", &error.message);
            });
            w.text("RequestId", request_id);
        },
    );
    let mut answer = Answer::new(error.status)
        .header("content-type", "text/xml")
        .body(xml.finish());
    answer.error = Some(error.code.clone());
    answer
}
