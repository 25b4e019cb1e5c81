// Composes a message with nodemailer, keeps what it made, and sends it: node send.cjs HOST PORT SECURE CA USER KEPT < secret
const { readFileSync, writeFileSync } = require('node:fs');
const nodemailer = require('nodemailer');
const MailComposer = require('nodemailer/lib/mail-composer');

const [host, port, secure, ca, user, kept] = process.argv.slice(2);

async function main() {
  const message = await new MailComposer({
    from: '"Gate Wächter" <a@example.net>',
    to: 'b@example.org',
    subject: 'Grüße by nodemailer',
    text: 'Zeile eins\n.\n..zwei\nein Ende 👋\n',
    html: '<p>Zeile <b>eins</b></p>',
    attachments: [{ filename: 'zähler.bin', content: Buffer.from(Array.from({ length: 3000 }, (_, n) => (n * 7) & 255)) }],
  }).compile().build();
  writeFileSync(kept, message);
  const transport = nodemailer.createTransport({
    host, port: Number(port), secure: secure === 'true', requireTLS: true,
    auth: { user, pass: readFileSync(0, 'utf8').trim() },
    tls: { ca: readFileSync(ca), servername: 'localhost' },
  });
  await transport.sendMail({ envelope: { from: 'a@example.net', to: ['b@example.org', 'hidden@example.org'] }, raw: message });
  transport.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
