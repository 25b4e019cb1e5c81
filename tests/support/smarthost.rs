//! A Postfix as the upstream: it wants TLS and a login (Cyrus SASL), takes mail for everybody, and throws it away.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Pair;
use super::postfix::Postfix;

/// Its one user. The realm belongs to the name.
pub const USER: &str = "gate@smarthost.example";
pub const PASSWORD: &str = "under the mat";

/// Starts one that offers these mechanisms, has these further settings, and shows this certificate. Only root may.
pub fn start(mechanisms: &str, settings: &str, pair: &Pair) -> Postfix {
    Postfix::launch(|folder| {
        pair.write(folder);
        // Debian's Postfix looks here alone, whatever its configuration says.
        fs::create_dir(folder.join("config/sasl")).unwrap();
        let database = folder.join("sasldb2");
        let text = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: {mechanisms}\n",
            database.display()
        );
        fs::write(folder.join("config/sasl/smtpd.conf"), text).unwrap();
        add_user(&database);
        let folder = folder.display();
        format!(
            "myhostname = smarthost.example\n\
             mynetworks =\n\
             default_transport = discard\n\
             smtpd_tls_cert_file = {folder}/certificate.pem\n\
             smtpd_tls_key_file = {folder}/key.pem\n\
             smtpd_tls_security_level = encrypt\n\
             smtpd_tls_auth_only = yes\n\
             smtpd_sasl_auth_enable = yes\n\
             smtpd_sasl_path = smtpd\n\
             cyrus_sasl_config_path = {folder}/config/sasl\n\
             smtpd_sasl_security_options = noanonymous\n\
             smtpd_relay_restrictions = permit_sasl_authenticated, reject\n\
             {settings}\n"
        )
    })
}

fn add_user(database: &Path) {
    let (user, realm) = USER.split_once('@').unwrap();
    let mut command = Command::new("/usr/sbin/saslpasswd2");
    command.args(["-p", "-c", "-u", realm, "-f"]).arg(database).arg(user).stdin(Stdio::piped());
    let mut child =
        command.spawn().unwrap_or_else(|error| panic!("saslpasswd2 is needed (Debian: sasl2-bin): {error}"));
    child.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    fs::set_permissions(database, fs::Permissions::from_mode(0o644)).unwrap();
}
