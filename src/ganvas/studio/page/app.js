// The frame around the pages: which one is open, keys that work everywhere, the help.
import {html, render} from './vendor/lit.js';
import {bringToken, count, leave} from './api.js';
import {keys, problem} from './widgets.js';

const PAGES = {
  upscale: ['Upscale', 'u'], paint: ['Paint', 'p'], explore: ['Explore', 'e'], fly: ['Fly', 'f'],
  clips: ['Clips', 'c'], watch: ['Watch', 'w'], curate: ['Curate', 'k'], runs: ['Runs and models', 'r'],
};
const KEYS = {
  Upscale: [['1', '–', '9', 'model'], ['l', 'next view'], ['x', 'flip'], ['m', 'mask'], ['Enter', 'save']],
  Paint: [['b', 'brush'], ['l', 'line'], ['f', 'fill'], ['v', 'select'], ['[', ']', 'size'], ['r', 'next style'], ['Delete', 'remove'],
    ['Ctrl', 'z', 'undo'], ['Shift', 'Ctrl', 'z', 'redo'], ['s', 'save']],
  Fly: [['←', '↑', '↓', '→', 'look'], ['w', 'a', 's', 'd', 'q', 'e', 'move'], ['Enter', 'add the view to the path'], ['p', 'play']],
  Clips: [['p', 'play'], [',', '.', 'frame by frame']],
  Curate: [['→', 'keep'], ['←', 'drop'], ['u', 'undo']],
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

// Words of one letter or sign, and names of keys, are keys; the last word says what they do.
const combination = words => html`<span>${words.slice(0, -1).map(word => word === '–' ? word : html`<kbd>${word}</kbd>`)} ${words.at(-1)}</span>`;

function help() {
  const dialog = document.getElementById('help');
  render(html`
    <h1 id="help-title">Keys</h1>
    <dl>
      <dt>Pages</dt><dd>${Object.values(PAGES).map(([title, key]) => combination(['g', key, title]))}</dd>
      ${Object.entries(KEYS).map(([page, list]) => html`<dt>${page}</dt><dd>${list.map(combination)}</dd>`)}
    </dl>
    <p class="faint">Sliders and lists take the arrow keys where they have the focus; so does the view of Upscale, in which <kbd>+</kbd> and <kbd>-</kbd> zoom.</p>
    <form method="dialog" style="margin-top:16px"><button class="primary">Close</button></form>`, dialog);
  dialog.showModal();
}

let goes = false;
addEventListener('keydown', event => {
  if (event.target.matches('input:not([type=range]), textarea, select') || event.ctrlKey || event.metaKey) return;
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
document.querySelector('.skip').onclick = event => { event.preventDefault(); root.focus(); };  // the address names the page
addEventListener('hashchange', show);
await bringToken();
show();
