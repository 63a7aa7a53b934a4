//! Random operations never break the laws of S3.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{AWAY, HOME, config, refusal, s3, secs, start};
use proptest::prelude::*;
use simulator::Outage;

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
    let key = 0..4_u8;
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

/// What the client knows: content and `ETag` per key.
type Model = BTreeMap<String, (Vec<u8>, String)>;

async fn check(seed: u64, steps: Vec<Step>) {
    let sim = start(config(seed));
    let client = s3(&sim, "app", "us-east-1");
    let rival = s3(&sim, "rival", "us-east-1");
    let mut model = Model::new();
    for (round, step) in steps.into_iter().enumerate() {
        let key = |key: u8| format!("k{key}");
        match step {
            Step::Put { key: k, body } => {
                let put = client
                    .put_object()
                    .bucket(HOME)
                    .key(key(k))
                    .body(vec![body].into());
                match put.send().await {
                    Ok(done) => {
                        model.insert(key(k), (vec![body], done.e_tag.unwrap()));
                    }
                    Err(error) => assert!(error.as_service_error().is_none(), "{error:?}"),
                }
            }
            Step::PutIfAbsent { key: k, body } => {
                let put = client
                    .put_object()
                    .bucket(HOME)
                    .key(key(k))
                    .body(vec![body].into());
                let result = put.if_none_match("*").send().await;
                if let Ok(done) = &result {
                    assert!(!model.contains_key(&key(k)));
                    model.insert(key(k), (vec![body], done.e_tag.clone().unwrap()));
                } else {
                    let status = refusal(result).0;
                    assert!(status == 0 || (status == 412) == model.contains_key(&key(k)));
                }
            }
            Step::PutIfKnown { key: k, body } => {
                let tag = model
                    .get(&key(k))
                    .map_or("\"none\"".to_owned(), |(_, tag)| tag.clone());
                let put = client
                    .put_object()
                    .bucket(HOME)
                    .key(key(k))
                    .body(vec![body].into());
                let result = put.if_match(tag).send().await;
                if let Ok(done) = &result {
                    assert!(model.contains_key(&key(k)));
                    model.insert(key(k), (vec![body], done.e_tag.clone().unwrap()));
                } else {
                    let status = refusal(result).0;
                    assert!(status == 0 || (status == 404 && !model.contains_key(&key(k))));
                }
            }
            Step::Delete { key: k } => {
                let delete = client.delete_object().bucket(HOME).key(key(k));
                if delete.send().await.is_ok() {
                    model.remove(&key(k));
                }
            }
            Step::Race { key: k } => {
                let Some((_, tag)) = model.get(&key(k)).cloned() else {
                    continue;
                };
                // New content each time: with equal content the tag would stay good for both.
                let content = |body: u8| format!("{body} in round {round}").into_bytes();
                let write = |client: &aws_sdk_s3::Client, body: u8| {
                    let put = client.put_object().bucket(HOME).key(key(k)).if_match(&tag);
                    put.body(content(body).into()).send()
                };
                let (one, two) = tokio::join!(write(&client, 1), write(&rival, 2));
                let winners = [one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count();
                let reachable = sim.with(|w| w.is_region_up("us-east-1"));
                assert_eq!(winners, usize::from(reachable), "exactly one winner");
                let body = if one.is_ok() { 1 } else { 2 };
                if let Ok(done) = one.or(two) {
                    model.insert(key(k), (content(body), done.e_tag.unwrap()));
                }
            }
            Step::Outage { away } => {
                let region = if away { "eu-west-1" } else { "us-east-1" };
                sim.with(|w| w.region_down(Outage::refuse(region, w.now(), secs(20))));
            }
            Step::Wait { seconds } => sim.sleep(secs(seconds.into())).await,
        }
        let known = |key: &String| sim.with(|w| w.object(HOME, key).map(|o| o.body.to_vec()));
        for number in 0..4 {
            let key = format!("k{number}");
            assert_eq!(
                known(&key),
                model.get(&key).map(|(body, _)| body.clone()),
                "read your writes"
            );
        }
    }
    sim.sleep(secs(200)).await;
    sim.with(|w| {
        let home: Vec<_> = w.writes().iter().filter(|x| !x.etag.is_empty()).collect();
        for write in home {
            let copies = w.versions(AWAY, &write.key);
            let copy = copies
                .iter()
                .find(|copy| copy.version_id == write.version_id);
            assert_eq!(
                copy.unwrap().etag,
                write.etag,
                "every version arrives once all is well"
            );
        }
        assert_eq!(w.pending_replication(HOME, AWAY), 0);
    });
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
