// The unmodified OpenFeature client for JavaScript on servers, against the real backend.
import assert from 'node:assert/strict';
import { OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';
import { killAll, rearm, set } from './steer.mjs';

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: process.env.KNIGHTWATCH_TEST_URL }));
const client = OpenFeature.getClient();
const about = (targetingKey, more = {}) => ({ targetingKey, ...more });
const said = ({ value, variant, reason, errorCode }) => [value, variant, reason, errorCode].filter((part) => part !== undefined);

// Types and targeting.
assert.deepEqual(said(await client.getNumberDetails('number', 0, about('u'))), [2, 'two', 'STATIC']);
assert.deepEqual(said(await client.getNumberDetails('float', 0, about('u'))), [0.5, 'half', 'STATIC']);
assert.deepEqual(said(await client.getObjectDetails('object', {}, about('u'))), [{ x: { y: [1, 2] } }, 'a', 'STATIC']);
assert.deepEqual(said(await client.getStringDetails('colour', '', about('u', { country: 'NL' }))), ['#f00', 'red', 'TARGETING_MATCH']);
assert.deepEqual(said(await client.getStringDetails('colour', '', about('u', { country: 'DE' }))), ['#00f', 'blue', 'DEFAULT']);
assert.deepEqual((await client.getBooleanDetails('steered', false, about('u'))).flagMetadata, { flagSetId: 'clients', 'knightwatch.service': 'checkout', owner: 'x' });

// What is not to be had.
assert.deepEqual(said(await client.getBooleanDetails('nobody', true)), [true, 'ERROR', 'FLAG_NOT_FOUND']);
assert.deepEqual(said(await client.getBooleanDetails('number', true, about('u'))).at(-1), 'TYPE_MISMATCH');
// The application's own default, whatever it is.
for (const own of [true, false]) {
  assert.equal((await client.getBooleanDetails('asleep', own, about('u'))).value, own);
  assert.equal((await client.getBooleanDetails('open', own, about('u'))).value, own);
}

// The rollout.
await set('steered', 25);
await set('team/text', 100);
assert.equal((await client.getBooleanDetails('steered', false, {})).errorCode, 'TARGETING_KEY_MISSING');
const users = Array.from({ length: 400 }, (_, n) => `user-${n}`);
const on = async () => {
  const values = await Promise.all(users.map((user) => client.getBooleanDetails('steered', false, about(user))));
  assert(values.every(({ reason }) => reason === 'SPLIT'));
  return new Set(users.filter((_, n) => values[n].value));
};
const quarter = await on();
assert(quarter.size > 60 && quarter.size < 140, `${quarter.size} of 400 at 25 %`);
await set('steered', 50);
const half = await on();
assert([...quarter].every((user) => half.has(user)), 'raising moved somebody out');
assert(half.size > quarter.size);
assert.equal(await client.getStringValue('team/text', '', about('u')), 'new');
assert.equal(await client.getBooleanValue('steered', false, about('u', { country: 'NL' })), true);

// Kill-all: off for everybody as soon as it is acknowledged, whatever targeting says.
await killAll();
const answers = await Promise.all(users.map((user) => client.getBooleanDetails('steered', true, about(user, { country: 'NL' }))));
assert(answers.every(({ value, variant, flagMetadata }) => value === false && variant === 'off' && flagMetadata['knightwatch.why']));
assert.equal(await client.getStringValue('team/text', '', about('u')), 'old');
assert.equal(await client.getNumberValue('number', 0, about('u')), 2, 'what is not steered is left alone');
await rearm();
assert.equal(await client.getBooleanValue('steered', true, about('u', { country: 'NL' })), false, 're-arming changes no flag');
await OpenFeature.close();
console.log('JavaScript, server: ok');
