// What the server is asked, and what it tells by itself. A failed request is an Error with what, why and do.

export class ApiError extends Error {
  constructor(status, {what, why = '', do: remedy = ''}) {
    super(what);
    Object.assign(this, {status, what, why, remedy});
  }
}

// What the page that is open reads; a page that is left waits for nothing more, and blocks no connection.
let reading = new AbortController();
export function leave() {
  reading.abort();
  reading = new AbortController();
}

// The page says that it is busy until nothing was asked for a moment: screen readers wait, and so do tests.
let asked = 0, idle = 0;
export function count(change) {
  const main = document.getElementById('main');
  asked += change;
  clearTimeout(idle);
  if (asked) main.setAttribute('aria-busy', 'true');
  else idle = setTimeout(() => main.setAttribute('aria-busy', 'false'), 150);
}

async function ask(...given) {
  count(1);
  try {
    return await request(...given);
  } finally {
    count(-1);
  }
}

async function request(method, path, body, headers = {}, signal = undefined) {
  let answer;
  try {
    // Small requests outlive their page: a decision made just before it is closed is kept.
    answer = await fetch(`/api/${path}`, {method, body, headers, keepalive: !signal && typeof body === 'string' && body.length < 60000, signal});
  } catch {
    signal?.throwIfAborted();
    throw new ApiError(0, {what: 'The server does not answer', do: 'Is `ganvas studio` still running?'});
  }
  if (answer.ok) return answer;
  let told = {what: `The server answered ${answer.status}`};
  try { told = await answer.json(); } catch { /* no JSON: the status must do */ }
  throw new ApiError(answer.status, told);
}

const TRIES = 20, TRIED_AGAIN_MS = 150, JSON_BODY = {'content-type': 'application/json'};
export const get = async path => (await ask('GET', path, undefined, {}, reading.signal)).json();
export const post = async (path, data) => (await ask('POST', path, JSON.stringify(data), JSON_BODY)).json();
export const put = async (path, data) => (await ask('PUT', path, JSON.stringify(data), JSON_BODY)).json();
export const remove = async path => (await ask('DELETE', path)).json();
export const sendMask = async blob => (await ask('PUT', 'masks', blob)).json();
export const sendFlight = async (model, file) =>
  (await ask('PUT', `flights?model=${model}&name=${encodeURIComponent(file.name)}`, file)).json();
export const upload = async file =>
  (await ask('PUT', `pictures?name=${encodeURIComponent(file.name)}`, file)).json();

// Pixels: an ImageData with what else the server said of it, or null where there is nothing new. A page asks for one of a
// kind at a time: where another's request took its place, such as that of a page just left, it asks again.
export async function pixels(path, data, signal = reading.signal) {
  count(1);
  try {
    return await patient(path, data, signal);
  } finally {
    count(-1);
  }
}

async function patient(path, data, signal) {
  for (let patience = TRIES; ; patience -= 1) {
    try {
      return await image(data === undefined ? await ask('GET', path, undefined, {}, signal) : await ask('POST', path, JSON.stringify(data), JSON_BODY, signal));
    } catch (error) {
      if (error.status !== 409 || !patience || signal.aborted) throw error;
      await new Promise(done => setTimeout(done, TRIED_AGAIN_MS));
      signal.throwIfAborted();
    }
  }
}

// The same of a request that changes something: it is made even where its page is left.
export const change = async (path, data) => image(await ask('POST', path, JSON.stringify(data), JSON_BODY));

async function image(answer) {
  if (answer.status === 204) return null;
  const number = name => Number(answer.headers.get(name));
  const bytes = new Uint8ClampedArray(await answer.arrayBuffer());
  return {image: new ImageData(bytes, number('x-width'), number('x-height')), headers: answer.headers, number};
}

// The command line of what a page shows: `tell` asks for it anew, and the page is shown again where it changed.
export function commandOf(order, show) {
  const shown = {text: '', tell: newest(async () => {
    const wanted = order();
    if (!wanted) return;
    try {
      const {command} = await (await ask('POST', 'commands', JSON.stringify(wanted), JSON_BODY, reading.signal)).json();
      if (command !== shown.text) { shown.text = command; show(); }
    } catch { /* what is wrong with the order is told where it is made */ }
  })};
  return shown;
}

// Where what is asked changes while answers are under way: `begin` returns a function that tells whether this is still
// what the page shows. `end` makes every answer late, as when the page is left.
export function turns() {
  let now = 0;
  return {begin: () => { const mine = ++now; return () => mine === now; }, end: () => { now += 1; }};
}

// Where only the newest answer counts: a request waits while another is under way, and a newer one replaces it.
export function newest(work) {
  let running = false, waiting = null;
  return async function run(...given) {
    if (running) { waiting = given; return; }
    running = true;
    try {
      await work(...given);
    } finally {
      running = false;
      if (waiting) { const next = waiting; waiting = null; run(...next); }
    }
  };
}

export function listen(kind, react) {
  const source = events();
  const heard = event => react(JSON.parse(event.data));
  source.addEventListener(kind, heard);
  return () => source.removeEventListener(kind, heard);
}

// Calls back at every connection, the first and those after one was lost: what happened in between is asked for.
export function opened(react) {
  const source = events();
  source.addEventListener('open', react);
  return () => source.removeEventListener('open', react);
}

let shared = null;
function events() {
  if (!shared) {
    shared = new EventSource('/api/events');
    const banner = document.getElementById('banner');
    shared.onerror = () => {
      banner.textContent = 'The connection is lost. What you entered is kept; trying again …';
      banner.hidden = false;
    };
    shared.onopen = () => { banner.hidden = true; };
  }
  return shared;
}

export async function bringToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (!token) return;
  await fetch('/token', {method: 'POST', body: JSON.stringify({token}), headers: JSON_BODY});
  history.replaceState(null, '', '#/upscale');
}
