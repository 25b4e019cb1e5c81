#!/usr/bin/env python3
"""What is linked into gatepost: a CycloneDX bill of materials, and the notices of all of it.

    tools/bill_of_materials.py FOLDER     writes gatepost.cdx.json and THIRD-PARTY-NOTICES there
    tools/bill_of_materials.py --compare FOLDER PROGRAM
                                          holds the bill against the list that cargo-auditable put into a program

Read from cargo's own account of the lock file, for this machine's kind of system and the default features: no network, the same
octets each time. The second form shows that the program was built from this lock file, and that the bill names nothing else.
"""

import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tomllib
import zlib


def metadata():
    host = re.search(r"^host: (.*)$", subprocess.check_output(["rustc", "-vV"], text=True), re.M)[1]
    words = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host]
    return json.loads(subprocess.check_output(words))


def linked(data):
    """The packages that the program is built from, without those for builds, tests, fuzzing and other systems alone."""
    words = ["cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    lines = subprocess.check_output(words, text=True).split("\n")
    names = {tuple(line.split()[:2]) for line in lines if line}
    packages = {one["id"]: one for one in data["packages"] if (one["name"], "v" + one["version"]) in names}
    order = sorted(packages, key=lambda one: (packages[one]["name"], packages[one]["version"]))
    normal = lambda dep: any(kind["kind"] is None for kind in dep["dep_kinds"])
    edges = {node["id"]: sorted(dep["pkg"] for dep in node["deps"] if dep["pkg"] in packages and normal(dep))
             for node in data["resolve"]["nodes"] if node["id"] in packages}
    return packages, data["resolve"]["root"], order, edges


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums):
    made = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        # Cargo's older way to write "or" is a slash.
        "licenses": [{"expression": (package["license"] or "NOASSERTION").replace("/", " OR ")}],
    }
    if checksum := checksums.get((package["name"], package["version"])):
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return made


def sqlite(package):
    """SQLite itself, in C, which comes inside a crate."""
    header = pathlib.Path(package["manifest_path"]).parent / "sqlite3" / "sqlite3.h"
    version = re.search(r'^#define SQLITE_VERSION\s+"([^"]+)"', header.read_text(), re.M)[1]
    return {
        "type": "library", "bom-ref": f"sqlite@{version}", "name": "sqlite", "version": version,
        "purl": f"pkg:generic/sqlite@{version}", "licenses": [{"license": {"id": "blessing"}}],
        "description": f"in C, within {package['name']} {package['version']}",
    }


def bill(packages, root, found, edges):
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}
    when = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    others = [component(packages[one], checksums) for one in found if one != root]
    depends = {reference(packages[one]): [reference(packages[to]) for to in edges[one]] for one in found}
    for one in (packages[i] for i in found if packages[i]["name"] == "libsqlite3-sys"):
        others.append(sqlite(one))
        depends[reference(one)].append(others[-1]["bom-ref"])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": component(packages[root], checksums) | {"type": "application"},
        },
        "components": others,
        "dependencies": [{"ref": ref, "dependsOn": to} for ref, to in sorted(depends.items())],
    }


def notices(packages, root, found):
    """Each text of a licence once, with all that it stands in."""
    texts = {}
    for one in (packages[i] for i in found if i != root):
        folder, name = pathlib.Path(one["manifest_path"]).parent, f"{one['name']} {one['version']} ({one['license']})"
        files = [f for f in sorted(folder.iterdir()) if f.is_file() and re.match(r"(?i)(un)?licen[cs]e|copying|copyright|notice", f.name)]
        for text in {f.read_text(errors="replace").strip() for f in files} or {"(no text of a licence comes with it)"}:
            texts.setdefault(text, []).append(name)
    blocks = sorted((sorted(names), text) for text, names in texts.items())
    line = "-" * 72
    return "What is linked into gatepost, and under which terms.\n" + "".join(
        f"\n{line}\n" + "\n".join(names) + f"\n{line}\n\n{text}\n" for names, text in blocks)


def embedded(program):
    """What cargo-auditable put into a program: zlib over JSON, in the section .dep-v0."""
    raw = subprocess.run(["objcopy", "-O", "binary", "--only-section=.dep-v0", "--set-section-flags", ".dep-v0=alloc", program,
                          "/dev/stdout"], check=True, stdout=subprocess.PIPE).stdout
    if not raw:
        sys.exit(f"{program}: no list of dependencies is in it: build it with cargo auditable")
    said = json.loads(zlib.decompress(raw))["packages"]
    return {(one["name"], one["version"]) for one in said if one.get("kind", "runtime") == "runtime"}


def main():
    if sys.argv[1] == "--compare":
        said = json.loads((pathlib.Path(sys.argv[2]) / "gatepost.cdx.json").read_text())
        ours = {(one["name"], one["version"]) for one in said["components"] if one["purl"].startswith("pkg:cargo/")}
        theirs = embedded(sys.argv[3]) - {("gatepost", said["metadata"]["component"]["version"])}
        # It lists more than is linked: what macros are made of, and what only features that are off would take.
        if missing := sorted(ours - theirs):
            sys.exit(f"only in the bill, and not in {sys.argv[3]}: {missing}")
        print(f"all {len(ours)} crates of the bill of materials are in the list that the program has in it")
        return
    packages, root, found, edges = linked(metadata())
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    made = bill(packages, root, found, edges)
    (folder / "gatepost.cdx.json").write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    (folder / "THIRD-PARTY-NOTICES").write_text(notices(packages, root, found))


main()
