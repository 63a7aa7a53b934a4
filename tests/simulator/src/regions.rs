//! The AWS Regions that the world knows: display names (SNS alarm messages carry them) and
//! rough places, from which distances and latencies follow.

/// One AWS Region.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) code: &'static str,
    /// As CloudWatch prints it in SNS alarm messages.
    pub(crate) display: &'static str,
    latitude: f64,
    longitude: f64,
}

const fn place(code: &'static str, display: &'static str, latitude: f64, longitude: f64) -> Place {
    Place {
        code,
        display,
        latitude,
        longitude,
    }
}

static PLACES: &[Place] = &[
    place("af-south-1", "Africa (Cape Town)", -33.9, 18.4),
    place("ap-east-1", "Asia Pacific (Hong Kong)", 22.3, 114.2),
    place("ap-northeast-1", "Asia Pacific (Tokyo)", 35.7, 139.7),
    place("ap-northeast-2", "Asia Pacific (Seoul)", 37.6, 127.0),
    place("ap-northeast-3", "Asia Pacific (Osaka)", 34.7, 135.5),
    place("ap-south-1", "Asia Pacific (Mumbai)", 19.1, 72.9),
    place("ap-southeast-1", "Asia Pacific (Singapore)", 1.3, 103.8),
    place("ap-southeast-2", "Asia Pacific (Sydney)", -33.9, 151.2),
    place("ap-southeast-3", "Asia Pacific (Jakarta)", -6.2, 106.8),
    place("ca-central-1", "Canada (Central)", 45.5, -73.6),
    place("eu-central-1", "EU (Frankfurt)", 50.1, 8.7),
    place("eu-north-1", "EU (Stockholm)", 59.3, 18.1),
    place("eu-south-1", "EU (Milan)", 45.5, 9.2),
    place("eu-west-1", "EU (Ireland)", 53.3, -6.3),
    place("eu-west-2", "EU (London)", 51.5, -0.1),
    place("eu-west-3", "EU (Paris)", 48.9, 2.4),
    place("me-south-1", "Middle East (Bahrain)", 26.1, 50.6),
    place("sa-east-1", "South America (Sao Paulo)", -23.6, -46.6),
    place("us-east-1", "US East (N. Virginia)", 38.9, -77.4),
    place("us-east-2", "US East (Ohio)", 40.0, -83.0),
    place("us-west-1", "US West (N. California)", 37.4, -121.9),
    place("us-west-2", "US West (Oregon)", 45.8, -119.7),
];

fn find(code: &str) -> Option<&'static Place> {
    PLACES.iter().find(|place| place.code == code)
}

/// The display name of a Region, its code if unknown.
pub(crate) fn display_name(code: &str) -> &str {
    find(code).map_or(code, |place| place.display)
}

/// Kilometres between two Regions; a far-away constant for unknown ones.
fn kilometres(a: &str, b: &str) -> f64 {
    if a == b {
        return 0.0;
    }
    let (Some(a), Some(b)) = (find(a), find(b)) else {
        return 8000.0;
    };
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_lon = (b.longitude - a.longitude).to_radians() / 2.0;
    let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    12742.0 * h.sqrt().min(1.0).asin()
}

/// Round-trip time in milliseconds between two Regions: 2 ms at home, else distance over the
/// speed of light in glass with the usual detour.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few hundred milliseconds"
)]
pub(crate) fn round_trip_millis(a: &str, b: &str) -> u64 {
    2 + (kilometres(a, b) / 70.0) as u64
}
