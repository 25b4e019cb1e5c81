//! Whose session it is: of the client that the listener saw, or of the one that a proxy in front of it named.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ipnet::IpNet;

use super::login::credentials::Way;
use crate::config::slice::{Clients, Counter, Protocol};
use crate::ipc::session::Via;
use crate::policy::presence::{Caps, Presence};
use crate::policy::scope::Scope;

/// A place among the sessions from one address, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    presence: Rc<RefCell<Presence>>,
    address: IpAddr,
}

impl Place {
    /// None: there are as many sessions from there as there may be.
    pub fn take(presence: &Rc<RefCell<Presence>>, address: IpAddr, caps: Caps) -> Option<Self> {
        let mut counts = presence.borrow_mut();
        counts.admits(address, caps).then(|| {
            counts.enter(address);
            Self { presence: Rc::clone(presence), address }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.presence.borrow_mut().leave(self.address, 1);
    }
}

/// Takes what the listener saw and what the edge read in the PROXY header. Gives the client's address, and the listener as
/// it is for this client.
///
/// Errors: the edge may not say so, and the word for it. A header is believed where the listener has one, and from those that
/// may send it; there it is never left out. XCLIENT is believed from those that may say it, and may be left out.
pub fn identify(seen: SocketAddr, via: Via, listener: Counter) -> Result<(SocketAddr, Counter), &'static str> {
    let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&seen.ip().to_canonical()));
    match via {
        Via::Direct if listener.proxy_from.is_empty() => Ok((seen, listener)),
        Via::Direct => Err("proxy-header-missing"),
        Via::Proxy(_) if !is_in(&listener.proxy_from) => Err("proxy-header-not-believed"),
        // The proxy's own address says who the proxy is, and not who the client is.
        Via::Proxy(None) => Ok((seen, Counter { identify_by_network: false, clients: Clients::Unnamed, ..listener })),
        Via::Proxy(Some(client)) => {
            let is_proxy = client.ip().to_canonical() == seen.ip().to_canonical();
            let identify_by_network = listener.identify_by_network && !is_proxy;
            Ok((client, Counter { identify_by_network, ..listener }))
        }
        Via::Xclient(_) if !is_in(&listener.xclient_from) => Err("xclient-not-believed"),
        // What a gateway says of its client is never a login, also not where an address is one.
        Via::Xclient(None) => Ok((seen, Counter { identify_by_network: false, clients: Clients::Unnamed, ..listener })),
        Via::Xclient(Some(client)) => {
            Ok((client, Counter { identify_by_network: false, clients: Clients::Known, ..listener }))
        }
    }
}

/// Where the networks of a credential see a client of this listener: one that nobody named is in none but that of everybody.
pub fn whereabouts(listener: &Counter, address: IpAddr) -> IpAddr {
    match listener.clients {
        Clients::Known | Clients::Proxied => address,
        Clients::Unnamed => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// What a message that comes by this listener asks of its credential.
pub fn way(listener: &Counter, address: IpAddr) -> Way {
    let scopes = match listener.protocol {
        Protocol::Smtp => Scope::OF_SMTP,
        Protocol::Http => Scope::OF_HTTP,
    };
    Way { address: Some(whereabouts(listener, address)), scopes: Some(scopes) }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn listener(proxy_from: &[&str]) -> Counter {
        Counter {
            number: 1,
            name: "devices".into(),
            protocol: Protocol::Smtp,
            identify_by_network: true,
            client_certificates: None,
            plain_login: false,
            mechanisms: Vec::new(),
            future_release: None,
            delivery: crate::policy::Delivery::Spool,
            clients: Clients::Known,
            proxy_from: proxy_from.iter().map(|network| network.parse().unwrap()).collect(),
            xclient_from: vec!["10.9.0.0/16".parse().unwrap()],
            caps: Caps { address: 2, prefix: 3 },
        }
    }

    fn address(text: &str) -> SocketAddr {
        format!("{text}:40000").parse().unwrap()
    }

    #[test]
    fn rule_l16_a_header_is_believed_of_listed_proxies_alone_and_never_left_out() {
        let client = Some(address("192.0.2.7"));
        for (seen, via, networks, expected) in [
            ("10.0.0.5", Via::Direct, &[][..], Ok("10.0.0.5")),
            ("10.0.0.5", Via::Proxy(client), &[], Err("proxy-header-not-believed")),
            ("10.0.0.5", Via::Proxy(None), &[], Err("proxy-header-not-believed")),
            ("10.0.0.5", Via::Direct, &["10.0.0.0/24"], Err("proxy-header-missing")),
            ("10.0.0.5", Via::Proxy(client), &["2001:db8::/32", "10.0.0.0/24"], Ok("192.0.2.7")),
            ("[::ffff:10.0.0.5]", Via::Proxy(client), &["10.0.0.0/24"], Ok("192.0.2.7")),
            ("10.0.1.5", Via::Proxy(client), &["10.0.0.0/24"], Err("proxy-header-not-believed")),
            ("192.0.2.7", Via::Proxy(client), &["10.0.0.0/24"], Err("proxy-header-not-believed")),
        ] {
            let identified = identify(address(seen), via, listener(networks));
            assert_eq!(identified.map(|(client, _)| client), expected.map(address), "{seen} {via:?} {networks:?}");
        }
    }

    #[test]
    fn row_13_a_gateway_is_believed_where_it_is_listed_and_its_word_is_no_login() {
        let client = Some(address("192.0.2.7"));
        let said = |seen: &str, via| identify(address(seen), via, listener(&[]));
        assert_eq!(said("10.9.0.5", Via::Direct).unwrap().0, address("10.9.0.5"));
        for seen in ["10.8.0.5", "192.0.2.7", "[::ffff:10.8.0.5]"] {
            for via in [Via::Xclient(client), Via::Xclient(None)] {
                assert_eq!(said(seen, via).unwrap_err(), "xclient-not-believed", "{seen} {via:?}");
            }
        }
        let (named, counter) = said("10.9.0.5", Via::Xclient(client)).unwrap();
        assert_eq!((Some(named), counter.identify_by_network, counter.clients), (client, false, Clients::Known));
        let (own, counter) = said("[::ffff:10.9.0.5]", Via::Xclient(None)).unwrap();
        assert_eq!((own.ip().to_canonical(), counter.identify_by_network), ("10.9.0.5".parse().unwrap(), false));
        assert!(whereabouts(&counter, own.ip()).is_unspecified());
        let behind = identify(address("10.9.0.5"), Via::Xclient(client), listener(&["10.9.0.0/16"]));
        assert!(behind.is_ok_and(|(named, _)| Some(named) == client));
    }

    #[test]
    fn rule_l16_a_proxys_own_address_identifies_nobody() {
        let identified = |via| identify(address("10.0.0.5"), via, listener(&["10.0.0.5/32"])).unwrap().1;
        let own = identified(Via::Proxy(None));
        assert!(!own.identify_by_network && own.clients == Clients::Unnamed);
        assert!(whereabouts(&own, "10.0.0.5".parse().unwrap()).is_unspecified());
        let named = identified(Via::Proxy(Some(address("10.0.0.5"))));
        assert!(!named.identify_by_network && named.clients == Clients::Known);
        assert!(identified(Via::Proxy(Some(address("10.0.0.6")))).identify_by_network);
    }

    #[test]
    fn rule_l16_rule_s4_a_place_is_free_again_when_its_session_is_gone() {
        let presence = Rc::default();
        let take = |text: &str| Place::take(&presence, text.parse().unwrap(), Caps { address: 2, prefix: 3 });
        let (first, _second) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(take("192.0.2.1").is_none() && take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
    }
}
