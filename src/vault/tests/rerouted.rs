//! A configuration with other routes: whoever waits goes by those, and whoever was under way when it came, too.

use super::courier::offered;
use super::*;
use crate::ipc::delivery::Progress;

/// How a courier of the routes before lets go of a message.
#[derive(Clone, Copy, Debug)]
enum Farewell {
    PutOff,
    RouteFailed,
    BrokenOff,
    Gone,
}

#[test]
fn who_comes_back_after_the_routes_have_changed_goes_the_new_way() {
    for farewell in [Farewell::PutOff, Farewell::RouteFailed, Farewell::BrokenOff, Farewell::Gone] {
        let mut bench = Bench::new();
        bench.slice.retry = vec![Duration::from_millis(1)];
        bench.slice.upstreams.push("second".into());
        let mut vault = bench.run();
        test(async {
            let (mut first, job, message) =
                offered(&bench, &mut vault, &["rosa@example.org", "emil@example.org"], b"x\r\n").await;
            // The way before is there no more, not even by its name.
            bench.slice.upstreams = vec!["second".into()];
            bench.slice.routes[0].via = vec![0];
            vault.switch(&bench.slice, Generation(2));
            vault.await_switch();
            let mut second = vault.courier_of("second").await;
            match farewell {
                Farewell::PutOff => {
                    for number in [0, 1] {
                        first.say(job, number, Outcome::Deferred(said(451))).await;
                    }
                    first.settled(job).await;
                }
                Farewell::RouteFailed => {
                    first.tell(Progress::RouteFailed { job, reason: "it is silent".into(), rest: None }).await;
                }
                Farewell::BrokenOff => first.tell(Progress::BrokenOff { job, said: said(421) }).await,
                Farewell::Gone => drop(first),
            }
            let (job, again, all, _) = second.message().await;
            assert_eq!((again, all.len()), (message, 2), "{farewell:?}");
            for number in [0, 1] {
                second.say(job, number, Outcome::Delivered(said(250))).await;
            }
            second.settled(job).await;
        });
        vault.drain();
        assert_eq!(bench.count("SELECT count(*) FROM spool_msg WHERE done_us IS NULL"), 0, "{farewell:?}");
    }
}

#[test]
fn whom_no_route_applies_to_any_more_waits_for_one() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![Duration::from_millis(1)];
    let mut vault = bench.run();
    test(async {
        let (mut first, job, message) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        let routes = std::mem::take(&mut bench.slice.routes);
        vault.switch(&bench.slice, Generation(2));
        vault.await_switch();
        first.say(job, 0, Outcome::Deferred(said(451))).await;
        first.settled(job).await;
        let offer = tokio::time::timeout(Duration::from_millis(500), first.message()).await;
        assert!(offer.is_err(), "it has a way: {offer:?}");
        bench.slice.routes = routes;
        vault.switch(&bench.slice, Generation(3));
        assert_eq!(first.message().await.1, message, "a route that is back is its way again");
    });
    vault.drain();
}
