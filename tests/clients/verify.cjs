// Verifies what a webhook was told with the library of the standard: node verify.cjs SECRET < {"headers": {...}, "body": "..."}
const { readFileSync } = require('node:fs');
const { Webhook } = require('standardwebhooks');

const { headers, body } = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(new Webhook(process.argv[2]).verify(body, headers)));
