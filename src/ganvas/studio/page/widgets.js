// What several pages show alike.
import {html, nothing} from './vendor/lit.js';

export const say = text => { document.getElementById('said').textContent = text; };

export const problem = error => !error ? nothing : html`
  <div class="error" role="alert">
    <strong>${error.what ?? error.message}.</strong>
    ${error.why ? html`<span> ${error.why}.</span>` : nothing}
    ${error.remedy ? html`<span> ${error.remedy}.</span>` : nothing}
  </div>`;

export const command = text => !text ? nothing : html`
  <div class="command">
    <code tabindex="0" aria-label="The command that does this">${text}</code>
    <button type="button" @click=${async event => {
      await navigator.clipboard?.writeText(text);
      event.target.textContent = 'copied';
      say('The command is copied');
    }}>copy</button>
  </div>`;

export const choose = (label, options, chosen, on) => html`
  <label>${label}
    <select @change=${event => on(event.target.value)}>
      ${options.map(([value, text]) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`)}
    </select>
  </label>`;

export const slide = (label, value, {min = 0, max = 1, step = 0.01}, on) => html`
  <label>${label}
    <input type="range" min=${min} max=${max} step=${step} .value=${String(value)}
      @input=${event => on(Number(event.target.value))}>
    <output>${value}</output>
  </label>`;

export const empty = (what, line) => html`
  <div class="panel"><p>${what}</p>${line ? command(line) : nothing}</div>`;

export function draw(canvas, image, left = 0, top = 0) {
  canvas.getContext('2d').putImageData(image, left, top);
}

// Squares one below the other, as grids come, cut into a picture each.
export function squares(image) {
  const side = image.width;
  return Array.from({length: image.height / side}, (_, number) => new ImageData(
    image.data.slice(number * side * side * 4, (number + 1) * side * side * 4), side, side));
}

export const bytes = size => size > 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.round(size / 1e3)} kB`;

// Keys of a page, unless something is typed; returns how to let go of them.
export function keys(table) {
  const pressed = event => {
    if (event.target.matches('input:not([type=range]), textarea, select, dialog *') || event.altKey) return;
    // A control that has the focus keeps its own keys.
    if (event.target.matches('input[type=range]') && /^(Arrow|Home|End|Page)/.test(event.key)) return;
    if (event.target.matches('button, a, [tabindex="0"]') && ['Enter', ' '].includes(event.key)) return;
    const name = `${event.ctrlKey || event.metaKey ? 'Ctrl+' : ''}${event.shiftKey && event.key.length > 1 || event.ctrlKey && event.shiftKey ? 'Shift+' : ''}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
    const action = table[name];
    if (action) { event.preventDefault(); action(event); }
  };
  addEventListener('keydown', pressed);
  return () => removeEventListener('keydown', pressed);
}
