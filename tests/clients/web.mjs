// The unmodified OpenFeature client for JavaScript in browsers, with its change stream, against the real backend. Node has
// no EventSource of its own: the package `eventsource` is the one that browsers have.
import assert from 'node:assert/strict';
import { EventSource } from 'eventsource';
globalThis.EventSource = EventSource;
const { OpenFeature, ProviderEvents } = await import('@openfeature/web-sdk');
const { OFREPWebProvider } = await import('@openfeature/ofrep-web-provider');
const { killAll, rearm, set, until } = await import('./steer.mjs');

const own = (request) => fetch(request);
let asked = 0;
const counting = (request) => {
  asked += 1;
  return own(request);
};
// No polling: what changes is heard of on the stream alone.
const provider = new OFREPWebProvider({ baseUrl: process.env.KNIGHTWATCH_TEST_URL, pollInterval: 0, cacheMode: 'disabled', fetchImplementation: counting });
await OpenFeature.setContext({ targetingKey: 'u' });
await OpenFeature.setProviderAndWait(provider);
const client = OpenFeature.getClient();
assert.equal(client.getNumberValue('number', 0), 2);
assert.equal(client.getStringValue('colour', ''), '#00f');
await OpenFeature.setContext({ targetingKey: 'u', country: 'NL' });
assert.equal(client.getStringValue('colour', ''), '#f00', 'another context has another answer');

const changed = [];
client.addHandler(ProviderEvents.ConfigurationChanged, (event) => changed.push(...(event?.flagsChanged ?? [])));
await until('a rollout arrives on the stream', async () => {
  // Said again until the stream is open: what was said before is in the answers already.
  await set('team/text', 100);
  return client.getStringValue('team/text', '') === 'new';
});
assert.equal(client.getBooleanValue('steered', false), true);
await killAll();
const begun = Date.now();
await until('kill-all arrives on the stream', async () => !client.getBooleanValue('steered', true));
console.log(`kill-all was with the client after ${Date.now() - begun} ms`);
assert.equal(client.getStringValue('team/text', ''), 'old');
assert.equal(client.getNumberValue('number', 0), 2);
assert(changed.includes('steered') && changed.includes('team/text'), `${changed}`);
assert(asked < 200, `${asked} requests`);
await rearm();
await OpenFeature.close();
console.log('JavaScript, web: ok');
process.exit(0);
