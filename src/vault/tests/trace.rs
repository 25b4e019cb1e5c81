//! Sessions that operators follow: who is shown which, what an edge may tell, and what the log says of it.

use super::*;
use crate::ipc::admin::trace::{Filter as Wanted, Response as Shown, What};
use crate::ipc::trace::Told;
use crate::vault::trace::OPERATORS;

/// An operator at work.
struct Operator {
    commands: Sender<Request>,
    responses: Receiver<Response>,
}

impl Operator {
    async fn ask(vault: &mut Running, filter: Wanted) -> (Self, Response) {
        let (commands, mut responses) = vault.administrator();
        commands.send(Request { behalf: Some("alice".into()), command: Command::Trace(filter) }).await.unwrap();
        let first = responses.receive().await.unwrap().unwrap();
        (Self { commands, responses }, first)
    }

    async fn begin(vault: &mut Running, filter: Wanted) -> Self {
        let (operator, first) = Self::ask(vault, filter).await;
        assert!(matches!(first, Response::Trace(Shown::Begun)), "{first:?}");
        operator
    }

    async fn next(&mut self) -> Shown {
        let next = tokio::time::timeout(Duration::from_secs(10), self.responses.receive()).await;
        match next.expect("a line in time").unwrap().expect("an open channel") {
            Response::Trace(shown) => shown,
            other => panic!("{other:?}"),
        }
    }

    async fn line(&mut self) -> What {
        match self.next().await {
            Shown::Line { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    /// The next lines are these.
    async fn sees(&mut self, all: &[What]) {
        for expected in all {
            assert_eq!(&self.line().await, expected);
        }
    }
}

fn of(credential: Option<&str>, network: Option<&str>) -> Wanted {
    let (credential, address) = (credential.map(str::to_owned), network.map(|network| network.parse().unwrap()));
    Wanted { credential, address, session: None }
}

fn met(address: &str, listener: &str, credential: Option<&str>) -> What {
    What::Met {
        address: format!("{address}:40000").parse().unwrap(),
        listener: listener.into(),
        credential: credential.map(str::to_owned),
    }
}

fn server(text: &str) -> Told {
    Told::Server(text.into())
}

impl Edge {
    async fn open(&mut self, bench: &Bench, slot: u32, listener: u16, peer: &str) -> bool {
        let capsule = bench.capsule(self.instance, listener, peer);
        match self.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await {
            Answer::Opened { traced, .. } => traced,
            other => panic!("{other:?}"),
        }
    }

    async fn tell(&self, slot: u32, told: Told) {
        self.asks.send(Ask::Told { slot: Slot(slot), told }).await.unwrap();
    }

    async fn introduces(&mut self) -> usize {
        match self.answer().await {
            Answer::Introduce { networks } => networks.len(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn each_operator_is_shown_the_sessions_that_it_asked_for() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let wrong = Secret::new("hunter2".to_owned());
        let mut all = Operator::begin(&mut vault, of(None, None)).await;
        assert_eq!(edge.introduces().await, 2, "of both families");
        let mut shop = Operator::begin(&mut vault, of(Some("shop"), None)).await;
        assert!(edge.open(&bench, 1, 1, "192.0.2.1").await && edge.open(&bench, 2, 1, "198.51.100.1").await);
        edge.tell(1, server("220 gate")).await;
        all.sees(&[met("192.0.2.1", "submission", None), What::Told(server("220 gate"))]).await;

        // Who tries to log in as it is shown, and who says to be another isn't.
        assert!(matches!(edge.password(1, "shop", &wrong).await, Answer::Denied { .. }));
        assert!(matches!(edge.password(2, "other", &wrong).await, Answer::Denied { .. }));
        edge.tell(2, server("535 no")).await;
        edge.tell(1, Told::Client("\u{1b}[2J\u{202e}".repeat(2000))).await;
        let escaped = Told::Client(format!("{}...", "?[2J?".repeat(200)));
        let begun = What::Told(Told::Client("AUTH PLAIN".into()));
        shop.sees(&[met("192.0.2.1", "submission", None), begun.clone(), What::Told(escaped.clone())]).await;
        all.sees(&[met("198.51.100.1", "submission", None), What::Told(server("535 no")), What::Told(escaped)]).await;
        assert!(matches!(edge.password(1, "shop", &bench.password).await, Answer::Granted { .. }));
        let known = What::Known { credential: "shop".into() };
        shop.sees(std::slice::from_ref(&known)).await;
        all.sees(std::slice::from_ref(&known)).await;

        // One that leaves takes with it what it alone wanted; what is on its way by then is no lie.
        drop(all);
        assert_eq!(edge.introduces().await, 0);
        assert!(matches!(edge.answer().await, Answer::Trace { slot: Slot(2), on: false }));
        edge.tell(2, server("250 ok")).await;
        edge.tell(1, Told::Stage("TLS".into())).await;
        shop.sees(&[What::Told(Told::Stage("TLS".into()))]).await;
        // One that comes is shown those that are here.
        let mut near = Operator::begin(&mut vault, of(None, Some("198.51.100.0/24"))).await;
        assert_eq!(edge.introduces().await, 1);
        assert!(matches!(edge.answer().await, Answer::Trace { slot: Slot(2), on: true }));
        edge.tell(2, server("221 bye")).await;
        edge.asks.send(Ask::Close { slot: Slot(2) }).await.unwrap();
        let bye =
            [met("198.51.100.1", "submission", None), What::Told(server("221 bye")), What::Over { violation: None }];
        near.sees(&bye).await;

        // A login by the cache, and a question out of its moment.
        assert!(!edge.open(&bench, 3, 1, "192.0.2.1").await);
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        shop.sees(&[What::Over { violation: None }]).await;
        let first = edge.password(3, "shop", &bench.password).await;
        assert!(matches!(first, Answer::Trace { slot: Slot(3), on: true }), "before the grant: {first:?}");
        assert!(matches!(edge.answer().await, Answer::Granted { .. }));
        shop.sees(&[met("192.0.2.1", "submission", None), begun, known.clone()]).await;
        assert!(matches!(edge.ask(Ask::Content { slot: Slot(3) }).await, Answer::Ended { .. }));
        shop.sees(&[What::Over { violation: Some("content-out-of-order".into()) }]).await;
        // With the service it ends, and is told so.
        vault.parent.send(&Order::Drain, None).unwrap();
        drop((edge.asks, edge.answers));
        assert_eq!((shop.next().await, near.next().await), (Shown::Ended, Shown::Ended));
        drop(shop.commands);
    });
    vault.end();

    let told = |name: &str| bench.events(&Filter { event: Some(name.into()), ..Filter::default() });
    let (begun, ended) = (told("trace.begin"), told("trace.end"));
    assert_eq!((begun.len(), ended.len()), (3, 3));
    assert!(begun.iter().chain(&ended).all(|event| event.get("actor") == Some("uid 0 (alice)")));
    assert_eq!(begun.iter().map(|event| event.get("account")).collect::<Vec<_>>(), [None, Some("shop"), None]);
    assert_eq!(begun[2].get("data"), Some("{\"network\":\"198.51.100.0/24\"}"));
    assert_eq!(ended[0].get("data"), Some("{\"left_out\":0,\"lines\":6}"));
}

#[test]
fn an_edge_that_tells_what_nobody_asked_for_is_out_of_its_moment() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut operator = Operator::begin(&mut vault, of(None, Some("192.0.2.1/32"))).await;
        let mut edge = vault.edge();
        assert_eq!(edge.introduces().await, 1, "one that comes later is told, too");
        assert!(!edge.open(&bench, 1, 1, "192.0.2.2").await);
        edge.tell(1, server("250 forged")).await;
        assert!(matches!(edge.answer().await, Answer::Ended { slot: Slot(1) }));
        edge.tell(7, server("250 forged")).await;
        assert!(matches!(edge.answer().await, Answer::Ended { slot: Slot(7) }));
        assert!(!edge.open(&bench, 2, 4, "192.0.2.1").await, "HTTP is not followed");
        assert!(edge.open(&bench, 3, 1, "192.0.2.1").await);
        edge.tell(3, server("220")).await;
        operator.sees(&[met("192.0.2.1", "submission", None), What::Told(server("220"))]).await;
    });
    vault.drain();
    let violations = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    let reasons: Vec<_> = violations.iter().map(|event| event.get("reason").unwrap()).collect();
    assert_eq!(reasons, ["trace-not-asked-for", "no-such-session"]);
}

#[test]
fn a_device_is_followed_by_its_credential_from_its_beginning() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let mut operator = Operator::begin(&mut vault, of(Some("printer"), Some("10.1.0.0/16"))).await;
        // Its edge asks nothing before MAIL, and what was said until then would never be seen.
        assert_eq!(edge.introduces().await, 1);
        assert!(!edge.open(&bench, 1, 1, "10.1.2.3").await);
        assert!(edge.open(&bench, 2, 2, "10.1.2.3").await);
        edge.tell(2, server("220")).await;
        operator.sees(&[met("10.1.2.3", "devices", Some("printer"))]).await;
    });
    vault.drain();
}

#[test]
fn there_are_so_many_operators_and_none_for_what_does_not_exist() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let refused = |first: Response| match first {
            Response::Refused { reason } => reason,
            other => panic!("{other:?}"),
        };
        let (_, unknown) = Operator::ask(&mut vault, of(Some("shp"), None)).await;
        assert!(refused(unknown).starts_with("there is no credential \"shp\""));
        let mut all = Vec::new();
        for _ in 0..OPERATORS {
            all.push(Operator::begin(&mut vault, of(Some("shop"), None)).await);
        }
        let (_, many) = Operator::ask(&mut vault, of(Some("shop"), None)).await;
        assert_eq!(refused(many), "8 traces run already: end one of them first");
        drop(all.pop());
        while !matches!(Operator::ask(&mut vault, of(None, None)).await.1, Response::Trace(_)) {}
    });
    vault.drain();
    assert!(bench.told("trace.begin") > OPERATORS);
}
