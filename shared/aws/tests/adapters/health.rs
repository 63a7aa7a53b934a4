//! What only the health check asks: metrics of pairs, heartbeats, a store in another Region.

use ciborium::{Value, cbor};
use sentinel_aws::heartbeat::Heartbeat;
use sentinel_aws::pairs::PairReader;
use sentinel_aws::store::Store;
use sentinel_core::evidence::PairMetrics;

use crate::wire::{Reply, Request, World, answer_with, error};

const MRAP: &str = "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap";

fn reply(value: &Value) -> Reply {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).unwrap();
    let headers = [
        ("smithy-protocol", "rpc-v2-cbor"),
        ("content-type", "application/cbor"),
    ];
    answer_with(200, &headers, body)
}

/// Seconds since 1970 under tag 1.
fn time(text: &str) -> Value {
    let at: jiff::Timestamp = text.parse().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    let seconds = at.as_second() as f64;
    Value::Tag(1, Box::new(Value::Float(seconds)))
}

fn list(rules: &[&str]) -> Value {
    let metrics: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let id = (*rule).to_owned();
            cbor!({"Dimensions" => [
                {"Name" => "SourceBucket", "Value" => "app-use1"},
                {"Name" => "DestinationBucket", "Value" => "app-euw1"},
                {"Name" => "RuleId", "Value" => id},
            ]})
            .unwrap()
        })
        .collect();
    cbor!({"Metrics" => metrics}).unwrap()
}

fn series(id: &str, points: &[(&str, f64)]) -> Value {
    let times: Vec<Value> = points.iter().map(|(at, _)| time(at)).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    cbor!({"Id" => id, "Timestamps" => times, "Values" => values}).unwrap()
}

fn is_list(request: &Request) -> bool {
    request.path().ends_with("ListMetrics")
}

/// Of the pair from us-east-1 to eu-west-1.
async fn read(world: &World) -> (PairMetrics, Vec<String>) {
    let (source, target) = (
        "app-use1@us-east-1".parse().unwrap(),
        "app-euw1@eu-west-1".parse().unwrap(),
    );
    let (metrics, errors) = PairReader::new(world.edge())
        .read(&source, &target, world.at(0), world.at(9_000))
        .await;
    (metrics, errors.iter().map(ToString::to_string).collect())
}

#[tokio::test(start_paused = true)]
async fn each_half_of_a_pair_is_asked_where_it_is_told() {
    let (early, late) = ("2026-11-20T16:57:00Z", "2026-11-20T16:58:00Z");
    let there = cbor!({"MetricDataResults" => [
        series("m0r0", &[(late, 5.0), (early, 9.0)]),
        series("m1r0", &[(late, 500.0)]),
        series("m2r0", &[(late, 12.0)]),
        series("m0r1", &[(early, 2.0)]),
        series("m1r1", &[]),
        series("m2r1", &[(early, 40.0)]),
    ]})
    .unwrap();
    let here =
        cbor!({"MetricDataResults" => [series("m0r0", &[(late, 1.0), (early, 3.0)])]}).unwrap();
    let world = World::new(
        move |request: &Request| match (request.region(), is_list(request)) {
            ("eu-west-1", true) => reply(&list(&["r1", "r2"])),
            ("eu-west-1", false) => reply(&there),
            ("us-east-1", true) => reply(&list(&["r1"])),
            ("us-east-1", false) => reply(&here),
            (other, _) => panic!("asked in {other}"),
        },
    );
    let (metrics, errors) = read(&world).await;
    assert_eq!(errors, [""; 0]);
    let expected = PairMetrics {
        pending_operations: Some(7),
        pending_bytes: Some(500),
        latency_seconds: Some(40),
        failed_operations: Some(4),
        at: Some(early.parse().unwrap()),
    };
    assert_eq!(metrics, expected);
}

#[tokio::test(start_paused = true)]
async fn one_half_is_told_although_the_other_region_hangs() {
    let data = cbor!({"MetricDataResults" => [series("m0r0", &[("2026-11-20T16:58:00Z", 5.0)])]});
    let data = data.unwrap();
    let world = World::new(move |request: &Request| match request.region() {
        "us-east-1" => Reply::Hang,
        _ if is_list(request) => reply(&list(&["r1"])),
        _ => reply(&data),
    });
    let (metrics, errors) = read(&world).await;
    assert_eq!(metrics.pending_operations, Some(5));
    assert_eq!(metrics.failed_operations, None);
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].contains("app-use1 could not be read in us-east-1"),
        "{}",
        errors[0]
    );
    assert!(world.elapsed() <= 9_000);
}

#[tokio::test(start_paused = true)]
async fn without_metrics_a_pair_is_unknown_not_zero() {
    let world = World::new(|_| reply(&list(&[])));
    assert_eq!(read(&world).await, (PairMetrics::default(), Vec::new()));
    assert_eq!(world.requests().len(), 2, "nothing is asked about no rule");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_goes_to_another_region() {
    let world = World::new(|_| reply(&cbor!({}).unwrap()));
    let heartbeat = Heartbeat::new(
        world.edge(),
        MRAP.parse().unwrap(),
        "us-west-2".parse().unwrap(),
    );
    heartbeat.beat(world.at(8_000)).await.unwrap();
    let requests = world.requests();
    let [request] = &requests[..] else {
        panic!("one request")
    };
    assert_eq!(request.region(), "us-west-2");
    assert!(request.path().ends_with("PutMetricData"), "{}", request.uri);
    let text = &request.body;
    for part in [
        "MrapSentinel",
        "Heartbeat",
        "mfzwi23gnjvgw.mrap",
        "StorageResolution",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_writes_into_the_control_region_and_asks_its_own() {
    let world = World::new(|request: &Request| match request.region() {
        "us-east-2" => error(404, "NoSuchKey"),
        _ => Reply::Hang,
    });
    let store = Store::in_region(
        world.edge(),
        "us-east-2".parse().unwrap(),
        "sentinel-state".parse().unwrap(),
    );
    let found = store
        .load_optional::<serde_json::Value>("evidence-witness.json")
        .await;
    assert!(matches!(found, Ok(None)), "{found:?}");
    assert_eq!(world.requests()[0].region(), "us-east-2");
}
