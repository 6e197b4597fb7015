// What flagd's own JavaScript evaluator (npm @openfeature/flagd-core, generation 2 of the hash) gives for many flags and
// contexts: the table that tests/server/definitions.rs compares with. Make it anew, in a folder with that package installed:
//
//     npm install @openfeature/flagd-core@4.0.1
//     node flagd-core.mjs > flagd-core.json
import { FlagdCore } from '@openfeature/flagd-core';

// Left out is where implementations of flagd differ among themselves: `all` of no list (true here, false in JsonLogic and
// in Go), a bucketing rule that gives null (in Go the targeting key takes its place), null in
// the context (missing in JsonLogic and Go), and what only JavaScript does with
// arrays and null as texts.

// Time stands still, so that the table does not change by itself.
const now = 1771622898;
Date.now = () => now * 1000;

const bool = { on: true, off: false };
const colours = { red: '#f00', green: '#0f0', blue: '#00f' };
const yes = (rule) => ({ if: [rule, 'on', 'off'] });
const flags = {};
const flag = (key, targeting, more = {}) => {
  flags[key] = { state: 'ENABLED', variants: bool, defaultVariant: 'off', ...(targeting ? { targeting } : {}), ...more };
};

// States, defaults, types.
flag('static', null);
flag('static-on', null, { defaultVariant: 'on' });
flag('disabled', null, { state: 'DISABLED' });
flag('disabled-targeted', yes({ '==': [1, 1] }), { state: 'DISABLED' });
flag('no-default', null, { defaultVariant: undefined });
flag('null-default', null, { defaultVariant: null });
flag('no-default-targeted', { if: [{ '==': [{ var: 'country' }, 'NL'] }, 'on', null] }, { defaultVariant: undefined });
flag('empty-targeting', {});
flag('string', null, { variants: colours, defaultVariant: 'green' });
flag('number', null, { variants: { one: 1, half: 0.5, big: 9007199254740991, minus: -3 }, defaultVariant: 'half' });
flag('object', null, { variants: { a: { x: [1, { y: null }] }, b: {} }, defaultVariant: 'a' });
flag('bool-names', { '==': [{ var: 'country' }, 'NL'] }, { variants: { true: 'yes', false: 'no' }, defaultVariant: 'false' });
flag('number-names', { '+': [{ var: 'age' }, 0] }, { variants: { 41: 'a', 42: 'b' }, defaultVariant: '41' });
flag('with-metadata', null, { metadata: { owner: 'x', level: 3, big: 1.5, live: true, setwide: 'own' } });
flag('null-match', { if: [{ '==': [{ var: 'country' }, 'NL'] }, null, 'on'] });

// Answers that are no variant.
flag('computed-unknown', { cat: ['o', { var: 'country' }] });
flag('computed-known', { cat: ['o', { var: 'letter' }] });
flag('from-context', { var: 'variant' });

// Variables.
flag('var-path', yes({ '==': [{ var: 'user.address.city' }, 'Delft'] }));
flag('var-default', yes({ '==': [{ var: ['country', 'DE'] }, 'DE'] }));
flag('var-index', yes({ '==': [{ var: 'roles.1' }, 'admin'] }));
flag('var-missing', yes({ var: 'nothing.here' }));
flag('var-array', yes({ '==': [{ var: ['country'] }, 'NL'] }));
flag('flag-key', yes({ '==': [{ var: '$flagd.flagKey' }, 'flag-key'] }));
flag('timestamp', yes({ '===': [{ var: '$flagd.timestamp' }, now] }));
flag('timestamp-after', yes({ '>': [{ var: '$flagd.timestamp' }, now] }));
flag('targeting-key', yes({ '==': [{ var: 'targetingKey' }, 'u1'] }));
flag('missing', yes({ '!': [{ missing: ['version', 'letter'] }] }));
flag('missing-truth', yes({ missing: ['version', 'letter'] }));
flag('missing-some', yes({ '!': [{ missing_some: [1, ['country', 'age']] }] }));

// Comparison.
for (const operator of ['==', '===', '!=', '!==', '<', '<=', '>', '>=']) {
  flag(`age ${operator} 42`.replaceAll(' ', '.').replaceAll(/[=<>!]/g, (c) => ({ '=': 'e', '<': 'l', '>': 'g', '!': 'n' })[c]), yes({ [operator]: [{ var: 'age' }, 42] }));
}
flag('between', yes({ '<': [18, { var: 'age' }, 65] }));
flag('between-or-at', yes({ '<=': [42, { var: 'age' }, 42] }));
flag('loose-text', yes({ '==': [{ var: 'age' }, '42'] }));
flag('loose-null', yes({ '==': [{ var: 'country' }, null] }));
flag('strict-null', yes({ '===': [{ var: 'country' }, null] }));
flag('texts', yes({ '<': [{ var: 'country' }, 'M'] }));

// Logic.
flag('and', yes({ and: [{ '>': [{ var: 'age' }, 18] }, { '==': [{ var: 'country' }, 'NL'] }] }));
flag('or', yes({ or: [{ '>': [{ var: 'age' }, 50] }, { '==': [{ var: 'country' }, 'NL'] }] }));
flag('or-answer', { or: [{ if: [{ '==': [{ var: 'country' }, 'NL'] }, 'on', null] }, 'off'] });
flag('and-answer', { and: [{ '==': [{ var: 'country' }, 'NL'] }, 'on'] }, { variants: { ...bool, false: false } });
flag('not', yes({ '!': [{ var: 'beta' }] }));
flag('not-bare', yes({ '!': { var: 'beta' } }));
flag('twice-not', yes({ '!!': [{ var: 'beta' }] }));
flag('truth', yes({ var: 'beta' }));
flag('if-chain', { if: [{ '<': [{ var: 'age' }, 18] }, 'red', { '<': [{ var: 'age' }, 65] }, 'green', 'blue'] }, { variants: colours, defaultVariant: 'red' });
flag('if-two', { if: [{ '==': [{ var: 'country' }, 'NL'] }, 'on'] });
flag('if-one', { if: [{ var: 'variant' }] });

// Arithmetic and text.
flag('plus', yes({ '==': [{ '+': [{ var: 'age' }, 1, 2] }, 45] }));
flag('minus', yes({ '==': [{ '-': [{ var: 'age' }, 2] }, 40] }));
flag('negate', yes({ '<': [{ '-': [{ var: 'age' }] }, 0] }));
flag('times', yes({ '>': [{ '*': [{ var: 'age' }, 2] }, 83] }));
flag('divide', yes({ '==': [{ '/': [{ var: 'age' }, 2] }, 21] }));
flag('modulo', yes({ '==': [{ '%': [{ var: 'age' }, 5] }, 2] }));
flag('max', yes({ '==': [{ max: [{ '+': [{ var: 'age' }, 0] }, 30] }, 42] }));
flag('min', yes({ '==': [{ min: [{ '+': [{ var: 'age' }, 0] }, 30] }, 30] }));
flag('cat', yes({ '==': [{ cat: [{ var: 'country' }, '-', { var: 'letter' }] }, 'NL-n'] }));
flag('substr', yes({ and: [{ var: 'email' }, { '==': [{ substr: [{ var: 'email' }, -11] }, 'example.com'] }] }));
flag('substr-length', yes({ and: [{ var: 'email' }, { '==': [{ substr: [{ var: 'email' }, 0, 3] }, 'ann'] }] }));
flag('in-list', yes({ in: [{ var: 'country' }, ['NL', 'BE']] }));
flag('in-text', yes({ in: ['@example', { var: 'email' }] }));
flag('in-context', yes({ in: ['admin', { var: 'roles' }] }));

// Lists.
flag('some', yes({ some: [{ var: 'scores' }, { '>': [{ var: '' }, 8] }] }));
flag('all', yes({ and: [{ var: 'scores' }, { all: [{ var: 'scores' }, { '>': [{ var: '' }, 3] }] }] }));
flag('none', yes({ none: [{ var: 'scores' }, { '>': [{ var: '' }, 9] }] }));
flag('map', yes({ in: [10, { map: [{ var: 'scores' }, { '*': [{ var: '' }, 2] }] }] }));
flag('filter', yes({ in: [9, { filter: [{ var: 'scores' }, { '>': [{ var: '' }, 4] }] }] }));
flag('reduce', yes({ '>': [{ reduce: [{ var: 'scores' }, { '+': [{ var: 'current' }, { var: 'accumulator' }] }, 0] }, 15] }));
flag('merge', yes({ in: ['x', { merge: [{ var: 'roles' }, ['x']] }] }));

// flagd's own.
flag('starts-with', yes({ starts_with: [{ var: 'email' }, 'ann'] }));
flag('ends-with', yes({ ends_with: [{ var: 'email' }, '@example.com'] }));
flag('ends-with-number', { if: [{ '===': [{ ends_with: [{ var: 'age' }, '2'] }, null] }, 'on', 'off'] });
for (const [name, operator] of Object.entries({ eq: '=', ne: '!=', lt: '<', le: '<=', gt: '>', ge: '>=', caret: '^', tilde: '~' })) {
  flag(`semver-${name}`, yes({ sem_ver: [{ var: 'version' }, operator, '1.4.2'] }));
}
flag('semver-none', { if: [{ '===': [{ sem_ver: [{ var: 'version' }, '=', '1.4.2'] }, null] }, 'on', 'off'] });
flag('semver-pre', yes({ sem_ver: [{ var: 'version' }, '>=', '2.0.0-rc.1'] }));
flag('ref', yes({ $ref: 'dutch' }));
flag('ref-whole', { $ref: 'byCountry' });
flag('ref-nested', yes({ and: [{ $ref: 'dutch' }, { $ref: 'grown' }] }));

// Fractional.
const split = { variants: colours, defaultVariant: 'red' };
flag('fractional', { fractional: [['red', 25], ['green', 25], ['blue', 50]] }, split);
flag('fractional-equal', { fractional: [['red'], ['green'], ['blue']] }, split);
flag('fractional-some-weights', { fractional: [['red', 3], ['green'], ['blue', 0]] }, split);
flag('fractional-one', { fractional: [['green', 1]] }, split);
flag('fractional-zero', { fractional: [['green', 0], ['blue', 0]] }, split);
flag('fractional-fine', { fractional: [['green', 125], ['blue', 9875]] }, split);
flag('fractional-large', { fractional: [['green', 1000000000], ['blue', 1147483647]] }, split);
flag('fractional-by', { fractional: [{ var: ['email', 'nobody'] }, ['green', 50], ['blue', 50]] }, split);
flag('fractional-cat', { fractional: [{ cat: [{ var: '$flagd.flagKey' }, { var: ['email', 'nobody'] }] }, ['green', 50], ['blue', 50]] }, split);
flag('fractional-in-if', { if: [{ in: ['@example', { var: 'email' }] }, { fractional: [['red', 50], ['blue', 50]] }, 'green'] }, split);
flag('fractional-null', { fractional: [[null, 50], ['blue', 50]] }, split);
flag('fractional-nested', { fractional: [[{ if: [{ '==': [{ var: 'country' }, 'NL'] }, 'red', 'green'] }, 50], ['blue', 50]] }, split);
flag('fractional-computed-weight', { fractional: [['green', { '+': [{ var: 'age' }, 0] }], ['blue', 50]] }, split);
flag('fractional-bool', { fractional: [[true, 50], [false, 50]] }, { variants: { true: 'yes', false: 'no' }, defaultVariant: 'false' });

const contexts = [
  {},
  { targetingKey: 'u1' },
  { targetingKey: '' },
  { targetingKey: 'u2', country: 'NL', age: 42, email: 'ann@example.com', beta: true, version: '1.4.2', letter: 'n', variant: 'on', roles: ['dev', 'admin'], scores: [4, 5, 9] },
  { targetingKey: 'u3', country: 'DE', age: 17, email: 'bob@example.org', beta: false, version: 'v1.4.3-rc.1', letter: 'ff', variant: 'off', roles: [], scores: [] },
  { targetingKey: 'u4', country: 'BE', age: 66.5, email: 'annie@elsewhere.net', beta: 0, version: '1.4', letter: 'x', variant: 'purple', roles: ['admin', 'dev'], scores: [1] },
  { targetingKey: 'u5', country: null, age: '42', email: '', beta: '', version: '2.0.0-rc.1', variant: null, roles: 'admin', scores: [10, 20] },
  { targetingKey: 'u6', country: 'NL', age: true, beta: 'false', version: 2, variant: true, user: { address: { city: 'Delft' } }, scores: [0, -1] },
  { targetingKey: 'u7', country: 'A', age: null, beta: [], version: 'not-a-version', email: 'zed@example.com' },
  { targetingKey: 'u8', country: 'Z', age: -5, beta: [0], version: '1.4.2+build.7', email: 'x@y' },
  { targetingKey: 'u9', age: 1e21, version: '1.10.0', user: { address: {} }, $flagd: { flagKey: 'mine', timestamp: 1 } },
  ...Array.from({ length: 12 }, (_, n) => ({ targetingKey: `user-${n}`, country: n % 2 ? 'NL' : 'FR', age: 30 + n, email: `p${n}@example.com`, version: `${n}.4.2` })),
];

const $evaluators = {
  dutch: { '==': [{ var: 'country' }, 'NL'] },
  grown: { '>=': [{ var: 'age' }, 18] },
  byCountry: { if: [{ '==': [{ var: 'country' }, 'NL'] }, 'on', 'off'] },
};
const file = { $schema: 'https://flagd.dev/schema/v0/flags.json', metadata: { flagSetId: 'vectors', setwide: 'set' }, $evaluators, flags };

const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const core = new FlagdCore(undefined, quiet);
core.setConfigurations(JSON.stringify(file));
const table = {};
for (const key of Object.keys(flags)) {
  const type = typeof Object.values(flags[key].variants)[0];
  const resolve = { boolean: 'resolveBooleanEvaluation', string: 'resolveStringEvaluation', number: 'resolveNumberEvaluation', object: 'resolveObjectEvaluation' }[type];
  table[key] = contexts.map((context) => {
    const { reason, variant, errorCode } = core[resolve](key, null, context);
    return errorCode ? `! ${errorCode}` : `${reason} ${variant ?? '-'}`;
  });
}
const line = ([key, value]) => `    ${JSON.stringify(key)}: ${JSON.stringify(value)}`;
const lines = (object) => Object.entries(object).map(line).join(',\n');
console.log(`{
  "now": ${now},
  "file": ${JSON.stringify({ ...file, flags: undefined }).slice(0, -1)}, "flags": {
${lines(flags)}
  }},
  "contexts": [
${contexts.map((context) => `    ${JSON.stringify(context)}`).join(',\n')}
  ],
  "expected": {
${lines(table)}
  }
}`);
