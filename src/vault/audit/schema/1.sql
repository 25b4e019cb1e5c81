-- audit/audit.db and audit/audit-YYYY-MM.db: the auditors' files, one for each month of UTC. Nothing in here needs a newer
-- sqlite3 than 3.8.3: no STRICT, no generated columns, no JSON operators.

-- origin, vkey (for information: pin your own copy of it), month, first_seq, base (the tree before first_seq: hashes of its
-- perfect subtrees, in hexadecimal, largest first), published_size, published_time.
CREATE TABLE info(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE event(
  seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, event TEXT NOT NULL, outcome TEXT NOT NULL, severity INTEGER NOT NULL,
  component TEXT NOT NULL, session_id TEXT, msg_id TEXT, delivery_id TEXT, actor TEXT, listener TEXT, tls TEXT,
  smtp_code INTEGER, enhanced TEXT, reason TEXT, upstream TEXT, mx TEXT, bytes INTEGER, rcpt_count INTEGER, attempt INTEGER,
  duration_us INTEGER, data TEXT, truncated INTEGER, leaf_hash BLOB NOT NULL);
CREATE INDEX e_time ON event(time_us);
CREATE INDEX e_msg ON event(msg_id) WHERE msg_id IS NOT NULL;
CREATE INDEX e_event ON event(event, time_us);

-- value and its salt: only of the fields auditors may search by. shown: what stands for a value they may not see.
CREATE TABLE personal(
  seq INTEGER NOT NULL, field TEXT NOT NULL, n INTEGER NOT NULL, salt BLOB, value TEXT, commitment BLOB NOT NULL,
  shown TEXT, shown_salt BLOB, shown_commitment BLOB, PRIMARY KEY(seq, field, n)) WITHOUT ROWID;
CREATE INDEX p_value ON personal(field, value, seq) WHERE value IS NOT NULL;

-- C2SP tlog-tiles that were filled by the events of this file.
CREATE TABLE tile(level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY(level, number)) WITHOUT ROWID;
CREATE TABLE checkpoint(size INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL);

-- Views: columns are only ever added at the end.
CREATE VIEW audit_v1 AS SELECT e.seq,
  strftime('%Y-%m-%dT%H:%M:%S', e.time_us/1000000, 'unixepoch') || '.' || substr('000000' || (e.time_us % 1000000), -6) || 'Z' AS time,
  e.time_us, e.event, e.outcome, e.severity, e.component, e.session_id, e.msg_id,
  (SELECT coalesce(p.value, '[erased]') FROM personal p WHERE p.seq = e.seq AND p.field = 'account') AS account,
  e.actor,
  (SELECT coalesce(p.shown, '[erased]') FROM personal p WHERE p.seq = e.seq AND p.field = 'client_ip') AS client_ip,
  (SELECT coalesce(p.shown, '[erased]') FROM personal p WHERE p.seq = e.seq AND p.field = 'mail_from') AS mail_from,
  (SELECT group_concat(coalesce(p.shown, '[erased]'), ' ') FROM personal p WHERE p.seq = e.seq AND p.field = 'rcpt_to') AS rcpt_to,
  (SELECT coalesce(p.value, '[erased]') FROM personal p WHERE p.seq = e.seq AND p.field = 'rcpt_domain') AS rcpt_domain,
  e.smtp_code, e.enhanced, e.reason, e.upstream, e.mx, e.tls, e.bytes, e.rcpt_count, e.attempt, e.duration_us, e.data,
  lower(hex(e.leaf_hash)) AS leaf_hash, e.delivery_id, e.listener,
  (SELECT coalesce(p.value, '[erased]') FROM personal p WHERE p.seq = e.seq AND p.field = 'auth_user') AS auth_user
  FROM event e;
CREATE VIEW message_v1 AS SELECT a.msg_id, a.seq AS accept_seq, a.time AS accepted, a.account, a.bytes, a.rcpt_count,
  (SELECT count(*) FROM event d WHERE d.msg_id = a.msg_id AND d.event = 'deliver.success') AS delivered,
  (SELECT count(*) FROM event d WHERE d.msg_id = a.msg_id AND d.event IN ('deliver.defer', 'deliver.unknown')) AS deferrals,
  (SELECT count(*) FROM event d WHERE d.msg_id = a.msg_id AND d.event IN ('deliver.bounce', 'deliver.expire')) AS failed,
  (SELECT max(d.time_us) - a.time_us FROM event d WHERE d.msg_id = a.msg_id AND d.event IN ('deliver.success', 'deliver.bounce', 'deliver.expire')) AS settled_after_us
  FROM audit_v1 a WHERE a.event = 'msg.accept';
CREATE VIEW auth_failure_v1 AS SELECT seq, time, account, client_ip, reason, auth_user, listener FROM audit_v1 WHERE event IN ('auth.failure', 'auth.locked');
CREATE VIEW admin_change_v1 AS SELECT seq, time, event, outcome, actor, account, reason, data FROM audit_v1
  WHERE event LIKE 'config.%' OR event LIKE 'credential.%' OR event LIKE 'queue.%' OR event LIKE 'daemon.%' OR event LIKE 'sandbox.%'
  OR (event LIKE 'audit.%' AND event <> 'audit.heartbeat');
CREATE VIEW daily_v1 AS SELECT substr(time, 1, 10) AS day, coalesce(account, '-') AS account, sum(event = 'msg.accept') AS accepted,
  sum(event = 'msg.reject') AS rejected, sum(event = 'rate.limited') AS rate_limited, sum(event = 'deliver.success') AS delivered,
  sum(event = 'deliver.bounce') AS bounced, sum(event = 'auth.failure') AS auth_failures FROM audit_v1 GROUP BY 1, 2;
