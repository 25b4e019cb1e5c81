//! How the service is, told to the edges that answer those who watch it, and to no others.

use super::*;
use crate::ipc::admin::load::Obstacle;
use crate::ipc::figures::{Ailment, Figures, Parts};

impl Running {
    fn http_edge(&mut self, zone: &str) -> Edge {
        let (ours, theirs) = stream();
        let instance = self.introduce(Talk::Session, End::Answers, Role::EdgeHttp, zone, theirs);
        let (asks, answers) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Edge { instance, asks, answers }
    }
}

impl Edge {
    /// What it is told next of how the service is.
    async fn figures(&mut self) -> Figures {
        let mut parts = Parts::default();
        loop {
            match self.answer().await {
                Answer::Figures { part, first, last } => match parts.add(&part, (first, last)) {
                    Some(figures) => return figures.unwrap(),
                    None => continue,
                },
                other => panic!("{other:?}"),
            }
        }
    }

    async fn await_figures(&mut self, holds: impl Fn(&Figures) -> bool) {
        while !holds(&self.figures().await) {}
    }
}

#[test]
fn rule_o1_readiness_is_told_by_itself_to_the_edges_that_serve_it_and_to_no_others() {
    let mut bench = Bench::new();
    bench.slice.ops_zones = vec!["inside".into()];
    let mut running = bench.run();
    test(async {
        let mut watched = running.http_edge("inside");
        let mut others = [running.http_edge("main"), running.edge()];
        watched.await_figures(|figures| figures.obstacles.is_empty()).await;
        // Nobody carries anything to the upstream.
        watched.await_figures(|figures| figures.ailments == [Ailment::Upstream]).await;
        let _courier = running.courier().await;
        watched.await_figures(|figures| figures.ailments.is_empty() && figures.obstacles.is_empty()).await;
        for other in &mut others {
            assert!(matches!(other.login(&bench, 1).await, Answer::Granted { .. }), "the first that it hears");
        }
        running.parent.send(&Order::Drain, None).unwrap();
        watched.await_figures(|figures| figures.obstacles == [Obstacle::Draining]).await;
    });
    running.end();
}
