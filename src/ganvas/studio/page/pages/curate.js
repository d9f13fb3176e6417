// Curate: keep or drop, by arrow keys, buttons or swipes; each decision is written at once.
import {html, nothing, render} from '../vendor/lit.js';
import {get, put} from '../api.js';
import {command, empty, keys, problem, say} from '../widgets.js';

const SWIPE = 60;

export async function open(root, [wanted]) {
  const folders = await get('curations');
  if (!folders.length) {
    render(html`<h1>Curate</h1>${empty('There is no folder of pictures. Start the studio with one:', 'ganvas studio FOLDER')}`, root);
    return;
  }
  const state = {folder: await get(`curations/${wanted ?? folders[0].id}`), at: 0, past: [], error: null};
  const next = () => {
    const open = state.folder.pictures.findIndex(each => each.keep === 'open' && !each.error);
    state.at = open < 0 ? state.folder.pictures.length : open;
  };
  next();

  async function decide(keep) {
    const picture = state.folder.pictures[state.at];
    if (!picture) return;
    picture.keep = keep;
    state.past.push(state.at);
    const decided = state.at;
    next();
    show();
    try {
      await put(`curations/${state.folder.id}`, {picture: picture.name, keep});
      state.error = null;
      say(`${picture.name}: ${keep}`);
    } catch (error) {
      picture.keep = 'open';
      state.at = decided;
      state.error = error;
    }
    show();
  }

  async function undo() {
    if (!state.past.length) return;
    state.at = state.past.pop();
    const picture = state.folder.pictures[state.at];
    picture.keep = 'open';
    show();
    try { await put(`curations/${state.folder.id}`, {picture: picture.name, keep: 'open'}); } catch (error) { state.error = error; show(); }
  }

  let start = null;
  const down = event => { start = event.clientX; event.currentTarget.setPointerCapture(event.pointerId); };
  const drag = event => { if (start !== null) event.currentTarget.style.transform = `translateX(${event.clientX - start}px)`; };
  const up = event => {
    if (start === null) return;
    const moved = event.clientX - start;
    start = null;
    event.currentTarget.style.transform = '';
    if (Math.abs(moved) > SWIPE) decide(moved > 0 ? 'keep' : 'drop');
  };

  function show() {
    const {pictures} = state.folder, picture = pictures[state.at];
    const count = keep => pictures.filter(each => each.keep === keep).length;
    render(html`
      <h1>Curate</h1>
      <div class="bar">
        <label>Folder <select @change=${event => { location.hash = `#/curate/${event.target.value}`; }}>${folders.map(each => html`
          <option value=${each.id} ?selected=${each.id === state.folder.id}>${each.name}</option>`)}</select></label>
        <span role="status">${count('keep')} kept, ${count('drop')} dropped, ${count('open')} to go</span>
        <button ?disabled=${!state.past.length} @click=${undo}>undo (u)</button>
      </div>
      ${problem(state.error)}
      ${picture ? html`<div class="card" @pointerdown=${down} @pointermove=${drag} @pointerup=${up} @pointercancel=${up}>
        <img draggable="false" alt=${picture.name} src="/api/pictures/${picture.id}/shown">
        <p>${picture.name} <span class="faint">${picture.width} × ${picture.height}</span></p></div>
        <div class="bar" style="justify-content:center"><button @click=${() => decide('drop')}>← drop</button>
          <button class="primary" @click=${() => decide('keep')}>keep →</button></div>`
        : html`<p>Every picture is decided.</p>`}
      ${pictures.some(each => each.error) ? html`<h2>Cannot be read</h2><ul>${pictures.filter(each => each.error).map(each => html`<li>${each.name}: ${each.error}</li>`)}</ul>` : nothing}
      <h2>Train on what is kept</h2>
      <p class="faint">By a folder of links, or by a list of names:</p>
      ${command(state.folder.command)}${command(state.folder.list_command)}`, root);
  }
  show();
  return keys({ArrowRight: () => decide('keep'), ArrowLeft: () => decide('drop'), u: undo});
}
