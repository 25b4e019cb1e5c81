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

#[test]
fn rule_o3_an_edge_counts_at_listeners_of_its_kind_that_there_are() {
    use crate::ipc::counted::{Api, Count, Counted, Met, Status};
    use crate::ipc::figures::family::{Spread, Value};
    use crate::ipc::figures::metric::Metric;

    let mut bench = Bench::new();
    bench.slice.ops_zones = vec!["inside".into()];
    let [smtp, http] = [("smtp", Protocol::Smtp), ("http", Protocol::Http)].map(|(name, protocol)| {
        let mut listener = bench.slice.listeners[0].clone();
        (listener.name, listener.protocol) = (name.into(), protocol);
        listener
    });
    bench.slice.listeners.extend([smtp, http]);
    let mut running = bench.run();
    test(async {
        let mut watched = running.http_edge("inside");
        let counts = vec![(Count::Connection(Met::Begun), 3), (Count::Answered(Api::V1, Status::of(202)), 5)];
        // Buckets that are not ours say nothing.
        let took = vec![(Api::V1, Spread { counts: vec![9; 3], sum: 9 })];
        let bodies = vec![(Api::V1, Spread { counts: vec![1; 10], sum: 9000 }), took[0].clone()];
        for listener in ["http", "smtp", "elsewhere", "http"] {
            let counted = Counted {
                listener: listener.into(),
                open: 2,
                under_way: 1,
                counts: counts.clone(),
                took: took.clone(),
                bodies: bodies.clone(),
            };
            watched.asks.send(Ask::Counted(Box::new(counted))).await.unwrap();
        }
        let number = |figures: &Figures, metric: Metric, labels: &[&str]| {
            let family = figures.families.iter().find(|family| family.metric == metric).unwrap();
            let value = family.series.iter().find(|series| series.labels == labels).map(|series| series.value.clone());
            if let Some(Value::Number(number)) = value { Some(number) } else { None }
        };
        watched.await_figures(|figures| number(figures, Metric::ConnectionsOpen, &["http"]) == Some(2)).await;
        let figures = watched.figures().await;
        let begun = |listener| number(&figures, Metric::Connections, &[listener, "begun"]);
        assert_eq!((begun("http"), begun("smtp"), begun("elsewhere")), (Some(6), Some(0), None));
        assert_eq!(number(&figures, Metric::HttpRequests, &["v1", "202"]), Some(10));
        assert_eq!(number(&figures, Metric::HttpInFlight, &[]), Some(1));
        let family = figures.families.iter().find(|family| family.metric == Metric::HttpDuration).unwrap();
        assert!(family.series.iter().all(|series| series.value == Value::none(Metric::HttpDuration)));

        let body = |figures: &Figures, api: &str| {
            let family = figures.families.iter().find(|family| family.metric == Metric::HttpBody).unwrap();
            family.series.iter().find(|series| series.labels == [api]).unwrap().value.clone()
        };
        assert_eq!(body(&figures, "v1"), Value::Spread(Spread { counts: vec![2; 10], sum: 18_000 }));

        // What no edge counts in two seconds neither stops a counter nor the vault; and one of SMTP counts nothing of HTTP.
        let all = |listener: &str| {
            let answered = (Count::Answered(Api::Send, Status::of(503)), u64::MAX);
            let most = vec![answered, (Count::Fell, u64::MAX), (Count::Fell, u64::MAX)];
            let took = vec![(Api::Send, Spread { counts: vec![u64::MAX; 14], sum: u64::MAX })];
            let bodies = vec![(Api::Send, Spread { counts: vec![u64::MAX; 10], sum: u64::MAX })];
            let (open, under_way) = (u64::MAX, u64::MAX);
            let counted = Counted { listener: listener.into(), open, under_way, counts: most, took, bodies };
            Ask::Counted(Box::new(counted))
        };
        let (mute, liar) = (running.edge(), running.http_edge("inside"));
        for _ in 0..2 {
            mute.asks.send(all("smtp")).await.unwrap();
            liar.asks.send(all("http")).await.unwrap();
        }
        watched.await_figures(|figures| number(figures, Metric::ConnectionsOpen, &["http"]) > Some(2)).await;
        let figures = watched.figures().await;
        assert_eq!(number(&figures, Metric::ConnectionsOpen, &["http"]), Some(1_000_002));
        assert_eq!(number(&figures, Metric::HttpInFlight, &[]), Some(1_000_001));
        assert_eq!(number(&figures, Metric::HttpRequests, &["send", "503"]), Some(2_000_000));
        assert_eq!(number(&figures, Metric::Panics, &["smtp"]), Some(4_000_000));
        let most = Spread { counts: vec![2_000_000; 10], sum: 2_000_000 << 25 };
        assert_eq!(body(&figures, "send"), Value::Spread(most));
        drop((mute, liar));

        // What it had under way goes with it.
        let mut second = running.http_edge("inside");
        drop(watched);
        second.await_figures(|figures| number(figures, Metric::ConnectionsOpen, &["http"]) == Some(0)).await;
        let figures = second.figures().await;
        assert_eq!(number(&figures, Metric::Connections, &["http", "begun"]), Some(6));
    });
    running.abandon();
}
