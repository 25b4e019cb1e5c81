// Sends with a service's own library for Node.js: node sdk.cjs LIBRARY PORT LETTER < key
// Each line of its output is one call: what it was, the ids that came back or the error as the library has it, and what it was told to be
// left of the key's limits, by a library that gives that.
const { readFileSync } = require('node:fs');

const [library, port, path] = process.argv.slice(2);
const key = readFileSync(0, 'utf8').trim();
const letter = JSON.parse(readFileSync(path, 'utf8'));
const address = ([name, mailbox]) => (name ? `"${name}" <${mailbox}>` : mailbox);
const file = Buffer.from(Array.from({ length: 3000 }, (_, n) => (n * 7) & 255));
const picture = Buffer.from('\x89PNG\r\n\x1a\nnot really', 'latin1');
const say = (call, ids, error, left) => console.log(JSON.stringify({ call, ids, error, left }));
const show = (call, found) => console.log(JSON.stringify({ call, ids: [], error: null, found }));

async function resend() {
  const { Resend } = require('resend');
  const tell = (call, { data, error, headers }) => {
    const left = ['limit', 'remaining', 'reset'].map((name) => headers?.[`ratelimit-${name}`]);
    say(call, data ? (data.data || [data]).map(({ id }) => id) : [], error && [error.statusCode, error.name], left);
  };
  const simple = { from: 'a@example.net', to: 'b@example.org', subject: 'simple', text: 'simple' };
  const { emails, batch } = new Resend(key, { baseUrl: `http://127.0.0.1:${port}` });
  tell('simple', await emails.send(simple));
  const all = await emails.send({
    from: address(letter.sender), to: letter.to.map(address), cc: address(letter.cc), bcc: [address(letter.bcc)],
    replyTo: [address(letter.reply_to)], subject: letter.subject, text: letter.text, html: letter.html,
    headers: { [letter.header[0]]: letter.header[1] }, tags: [{ name: 'campaign', value: 'spring' }],
    attachments: [
      { filename: letter.file, content: file, contentType: 'application/octet-stream' },
      { filename: letter.picture, content: picture.toString('base64'), contentType: 'image/png', contentId: 'logo' },
    ],
  });
  tell('all', all);
  tell('batch', await batch.send([simple, { ...simple, to: 'c@example.org' }]));
  tell('batch with a bad one', await batch.send([simple, { ...simple, to: 'nobody' }]));
  tell('batch that forgives', await batch.send([{ ...simple, to: 'nobody' }, simple], { batchValidation: 'permissive' }));
  tell('bad address', await emails.send({ ...simple, to: 'nobody' }));
  tell('bad sender', await emails.send({ ...simple, from: 'ceo@example.com' }));
  tell('unknown', await emails.get('01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e'));
  tell('unknown cancel', await emails.cancel('01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e'));
  tell('unknown update', await emails.update({ id: '01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e', scheduledAt: 'in 1 hour' }));
  if (!all.data) return;
  show('get', (await emails.get(all.data.id)).data);
  show('list', (await emails.list({ limit: 2 })).data);
  const scheduledAt = new Date(Date.now() + 3600e3).toISOString().replace(/\.\d+/, '');
  const later = await emails.send({ ...simple, scheduledAt });
  show('later', (await emails.get(later.data.id)).data);
  tell('update', await emails.update({ id: later.data.id, scheduledAt: new Date(Date.now() + 7200e3).toISOString() }));
  show('updated', (await emails.get(later.data.id)).data);
  tell('update too far', await emails.update({ id: later.data.id, scheduledAt: '2199-01-01T00:00:00Z' }));
  tell('cancel', await emails.cancel(later.data.id));
  tell('late update', await emails.update({ id: later.data.id, scheduledAt: 'in 1 hour' }));
  show('canceled', (await emails.get(later.data.id)).data);
}

async function postmark() {
  const { ServerClient } = require('postmark');
  const open = (secret, path = '') => new ServerClient(secret, { requestHost: `127.0.0.1:${port}${path}`, useHttps: false });
  const tell = async (call, sent) => {
    try {
      const all = [await sent].flat();
      const error = all.find(({ ErrorCode }) => ErrorCode);
      say(call, all.filter(({ MessageID }) => MessageID).map(({ MessageID }) => MessageID), error && [error.ErrorCode, error.Message]);
    } catch (error) {
      say(call, [], [error.statusCode, error.name, error.code]);
    }
  };
  const simple = { From: 'a@example.net', To: 'b@example.org', Subject: 'simple', TextBody: 'simple' };
  const client = open(key);
  await tell('simple', client.sendEmail(simple));
  const all = open(key, '/postmark').sendEmail({
    From: address(letter.sender), To: letter.to.map(address).join(', '), Cc: address(letter.cc), Bcc: address(letter.bcc),
    ReplyTo: address(letter.reply_to), Subject: letter.subject, TextBody: letter.text, HtmlBody: letter.html, Tag: 'spring',
    Metadata: { number: '17' }, TrackOpens: true, TrackLinks: 'None', MessageStream: 'outbound',
    Headers: [{ Name: letter.header[0], Value: letter.header[1] }],
    Attachments: [
      { Name: letter.file, Content: file.toString('base64'), ContentType: 'application/octet-stream', ContentID: null },
      { Name: letter.picture, Content: picture.toString('base64'), ContentType: 'image/png', ContentID: 'cid:logo' },
    ],
  });
  await tell('all', all);
  await tell('batch', client.sendEmailBatch([simple, { ...simple, To: 'c@example.org' }]));
  await tell('batch that forgives', client.sendEmailBatch([{ ...simple, To: 'nobody' }, simple]));
  await tell('bad address', client.sendEmail({ ...simple, To: 'nobody' }));
  await tell('bad sender', client.sendEmail({ ...simple, From: 'ceo@example.com' }));
  await tell('template', client.sendEmailWithTemplate({ From: 'a@example.net', To: 'b@example.org', TemplateId: 7, TemplateModel: {} }));
  await tell('server', client.getServer());
  await tell('unknown', client.getOutboundMessageDetails('01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e'));
  await tell('test', open('POSTMARK_API_TEST').sendEmail(simple));
  const { MessageID } = await all.catch(() => ({}));
  if (!MessageID) return;
  show('details', await client.getOutboundMessageDetails(MessageID));
  show('search', await client.getOutboundMessages({ count: 5, offset: 0, tag: 'spring' }));
  show('page', await client.getOutboundMessages({ count: 2, offset: 1 }));
  await tell('search for more', client.getOutboundMessages({ subject: 'simple' }));
}

async function usesend() {
  const { UseSend } = require('usesend-js');
  const tell = (call, { data, error }) => say(call, data ? [data].flat().map(({ emailId }) => emailId) : [], error && [(error.error || error).code]);
  const simple = { from: 'a@example.net', to: 'b@example.org', subject: 'simple', text: 'simple' };
  const { emails } = new UseSend(key, `http://127.0.0.1:${port}`);
  tell('simple', await emails.send(simple));
  tell('all', await emails.send({
    from: address(letter.sender), to: letter.to.map(address), cc: address(letter.cc), bcc: [address(letter.bcc)],
    replyTo: address(letter.reply_to), subject: letter.subject, text: letter.text, html: letter.html,
    headers: { [letter.header[0]]: letter.header[1] },
    attachments: [{ filename: letter.file, content: file.toString('base64') }, { filename: letter.picture, content: picture.toString('base64') }],
  }));
  tell('batch', await emails.batch([simple, { ...simple, to: 'c@example.org' }]));
  tell('bad address', await emails.send({ ...simple, to: 'nobody' }));
  tell('bad sender', await emails.send({ ...simple, from: 'ceo@example.com' }));
  tell('unknown', await emails.get('01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e'));
}

({ resend, postmark, usesend })[library]().catch((error) => { console.error(error); process.exit(1); });
