// What the tests of the clients do to the backend under them: orders over its unix socket, where they need no token.
import http from 'node:http';

const socketPath = process.env.KNIGHTWATCH_TEST_SOCKET;

function order(path, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const request = http.request({ socketPath, path: `/api/v1/${path}`, method: 'POST', headers }, (response) => {
      let text = '';
      response.on('data', (part) => (text += part));
      response.on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`${path}: ${response.statusCode} ${text}`))));
    });
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

export const set = (flag, percent) => order(`flags/${encodeURIComponent(flag)}/set`, { percent, reason: 'test' });
export const killAll = () => order('kill-all', { reason: 'test' });
export const rearm = () => order('rearm', { environment: process.env.KNIGHTWATCH_TEST_ENVIRONMENT, reason: 'test' });

// Asks until the answer is as expected: what is waited for is the deadline only where it never is.
export async function until(what, ask) {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [what, ...rest] = process.argv.slice(2);
  await { set: () => set(rest[0], Number(rest[1])), 'kill-all': killAll, rearm }[what]();
}
