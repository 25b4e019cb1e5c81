// A relay without a queue: what comes by SMTP goes out by a pool of connections, and the client is told what became of it.
// Its connections are opened here for one setting: without noDelay the end of each message waits for an acknowledgement, 40 ms.
import net from 'node:net'
import { SMTPServer } from 'smtp-server'
import nodemailer from 'nodemailer'

const [port, upstream, connections] = process.argv.slice(2).map(Number)
const out = nodemailer.createTransport({
  host: '127.0.0.1', port: upstream, secure: false, ignoreTLS: true, pool: true, maxConnections: connections, maxMessages: Infinity,
  getSocket(options, done) {
    const connection = net.connect({ host: options.host, port: options.port, noDelay: true }, () => done(null, { connection }))
    connection.once('error', done)
  },
})
new SMTPServer({
  authOptional: true,
  disabledCommands: ['AUTH', 'STARTTLS'],
  disableReverseLookup: true,
  onData(stream, session, done) {
    const { mailFrom, rcptTo } = session.envelope
    out.sendMail({ envelope: { from: mailFrom.address, to: rcptTo.map(({ address }) => address) }, raw: stream })
      .then(() => done(), done)
  },
}).listen(port, '127.0.0.1')
