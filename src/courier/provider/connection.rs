//! The way to a provider: a connection that was dialed, under TLS where it leaves this machine.

use tokio_rustls::TlsConnector;

use super::Provider;
use crate::courier::tls::{self, Stream};

impl Provider {
    /// A connection, ready for the request, and its TLS version. Errors: what failed.
    pub(super) async fn connect(&self) -> Result<(Box<dyn Stream>, Option<&'static str>), String> {
        self.connect_by(self.settings.connector.as_ref()).await
    }

    /// The same, by a connector of whoever asks.
    pub(super) async fn connect_by(
        &self,
        by: Option<&TlsConnector>,
    ) -> Result<(Box<dyn Stream>, Option<&'static str>), String> {
        let dialed = self.dialer.dial(0).await.map_err(|reasons| reasons.join("; "));
        // The name that the certificate must bear is our own, whatever the dialer says of where it went.
        tls::ready(dialed?, by, self.tls_name()).await
    }

    /// What its certificate must bear.
    pub(super) fn tls_name(&self) -> &str {
        self.settings.tls_name.as_deref().unwrap_or(&self.settings.host)
    }
}
