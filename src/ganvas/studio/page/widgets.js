// What several pages show alike.
import {html, nothing} from './vendor/lit.js';

export const say = text => { document.getElementById('said').textContent = text; };

// The first line of a page: what it is, what it is for, and what it can do with the result.
export const title = (name, lead, action = nothing) => html`<div class="title"><h1>${name}</h1><p class="lead">${lead}</p>${action}</div>`;

export const problem = error => !error ? nothing : html`
  <div class="error" role="alert">
    <strong>${error.what ?? error.message}.</strong>
    ${error.why ? html`<span> ${error.why}.</span>` : nothing}
    ${error.remedy ? html`<span> ${error.remedy}.</span>` : nothing}
  </div>`;

export const command = text => !text ? nothing : html`
  <div class="command">
    <code tabindex="0" aria-label="The command that does this">${text}</code>
    <button type="button" aria-label="Copy the command" @click=${async event => {
      const button = event.currentTarget;
      await navigator.clipboard?.writeText(text);
      button.textContent = 'Copied';
      say('The command is copied');
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    }}>Copy</button>
  </div>`;

export const choose = (label, options, chosen, on) => html`
  <label class="field"><span>${label}</span>
    <select @change=${event => on(event.target.value)}>
      ${options.map(([value, text]) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`)}
    </select>
  </label>`;

// `shown` is what stands for the value, where that is not the number itself.
export const slide = (label, value, {min = 0, max = 1, step = 0.01, shown = value}, on) => {
  const id = `slide-${label.toLowerCase().replaceAll(' ', '-')}`;
  return html`<div class="field">
    <span class="head"><label for=${id}>${label}</label><output for=${id}>${shown}</output></span>
    <input id=${id} type="range" min=${min} max=${max} step=${step} .value=${String(value)} aria-valuetext=${shown}
      @input=${event => on(Number(event.target.value))}>
  </div>`;
};

// One of several: [value, text, key] each.
export const segments = (label, options, chosen, on) => html`
  <span class="segments" role="group" aria-label=${label}>${options.map(([value, text, key]) => html`
    <button type="button" aria-pressed=${value === chosen} title=${key ? `${text} (${key})` : text} @click=${() => on(value)}>${text}</button>`)}</span>`;

export const empty = (what, line) => html`
  <div class="empty"><p>${what}</p>${line ? command(line) : nothing}</div>`;

export function draw(canvas, image, left = 0, top = 0) {
  canvas.getContext('2d').putImageData(image, left, top);
}

// Draws a picture that fills a canvas of its own size.
export function fill(canvas, image) {
  Object.assign(canvas, {width: image.width, height: image.height});
  draw(canvas, image);
}

// Squares one below the other, as grids come, cut into a picture each.
export function squares(image) {
  const side = image.width;
  return Array.from({length: image.height / side}, (_, number) => new ImageData(
    image.data.slice(number * side * side * 4, (number + 1) * side * side * 4), side, side));
}

export const bytes = size => size > 1e6 ? `${(size / 1e6).toFixed(1)} MB` : `${Math.round(size / 1e3)} kB`;
export const baseName = path => path.split('/').at(-1);

// Shows frames in turn, none before the one before it has come, and none sooner than so many milliseconds.
export function player(next, milliseconds) {
  let plays = 0;
  return {
    get plays() { return plays > 0; },
    stop() { plays = 0; },
    async start() {
      const mine = plays = performance.now();
      while (plays === mine) {
        const until = performance.now() + milliseconds;
        await next();
        await new Promise(done => setTimeout(done, Math.max(0, until - performance.now())));
      }
    },
  };
}

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
