#!/usr/bin/env python3
"""Verifies Gatepost's audit log with Python's standard library alone: a second opinion that shares no code with Gatepost.

    verify_audit.py --key VKEY|FILE ... [--from SEQ] [--head FILE] [--against FILE] [--acks FILE] [--as-of TIME] [--quick] PATH

PATH is the auditors' directory, one of its files, or an export in JSON lines. VKEY is the log's verifier key, from a copy
that is kept apart from the files; of a log that got a new key, all of them, the oldest first. It computes every leaf and
the whole tree anew and checks every signed head; how leaves are made is explained in src/vault/audit/leaf.rs, the tree is
RFC 6962's, heads are C2SP tlog-checkpoint notes. With --quick each leaf's stored hash is taken for granted.
Exit codes are those of `gatepost audit verify`.
"""
import argparse, base64, datetime, glob, hashlib, json, os, quopri, re, sqlite3, struct, sys, unicodedata, urllib.parse, uuid

SOUND, USAGE, UNREADABLE, ALTERED, ERASED, SIGNATURE, FORK, UNSEALED, GAP = 0, 1, 2, 10, 11, 12, 13, 14, 15
OPEN = {"account", "auth_user", "rcpt_domain"}  # what auditors see in clear; of the rest they see `.shown`, if anything
MASKED = {"client_ip", "mail_from", "rcpt_to", "sender_given"}  # of these they always see it
FIELDS = OPEN | MASKED | {"helo", "remote_text"}  # and there are no others
UNSEALED_US = 15_000_000  # a leaf that is older must be under a signed head
TRANSACTION_US = 86_400_000_000  # what lies between a message's id and its event is never longer
LONGEST_US = 600_000_000  # two heartbeats: a log that serves is never silent for longer
GRACE_US = 600_000_000  # what an event says is erased is gone by then
ACCEPTED = re.compile(r"a message was (?:accepted|acknowledged) (\S+)")  # the vault's line, and the edge's
ANCHOR = "audit-anchor/1 "  # a head on a line of some log: origin, size, root, signature
UNSEEN = {"Cc", "Cf", "Zl", "Zp"}  # what steers a terminal, or turns a line around
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # of an id behind `req_`
NUMBERS = {"severity", "smtp_code", "bytes", "rcpt_count", "attempt", "duration_us", "truncated"}  # the others are text
INFO = {"origin", "vkey", "month", "first_seq", "base", "published_size", "published_time"}  # all that it may say
FORMS = {  # cells that are not of their column's kind: SQLite lets anything stand anywhere
    "checkpoint": "typeof(time_us)<>'integer' OR time_us<0 OR typeof(root)<>'blob' OR typeof(note)<>'text'",
    "anchor": "typeof(name)<>'text' OR typeof(size)<>'integer' OR size<0 OR typeof(time_us)<>'integer' OR time_us<0"
    " OR typeof(proof) NOT IN ('text','null')",
    "erasure": "typeof(n)<>'integer'",
}
APPLICATION = 0x47545041  # "GTPA"
SCHEMA = {  # SHA-256 of what a file's tables, views and indices are, by its user_version
    1: "aaa83a88fd3b67ee4b0b96b51adbc47f6cbed1c9859bf725175ff6cecb142e30",
    2: "8c3a5b3110854110228f08b0e37f808c377b03fe15101d06de20c704af83ec3f",
}


class Fault(Exception):
    def __init__(self, code, what, forged=False):
        super().__init__(what)
        self.code, self.forged = code, forged


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# Ed25519: RFC 8032, in extended coordinates. One key signs every head, so its multiples are computed once.

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    g, h = 2 * D * t1 * t2, 2 * z1 * z2
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def point(octets):
    number = int.from_bytes(octets, "little")
    y, odd = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or y >= P:
        raise Fault(USAGE, "the log key is no point of the curve")
    x = P - x if x & 1 != odd else x
    return x, y, 1, x * y % P


def multiples(base):
    """Sixteen multiples for each of the 64 hexadecimal digits of a scalar."""
    rows = []
    for _ in range(64):
        row = [(0, 1, 1, 0)]
        while len(row) < 16:
            row.append(add(row[-1], base))
        rows.append(row)
        base = add(row[-1], base)
    return rows


def times(rows, scalar):
    total = (0, 1, 1, 0)
    for row in rows:
        total, scalar = add(total, row[scalar & 15]), scalar >> 4
    return total


class Key:
    """A verifier key: name+id+key, as C2SP signed-note writes it."""

    def __init__(self, text):
        try:
            self.name, number, key = text.strip().split("+", 2)
            key = base64.b64decode(key, validate=True)
            self.id = sha256(self.name.encode(), b"\n", key)[:4]
            assert len(key) == 33 and key[0] == 1 and self.id.hex() == number
        except (ValueError, AssertionError):
            raise Fault(USAGE, "the log key can't be read") from None
        self.text, self.octets = text.strip(), key[1:]
        x, y, z, t = point(self.octets)
        self.minus = multiples((P - x, y, z, P - t))
        self.base = multiples(point((4 * pow(5, -1, P) % P).to_bytes(32, "little")))

    def is_signed(self, text, signature):
        r, s = signature[:32], int.from_bytes(signature[32:], "little")
        k = int.from_bytes(hashlib.sha512(r + self.octets + text).digest(), "little") % L
        x, y, z, _ = add(times(self.base, s), times(self.minus, k))
        x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
        return len(signature) == 64 and s < L and r == (y | (x & 1) << 255).to_bytes(32, "little")

    def head(self, note):
        """Size, root and declared gap that a signed note tells. A missing signature is a fault, like a wrong one."""
        def wrong(why, forged=False):
            return Fault(SIGNATURE, f"a signed head: {why}", forged)
        if any(c != "\n" and unicodedata.category(c) in UNSEEN for c in note):
            raise wrong("a line in it holds what no terminal shows")
        try:
            text, border, signatures = note.rpartition("\n\n")
            origin, size, root, *more = text.split("\n")
            lines = [line.split(" ") for line in signatures.removesuffix("\n").split("\n")]
            decoded = [(name, base64.b64decode(octets, validate=True)) for _, name, octets in lines]
            size, root = int(size), base64.b64decode(root, validate=True)
        except (ValueError, AttributeError):
            raise wrong("it is no signed note") from None
        mine = [octets[4:] for name, octets in decoded if name == self.name and octets[:4] == self.id]
        if not border or not mine:
            raise wrong("no signature of the log's key")
        if not self.is_signed((text + "\n").encode(), mine[0]) or origin != self.name:
            raise wrong("the signature is not the log key's", forged=True)
        return size, root, next((gap for gap in map(declared_gap, more) if gap), None)


def declared_gap(line):
    """What was given up: events kept for certain, the head of before, and the size that goes on from there."""
    mark, *words = line.split(" ")
    if mark == "audit-resume/1" and len(words) == 4:
        return int(words[0]), int(words[1]), base64.b64decode(words[2], validate=True), int(words[3])
    return None


# The tree and its leaves.


class Tree:
    """The perfect subtrees of an RFC 6962 tree, the largest first: height and hash of each."""

    def __init__(self, size, peaks):
        heights = [height for height in range(63, -1, -1) if size >> height & 1]
        if len(heights) != len(peaks) or any(len(peak) != 32 for peak in peaks):
            raise Fault(ALTERED, "the tree before the first event is not one")
        self.peaks = list(zip(heights, peaks))

    def push(self, hash, height=0):
        while self.peaks and self.peaks[-1][0] == height:
            hash, height = sha256(b"\1", self.peaks.pop()[1], hash), height + 1
        if self.peaks and self.peaks[-1][0] < height:
            raise Fault(ALTERED, "a part of the tree stands where it can't")
        self.peaks.append((height, hash))

    def size(self):
        return sum(1 << height for height, _ in self.peaks)

    def root(self):
        hashes = [hash for _, hash in self.peaks] or [sha256()]
        while len(hashes) > 1:
            hashes[-2:] = [sha256(b"\1", *hashes[-2:])]
        return hashes[0]


def lp8(text):
    return bytes([len(text.encode())]) + text.encode()


def leaf(event):
    """audit-leaf/1"""
    fields = {key: (0, str(value).encode()) for key, value in event["clear"].items()}
    if any(type(value) is not (int if key in NUMBERS else str) for key, value in event["clear"].items()):
        raise Fault(ALTERED, f"event {event['seq']} has a column that is not what is written there: text, or a number")
    fields |= {key: (1, bytes.fromhex(value["hash"])) for key, value in event["committed"].items()}
    octets = b"audit-leaf/1\n" + struct.pack(">QQ", event["seq"], event["time_us"]) + lp8(event["event"])
    octets += struct.pack(">H", len(fields))
    for key, (kind, value) in sorted(fields.items()):
        octets += lp8(key) + struct.pack(">BI", kind, len(value)) + value
    return octets


def is_there(seq, key, value):
    """Whether a value is there, which must be the one committed to then."""
    if "value" not in value and "salt" not in value:
        return False
    salt, text = bytes.fromhex(value.get("salt") or ""), value.get("value")
    made = sha256(b"audit-field/1\n", salt, struct.pack(">Q", seq), lp8(key), str(text).encode())
    if text is None or made.hex() != value["hash"]:
        raise Fault(ALTERED, f"{key} of event {seq} isn't the value that was committed to")
    return True


class Erasures:
    """What the log's own events say was erased. They come after what they name, so they are read before the rest."""

    def __init__(self, as_of_us):
        self.spans, self.now_us, self.as_of_us, self.pruned = [], as_of_us or 0, as_of_us, []
        self.is_whole, self.unjudged = True, None  # whether the log goes on elsewhere, and what is told there if anywhere

    def add(self, seq, time_us, event, data):
        self.now_us = self.as_of_us or max(self.now_us, time_us)
        month = pruned_month(event, data)
        if month:
            self.pruned.append((month["size"], month["root"], seq, time_us))
        elif event == "audit.redact":
            for first, last, fields, _ in erased_by(event, data):
                self.spans.append((first, min(last, seq - 1), set(fields), time_us))

    def ends(self, path, is_json):
        """With an export, or the file of a month that is over, nobody knows what events say that come later."""
        goes_on = is_json or os.path.basename(path).startswith("audit-")
        self.is_whole = bool(self.as_of_us) or not goes_on

    def begins(self, first, root):
        """Whether an event says that what was before the first event was removed. What one says is removed is so by now,
        unless the files are a copy of nobody knows when, which may have more."""
        for size, _, by, time_us in self.pruned:
            if self.as_of_us and size > first and time_us + GRACE_US < self.now_us:
                raise Fault(ERASED, f"event {by} says that the events before {size} were removed, but they are still there")
        return (first, root.hex()) in [(size, at) for size, at, *_ in self.pruned]

    def check(self, seq, committed):
        """What is gone was named by an event, and what an event names is gone."""
        there = {key: is_there(seq, key, value) for key, value in committed.items()}
        spans = [span for span in self.spans if span[0] <= seq <= span[1]]
        for key in (key for key in there if not key.endswith(".shown")):
            field, shown = key.split("[")[0], there.get(key + ".shown")
            is_gone = field in OPEN and not there[key] or shown is False
            named = [span[3] for span in spans if span[2] & {field, key}]
            if is_gone and not named and self.is_whole:
                raise Fault(ERASED, f"{key} of event {seq} was erased, and no event says so")
            if is_gone and not named:
                self.unjudged = self.unjudged or (key, seq)
            if not is_gone and (there[key] or shown) and named and min(named) + GRACE_US < self.now_us:
                raise Fault(ERASED, f"an event says that {key} of event {seq} was erased, but it is still there")


def erased_by(event, data):
    """First and last event, fields and ground of each range that an erasing event names."""
    month = pruned_month(event, data)
    if event == "audit.redact":
        said = json.loads(data)
        for part in said["erased"]:
            for first, last in part["events"]:
                yield first, last, part["fields"], said["ground"]
    elif hashes_went(event, data):
        said = json.loads(data)
        yield 0, max(0, said["hashes"] - 1), ["hashes"], said["ground"]
    elif month:
        yield month["first"], max(0, month["size"] - 1), ["events"], month["ground"]


def pruned_month(event, data):
    """What an event says of a month that was removed; none for other events."""
    try:
        said = json.loads(data) if event == "audit.prune" and data else None
    except ValueError:
        said = None
    words, numbers = ("month", "root", "sha256", "ground"), ("first", "size")
    has = lambda keys, kind: all(isinstance(said.get(key), kind) for key in keys)
    return said if isinstance(said, dict) and has(words, str) and has(numbers, int) else None


def hashes_went(event, data):
    """Whether an event says that leaf hashes were removed, which were in no file."""
    try:
        said = json.loads(data) if event == "audit.prune" and data else None
    except ValueError:
        said = None
    if not isinstance(said, dict) or set(said) != {"hashes", "root", "ground"}:
        return False
    return isinstance(said["hashes"], int) and isinstance(said["root"], str) and isinstance(said["ground"], str)


class Acknowledged:
    """What the service said it had accepted, in its own logs, of which no event was seen yet."""

    def __init__(self, paths):
        self.first_us, self.missing = None, set()
        for path in paths:
            found = {message_id(id) for id in ACCEPTED.findall(elsewhere(path))} - {None}
            if not found:
                raise Fault(USAGE, f"{path}: it says of no message that it was accepted")
            self.missing |= found

    def event(self, event):
        self.first_us = self.first_us or event["time_us"]
        if self.missing and event["event"] in ("msg.accept", "msg.intent"):
            self.missing.discard(message_id(str(event["clear"].get("msg_id"))))

    def judge(self, last_us, holes):
        """An id begins with the time in milliseconds at which it was given, at MAIL; its event comes with the dot, which may be
        behind the end of a copy."""
        left = {id: (id >> 80) * 1000 for id in self.missing}
        is_lost = lambda us: any(hole.after_us <= us <= (hole.until_us or us) for hole in holes)
        left = sorted(id for id, us in left.items() if (self.first_us or 0) <= us <= last_us and not is_lost(us))
        if left:
            what = f"{len(left)} messages were acknowledged and have no event of it, first {uuid.UUID(int=left[0])}"
            raise Fault(ALTERED, f"{what}: they were left out")


def elsewhere(path):
    """What is kept elsewhere than in the log."""
    try:
        return open(path, errors="replace").read()
    except OSError as obstacle:
        raise Fault(UNREADABLE, f"reading {path}: {obstacle}") from None


def message_id(text):
    """In either form: a UUID, or `req_` and 26 letters of five bits."""
    letters = text.removeprefix("req_")
    try:
        if letters != text and len(letters) == 26 and letters[0] in "01234567":
            number = 0
            for letter in letters:
                number = number << 5 | LETTERS.index(letter)
            return number
        return uuid.UUID(text).int
    except ValueError:
        return None


class Silence:
    """A pause needs an event right behind it that says why: otherwise a log that was cut could pass for a quiet one."""

    def __init__(self):
        self.serves, self.last, self.left_us = False, None, 0

    def event(self, event):
        name, seq, time_us = event["event"], event["seq"], event["time_us"]
        if self.serves and time_us - self.last[1] > LONGEST_US:
            self.left_us, self.after = time_us - self.last[1], self.last[0]
        self.last = (seq, time_us)
        try:
            data = json.loads(event["clear"].get("data", "{}"))
        except ValueError:
            data = {}
        if self.left_us:
            self.left_us -= self.explained_us(name, data)
            self.left_us = self.left_us if self.left_us > LONGEST_US else 0
        if name == "daemon.stop" or name in ("daemon.crash", "store.recovered") and "down" in data:
            self.serves = False
        elif name in ("daemon.start", "daemon.crash", "audit.heartbeat"):
            self.serves = True

    def explained_us(self, name, data):
        if name == "clock.step" or name == "store.recovered" and "last_event" not in data:
            return max(0, data.get("by_us" if name == "clock.step" else "full_us", 0))
        names_it = name in ("daemon.crash", "store.recovered") and data.get("last_event") == self.after
        if names_it or name in ("daemon.start", "audit.resume"):
            return self.left_us
        raise self.unexplained()

    def unexplained(self):
        return Fault(ALTERED, f"nothing stands behind event {self.after} for too long, and no event says why")


class Hole:
    """Events that no file has: from the first, before the end."""

    def __init__(self, first, end, after_us, fault):
        self.first, self.end, self.after_us, self.until_us, self.fault = first, end, after_us, None, fault


class Log:
    """The log as far as it was read."""

    def __init__(self, keys, first, kept, acks=(), as_of_us=None, quick=False):
        self.keys, self.first, self.kept, self.compared, self.contradicted = keys, first, kept, set(), set()
        self.all_keys = keys
        self.erasures, self.told, self.gaps, self.quick = Erasures(as_of_us), {}, [], quick
        self.acks, self.as_of_us = Acknowledged(acks), as_of_us
        self.tree, self.next, self.time_us, self.sealed, self.heads, self.rows = None, first, 0, first, 0, {}
        self.silence, self.unsealed_us, self.holes, self.missing = Silence(), None, [], {}

    def begin(self, first, base):
        tree = Tree(first, base)
        if self.tree is None:
            is_pruned = self.erasures.begins(first, tree.root())
            if not self.first and is_pruned:
                self.first = self.next = self.sealed = first  # an event says that those before it were removed
            elif not self.first and first:
                what = f"the log begins with event {first}, and no event says that those before it were removed"
                self.holes.append(Hole(0, first, self.time_us, Fault(ERASED, f"{what}: is `--from` needed?")))
                self.first = self.next = self.sealed = first
            elif first != self.first:
                raise Fault(ALTERED, f"the log begins with event {first} instead of {self.first}: is `--from` needed?")
            self.tree = tree
            self.compare()
        elif tree.peaks != self.tree.peaks:
            end = self.tree.size()
            fault = Fault(ALTERED, f"a file begins with event {first}, but the files before it end at {end}")
            if first <= end:
                raise fault
            self.holes.append(Hole(end, first, self.time_us, fault))
            self.tree, self.rows, self.silence = tree, {}, Silence()
            self.compare()

    def declared(self):
        """Events that are in no file are no fault when a gap that is declared names exactly them."""
        named = {tuple(hole) for gap in self.gaps for hole in self.missing.get(gap[3], ())}
        for hole in self.holes:
            if (hole.first, hole.end - 1) not in named:
                raise hole.fault

    def event(self, event, stored_tile=None):
        seq = event["seq"]
        if seq != self.tree.size():
            raise Fault(ALTERED, f"event {self.tree.size()} is missing: the next one is {seq}")
        if event["time_us"] < self.time_us:
            raise Fault(ALTERED, f"event {seq} is older than the one before it")
        self.next, self.time_us, hash = seq + 1, event["time_us"], bytes.fromhex(event["leaf_hash"])
        self.unsealed_us = self.unsealed_us or self.time_us
        self.silence.event(event)
        self.acks.event(event)
        if self.holes and self.holes[-1].until_us is None:
            self.holes[-1].until_us = event["time_us"]
        if not self.quick:
            if hash != sha256(b"\0", leaf(event)):
                raise Fault(ALTERED, f"event {seq} isn't what its hash was made from")
            self.erasures.check(seq, event["committed"])
        if event["event"] == "audit.resume":
            told = json.loads(event["clear"]["data"])
            self.told[seq + 1] = told["kept"], told["old_size"], bytes.fromhex(told["old_root"]), seq + 1
            self.missing[seq + 1] = told.get("missing", [])
        self.tree.push(hash)
        if stored_tile:
            self.tiles(hash, seq + 1, stored_tile)
        self.compare()

    def tiles(self, hash, count, stored_tile, level=0):
        """Tiles that this leaf fills must be stored as they are; those that began before the files can't be known."""
        row = self.rows.setdefault(level, [])
        row.append(hash)
        if count % 256 == 0:
            full, self.rows[level] = row[-256:], []
            if len(full) == 256 and None not in full:
                if stored_tile(level, count // 256 - 1) != b"".join(full):
                    raise Fault(ALTERED, f"tile {count // 256 - 1} of level {level} isn't what its leaves make it")
                subtree = Tree(0, [])
                for part in full:
                    subtree.push(part)
                hash = subtree.root()
            else:
                hash = None
            self.tiles(hash, count // 256, stored_tile, level + 1)

    def head(self, note, beside=None):
        *signed, gap = self.signed(note)
        signed = tuple(signed)
        if beside and signed != beside:
            raise Fault(ALTERED, f"the head of {beside[0]} events stands beside another one's note")
        if signed != (self.tree.size(), self.tree.root()):
            raise Fault(ALTERED, f"the log up to event {signed[0]} isn't the one that was signed")
        self.sealed, self.heads, self.unsealed_us = signed[0], self.heads + 1, None
        if gap and gap not in self.gaps:
            if gap != self.told.get(gap[3]) and gap[3] > self.first:
                raise Fault(ALTERED, f"the head of {signed[0]} events declares a gap that no event tells of")
            self.gaps.append(gap)
        self.compare()

    def signed(self, note):
        """By the key of its time: another one comes with a declared gap."""
        if len(self.keys) > 1:
            try:
                return self.keys[0].head(note)
            except Fault:
                size, root, gap = self.keys[1].head(note)
                if self.first == 0 and not (gap and gap[3] == size):
                    raise
                self.keys = self.keys[1:]
                return size, root, gap
        return self.keys[0].head(note)

    def compare(self):
        """With the heads that were kept elsewhere, where the log is as long."""
        for head in self.kept:
            if head[0] == self.tree.size():
                self.compared.add(head)
                self.contradicted |= {head} if head[1] != self.tree.root() else set()

    def is_given_up(self, head):
        """Whether a head that was kept elsewhere lies in what a gap declares lost, and isn't of what came after it."""
        size, root, own = head
        later = self.gaps[self.gaps.index(own) + 1 :] if own in self.gaps else self.gaps
        return any(kept < size and (size < old or (size, root) == (old, old_root)) for kept, old, old_root, _ in later)

    def end(self):
        size, until = self.tree.size() if self.tree else self.first, self.as_of_us or self.time_us
        if self.silence.left_us:
            raise self.silence.unexplained()
        for head in self.kept:
            if (head in self.contradicted or head[0] > size) and not self.is_given_up(head):
                raise Fault(FORK, f"the log of {size} events isn't the one of the head that was kept elsewhere, of {head[0]}")
        if self.next == self.first:
            raise Fault(ALTERED, "there is no event at all")
        self.acks.judge(self.time_us - TRANSACTION_US, self.holes)
        if not self.heads and not self.as_of_us or self.unsealed_us and self.unsealed_us + UNSEALED_US < until:
            raise Fault(UNSEALED, f"the last {size - self.sealed} events are under no signed head")
        if self.silence.serves and until - self.time_us > LONGEST_US:
            raise Fault(UNSEALED, f"event {size - 1} is long ago, and the service had not stopped: was the end cut off?")
        if any(head[0] <= size and head not in self.compared for head in self.kept):
            raise Fault(USAGE, "the head that was kept elsewhere is of a size that isn't in these events")
        if self.erasures.unjudged:
            what = "{} of event {} was erased, and no event in here says so; one that comes later may, which can't be judged"
            raise Fault(USAGE, what.format(*self.erasures.unjudged) + " without those that follow: everything else is sound")


# Where the log comes from.

BEGINNING, EVENT = "base first form origin", "clear committed event leaf_hash seq time time_us"  # members of lines of an export


def connect(path):
    for end in ("", "-journal", "-wal"):
        if os.path.exists(path + end) and not os.path.isfile(path + end):
            raise Fault(UNREADABLE, f"{path}{end}: is no regular file")  # a pipe would be waited for
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read(20)[19:] == b"\2":  # what it says depends on what lies beside it
                raise Fault(UNREADABLE, f"{path}: is read together with a write-ahead log (-wal), which no file that Gatepost makes is")
    database = sqlite3.connect(f"file:{urllib.parse.quote(path)}?mode=ro", uri=True, isolation_level=None)
    database.execute("PRAGMA trusted_schema=OFF")  # nothing that stands in it is to act
    if database.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise Fault(UNREADABLE, f"{path}: is not an auditors' file")
    database.text_factory = lambda octets: octets.decode()
    return database


def erasing_events(path, is_json):
    """Those that erase, and the last one for its time."""
    if not is_json:
        yield from connect(path).execute(
            "SELECT seq, time_us, event, data FROM event WHERE event IN ('audit.redact', 'audit.prune') OR seq=(SELECT max(seq) FROM event)"
        )
        return
    last = None
    for line in open(path, encoding="utf-8"):
        last = line if '"leaf_hash"' in line else last
        if '"audit.redact"' in line or '"audit.prune"' in line:
            yield of_line(line)
    if last:
        yield of_line(last)


def strict(line, *forms):
    """A line of an export has the members of one of its forms and each once: another reader might take another one."""

    def once(pairs):
        members = dict(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member stands there twice")
        return members

    entry = json.loads(line, object_pairs_hook=once)
    if type(entry) is not dict or " ".join(sorted(entry)) not in forms:
        raise ValueError("a line has other members than an export has")
    return entry


def checked(entry):
    """An event of an export: also what stands there for the eyes alone, or in more than one form."""
    numbers = type(entry["seq"]) is type(entry["time_us"]) is int
    time = numbers and datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=entry["time_us"])
    if not numbers or type(entry["event"]) is not str or entry["time"] != time.isoformat(timespec="microseconds") + "Z":
        raise ValueError("the place, the time or the name of an event isn't one")
    for value in entry["committed"].values():
        texts = all(type(text) is str for text in value.values())
        octets = [value.get("hash"), value.get("salt", "")]
        if not texts or not value.keys() <= {"hash", "salt", "value"} or any(bytes.fromhex(text).hex() != text for text in octets):
            raise ValueError("a commitment isn't one")
    return entry


def of_line(line):
    entry = strict(line, EVENT)
    return entry["seq"], entry["time_us"], entry["event"], entry["clear"].get("data")


def whole(database, path):
    """Nothing covers views and indices but this: they must be the ones that Gatepost made, and each index have every row."""
    if database.execute("PRAGMA encoding").fetchone()[0] != "UTF-8":  # of others SQLite compares octets that it doesn't show
        raise Fault(ALTERED, f"{path}: is not in UTF-8, as every file is that Gatepost makes")
    rows = database.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name, tbl_name")
    listing = "\0".join(text for row in rows for text in row)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= max(SCHEMA):
        raise Fault(UNREADABLE, f"{path}: was written by a newer Gatepost: take the verify_audit.py of that version")
    if sha256(listing.encode()).hex() != SCHEMA.get(version):
        raise Fault(ALTERED, f"{path}: its tables, views and indices are not the ones that Gatepost made")
    said = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if said != "ok":
        raise Fault(ALTERED, f"{path}: the file is not a whole database: {said}")


def read_file(log, path):
    """One of the auditors' files."""
    database = connect(path)
    database.execute("BEGIN")  # it may be written to
    whole(database, path)
    info = dict(database.execute("SELECT key, value FROM info"))
    log.begin(int(info["first_seq"]), [bytes.fromhex(peak) for peak in info["base"].split()])
    if database.execute("SELECT 1 FROM personal WHERE seq NOT IN (SELECT seq FROM event) LIMIT 1").fetchone():
        raise Fault(ALTERED, f"{path}: a personal value belongs to an event that isn't there")

    def stored_tile(level, number):
        found = database.execute("SELECT hashes FROM tile WHERE level=? AND number=?", (level, number)).fetchone()
        return found and found[0]

    def head(size, root, note):
        log.head(note, (size, root))

    said = []
    for seq, event, data in database.execute("SELECT seq, event, data FROM event WHERE event IN ('audit.redact', 'audit.prune') ORDER BY seq"):
        said += [(seq, first, last, " ".join(fields), ground) for first, last, fields, ground in erased_by(event, data)]
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    listed = "SELECT seq, first_seq, last_seq, what, ground FROM erasure ORDER BY seq, n"
    if said != (database.execute(listed).fetchall() if "erasure" in tables else []):
        raise Fault(ALTERED, f"{path}: the table `erasure` isn't what its events say")

    heads = database.execute("SELECT size, root, note FROM checkpoint ORDER BY size").fetchall()
    events = database.execute("SELECT * FROM event ORDER BY seq")
    names = [column[0] for column in events.description]
    for row in events:
        while heads and heads[0][0] <= row[0]:
            head(*heads.pop(0))
        log.event(event_of_row(database, dict(zip(names, row)), log.quick), stored_tile)
    for found in heads:
        head(*found)
    if "anchor" in tables and (database.execute("SELECT max(size) FROM anchor").fetchone()[0] or 0) > log.tree.size():
        raise Fault(ALTERED, f"{path}: a head was anchored of more events than there are")
    beside(log, path, database, info)
    for table in tables & FORMS.keys():
        if database.execute(f"SELECT EXISTS(SELECT 1 FROM {table} WHERE {FORMS[table]})").fetchone()[0]:
            raise Fault(ALTERED, f"{path}: a cell of the table `{table}` isn't what is written there")


def beside(log, path, database, info):
    """What no signature covers, and programs go by: `info`, and which tiles there are."""
    first, end = int(info["first_seq"]), log.tree.size()
    edges = database.execute("SELECT min(time_us), max(time_us) FROM event").fetchone()
    months = {month_of(time_us) for time_us in edges if time_us is not None}
    for key, value in info.items():
        is_so = {
            "first_seq": value == str(first),
            "published_size": value == str(end),
            "month": {value} >= months,
            "origin": value in {key.name for key in log.all_keys},
            "vkey": value in {key.text for key in log.all_keys},
        }
        if key not in INFO or not is_so.get(key, True):
            what = f"{path}: what `info` says as `{key}` isn't so"
            raise Fault(SIGNATURE if key == "vkey" else ALTERED, what)  # it may have got a key that is not known here
    if not {"published_size", "month"} <= info.keys():
        raise Fault(ALTERED, f"{path}: `info` doesn't say which events are in it")
    filled = {(level, n) for level in range(8) for n in range(first >> 8 * level + 8, end >> 8 * level + 8)}
    if filled != set(database.execute("SELECT level, number FROM tile")):
        raise Fault(ALTERED, f"{path}: its tiles are not those that its events fill")


def month_of(time_us):
    last = 253_402_207_200_000_000  # no calendar goes on for ever
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=min(time_us, last))).strftime("%Y-%m")


def event_of_row(database, row, quick):
    event = {key: row.pop(key) for key in ("seq", "time_us", "event", "leaf_hash")}
    event["leaf_hash"] = (event["leaf_hash"] or b"").hex()
    event["clear"] = {key: value for key, value in row.items() if value is not None}
    event["committed"] = committed = {}
    values = "SELECT field, n, commitment, salt, value, shown_commitment, shown_salt, shown FROM personal WHERE seq=?"
    for field, n, *both in () if quick else database.execute(values, (event["seq"],)):
        # Another row could have the same keys in the leaf and show nothing, or something else.
        if field not in FIELDS or type(n) is not int or n < 0 or n and field != "rcpt_to":
            raise Fault(ALTERED, f"event {event['seq']} has a value {field!r} ({n!r}), which no event has")
        key = f"{field}[{n}]" if field == "rcpt_to" else field
        if field in MASKED and both[3] is None:
            raise Fault(ALTERED, f"{key} of event {event['seq']} has nothing that is shown in its stead")
        for key, (hash, salt, value) in ((key, both[:3]), (key + ".shown", both[3:])):
            if hash is None and (salt is not None or value is not None):
                raise Fault(ALTERED, f"{key} of event {event['seq']} shows what nobody committed to")
            if hash is not None:
                committed[key] = {"hash": hash.hex()}
                committed[key] |= {"salt": salt.hex()} if salt is not None else {}
                committed[key] |= {"value": value} if value is not None else {}
    return event


def read_export(log, path):
    """An export in JSON lines: where it begins, the events with the heads between them, and the head it was taken under."""
    is_whole = False
    for number, line in enumerate(open(path, encoding="utf-8")):
        entry = strict(line, *([BEGINNING] if number == 0 else [EVENT, "checkpoint", "checkpoint rest"]))
        if number == 0:
            if entry["form"] != "audit-jsonl/1":
                raise Fault(UNREADABLE, f"{path}: its form is another than this program knows")
            if entry["origin"] not in {None} | {key.name for key in log.all_keys} or type(entry["first"]) is not int:
                raise Fault(ALTERED, f"{path}: its first line isn't one")
            log.begin(entry["first"], [bytes.fromhex(peak) for peak in entry["base"]])
        elif "seq" in entry:
            is_whole = False
            log.event(checked(entry))
        else:
            for height, hash in entry.get("rest", []):
                log.tree.push(bytes.fromhex(hash), height)
            log.head(entry["checkpoint"])
            is_whole = True
    if not is_whole:
        raise Fault(ALTERED, f"{path}: the export doesn't end with a signed head: its end is missing")


def read(log, path):
    if os.path.isdir(path):
        files = sorted(glob.glob(os.path.join(glob.escape(path), "audit-*.db")))
        files += [name for name in [os.path.join(path, "audit.db")] if os.path.exists(name)]
        if not files:
            raise Fault(UNREADABLE, f"{path}: there is no audit.db here")
        log.erasures.ends(files[-1], False)
        for name in files:
            for event in erasing_events(name, False):
                log.erasures.add(*event)
        for name in files:
            read_file(log, name)
    else:
        if not os.path.isfile(path):
            raise Fault(UNREADABLE, f"{path}: is no regular file")
        with open(path, "rb") as file:
            is_json = file.read(1) == b"{"
        log.erasures.ends(path, is_json)
        for event in erasing_events(path, is_json):
            log.erasures.add(*event)
        (read_export if is_json else read_file)(log, path)


def verify(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--key", required=True, action="append", metavar="VKEY", help="the log's verifier key, or its file")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEQ", help="the event that PATH begins with")
    parser.add_argument("--head", action="append", default=[], metavar="FILE", help="a signed head that was kept elsewhere")
    parser.add_argument("--against", action="append", default=[], metavar="FILE", help="a note, a mailbox or a log with signed heads")
    parser.add_argument("--known-gap", action="append", default=[], type=int, metavar="SEQ", help="a declared gap that is known")
    parser.add_argument("--acks", action="append", default=[], metavar="FILE", help="a log of the service: what it says was accepted")
    parser.add_argument("--as-of", type=microseconds, metavar="TIME", help="when copies of the files were made (RFC 3339)")
    parser.add_argument("--quick", action="store_true", help="take each event's stored hash for granted")
    parser.add_argument("path", metavar="PATH", help="the auditors' directory, one of its files, or a JSON export")
    chosen = parser.parse_args(words)
    keys = [Key(key if "+" in key and not os.path.exists(key) else elsewhere(key)) for key in chosen.key]
    kept = {head for path in chosen.head for head in kept_heads(path, keys, True)}
    kept |= {head for path in chosen.against for head in kept_heads(path, keys, False)}
    log = Log(keys, chosen.first, kept, chosen.acks, chosen.as_of, chosen.quick)
    try:
        read(log, chosen.path)
    finally:
        log.declared()  # it may be why something else doesn't fit
    log.end()
    for kept, size, _, resumed in log.gaps:
        print(f"declared gap: of {size} events {kept} were kept for certain; the log goes on with event {resumed - 1}")
        for first, last in log.missing.get(resumed, ()):
            print(f"declared gap: events {first} to {last} are in no file any more")
    quick = " (their content was not looked at)" if log.quick else ""
    print(f"the log is sound: events {log.first} to {log.next - 1}{quick}, under {log.heads} signed heads up to event {log.sealed}")
    return SOUND if all(gap[3] - 1 in chosen.known_gap for gap in log.gaps) else GAP


def microseconds(text):
    """Since 1970, of a time with its offset."""
    whole, point, rest = text.upper().replace("Z", "+00:00").partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    time = datetime.datetime.fromisoformat(whole + point + (digits[:6].ljust(6, "0") if point else "") + rest[len(digits) :])
    return (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def kept_heads(path, keys, strict):
    """The heads of the log in a file of any kind. Those that claim to be of it and aren't count where `strict`, or where there
    are no others: into a mailbox or a system's log anybody can put such a line."""
    text, good, wrong, cut = elsewhere(path), [], [], 0
    mailed = [quopri.decodestring(text.encode()).decode(errors="replace")] if "=E2=80=94" in text else []
    for text in [text, *mailed, *base64_parts(text)]:
        for note in notes(text.replace("\r\n", "\n").split("\n"), {key.name for key in keys}):
            try:
                good += [head_of(note, keys)] if note else []
                cut += not note
            except Fault as fault:
                wrong.append(fault)
    if wrong and (strict or not good):
        raise Fault(SIGNATURE if wrong[0].forged else FORK, f"in {path}: {wrong[0]}")
    if wrong:
        print(f"{path}: {len(wrong)} heads that claim to be of this log were left out", file=sys.stderr)
    if cut:
        print(f"{path}: {cut} lines hold a part of a signed head only and were left out", file=sys.stderr)
    if not good:
        raise Fault(USAGE, f"{path}: there is no signed head of this log in it")
    return good


def head_of(note, keys):
    why = None
    for key in keys:
        try:
            return key.head(note)
        except Fault as fault:
            why = fault if fault.forged or why is None else why
    raise why


def notes(lines, origins):
    """The heads that stand there, as notes; None for one of which a part is there."""
    for at, line in enumerate(lines):
        words = line.partition(ANCHOR)[2].split()
        if words and words[0] in origins:
            yield note_of(*words[:4]) if len(words) > 3 else None
        elif line in origins:
            border = next((n for n in range(at, len(lines)) if not lines[n]), len(lines))
            end = border + 1
            while end < len(lines) and lines[end].startswith("\u2014 "):
                end += 1
            if border - at > 2 and lines[at + 1].isdecimal() and end > border + 1:
                yield "\n".join(lines[at:end]) + "\n"


def note_of(origin, size, root, signature):
    """Lines of extension stand behind the root: a comma, then all of them in base64."""
    root, _, more = root.partition(",")
    try:
        more = base64.b64decode(more, validate=True).decode()
        is_whole = len(base64.b64decode(root, validate=True)) == 32 and len(base64.b64decode(signature, validate=True)) == 68
    except ValueError:
        is_whole = False
    return f"{origin}\n{size}\n{root}\n{more}\n\u2014 {origin} {signature}\n" if is_whole and size.isdecimal() else None


def base64_parts(text):
    """What the longer runs of base64 in a mail say."""
    for run in re.findall(r"(?m)(?:^[A-Za-z0-9+/=]{60,}\r?\n)(?:^[A-Za-z0-9+/=]+(?:\r?\n|\Z))*", text + "\n"):
        try:
            yield base64.b64decode("".join(run.split()), validate=True).decode()
        except ValueError:
            pass


def main(words):
    try:
        return verify(words)
    except Fault as fault:
        print(f"the log does not verify: {fault!s}".encode("unicode_escape").decode(), file=sys.stderr)
        return fault.code
    except SystemExit as end:
        return end.code or SOUND
    except (OSError, sqlite3.Error) as obstacle:
        print(f"it can't be read: {obstacle!s}".encode("unicode_escape").decode(), file=sys.stderr)
        return UNREADABLE
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error) as nonsense:
        print(f"the log does not verify: what stands in it isn't what is written there: {nonsense!r}", file=sys.stderr)
        return ALTERED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
