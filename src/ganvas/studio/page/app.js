// The frame around the pages: which one is open, keys that work everywhere, the help.
import {html, render} from './vendor/lit.js';
import {bringToken, count, leave} from './api.js';
import {keys, problem} from './widgets.js';

const PAGES = {
  upscale: ['Upscale', 'u'], paint: ['Paint', 'p'], explore: ['Explore', 'e'], fly: ['Fly', 'f'],
  clips: ['Clips', 'c'], watch: ['Watch', 'w'], curate: ['Curate', 'k'], runs: ['Runs and models', 'r'],
};
const root = document.getElementById('main');
let close = () => {};
let turn = 0;

async function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, '').split('/');
  const page = PAGES[name] ? name : 'upscale';
  const mine = ++turn;
  document.title = `${PAGES[page][0]} – Ganvas Studio`;
  render(Object.entries(PAGES).map(([key, [title]]) => html`
    <a href="#/${key}" aria-current=${key === page ? 'page' : 'false'}>${title}</a>`), document.getElementById('nav'));
  document.querySelector('nav a[aria-current=page]').scrollIntoView({inline: 'nearest', block: 'nearest'});
  close();
  leave();
  close = () => {};
  const place = document.createElement('section');
  place.setAttribute('aria-label', PAGES[page][0]);
  root.replaceChildren(place);
  render(html`<h1>${PAGES[page][0]}</h1><p role="status" class="faint opening">Opening …</p>`, place);
  count(1);
  try {
    const {open} = await import(`./pages/${page}.js`);
    const ended = await open(place, rest);
    if (mine === turn) close = ended ?? (() => {}); else ended?.();
  } catch (error) {
    render(problem(error), place);
  } finally {
    count(-1);
  }
}

function help() {
  const dialog = document.getElementById('help');
  render(html`
    <h1 id="help-title">Keys</h1>
    <p><kbd>g</kbd> then a letter changes the page:
      ${Object.values(PAGES).map(([title, key]) => html`<br><kbd>g</kbd> <kbd>${key}</kbd> ${title}`)}</p>
    <p>Upscale: <kbd>1</kbd>–<kbd>9</kbd> model, <kbd>Enter</kbd> save, <kbd>←</kbd> <kbd>→</kbd> on the divider.</p>
    <p>Paint: <kbd>b</kbd> brush, <kbd>f</kbd> fill, <kbd>v</kbd> pick, <kbd>[</kbd> <kbd>]</kbd> size, <kbd>r</kbd> next
      style, <kbd>Delete</kbd> remove, <kbd>Ctrl</kbd> <kbd>z</kbd> undo, <kbd>Shift</kbd> <kbd>Ctrl</kbd> <kbd>z</kbd> redo.</p>
    <p>Curate: <kbd>→</kbd> keep, <kbd>←</kbd> drop, <kbd>u</kbd> undo; or swipe.</p>
    <form method="dialog"><button class="primary">Close</button></form>`, dialog);
  dialog.showModal();
}

let goes = false;
addEventListener('keydown', event => {
  if (event.target.matches('input, textarea, select') || event.ctrlKey || event.metaKey) return;
  if (goes) {
    const found = Object.entries(PAGES).find(([, [, key]]) => key === event.key);
    goes = false;
    if (found) { location.hash = `#/${found[0]}`; event.stopImmediatePropagation(); event.preventDefault(); }
  } else if (event.key === 'g') {
    goes = true;
    setTimeout(() => { goes = false; }, 1500);
  }
}, true);
keys({'?': help, 'Shift+?': help});
document.getElementById('keys').onclick = help;
addEventListener('hashchange', show);
await bringToken();
show();
