//! What the taskmanager counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use redtrove_engine::Engine;
use redtrove_service::Metrics;
use tokio::sync::watch;

/// Read when somebody asks: the numbers live where they are made.
struct Numbers {
    engine: Engine,
    bus: Option<(watch::Receiver<bool>, Arc<AtomicU64>)>,
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Numbers")
    }
}

/// Registers what `engine`, and the consumer if there is a broker, can say of themselves.
pub fn register(metrics: &Metrics, engine: Engine, bus: Option<(watch::Receiver<bool>, Arc<AtomicU64>)>) {
    metrics.register(|registry| registry.register_collector(Box::new(Numbers { engine, bus })));
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let running = i64::try_from(self.engine.running()).unwrap_or(i64::MAX);
        let gauge = ConstGauge::new(running);
        let help = "Tasks that run here now";
        gauge.encode(encoder.encode_descriptor("tasks_running", help, None, gauge.metric_type())?)?;
        for (name, help, value) in [
            ("orphans", "Things that the provider holds and no row wants", self.engine.seen().orphans()),
            (
                "clusters_unserved",
                "Clusters whose slots are not all served, where the monitor is",
                self.engine.seen().unserved(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        for (name, help, count) in self.engine.counts().list() {
            let counter = ConstCounter::new(count);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let Some((connected, dead_letters)) = &self.bus else { return Ok(()) };
        let gauge = ConstGauge::new(i64::from(*connected.borrow()));
        let help = "1 while messages can come in, 0 while the broker is away";
        gauge.encode(encoder.encode_descriptor("bus_connected", help, None, gauge.metric_type())?)?;
        let counter = ConstCounter::new(dead_letters.load(Ordering::Relaxed));
        let help = "Messages that were put aside as dead letters";
        counter.encode(encoder.encode_descriptor("bus_dead_letters", help, None, MetricType::Counter)?)
    }
}
