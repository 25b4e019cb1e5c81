// Reads {"document": ..., "exchanges": [{"path", "method", "asked", "status", "answer"}, ...]}: the document must be OpenAPI 3.1, and
// each body as the document says. What isn't so is said, a line each. Run in the folder that has the modules:
// node --input-type=module -e "$(cat openapi.mjs)" < exchanges
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

// More than a pipe holds: read as it comes, as one that gives nothing at the moment ends a plain read.
let text = '';
for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
const { document, exchanges } = JSON.parse(text);
const faults = [];
const verdict = await new Validator().validate(structuredClone(document));
if (!verdict.valid) faults.push(`no OpenAPI document: ${JSON.stringify(verdict.errors)}`);

const ajv = new (Ajv.default ?? Ajv)({ strict: false, validateFormats: true });
(addFormats.default ?? addFormats)(ajv);
ajv.addSchema(document, 'gate:openapi');
const at = (pointer) => pointer.slice(2).split('/').reduce((node, part) => node?.[part.replaceAll('~1', '/').replaceAll('~0', '~')], document);
const part = (text) => text.replaceAll('~', '~0').replaceAll('/', '~1');

// The schema of a body, by its place; references to responses are followed.
const check = (what, place, media, body) => {
  const reference = at(place)?.$ref;
  const pointer = `${reference ?? place}/content/${part(media)}/schema`;
  if (at(pointer) === undefined) return faults.push(`${what}: the document has nothing at ${pointer}`);
  const valid = ajv.compile({ $ref: `gate:openapi#${pointer.slice(1).split('/').map(encodeURIComponent).join('/')}` });
  if (!valid(body)) faults.push(`${what}: ${JSON.stringify(body)}: ${JSON.stringify(valid.errors)}`);
};
for (const { path, method, asked, status, answer } of exchanges) {
  const what = `${method} ${path} ${status}`;
  const operation = `#/paths/${part(path)}/${method}`;
  const responses = at(`${operation}/responses`) ?? {};
  const key = [`${status}`, `${Math.trunc(status / 100)}XX`].find((key) => key in responses);
  if (!key) faults.push(`${what}: the document has no such answer`);
  else check(what, `${operation}/responses/${key}`, 'application/json', answer);
  // Only what was taken must be as the document says.
  if (asked !== null && status < 300) check(`${what}, asked`, `${operation}/requestBody`, 'application/json', asked);
}
process.stdout.write(faults.join('\n'));
