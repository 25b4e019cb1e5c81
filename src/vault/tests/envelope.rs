//! What an envelope says beside its addresses, from MAIL to the courier.

use super::*;
use crate::mail::dsn::{Notify, Report, Ret, Wish};

/// A message that is kept, with all that may be said of it.
async fn keep(edge: &mut Edge, manner: &Manner, recipients: &[Addressee]) {
    let (slot, sender, helo) = (Slot(1), Some(address("a@example.net")), "client.example.net".to_owned());
    let mail = Ask::Mail { slot, sender, size: None, manner: manner.clone(), helo, tls: None };
    assert!(matches!(edge.ask(mail).await, Answer::Reserved { .. }));
    edge.asks.send(Ask::Recipients { slot, batch: recipients.to_vec() }).await.unwrap();
    assert!(matches!(edge.ask(Ask::Content { slot }).await, Answer::Credit { .. }));
    edge.asks.send(Ask::Chunk { slot, octets: Octets(b"x\r\n".to_vec()) }).await.unwrap();
    let facts = Facts { authors: vec![address("a@example.net")], received: 1, ..Facts::default() };
    let kept = edge.ask(Ask::Commit { slot, facts }).await;
    assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
}

#[test]
fn rule_x5_rule_x6_what_was_asked_of_reports_is_kept_over_a_restart() {
    let bench = Bench::new();
    let envid = Some("order+2B7".to_owned().try_into().unwrap());
    let manners =
        [Some(Ret::Full), Some(Ret::Headers), None].map(|ret| Manner { report: Report { ret, envid: envid.clone() } });
    let wish = |notify: &str| Wish {
        notify: Some(Notify::parse(notify).unwrap()),
        orcpt: Some("rfc822;c@example.org".to_owned().try_into().unwrap()),
    };
    let to = |text: &str, wish: Wish| Addressee { address: address(text), wish };
    let recipients = [
        to("b@example.org", wish("NEVER")),
        to("c@example.org", wish("SUCCESS,DELAY")),
        to("d@example.org", Wish::default()),
    ];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for manner in &manners {
            keep(&mut edge, manner, &recipients).await;
        }
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        for manner in &manners {
            let (job, _, offered, _, asked) = courier.envelope().await;
            assert_eq!(&asked, manner);
            assert_eq!(offered.into_iter().map(|(_, to)| to).collect::<Vec<_>>(), recipients);
            for number in 0..3 {
                courier.say(job, number, Outcome::Delivered(said(250))).await;
            }
            courier.settled(job).await;
        }
    });
    vault.drain();
}
