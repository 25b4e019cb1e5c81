//! Between the recipients and the dot: what its upstream, the disk and its sender may do then.

use super::*;

#[test]
fn what_is_put_off_within_the_content_is_kept_and_what_is_refused_there_is_told() {
    for (outcome, is_kept) in [(Outcome::Deferred(said(451)), true), (Outcome::Failed(said(554)), false)] {
        let bench = bench();
        let mut vault = bench.run();
        test(async {
            let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
            stage.content(LETTER).await;
            stage.courier.say(stage.job, 1, outcome).await;
            stage.courier.settled(stage.job).await;
            let Stage { mut edge, mut courier, .. } = stage;
            match (dot(&mut edge).await, is_kept) {
                (Answer::Kept { message, .. }, true) => {
                    assert_eq!(from_queue(&mut courier).await.0, message);
                }
                (Answer::Passed { spoken, .. }, false) => assert_eq!(spoken.code, 554),
                (other, _) => panic!("{other:?}"),
            }
            nothing_waits(&mut courier).await;
        });
        vault.drain();
        assert_eq!(bench.told("msg.accept"), usize::from(is_kept));
        assert_clean(&bench);
    }
}

#[test]
fn who_was_refused_before_the_dot_beside_one_who_was_put_off_is_tried_again_with_him_and_has_no_end_in_the_log() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "no@example.org").await;
        stage.ask("grey@example.org").await;
        stage.accept(2).await;
        stage.content(LETTER).await;
        stage.courier.say(stage.job, 1, Outcome::Failed(said(550))).await;
        stage.courier.say(stage.job, 2, Outcome::Deferred(said(450))).await;
        stage.courier.settled(stage.job).await;
        let Stage { mut edge, mut courier, .. } = stage;
        let message = kept(dot(&mut edge).await);
        let both = ["no@example.org", "grey@example.org"].map(str::to_owned).to_vec();
        assert_eq!(from_queue(&mut courier).await, (message, both, LETTER.to_vec()));
    });
    vault.drain();
    assert_eq!((bench.told("deliver.bounce"), bench.told("deliver.defer")), (0, 2));
    assert_clean(&bench);
}

#[test]
fn the_slower_of_disk_and_upstream_gives_the_credit() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        let chunk = vec![b'x'; 10_000];
        stage.content(&chunk).await;
        for _ in 0..9 {
            stage.edge.asks.send(Ask::Chunk { slot: Slot(1), octets: Octets(chunk.clone()) }).await.unwrap();
            assert!(matches!(stage.courier.offer().await, Offer::Content { .. }));
        }
        // The disk has some of it by now, which is not enough: the upstream wants no more.
        let quiet = tokio::time::timeout(Duration::from_millis(300), stage.edge.answers.receive()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        stage.courier.tell(Progress::Want { job: stage.job, octets: 30_000 }).await;
        let credit = stage.edge.answer().await;
        assert!(matches!(credit, Answer::Credit { octets: 30_000, .. }), "{credit:?}");
    });
    vault.drain();
}

#[test]
fn a_sender_that_is_too_slow_gives_its_place_to_others_and_has_it_kept() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut stage = Stage::taken(&bench, &mut vault, "x@example.org").await;
        stage.withdrawn().await;
        let message = kept(send(&mut stage.edge, LETTER).await);
        assert_eq!(from_queue(&mut stage.courier).await.0, message);
    });
    vault.drain();
    assert_clean(&bench);
}
