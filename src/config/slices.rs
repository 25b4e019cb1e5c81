//! Each role's slice of the plan, made by adding what that role needs.

use super::plan::{Anchor, Listener, Oauth2, Place, Plan, Provider, Turnstile, Upstream, Webhook, Witness};
use super::slice::{
    self, Admission, Belief, Clients, Counter, CourierSlice, Desk, Destination, DialerSlice, EdgeSlice, Family,
    KeyholderSlice, ListenerSlice, NearAnchor, Protocol, ProviderSlice, SealerSlice, Serve, SmtpSlice, VaultSlice,
    WitnessSlice,
};
use super::source::Source;
use super::url::Url;
use crate::ipc::{capsule, feedback, turnstile, witnessing};
use crate::policy::FIX_UPS;
use crate::secret::Secret;

impl Plan {
    pub fn listener_slice(&self, capsule_key: &Secret<[u8; capsule::KEY]>) -> ListenerSlice {
        let admission = |listener: &Listener| Admission {
            number: listener.number,
            name: listener.name.clone(),
            protocol: listener.protocol,
            tls: listener.tls,
            zone: listener.zone.clone(),
            caps: (!listener.behind_tls_proxy && listener.proxy_from.is_empty()).then(|| listener.caps()),
            xclient_from: listener.dialect.xclient_from.clone(),
            proxy_from: listener.proxy_from.clone(),
        };
        ListenerSlice {
            capsule_key: capsule_key.clone(),
            listeners: self.listeners.iter().map(admission).collect(),
            sessions_per_edge: self.limits.sessions,
        }
    }

    /// The slice of the edges of one protocol and zone.
    pub fn edge_slice(&self, protocol: Protocol, zone: &str) -> EdgeSlice {
        let desk = |listener: &Listener| Desk {
            number: listener.number,
            name: listener.name.clone(),
            tls: listener.tls,
            certificates: listener.certificates.clone(),
            client_certificates: listener.client_certificates,
            plain_login: listener.plain_login,
            identify_by_network: listener.identify_by_network,
            proxied: !listener.proxy_from.is_empty(),
            serve: listener.serve.clone(),
            mechanisms: listener.mechanisms.clone(),
            extensions_off: listener.extensions_off.clone(),
            future_release: listener.future_release,
            dialect: listener.dialect.clone(),
            reach: listener.reach.clone(),
        };
        let its_own = |listener: &&Listener| listener.protocol == protocol && listener.zone == zone;
        EdgeSlice {
            hostname: self.hostname.clone(),
            listeners: self.listeners.iter().filter(its_own).map(desk).collect(),
            sessions: self.limits.sessions,
            strangers: self.limits.strangers,
            max_size: self.limits.max_size,
            requiretls: self.routes.iter().any(|route| route.requiretls),
            signing: self.limits.signing,
            handshake: self.limits.handshake,
            idle_strange: self.limits.idle_strange,
            idle: self.limits.idle,
        }
    }

    /// The certificates that the edges of one protocol and zone need as descriptors.
    pub fn edge_certificates(&self, protocol: Protocol, zone: &str) -> Vec<u16> {
        let slice = self.edge_slice(protocol, zone);
        let mut numbers: Vec<u16> = slice.listeners.into_iter().flat_map(|desk| desk.certificates).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The listeners that the edges of one protocol and zone serve and that ask for certificates of clients.
    pub fn asking(&self, protocol: Protocol, zone: &str) -> impl Iterator<Item = (u16, &Source)> {
        let its_own = move |listener: &&Listener| listener.protocol == protocol && listener.zone == zone;
        let listeners = self.listeners.iter().filter(its_own);
        listeners.filter_map(|listener| Some((listener.number, listener.client_authorities.as_ref()?)))
    }

    pub fn keyholder_slice(&self) -> KeyholderSlice {
        let pair = |pair: &super::plan::Certificate| (pair.number, format!("{} with key {}", pair.chain, pair.key));
        KeyholderSlice { certificates: self.certificates.iter().map(pair).collect() }
    }

    pub fn vault_slice(&self, capsule_key: &Secret<[u8; capsule::KEY]>) -> VaultSlice {
        let counter = |listener: &Listener| Counter {
            number: listener.number,
            name: listener.name.clone(),
            protocol: listener.protocol,
            identify_by_network: listener.identify_by_network,
            client_certificates: listener.client_certificates,
            plain_login: listener.plain_login,
            mechanisms: listener.mechanisms.clone(),
            future_release: listener.future_release,
            delivery: listener.delivery,
            clients: match listener.behind_tls_proxy && listener.proxy_from.is_empty() {
                true => Clients::Proxied,
                false => Clients::Known,
            },
            proxy_from: listener.proxy_from.clone(),
            xclient_from: listener.dialect.xclient_from.clone(),
            caps: listener.caps(),
        };
        VaultSlice {
            hostname: self.hostname.clone(),
            capsule_key: capsule_key.clone(),
            listeners: self.listeners.iter().map(counter).collect(),
            credentials: self.credentials.clone(),
            upstreams: self.upstreams.iter().map(|upstream| upstream.name.clone()).collect(),
            programs: self
                .upstreams
                .iter()
                .filter(|upstream| upstream.program.is_some())
                .map(|upstream| upstream.name.clone())
                .collect(),
            ops_zones: self.ops_zones(),
            paces: self
                .upstreams
                .iter()
                .filter(|one| one.pace.is_some())
                .map(|one| (one.name.clone(), one.pace))
                .collect(),
            bounces: self.bounces.clone(),
            routes: self.routes.clone(),
            max_size: self.limits.max_size + FIX_UPS,
            retry: self.spool.retry.clone(),
            lifetime: self.spool.lifetime,
            delay_report: self.spool.delay_report,
            suppression: self.suppression.clone(),
            reserve: self.spool.reserve,
            ballast: self.spool.ballast,
            shedding: self.spool.shedding,
            hashers: self.limits.hashers,
            hash_queue: self.limits.hash_queue,
            audit: self.audit.clone(),
            limits: self.limits.vault,
            anchors: self.anchors.iter().map(anchor).collect(),
            webhooks: self.webhooks.iter().map(Webhook::rule).collect(),
            turnstile: self.turnstile.is_some(),
            alerts: self.alerts.clone(),
            written: self.written.digest(),
            // Who opens their secrets adds them.
            hooks: Vec::new(),
            hash_deadline: self.limits.hash_deadline,
        }
    }

    fn ops_zones(&self) -> Vec<String> {
        let serving = self.listeners.iter().filter(|listener| listener.serve.contains(&Serve::Ops));
        let mut zones: Vec<String> = serving.map(|listener| listener.zone.clone()).collect();
        zones.sort_unstable();
        zones.dedup();
        zones
    }

    pub fn sealer_slice(&self) -> SealerSlice {
        let near = |(number, anchor): (u16, &Anchor)| NearAnchor {
            name: anchor.name.clone(),
            every: anchor.every,
            file: matches!(anchor.place, Place::File { .. }).then_some(number),
        };
        SealerSlice { origin: format!("{}/audit", self.hostname), anchors: self.near_anchors().map(near).collect() }
    }

    pub fn dialer_slice(&self) -> DialerSlice {
        let destination = |upstream: &Upstream| Destination {
            name: upstream.name.clone(),
            hosts: upstream.hosts.clone(),
            family: upstream.family,
            sources: upstream.sources.clone(),
        };
        let witness = |(name, witness): (&str, &Witness)| Destination {
            name: witnessing::post(name),
            hosts: vec![(witness.host.clone(), witness.port)],
            family: Family::Any,
            sources: Vec::new(),
        };
        let webhook = |webhook: &Webhook| Destination {
            name: feedback::post(&webhook.name),
            hosts: vec![(webhook.url.host.clone(), webhook.url.port)],
            family: Family::Any,
            sources: Vec::new(),
        };
        let endpoint = |upstream: &Upstream| {
            let Url { host, port, .. } = &upstream.oauth2.as_ref()?.url;
            let hosts = vec![(host.clone(), *port)];
            Some(Destination { name: upstream.name.clone(), hosts, family: Family::Any, sources: Vec::new() })
        };
        let connected = self.upstreams.iter().filter(|upstream| upstream.program.is_none());
        let upstreams = connected.map(destination).chain(self.witnesses().map(witness));
        let turnstile = |turnstile: &Turnstile| Destination {
            name: turnstile::POST.to_owned(),
            hosts: vec![(turnstile.url.host.clone(), turnstile.url.port)],
            family: Family::Any,
            sources: Vec::new(),
        };
        let others = self.webhooks.iter().map(webhook).chain(self.turnstile.iter().map(turnstile));
        let upstreams = upstreams.chain(others).collect();
        let token_endpoints = self.upstreams.iter().filter_map(endpoint).collect();
        DialerSlice { upstreams, token_endpoints, connect: self.limits.connect }
    }

    /// The slice of the courier of one upstream. It has the names that certificates must bear from here, so that the dialer
    /// can't choose them.
    pub fn courier_slice(&self, upstream: &Upstream) -> CourierSlice {
        let belief = Belief {
            verify: upstream.protection.verify,
            pins: upstream.protection.pins.clone(),
            name: upstream.protection.name.clone(),
            own: upstream.protection.own.is_some(),
        };
        if let (Some(Provider { path, api }), Some((host, port))) = (&upstream.provider, upstream.hosts.first()) {
            return CourierSlice::Provider(ProviderSlice {
                upstream: upstream.name.clone(),
                host: host.clone(),
                port: *port,
                tls: upstream.tls != slice::TlsMode::None,
                belief,
                path: path.clone(),
                api: api.clone(),
                max_size: self.limits.max_size + FIX_UPS,
                connections: upstream.connections,
            });
        }
        CourierSlice::Smtp(SmtpSlice {
            upstream: upstream.name.clone(),
            hosts: upstream.hosts.iter().map(|(host, _)| host.clone()).collect(),
            helo: upstream.helo.clone().unwrap_or_else(|| self.hostname.clone()),
            tls: upstream.tls,
            belief,
            username: upstream.username.clone(),
            auth: upstream.auth,
            oauth2: upstream.oauth2.as_ref().map(Oauth2::slice),
            connections: upstream.connections,
            keep: upstream.keep,
        })
    }

    /// The slice of the courier of one witness.
    pub fn witness_slice(&self, witness: &Witness) -> CourierSlice {
        let Witness { host, port, prefix, tls, .. } = witness.clone();
        CourierSlice::Witness(WitnessSlice { host, port, prefix, tls })
    }

    /// The labels of the couriers that ask witnesses.
    pub fn witness_labels(&self) -> impl Iterator<Item = String> {
        self.witnesses().map(|(name, _)| witnessing::post(name))
    }

    /// The witness that a courier of this label asks; none when it carries mail.
    ///
    /// Errors: it would ask one that is not configured.
    pub fn witness_of(&self, label: &str) -> Result<Option<&Witness>, String> {
        let Some(name) = witnessing::anchor(label) else { return Ok(None) };
        let found = self.witnesses().find(|(anchor, _)| *anchor == name);
        found.map(|(_, witness)| Some(witness)).ok_or_else(|| "its witness is not configured".to_owned())
    }

    /// Whatever is read for others than the vault: certificates, keys, secrets, authorities.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        let pairs = self.certificates.iter().flat_map(|certificate| [&certificate.chain, &certificate.key]);
        let upstreams = self.upstreams.iter().flat_map(Upstream::sources);
        let witnesses = self.witnesses().filter_map(|(_, witness)| witness.authorities.as_ref());
        let clients = self.listeners.iter().filter_map(|listener| listener.client_authorities.as_ref());
        let webhooks = self.webhooks.iter().flat_map(Webhook::sources);
        let turnstile = self.turnstile.iter().flat_map(Turnstile::sources);
        pairs.chain(upstreams).chain(witnesses).chain(clients).chain(webhooks).chain(turnstile)
    }

    /// The anchors that the sealer makes, by the numbers of their files.
    pub fn near_anchors(&self) -> impl Iterator<Item = (u16, &Anchor)> {
        (0..).zip(self.anchors.iter().filter(|anchor| anchor.is_near()))
    }
}

fn anchor(anchor: &Anchor) -> slice::Anchor {
    let place = match &anchor.place {
        Place::Syslog { .. } => slice::Place::Syslog,
        Place::File { .. } => slice::Place::File,
        Place::Mail { to, from } => slice::Place::Mail { to: to.clone(), from: from.clone() },
        Place::Witness(witness) => slice::Place::Witness { key: witness.key.clone() },
    };
    slice::Anchor { name: anchor.name.clone(), every: anchor.every, place }
}
