//! `GET /v1/keys/self`, `/v1/keys`, `/v1/keys/{id}` and `/v1/limits`: what a key may, to whoever has it; and what all may, to those
//! whose scopes have `admin`. Nothing is changed here.

mod page;
mod rendering;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde::Serialize;
use tokio::time::Instant;

use super::login::{Seat, away};
use super::members::Findings;
use super::query::Query;
use super::reply::{self, Code, Fault, Reply};
use super::request::Route;
use super::submissions::refused;
use super::{Session, limits, submit};
use crate::edge::conversation::Lost;
use crate::ipc::card::{Card, Which};
use crate::ipc::inquiry::{Finding, Inquiry};
use crate::mail::id::MessageId;
use crate::policy::principal;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;
use rendering::Rendered;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    has_more: bool,
    /// What the next page is asked for by: `before` where this one was, else `after`.
    next_after: Option<&'a str>,
    next_before: Option<&'a str>,
    data: Vec<Rendered<'a>>,
}

/// Who asks, and what they may know.
pub async fn serve(
    session: &Session,
    head: &Parts,
    route: Route,
    id: MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    let grant = seat.enter(session, &head.headers).await?;
    if route != Route::Keys {
        let mut findings = Findings::default();
        Query::read(&mut findings, &[], head.uri.query());
        findings.verdict()?;
    }
    match route {
        Route::Limits => return limits::answer(&mut seat, id).await,
        Route::OwnKey => {
            let Finding::Card(card) = ask(&mut seat, Inquiry::Card).await? else { return Err(away(Lost)) };
            return Ok(reply::json(StatusCode::OK, &Rendered::of(&card, session), id));
        }
        _ => {}
    }
    // Before anything is looked at, so that whether there is such a key makes no difference.
    submit::is_good_for(&seat, &grant, Scope::Admin, &None)?;
    if route == Route::Keys {
        let which = page::read(head.uri.query())?;
        let is_backwards = matches!(which, Which::Before(..));
        let (cards, more) = cards(&mut seat, which).await?;
        let cursor = |card: Option<&'_ Card>| card.filter(|_| more).map(|card| card.id.clone());
        let (first, last) = (cursor(cards.first()), cursor(cards.last()));
        let list = List {
            object: "list",
            has_more: more,
            next_after: last.as_deref().filter(|_| !is_backwards),
            next_before: first.as_deref().filter(|_| is_backwards),
            data: cards.iter().map(|card| Rendered::of(card, session)).collect(),
        };
        return Ok(reply::json(StatusCode::OK, &list, id));
    }
    let named = head.uri.path().rsplit('/').next().filter(|id| principal::is_id(id)).ok_or_else(unknown)?;
    let (cards, _) = cards(&mut seat, Which::One(named.to_owned())).await?;
    let card = cards.first().ok_or_else(unknown)?;
    Ok(reply::json(StatusCode::OK, &Rendered::of(card, session), id))
}

async fn cards(seat: &mut Seat, which: Which) -> Result<(Vec<Card>, bool), Fault> {
    match ask(seat, Inquiry::Cards(which)).await? {
        Finding::Cards { cards, more } => Ok((cards, more)),
        _ => Err(away(Lost)),
    }
}

async fn ask(seat: &mut Seat, inquiry: Inquiry) -> Result<Finding, Fault> {
    let is_of_a_form = seat.grant().is_some_and(|grant| grant.form.is_some());
    seat.visit.inquire(inquiry).await.map_err(away)?.map_err(|refusal| match refusal {
        Refusal::Scope if is_of_a_form => {
            Fault::new(Code::InsufficientScope, "this key stands in a page and isn't told what it may")
        }
        _ => refused(seat, refusal),
    })
}

fn unknown() -> Fault {
    Fault::new(Code::NotFound, "there is no credential of this id")
}
