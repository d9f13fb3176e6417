// Curate: keep or drop, by arrow keys, buttons or swipes; each decision is written at once.
import {html, nothing, render} from '../vendor/lit.js';
import {get, put} from '../api.js';
import {baseName, choose, command, empty, keys, problem, say, title} from '../widgets.js';

const SWIPE_PX = 60, LEAD = 'Keep or drop each picture of a folder, and train on what you kept.';

export async function open(root, [wanted]) {
  const folders = await get('curations');
  if (!folders.length) {
    render(html`${title('Curate', LEAD)}${empty('There is no folder of pictures. Start the studio with one:', 'ganvas studio FOLDER')}`, root);
    return;
  }
  const state = {folder: await get(`curations/${wanted ?? folders[0].id}`), at: 0, past: [], error: null};
  const next = () => {
    const {pictures} = state.folder, isOpen = (each, number) => each.keep === 'open' && !each.error && number > state.at;
    const after = pictures.findIndex(isOpen), first = pictures.findIndex(each => each.keep === 'open' && !each.error);
    state.at = after >= 0 ? after : first >= 0 ? first : pictures.length;
  };
  state.at = -1;
  next();

  const writes = new Map();
  async function write(number, keep) {
    const {name} = state.folder.pictures[number], {id} = state.folder;
    // What was decided last about a picture is written last.
    const sent = (writes.get(name) ?? Promise.resolve()).then(() => put(`curations/${id}`, {picture: name, keep}));
    writes.set(name, sent.catch(() => {}));
    try {
      await sent;
      state.error = null;
      say(`${baseName(name)}: ${keep}`);
      return true;
    } catch (error) {
      state.error = error;
      return false;
    }
  }

  async function decide(keep) {
    const decided = state.at, picture = state.folder.pictures[decided];
    if (!picture || picture.error) return;
    const before = picture.keep;
    picture.keep = keep;
    state.past.push({at: decided, before});
    next();
    show();
    if (!await write(decided, keep)) {
      picture.keep = before;
      state.at = decided;
    }
    show();
  }

  async function undo() {
    if (!state.past.length) return;
    const {at, before} = state.past.pop();
    state.at = at;
    state.folder.pictures[at].keep = before;
    show();
    await write(at, before);
    show();
  }

  // The picture follows the finger, and says what letting go would do.
  let start = null;
  const hang = (card, moved) => {
    card.querySelector('img').style.transform = moved ? `translateX(${moved}px) rotate(${moved / 40}deg)` : '';
    card.querySelector('.keep').style.opacity = Math.min(1, Math.max(0, moved / SWIPE_PX));
    card.querySelector('.drop').style.opacity = Math.min(1, Math.max(0, -moved / SWIPE_PX));
  };
  const down = event => { start = event.clientX; event.currentTarget.setPointerCapture(event.pointerId); };
  const drag = event => { if (start !== null) hang(event.currentTarget, event.clientX - start); };
  const up = event => {
    if (start === null) return;
    const moved = event.clientX - start;
    start = null;
    hang(event.currentTarget, 0);
    if (event.type === 'pointerup' && Math.abs(moved) > SWIPE_PX) decide(moved > 0 ? 'keep' : 'drop');
  };

  function show() {
    const {pictures} = state.folder, picture = pictures[state.at], broken = pictures.filter(each => each.error);
    const count = keep => pictures.filter(each => each.keep === keep && !each.error).length;
    render(html`
      ${title('Curate', LEAD)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          ${picture ? html`<div class="card" @pointerdown=${down} @pointermove=${drag} @pointerup=${up} @pointercancel=${up}>
              <img draggable="false" alt=${baseName(picture.name)} src="/api/pictures/${picture.id}/shown">
              <span class="verdict keep" aria-hidden="true">Keep</span><span class="verdict drop" aria-hidden="true">Drop</span></div>
            <div class="row"><button style="min-width:96px" @click=${() => decide('drop')}>← Drop</button>
              <p class="grow" style="text-align:center;overflow-wrap:anywhere">${baseName(picture.name)} <span class="faint">${picture.width} × ${picture.height}</span></p>
              <button class="primary" style="min-width:96px" @click=${() => decide('keep')}>Keep →</button></div>`
            : html`<div class="empty"><p>Every picture is decided.</p><p class="faint">Press one below to look at it again.</p></div>`}
          <div class="film" role="group" aria-label="All pictures">${pictures.map((each, number) => each.error ? nothing : html`
            <button class=${each.keep} aria-current=${number === state.at} aria-label="${baseName(each.name)}, ${each.keep === 'open' ? 'undecided' : each.keep}" @click=${() => { state.at = number; show(); }}>
              <img alt="" loading="lazy" src="/api/pictures/${each.id}/shown?side=96"></button>`)}</div>
        </div>
        <div class="side">
          <div>
            ${choose('Folder', folders.map(each => [each.id, each.name]), state.folder.id, id => { location.hash = `#/curate/${id}`; })}
            <p role="status">${count('keep')} kept, ${count('drop')} dropped, ${count('open')} to go</p>
            <button title="Undo (u)" ?disabled=${!state.past.length} @click=${undo}>Undo</button>
            <p class="faint small">Arrow keys decide, too; on a phone, swipe. Nothing is deleted.</p>
          </div>
          <div><h2>Train on what is kept</h2>
            <p class="faint small">By a folder of links:</p>${command(state.folder.command)}
            <p class="faint small">Or by a list of names:</p>${command(state.folder.list_command)}</div>
          ${broken.length ? html`<div><h2>Cannot be read</h2><ul class="list small">${broken.map(each => html`<li>${baseName(each.name)}: ${each.error}</li>`)}</ul></div>` : nothing}
        </div>
      </div>`, root);
    root.querySelector('.film [aria-current=true]')?.scrollIntoView({block: 'nearest', inline: 'nearest'});
  }
  show();
  return keys({ArrowRight: () => decide('keep'), ArrowLeft: () => decide('drop'), u: undo});
}
