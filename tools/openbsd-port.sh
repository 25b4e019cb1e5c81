#!/usr/bin/env bash
# Makes a whole port for OpenBSD out of packaging/openbsd: tools/openbsd-port.sh FOLDER
#
# What changes with each release is made here, from what is committed: the archive of the sources (FOLDER/distfiles), crates.inc and
# distinfo. On OpenBSD: put FOLDER/mail/gatepost into /usr/ports/mail, the archive into /usr/ports/distfiles, and `make package`.
# Needs git, python3 and cargo, which fetches crates that are missing here. The port itself has not been built: there is no OpenBSD.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 1 ] || { echo 'openbsd-port: tools/openbsd-port.sh FOLDER' >&2; exit 2; }
port=$1/mail/gatepost
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
[ "$(sed -n 's/^V =[[:space:]]*//p' packaging/openbsd/Makefile)" = "$version" ] ||
  { echo "openbsd-port: V in packaging/openbsd/Makefile is not the version in Cargo.toml, $version" >&2; exit 1; }

mkdir -p "$port" "$1/distfiles"
cp -R packaging/openbsd/. "$port"
# The ports tree knows where programs are installed.
sed 's,"/usr/local/,"${TRUEPREFIX}/,' rc.d/gatepost > "$port/pkg/gatepost.rc"
git archive --format=tar --prefix="gatepost-$version/" HEAD | gzip -9n > "$1/distfiles/gatepost-$version.tar.gz"
cargo fetch --quiet --locked
python3 - "$port" "$1/distfiles/gatepost-$version.tar.gz" << 'PYTHON'
import base64, glob, hashlib, os, pathlib, sys, tomllib

port, archive = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
crates = [one for one in tomllib.loads(pathlib.Path("Cargo.lock").read_text())["package"] if "checksum" in one]
files = [(archive.name, archive.read_bytes())]
for one in crates:
    name = f"{one['name']}-{one['version']}"
    found = glob.glob(f"{home}/registry/cache/*/{name}.crate")
    if not found:
        sys.exit(f"openbsd-port: {name}.crate is not in {home}/registry/cache")
    octets = pathlib.Path(found[0]).read_bytes()
    if hashlib.sha256(octets).hexdigest() != one["checksum"]:
        sys.exit(f"openbsd-port: {found[0]} is not what Cargo.lock says")
    files.append((f"cargo/{name}.tar.gz", octets))
files.sort()
digest = lambda octets: base64.b64encode(hashlib.sha256(octets).digest()).decode()
(port / "crates.inc").write_text("".join(f"MODCARGO_CRATES +=\t{one['name']}\t{one['version']}\n" for one in crates))
(port / "distinfo").write_text("".join(f"SHA256 ({name}) = {digest(octets)}\n" for name, octets in files)
                               + "".join(f"SIZE ({name}) = {len(octets)}\n" for name, octets in files))
print(f"{port}: {len(crates)} crates")
PYTHON
