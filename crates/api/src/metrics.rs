//! What the API counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use redtrove_service::Metrics;

/// From a lookup in a warm database to a client that hangs, seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: String,
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: &'static str,
}

/// How long Keystone takes to say what it thinks of a token, by how that ends.
#[derive(Debug, Clone)]
pub struct TokenChecks(Family<Verdict, Histogram, fn() -> Histogram>);

impl Default for TokenChecks {
    fn default() -> Self {
        Self(Family::new_with_constructor(|| Histogram::new(BUCKETS)))
    }
}

impl TokenChecks {
    /// Counts one check.
    pub fn count(&self, verdict: &'static str, took: Duration) {
        self.0.get_or_create(&Verdict { verdict }).observe(took.as_secs_f64());
    }
}

/// The API's own metrics, registered with the daemon's.
#[derive(Debug, Clone)]
pub struct ApiMetrics {
    requests: Family<Answer, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    /// Wake-ups that did not reach the broker.
    pub publish_failures: Counter,
    /// Checks of tokens by Keystone; none with static tokens.
    pub token_checks: TokenChecks,
}

impl ApiMetrics {
    /// Registers with `metrics`.
    pub fn register(metrics: &Metrics) -> Self {
        let new: fn() -> Histogram = || Histogram::new(BUCKETS);
        let own = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(new),
            publish_failures: Counter::default(),
            token_checks: TokenChecks::default(),
        };
        metrics.register(|registry| {
            registry.register("api_requests", "Requests answered, by route and status", own.requests.clone());
            registry.register("api_request_seconds", "Time to an answer", own.seconds.clone());
            let help = "Time to Keystone's word about a token that was not remembered";
            registry.register("api_token_check_seconds", help, own.token_checks.0.clone());
            registry.register(
                "api_publish_failures",
                "Wake-ups that did not reach the broker; a sweeper found their tasks instead",
                own.publish_failures.clone(),
            );
        });
        own
    }

    /// Counts one answer. `method` and `route` must come from small sets, never from the client as they are.
    pub fn count(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        self.requests.get_or_create(&Answer { method: method.clone(), route: route.clone(), status }).inc();
        self.seconds.get_or_create(&Route { method, route }).observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_up_under_its_route_and_status() {
        let metrics = Metrics::new("api", "0");
        let own = ApiMetrics::register(&metrics);
        own.count("GET", "/v1.0/{project_id}/clusters", 200, Duration::from_millis(3));
        own.publish_failures.inc();
        own.token_checks.count("good", Duration::from_millis(20));
        let text = metrics.encode().unwrap();
        for line in [
            "redtrove_api_requests_total{method=\"GET\",route=\"/v1.0/{project_id}/clusters\",status=\"200\"} 1",
            "redtrove_api_request_seconds_bucket{le=\"0.005\",method=\"GET\",route=\"/v1.0/{project_id}/clusters\"} 1",
            "redtrove_api_publish_failures_total 1",
            "redtrove_api_token_check_seconds_count{verdict=\"good\"} 1",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
