//! Random operations never break the laws of S3.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use aws_sdk_s3::Client;
use common::{AWAY, HOME, config, refusal, s3, secs, start};
use proptest::prelude::*;
use simulator::truth::WriteKind;
use simulator::{Outage, Simulator};

const KEYS: u8 = 4;

/// One step of a client.
#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, body: u8 },
    PutIfAbsent { key: u8, body: u8 },
    PutIfKnown { key: u8, body: u8 },
    Delete { key: u8 },
    Race { key: u8 },
    Outage { away: bool },
    Wait { seconds: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        3 => (key.clone(), any::<u8>()).prop_map(|(key, body)| Step::Put { key, body }),
        2 => (key.clone(), any::<u8>()).prop_map(|(key, body)| Step::PutIfAbsent { key, body }),
        2 => (key.clone(), any::<u8>()).prop_map(|(key, body)| Step::PutIfKnown { key, body }),
        1 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => key.prop_map(|key| Step::Race { key }),
        1 => any::<bool>().prop_map(|away| Step::Outage { away }),
        1 => (0..60_u8).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// A client, its rival, and what the client knows: content and `ETag` per key.
struct Bench {
    sim: Simulator,
    client: Client,
    rival: Client,
    model: BTreeMap<String, (Vec<u8>, String)>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let sim = start(config(seed));
        Self {
            client: s3(&sim, "app", "us-east-1"),
            rival: s3(&sim, "rival", "us-east-1"),
            sim,
            model: BTreeMap::new(),
        }
    }

    async fn step(&mut self, round: usize, step: Step) {
        match step {
            Step::Put { key, body } => self.put(name(key), vec![body]).await,
            Step::PutIfAbsent { key, body } => self.put_if_absent(name(key), vec![body]).await,
            Step::PutIfKnown { key, body } => self.put_if_known(name(key), vec![body]).await,
            Step::Delete { key } => {
                let delete = self.client.delete_object().bucket(HOME).key(name(key));
                if delete.send().await.is_ok() {
                    self.model.remove(&name(key));
                }
            }
            Step::Race { key } => Box::pin(self.race(name(key), round)).await,
            Step::Outage { away } => {
                let region = if away { "eu-west-1" } else { "us-east-1" };
                self.sim
                    .with(|w| w.region_down(Outage::refuse(region, w.now(), secs(20))));
            }
            Step::Wait { seconds } => self.sim.sleep(secs(seconds.into())).await,
        }
    }

    async fn put(&mut self, key: String, body: Vec<u8>) {
        let put = self.client.put_object().bucket(HOME).key(&key);
        match put.body(body.clone().into()).send().await {
            Ok(done) => {
                self.model.insert(key, (body, done.e_tag.unwrap()));
            }
            Err(error) => assert!(error.as_service_error().is_none(), "{error:?}"),
        }
    }

    async fn put_if_absent(&mut self, key: String, body: Vec<u8>) {
        let put = self.client.put_object().bucket(HOME).key(&key);
        let put = put.body(body.clone().into()).if_none_match("*");
        let known = self.model.contains_key(&key);
        match put.send().await {
            Ok(done) => {
                assert!(!known);
                self.model.insert(key, (body, done.e_tag.unwrap()));
            }
            Err(error) => {
                let status = refusal::<(), _>(Err(error)).0;
                assert!(status == 0 || (status == 412 && known), "{status}");
            }
        }
    }

    async fn put_if_known(&mut self, key: String, body: Vec<u8>) {
        let known = self.model.get(&key).map(|(_, tag)| tag.clone());
        let put = self.client.put_object().bucket(HOME).key(&key);
        let put = put.if_match(known.as_deref().unwrap_or("\"none\""));
        match put.body(body.clone().into()).send().await {
            Ok(done) => {
                assert!(known.is_some());
                self.model.insert(key, (body, done.e_tag.unwrap()));
            }
            Err(error) => {
                let status = refusal::<(), _>(Err(error)).0;
                assert!(
                    status == 0 || (status == 404 && known.is_none()),
                    "{status}"
                );
            }
        }
    }

    /// Two clients replace the same version at once.
    async fn race(&mut self, key: String, round: usize) {
        let Some((_, tag)) = self.model.get(&key).cloned() else {
            return;
        };
        // New content each time: with equal content the tag would stay good for both.
        let content = |body: u8| format!("{body} in round {round}").into_bytes();
        let write = |client: &Client, body: u8| {
            let put = client.put_object().bucket(HOME).key(&key).if_match(&tag);
            put.body(content(body).into()).send()
        };
        let (one, two) = tokio::join!(write(&self.client, 1), write(&self.rival, 2));
        let winners = usize::from(one.is_ok()) + usize::from(two.is_ok());
        let reachable = self.sim.with(|w| w.is_region_up("us-east-1"));
        assert_eq!(winners, usize::from(reachable), "exactly one winner");
        let body = if one.is_ok() { 1 } else { 2 };
        if let Ok(done) = one.or(two) {
            self.model.insert(key, (content(body), done.e_tag.unwrap()));
        }
    }

    fn check_reads(&self) {
        for number in 0..KEYS {
            let key = name(number);
            let stored = self
                .sim
                .with(|w| w.object(HOME, &key).map(|object| object.body.to_vec()));
            let expected = self.model.get(&key).map(|(body, _)| body.clone());
            assert_eq!(stored, expected, "read your writes: {key}");
        }
    }

    /// Every version arrives once all is well.
    async fn check_replicas(&self) {
        self.sim.sleep(secs(200)).await;
        self.sim.with(|w| {
            let puts = w
                .writes()
                .iter()
                .filter(|write| write.kind == WriteKind::Put);
            for write in puts {
                let copies = w.versions(AWAY, &write.key);
                let copy = copies
                    .iter()
                    .find(|copy| *copy.version_id == *write.version_id);
                assert_eq!(*copy.unwrap().etag, *write.etag);
            }
            assert_eq!(w.pending_replication(HOME, AWAY), 0);
        });
    }
}

fn name(key: u8) -> String {
    format!("k{key}")
}

async fn check(seed: u64, steps: Vec<Step>) {
    let mut bench = Bench::new(seed);
    for (round, step) in steps.into_iter().enumerate() {
        Box::pin(bench.step(round, step)).await;
        bench.check_reads();
    }
    bench.check_replicas().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_keep_the_laws(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(check(seed, steps));
    }
}
