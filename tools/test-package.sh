#!/usr/bin/env bash
# The Debian package through its life, on a Debian of its own below /var/cache/gatepost-package: built twice and compared, looked at
# by lintian, installed, configured, started by its unit, used, reloaded, upgraded, taken back a version, run by the unit that never is root, removed,
# purged.
#
# That Debian is booted by systemd-nspawn, so its own systemd starts the units with all that they say. Where it can't be booted (a
# container without namespaces), the service is started by hand with what the root unit says, and what that leaves out is said.
# Needs root, Debian, target/release/gatepost (.ci/run has made it), and a mirror the first time. GATEPOST_PACKAGE_NO_BOOT=1 doesn't
# boot.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-package: must be root (debootstrap, chroot, users)' >&2; exit 1; }

say() { printf '%s test-package: %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { printf 'test-package: %s\n' "$*" >&2; [ ! -s "$work/log" ] || tail -n 30 "$work/log" >&2; exit 1; }
is() { [ "$2" = "$3" ] || die "$1: expected '$3', found '$2'"; }
until_true() { # WHAT COMMAND...: within half a minute
  local what=$1 n=0; shift
  until "$@" > /dev/null 2>&1; do n=$((n + 1)); [ $n -lt 300 ] || die "never came true: $what"; sleep 0.1; done
}

suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
cache=/var/cache/gatepost-package
base=$cache/$suite
mkdir -p "$cache"
exec 9> "$cache/lock"
flock 9
work=$(mktemp -d "$cache/work-XXXXXX")
root=$work/root
init= sink= service=
finish() {
  local pid
  # The sink, the service that was started by hand, and the booted machine, whose end is that of all in it.
  for pid in $sink $service $init; do kill -KILL "$pid" 2> /dev/null || true; done
  wait 2> /dev/null || true
  umount -l "$root/proc" 2> /dev/null || true
  rm -rf "$work"
}
trap finish EXIT

missing=$(for package in lintian debootstrap systemd-container binutils openssl; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || echo "$package"
done)
if [ -n "$missing" ]; then
  say "installing" $missing
  # shellcheck disable=SC2086 # a list of words
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

say 'two packages of one program, made at different places of the clock and the world'
tools/package.sh --no-build --output "$work/first"
(umask 077; TZ=Pacific/Chatham LC_ALL=C tools/package.sh --no-build --output "$work/second" > /dev/null)
first=$(echo "$work"/first/gatepost_*.deb) mta=$(echo "$work"/first/gatepost-mta_*.deb)
cmp "$first" "$(echo "$work"/second/gatepost_*.deb)" || die 'the two packages differ'
cmp "$mta" "$(echo "$work"/second/gatepost-mta_*.deb)" || die 'the two packages of names differ'
version=$(dpkg-deb -f "$first" Version)
# The next version is the same files: not compressed once more.
dpkg-deb -R "$first" "$work/next"
sed -i "s/^Version: .*/Version: $version+later1/" "$work/next/DEBIAN/control"
later=$work/later.deb
dpkg-deb --build -Znone --root-owner-group "$work/next" "$later" > /dev/null
# And one before it whose database has the form before: so many steps back as there are ways for.
earlier=$work/earlier.deb
sed -i "s/^Version: .*/Version: $version~earlier1/" "$work/next/DEBIAN/control"
form=$(sed -n 's/^FORM=//p' "$work/next/DEBIAN/preinst")
ways=$(find src/vault/store/schema -name '*.back.sql' | wc -l)
sed -i "s/^FORM=.*/FORM=$((form - ways))/" "$work/next/DEBIAN/preinst"
dpkg-deb --build -Znone --root-owner-group "$work/next" "$earlier" > /dev/null
rm -rf "$work/next"
say "the same to the octet: $(sha256sum < "$first" | cut -d ' ' -f 1)"

say 'lintian'
lintian --allow-root --fail-on error,warning "$first" "$mta"

packages=systemd,systemd-sysv,dbus,procps,ca-certificates
if [ "$(cat "$base/.whole" 2> /dev/null || true)" != "$packages" ]; then
  say "a minimal $suite in $base"
  mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2> /dev/null || true; } |
    awk '$1 == "URIs:" { mirror = mirror ? mirror : $2 } /^deb / { sub(/^deb (\[[^]]*\] )?/, ""); mirror = mirror ? mirror : $1 } END { print mirror }')
  rm -rf "$base"
  debootstrap --variant=minbase --include=$packages "$suite" "$base" "$mirror" > "$cache/debootstrap.log" 2>&1 ||
    { tail -n 5 "$cache/debootstrap.log" >&2; die 'debootstrap failed'; }
  rm -rf "$base"/var/cache/apt/archives/*.deb "$base"/var/lib/apt/lists/*
  echo "$packages" > "$base/.whole"
fi
cp -a "$base" "$root"
cp "$first" "$root/first.deb" && cp "$later" "$root/later.deb" && cp "$earlier" "$root/earlier.deb" && cp "$mta" "$root/mta.deb"

# What runs in there: with the namespaces of the booted machine, or else in a change of root.
in_root() {
  local clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
  if [ -n "$init" ]; then
    nsenter --target "$init" --mount --uts --ipc --pid --cgroup --root --wd "${clean[@]}" "$@"
  else
    chroot "$root" "${clean[@]}" "$@"
  fi
}
boot() {
  [ -z "${GATEPOST_PACKAGE_NO_BOOT:-}" ] || return 1
  systemd-nspawn --quiet --register=no --keep-unit --boot --console=pipe --directory="$root" \
    < /dev/null > "$work/console" 2>&1 9>&- &
  local n=0 nspawn=$!
  while [ $n -lt 300 ] && kill -0 $nspawn 2> /dev/null; do
    init=$(cut -d ' ' -f 1 < "/proc/$nspawn/task/$nspawn/children" 2> /dev/null || true)
    case $([ -z "$init" ] || in_root systemctl is-system-running 2> /dev/null) in running | degraded) return 0 ;; esac
    n=$((n + 1)); sleep 0.1
  done
  kill -KILL $nspawn $init 2> /dev/null || true
  init=
  return 1
}
if boot; then
  say "booted: $(in_root systemctl --version | head -n 1)"
else
  say 'NOT RUN: no systemd could be booted; the service is started by hand, and the unit that never is root is not tried'
  mount -t proc proc "$root/proc" || { say 'NOT RUN: /proc can not be mounted in there either, so nothing is installed'; exit 0; }
fi

# The service by its unit; by hand it has its capabilities, umask, directories and no new rights, and neither its view of the files nor
# its list of system calls (tests/units.rs holds that one).
start() {
  if [ -n "$init" ]; then
    in_root systemctl enable --now gatepost 2> "$work/log" ||
      { in_root journalctl -n 30 -u gatepost > "$work/log"; die 'it does not start'; }
  else
    in_root systemd-tmpfiles --create gatepost.conf
    local caps
    caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$root/usr/lib/systemd/system/gatepost.service" | tr A-Z a-z |
      sed 's/cap_/+/g; s/ /,/g')
    (umask 077; exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin setpriv --no-new-privs --bounding-set="-all,$caps" \
      --groups "$(in_root getent group _gatepost-audit | cut -d : -f 3)" \
      $(sed -n 's/^ExecStart=//p' "$root/usr/lib/systemd/system/gatepost.service") < /dev/null 2>> "$work/log" 9>&-) &
    service=$!
    until_true 'it serves' grep -q serving "$work/log"
  fi
}
stop() {
  if [ -n "$init" ]; then in_root systemctl disable --now "$@" 2> /dev/null; else kill -TERM "$service"; wait "$service"; service=; fi
}
users() { # those of all processes of the program, by number
  in_root sh -c 'for p in /proc/[0-9]*; do
    [ "$(readlink "$p/exe")" != /usr/bin/gatepost ] || sed -n "s/^Uid:\t\([0-9]*\).*/\1/p" "$p/status"; done' | sort -u
}
arrived() { grep -qx "$1" "$work/arrived"; }
use() { # SUBJECT PORT TLS
  python3 tests/package/mail.py send "$2" "$secret" "$1" "$3" || die "a message is not taken: $1"
  until_true "the message arrives: $1" arrived "$1"
}
everything() {
  # What a machine writes by itself, users (they stay, as promised) and the packages that lie there.
  local skip=() path
  for path in ./{proc,sys,dev,run,tmp,var/{tmp,log,cache,lib/{dpkg,systemd}}} ./etc/{passwd,group,shadow,gshadow}- \
    ./etc/{.pwd.lock,machine-id,resolv.conf} ./{first,later,earlier,mta}.deb; do
    skip+=(-path "$path" -o)
  done
  (cd "$root" && find . -xdev \( "${skip[@]}" -false \) -prune -o -print | sort)
}

say 'installed: users, directories, a configuration that loads, nothing started'
everything > "$work/before"
in_root dpkg -i /first.deb > "$work/log" 2>&1 || die 'the installation failed'
grep -q 'not started yet' "$work/log" || die 'it does not say what comes next'
in_root gatepost check || die 'the configuration that it comes with is refused'
for user in '' -listen -key -vault -seal -dial -courier; do in_root id "_gatepost$user" > /dev/null || die "no user _gatepost$user"; done
is 'the vault'"'"'s directory' "$(in_root stat -c '%a %U' /var/lib/gatepost/db)" '700 _gatepost-vault'
is 'the auditors'"'"' directory' "$(in_root stat -c '%a %U %G' /var/lib/gatepost/audit)" '2750 _gatepost-vault _gatepost-audit'
is 'files that were changed since they were packed' "$(in_root dpkg -V gatepost)" ''
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/gatepost.service" ] || die 'it is enabled without being asked'

say 'configured, started, used, reloaded'
read -r port upstream < <(python3 tests/package/mail.py ports 2)
: > "$work/arrived"
python3 tests/package/mail.py sink "$upstream" "$work/arrived" 9>&- & sink=$!
configuration=$root/etc/gatepost/gatepost.toml
sed -i "s/^hostname = .*/hostname = \"gate.package.example\"/; s/127.0.0.1:2525/127.0.0.1:$port/" "$configuration"
printf '[[upstream]]\nname = "sink"\nkind = "smtp"\nhosts = ["127.0.0.1:%s"]\ntls = "none"\n\n[[route]]\nto = "*"\nvia = ["sink"]\n' "$upstream" >> "$configuration"
printf '\n[[anchor]]\nname = "disk"\nkind = "file"\npath = "/var/lib/gatepost/heads"\n' >> "$configuration"
[ -z "$init" ] || printf '\n[[anchor]]\nname = "journal"\nkind = "syslog"\nsocket = "/dev/log"\n' >> "$configuration"
in_root gatepost check
start
is 'the file of an anchor' "$(in_root stat -c '%U %G' /var/lib/gatepost/heads)" 'root _gatepost-audit'
secret=$(in_root gatepost credential add app --sender @example.net | tail -n 1)
use 'first' "$port" none
if [ -n "$init" ]; then
  # Root, and one for each role but the keyholder, which nobody needs without TLS.
  is 'users of its processes' "$(users | wc -l)" 7
  in_root systemctl reload gatepost || die 'a reload is refused'
  use 'after a reload' "$port" none
fi
until_true 'the audit log is sound' in_root gatepost audit verify

say 'cron'"'"'s and everybody'"'"'s sendmail, by a user without rights; and not beside another one'
[ ! -e "$root/usr/sbin/sendmail" ] || die 'it takes the name without being asked'
in_root dpkg -i /mta.deb > "$work/log" 2>&1 || die 'the package of names is not installed'
printf 'server = "127.0.0.1:%s"\nusername = "app"\npassword = "%s"\nfrom = "host@example.net"\n[aliases]\nroot = ["ops@example.org"]\n' \
  "$port" "$secret" > "$root/etc/gatepost/sendmail.conf"
for name in /usr/sbin/sendmail /usr/lib/sendmail; do
  printf 'From: root (Cron Daemon)\nTo: root\nSubject: by %s\n\nx\n' "$name" |
    in_root setpriv --reuid 65534 --regid 65534 --clear-groups "$name" -i -FCronDaemon -B8BITMIME -oem root 2> "$work/log" ||
    die "$name does not send"
  until_true "the message of $name arrives" arrived "by $name"
done
in_root newaliases > "$work/log" 2>&1 || die 'newaliases fails'
in_root mailq > "$work/log" 2>&1 || die 'mailq fails'
is 'who is a mail-transport-agent' "$(in_root dpkg-query -W -f '${Package} ${Provides} ${Conflicts}\n' | grep ' mail-transport-agent')" \
  'gatepost-mta mail-transport-agent mail-transport-agent'

say 'upgraded: the configuration of its operator stays, and what runs is restarted'
parent() { if [ -n "$init" ]; then in_root systemctl show -P MainPID gatepost; fi; }
before=$(parent)
if [ -n "$init" ]; then
  python3 tests/package/mail.py knock "$port" "$work/upgraded" > "$work/knocks" 2>&1 9>&- & knocks=$!
else
  stop
fi
in_root dpkg -i /later.deb > "$work/log" 2>&1 || die 'the upgrade failed'
is 'version' "$(in_root dpkg-query -W -f '${Version}' gatepost)" "$version+later1"
grep -q package.example "$configuration" || die 'the configuration was lost'
[ -e "$root/usr/sbin/sendmail" ] || die 'the upgrade of the gate alone took sendmail away'
in_root dpkg -P gatepost-mta > "$work/log" 2>&1 || die 'the names can not be removed'
[ ! -e "$root/usr/sbin/sendmail" ] || die 'the name stays'
rm "$root/etc/gatepost/sendmail.conf"
if [ -n "$init" ]; then
  is 'state after the upgrade' "$(in_root systemctl is-active gatepost)" active
  [ "$(parent)" != "$before" ] || die 'the old program runs on'
  touch "$work/upgraded"
  wait "$knocks" || { tail -n 3 "$work/knocks" >&2; die 'a connection is refused during the upgrade'; }
  say "meanwhile: $(cat "$work/knocks")"
else
  : > "$work/log"; start
fi
use 'after the upgrade' "$port" none
until_true 'the audit log is sound' in_root gatepost audit verify

if [ -n "$init" ]; then
  say 'gatepost upgrade: systemd restarts it, and nobody is refused'
  before=$(parent)
  rm -f "$work/upgraded"
  python3 tests/package/mail.py knock "$port" "$work/upgraded" > "$work/knocks" 2>&1 9>&- & knocks=$!
  in_root gatepost upgrade > "$work/log" 2>&1 || die 'gatepost upgrade fails'
  grep -q "in the place of version .* (process $before)" "$work/log" || die 'it does not say in whose place the new one is'
  [ "$(parent)" != "$before" ] || die 'the old process runs on'
  touch "$work/upgraded"
  wait "$knocks" || { tail -n 3 "$work/knocks" >&2; die 'a connection is refused during gatepost upgrade'; }
  say "meanwhile: $(cat "$work/knocks")"
  use 'after gatepost upgrade' "$port" none
fi

say 'a configuration that the new version refuses stops nothing'
if [ -n "$init" ]; then
  before=$(parent)
  cp -p "$configuration" "$work/good"
  echo 'nonsense = 1' | cat - "$work/good" > "$configuration"
  in_root dpkg -i /later.deb > "$work/log" 2>&1 || die 'the package is not installed once more'
  grep -q 'NOT RESTARTED' "$work/log" || die 'it does not say that it did not restart'
  is 'the process' "$(parent)" "$before"
  use 'with a mistaken file' "$port" none
  cp -p "$work/good" "$configuration"
fi

say 'back to a version whose database has the same form: nothing is to be done to it'
[ -n "$init" ] || stop
in_root dpkg -i /first.deb > "$work/log" 2>&1 || die 'a version of the same form can not be installed'
grep -q 'nothing is to be done' "$work/log" || die 'it does not say that nothing is to be done'
is 'version' "$(in_root dpkg-query -W -f '${Version}' gatepost)" "$version"
[ -n "$init" ] || { : > "$work/log"; start; }
use 'after going back to the same form' "$port" none
is 'orders to take the database back' "$(in_root gatepost audit query --event store.downgrade --json | wc -l)" 0
[ -n "$init" ] || stop
in_root dpkg -i /later.deb > "$work/log" 2>&1 || die 'the upgrade failed'
[ -n "$init" ] || { : > "$work/log"; start; }

say 'what the version before would hold to less keeps it from being installed'
in_root gatepost credential add tried --sender @example.net --test > /dev/null
if in_root dpkg -i /earlier.deb > "$work/log" 2>&1; then die 'the version before is installed all the same'; fi
grep -q 'these credentials to less: tried' "$work/log" || die 'it does not say which credentials are in the way'
is 'version' "$(in_root dpkg-query -W -f '${Version} ${db:Status-Status}' gatepost)" "$version+later1 installed"
[ -z "$init" ] || is 'state after a refusal' "$(in_root systemctl is-active gatepost)" active
use 'after a refusal' "$port" none
in_root gatepost credential remove tried --yes > /dev/null

say 'and back to the version before: its database is made ready'
before=$(parent)
[ -n "$init" ] || stop
in_root dpkg -i /earlier.deb > "$work/log" 2>&1 || die 'the version before can not be installed'
is 'version' "$(in_root dpkg-query -W -f '${Version}' gatepost)" "$version~earlier1"
grep -q 'its database gets form\|the database has form' "$work/log" || die 'the database was not made ready'
if [ -n "$init" ]; then
  is 'state after going back' "$(in_root systemctl is-active gatepost)" active
  [ "$(parent)" != "$before" ] || die 'the newer program runs on'
  in_root journalctl -u gatepost | grep 'the database is that of the version before' > /dev/null || die 'the database was not taken back'
else
  : > "$work/log"; start
fi
use 'after going back' "$port" none
is 'who wanted it' "$(in_root gatepost audit query --event store.downgrade --json | wc -l)" 1
until_true 'the audit log is sound' in_root gatepost audit verify
stop gatepost

if [ -n "$init" ]; then
  say 'never root: a socket of systemd, secrets as credentials, the state of before'
  (cd "$root/etc/gatepost" && umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
    -subj /CN=gate.package.example -addext subjectAltName=DNS:gate.package.example -keyout tls.key -out tls.pem 2> /dev/null)
  sed '/^username/d; /^password/d; s/gate.example.net/gate.package.example/' packaging/deb/unprivileged.toml |
    sed "s/^hosts = .*/hosts = [\"127.0.0.1:$upstream\"]/; /^kind = \"smtp\"/,/^\[\[route/ s/^tls = .*/tls = \"none\"/" > "$configuration"
  mkdir -p "$root"/etc/systemd/system/gatepost{-unprivileged.service,.socket}.d
  printf '[Service]\nLoadCredential=tls-chain:/etc/gatepost/tls.pem\nLoadCredential=tls-key:/etc/gatepost/tls.key\n' \
    > "$root/etc/systemd/system/gatepost-unprivileged.service.d/secrets.conf"
  printf '[Socket]\nListenStream=\nListenStream=127.0.0.1:%s\n' "$port" > "$root/etc/systemd/system/gatepost.socket.d/port.conf"
  in_root systemctl daemon-reload
  in_root systemd-run --quiet --wait --pipe -p LoadCredential=tls-chain:/etc/gatepost/tls.pem \
    -p LoadCredential=tls-key:/etc/gatepost/tls.key gatepost check < /dev/null || die 'the configuration is refused'
  in_root systemctl enable --now gatepost.socket 2> /dev/null
  # By the first connection, as sockets are.
  use 'by a socket of systemd' "$port" starttls
  is 'users of its processes' "$(users)" "$(in_root id -u _gatepost-vault)"
  in_root systemctl reload gatepost-unprivileged || die 'a reload is refused'
  use 'by the same socket after a reload' "$port" starttls
  until_true 'the audit log is sound' in_root gatepost audit verify
  is 'group of the auditors'"'"' files' "$(in_root stat -c %G /var/lib/gatepost/audit/audit.db)" _gatepost-audit
  stop gatepost.socket gatepost-unprivileged.service || true
  say 'and back: root has its own again'
  in_root chown root:root /var/lib/gatepost
  in_root chown -R root:root /var/lib/gatepost/seal /var/lib/gatepost/master
  sed -i "s/\"systemd:submission\"/\"127.0.0.1:$port\"/; s,credential:tls-chain,/etc/gatepost/tls.pem,; s,credential:tls-key,/etc/gatepost/tls.key," "$configuration"
  start
  use 'as root again' "$port" starttls
  until_true 'the audit log is sound' in_root gatepost audit verify
fi

say 'removed: what was kept stays; then purged: it goes, and says so'
in_root dpkg -r gatepost > "$work/log" 2>&1 || die 'the removal failed'
grep -q 'stays, with queued mail' "$work/log" || die 'it does not say that mail stays'
[ -z "$init" ] || is 'state after the removal' "$(in_root systemctl is-active gatepost || true)" inactive
[ -e "$root/var/lib/gatepost/db/vault.db" ] && [ -e "$configuration" ] || die 'a removal took what was kept'
rm -rf "$root"/etc/systemd/system/gatepost{-unprivileged.service,.socket}.d
in_root dpkg -P gatepost > "$work/log" 2>&1 || die 'the purge failed'
grep -q 'removing /var/lib/gatepost' "$work/log" || die 'it does not say what it removes'
if [ -n "$init" ]; then
  grep -q '/etc/gatepost stays' "$work/log" || die 'it does not say that keys stay'
  rm -r "$root/etc/gatepost"
fi
everything > "$work/after"
diff "$work/before" "$work/after" || die 'something is left'
say 'the package holds'
