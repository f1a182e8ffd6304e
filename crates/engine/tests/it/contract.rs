//! The simulated database keeps the contract of the real ones, or the simulation would prove nothing.

use redtrove_engine::sim::Sim;
use redtrove_store::contract::{Bed, cases};

async fn keeps(name: &str) {
    let sim = Sim::new(1);
    let (store, second) = (sim.observer().store, sim.observer().store);
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    (case.run)(Bed::new(store, second).await).await;
}

macro_rules! tests {
    ($($topic:ident::$case:ident),+ $(,)?) => {
        $(#[tokio::test(start_paused = true)]
        async fn $case() {
            keeps(concat!(stringify!($topic), "::", stringify!($case))).await;
        })+
    };
}
redtrove_store::for_each_case!(tests);
