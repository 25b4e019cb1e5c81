#!/usr/bin/env bash
# The tests, and what they need: real clients, a proxy, openssl for certificates, strace to slow a disk, sqlite3 as an auditor.
# Postfix is for a private instance of the tests: here it gets no configuration and isn't started. sasl2-bin gives that its users.
# The libraries of mailing services for Node.js and Python, and a reader of OpenAPI, are installed below target/clients.
# promtool, which knows Prometheus' forms, is taken out of Debian's package below target/clients; nothing of that runs as a service.
# PHP, its curl and PHPMailer, the mail of Debian, which calls sendmail as PHP does, and fail2ban are taken out of Debian's packages in
# the same way. Go and Ruby run examples; those of C# and PowerShell, which Debian doesn't have, are read by a parser.
# python3-dkim signs mail as a mailing service does, and says whether it still is signed when it arrives.
# As root missing Debian packages are installed; otherwise they are named.
# Arguments go to `cargo test`; without any, its programs run four at a time.
set -euo pipefail
cd "$(dirname "$0")/.."

packages='gcc libc6-dev openssl strace procps curl swaks libnet-ssleay-perl sqlite3 python3 haproxy msmtp gsasl postfix libsasl2-modules libsasl2-modules-db sasl2-bin python3-dkim python3-venv libargon2-1 libsodium23 libxml2 libedit2 libmagic1 libbsd0 libcurl4'
# It judges the units, and makes users and directories into a folder; nothing of it runs as a service.
command -v systemd-analyze > /dev/null || packages="$packages systemd"
command -v npm > /dev/null || packages="$packages nodejs npm"
# The examples for authors of clients are run in their languages.
command -v go > /dev/null || packages="$packages golang-go"
command -v ruby > /dev/null || packages="$packages ruby"
# They are offered completions.
command -v fish > /dev/null || packages="$packages fish"
command -v zsh > /dev/null || packages="$packages zsh"
missing=$(for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || echo "$package"
done)
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    printf 'the tests need these packages, and only root can install them:\n  apt-get install %s\n' "$(echo $missing)" >&2
    exit 1
  fi
  apt-get update -qq
  echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

# Clients of Node.js, in the versions of the lock file, none of whose scripts run.
clients=target/clients
if ! cmp -s tests/clients/package-lock.json "$clients/installed"; then
  mkdir -p "$clients"
  cp tests/clients/package.json tests/clients/package-lock.json "$clients"
  npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$clients"
  cp tests/clients/package-lock.json "$clients/installed"
fi

# Clients of Python, in the versions and with the hashes of the list: wheels of plain Python, which any user and version can read.
if ! cmp -s tests/clients/requirements.txt "$clients/requirements.txt"; then
  rm -rf "$clients/python" "$clients/pip"
  python3 -m venv "$clients/pip"
  "$clients/pip/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
    --implementation py --abi none --platform any --target "$clients/python" -r tests/clients/requirements.txt
  rm -rf "$clients/pip"
  cp tests/clients/requirements.txt "$clients/requirements.txt"
fi

# What holds the OpenAPI document to what the program does, and what reads examples in C# and PowerShell, for this machine's Python:
# parts of it are built for one.
openapi=$(cat tests/clients/openapi.txt && python3 -c 'import sys; print("# Python %d.%d" % sys.version_info[:2])')
if [ "$openapi" != "$(cat "$clients/openapi.txt" 2> /dev/null)" ]; then
  rm -rf "$clients/openapi" "$clients/pip"
  python3 -m venv "$clients/pip"
  "$clients/pip/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary=:all: \
    --target "$clients/openapi" -r tests/clients/openapi.txt
  rm -rf "$clients/pip"
  printf '%s\n' "$openapi" > "$clients/openapi.txt"
fi

# Downloaded only: the package would start a server.
take_promtool() {
  rm -rf "$clients/prometheus" && mkdir -p "$clients/prometheus" || return
  (cd "$clients/prometheus" && apt-get download -qq prometheus 2> /dev/null && dpkg -x prometheus_*.deb .) || return
  mv "$clients/prometheus/usr/bin/promtool" "$clients/promtool" && rm -rf "$clients/prometheus"
}
if ! command -v promtool > /dev/null && [ ! -x "$clients/promtool" ]; then
  take_promtool || { [ "$(id -u)" = 0 ] && apt-get update -qq && take_promtool; } || {
    echo 'the tests need promtool (Debian: prometheus), which could not be downloaded' >&2
    exit 1
  }
fi

# It reads the log of a gate with the filter that is shipped, and bans nobody: the package would start it as a service.
take_fail2ban() {
  rm -rf "$clients/fail2ban" && mkdir -p "$clients/fail2ban" || return
  (cd "$clients/fail2ban" && apt-get download -qq fail2ban 2> /dev/null && dpkg -x fail2ban_*.deb . && rm fail2ban_*.deb)
}
if [ ! -x "$clients/fail2ban/usr/bin/fail2ban-regex" ]; then
  take_fail2ban || { [ "$(id -u)" = 0 ] && apt-get update -qq && take_fail2ban; } || {
    echo 'the tests need fail2ban (Debian: fail2ban), which could not be downloaded' >&2
    exit 1
  }
fi

# Two callers of sendmail, PHP and mail: Debian would have them bring a mail server of its own along, so they are downloaded only; and
# with the first what its examples call.
take_mailers() {
  rm -rf "$clients/mailers" && mkdir -p "$clients/mailers" || return
  local php
  php=$(apt-cache depends php-cli | sed -n 's/^ *Depends: \(php[0-9.]*-cli\)$/\1/p' | head -n 1)
  (cd "$clients/mailers" && apt-get download -qq "$php" "${php%cli}curl" libphp-phpmailer bsd-mailx liblockfile1 2> /dev/null &&
    for deb in ./*.deb; do dpkg -x "$deb" .; done && rm ./*.deb && mv usr/bin/php[0-9]* usr/bin/php &&
    mv usr/lib/php/*/curl.so usr/lib/php && mv usr/lib/*/liblockfile.so.* usr/lib &&
    ldd usr/bin/php usr/lib/php/curl.so | awk '/not found/ { print $1 }' > missing && [ ! -s missing ])
}
if [ ! -e "$clients/mailers/usr/lib/php/curl.so" ]; then
  take_mailers || { [ "$(id -u)" = 0 ] && apt-get update -qq && take_mailers; } || {
    echo "the tests need PHP and mail (Debian: php-cli, php-curl, libphp-phpmailer, bsd-mailx, liblockfile1), which could not be downloaded, or PHP lacks a library:" >&2
    cat "$clients/mailers/missing" 2> /dev/null >&2
    exit 1
  }
fi

[ $# = 0 ] || exec cargo test --no-fail-fast "$@"
programs=$(tools/side-by-side.sh --list)
# shellcheck disable=SC2086 # a list of paths without spaces
CARGO_MANIFEST_DIR=$PWD tools/side-by-side.sh env $programs
exec cargo test --doc
