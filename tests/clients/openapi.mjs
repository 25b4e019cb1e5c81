// Reads {"document": ..., "exchanges": [{"path", "method", "asked", "status", "media", "headers", "answer"}, ...], "elsewhere": [...]}:
// the document must be OpenAPI 3.1, and each body as the document says. With "elsewhere", each status, type, header and member of an
// answer that the document has must be in one of these, or be named there by its place, as other tests give it: null is no member where there could be more, and
// a 5XX that operations share is given when one of them gives it. What isn't so is said, a line each. Run in the folder that has the modules:
// node --input-type=module -e "$(cat openapi.mjs)" < exchanges
import { Validator } from '@seriousme/openapi-schema-validator';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

// More than a pipe holds: read as it comes, as one that gives nothing at the moment ends a plain read.
let text = '';
for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
const { document, exchanges, elsewhere } = JSON.parse(text);
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
// What a value shows of the members of its schema.
const given = new Set();
const valid = (pointer, value) => ajv.compile({ $ref: `gate:openapi#${pointer.slice(1).split('/').map(encodeURIComponent).join('/')}` })(value);
const show = (pointer, value) => {
  const schema = at(pointer);
  if (schema.$ref) return show(schema.$ref, value);
  for (const word of ['oneOf', 'anyOf', 'allOf']) {
    (schema[word] ?? []).forEach((_, n) => valid(`${pointer}/${word}/${n}`, value) && show(`${pointer}/${word}/${n}`, value));
  }
  if (Array.isArray(value)) return schema.items && value.forEach((one) => show(`${pointer}/items`, one));
  for (const [name, inner] of Object.entries(value ?? {})) {
    const member = `${pointer}/properties/${part(name)}`;
    if (inner === null && schema.properties?.[name]?.type !== 'null') continue;
    if (schema.properties?.[name]) given.add(member), show(member, inner);
    else if (typeof schema.additionalProperties === 'object') show(`${pointer}/additionalProperties`, inner);
  }
};
// The places of all members that a schema has.
const members = (pointer, found) => {
  const schema = at(pointer);
  if (schema.$ref) return found.has(schema.$ref) || members(schema.$ref, found.add(schema.$ref));
  for (const word of ['oneOf', 'anyOf', 'allOf']) (schema[word] ?? []).forEach((_, n) => members(`${pointer}/${word}/${n}`, found));
  for (const name of Object.keys(schema.properties ?? {})) {
    found.add(`${pointer}/properties/${part(name)}`);
    members(`${pointer}/properties/${part(name)}`, found);
  }
  if (schema.items) members(`${pointer}/items`, found);
  if (typeof schema.additionalProperties === 'object') members(`${pointer}/additionalProperties`, found);
};
// The place of an answer: of its operation, but for failures that operations share.
const placed = (place) => (place.endsWith('/5XX') && at(place).$ref) || place;

for (const { path, method, asked, status, media, headers, answer } of exchanges) {
  const what = `${method} ${path} ${status}`;
  const operation = `#/paths/${part(path)}/${method}`;
  const responses = at(`${operation}/responses`) ?? {};
  const key = [`${status}`, `${Math.trunc(status / 100)}XX`].find((key) => key in responses);
  if (!key) faults.push(`${what}: the document has no such answer`);
  else {
    const place = `${operation}/responses/${key}`;
    const own = at(place).$ref ?? place;
    given.add(placed(place));
    (headers ?? []).forEach((name) => given.add(`${own}/headers/${name}`));
    if (status !== 304) {
      check(what, place, media ?? 'application/json', answer);
      const body = `${own}/content/${part(media ?? 'application/json')}`;
      if (at(body)) given.add(body), show(`${body}/schema`, answer);
    }
  }
  // Only what was taken must be as the document says.
  if (asked !== null && status < 300) check(`${what}, asked`, `${operation}/requestBody`, 'application/json', asked);
}
if (elsewhere) {
  const all = new Set();
  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of ['get', 'post'].filter((method) => method in item)) {
      for (const key of Object.keys(item[method].responses)) {
        const place = `#/paths/${part(path)}/${method}/responses/${key}`;
        const own = at(place).$ref ?? place;
        all.add(placed(place));
        Object.keys(at(own).headers ?? {}).forEach((name) => all.add(`${own}/headers/${name.toLowerCase()}`));
        for (const media of Object.keys(at(own).content ?? {})) {
          all.add(`${own}/content/${part(media)}`);
          members(`${own}/content/${part(media)}/schema`, all);
        }
      }
    }
  }
  // A place that is only referred to is no member.
  const told = [...all].filter((place) => !/^#\/components\/(schemas\/[^/]+|schemas\/Error\/properties\/code)$/.test(place));
  told.filter((place) => !given.has(place) && !elsewhere.includes(place)).forEach((place) => faults.push(`nothing gives ${place}`));
  elsewhere.filter((place) => given.has(place) || !told.includes(place)).forEach((place) => faults.push(`not elsewhere: ${place}`));
}
process.stdout.write(faults.join('\n'));
