// The lanes as rows, the worst first, and above them the ones that need a person.

import { Component, html, useState } from "./vendor/htm-preact.js";
import { Bar } from "./bar.js";
import { Buttons, Asked } from "./buttons.js";
import { count, laneName, plural, since, span } from "./format.js";

const NEED = new Set(["stopped", "stalled", "paused"]);
const CARDS = 6;
const PAGE = 50;

export function Badge({ state }) {
  return html`<span class="lanes-badge" data-state=${state}>${state}</span>`;
}

export function Advice({ text }) {
  return text ? html`<p class="lanes-advice"><b>What to do:</b> ${text}</p>` : null;
}

export function NeedsYou({ store, rows, onOpen, onAsk, canAct }) {
  const found = rows.filter((row) => NEED.has(row.state));
  if (!found.length) return null;
  return html`
    <section class="lanes-needs" aria-labelledby="needs-title">
      <h2 id="needs-title">Needs you</h2>
      <div class="lanes-cards">
        ${found.slice(0, CARDS).map((row) => html`
          <article class="lanes-card" key=${row.key} data-state=${row.state}>
            <h3>
              <button type="button" class="lanes-open" onClick=${() => onOpen(row.key)}>${laneName(row)}
                <small>lane ${row.lane}</small></button>
              <${Badge} state=${row.state} />
            </h3>
            <p class="lanes-since">${since(row, store.now())}</p>
            <p class="lanes-why">${row.reason}</p>
            ${row.error && !row.reason.includes(row.error) && html`<p class="lanes-error">${row.error}</p>`}
            <${Advice} text=${row.advice} />
            <${Buttons} row=${row} onAsk=${onAsk} canAct=${canAct} />
            <${Asked} store=${store} row=${row} limit=${2} />
          </article>`)}
      </div>
      ${found.length > CARDS && html`<p class="lanes-muted">and ${plural(found.length - CARDS, "more lane")}
        in the list below</p>`}
    </section>`;
}

class Row extends Component {
  shouldComponentUpdate(next) {
    return next.row !== this.props.row || next.open !== this.props.open;
  }

  render({ row, open, onOpen }) {
    return html`
      <li class="lanes-row" data-open=${open} onClick=${() => onOpen(row.key)}>
        <span class="lanes-row-name">
          <button type="button" class="lanes-open" aria-expanded=${open}
            onClick=${(event) => { event.stopPropagation(); onOpen(row.key); }}>${laneName(row)}
            <small>lane ${row.lane}</small></button>
          <${Badge} state=${row.state} />
        </span>
        <span class="lanes-row-lag"><b>${count(row.lag)}</b> ${row.lag_seconds ? span(row.lag_seconds) : ""}</span>
        <${Bar} row=${row} />
        <span class="lanes-why">${row.reason}</span>
      </li>`;
  }
}

export function List({ rows, open, onOpen, chosen, onChoose }) {
  const [text, setText] = useState("");
  const [shown, setShown] = useState(PAGE);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (row) => words.every((word) =>
    `${row.key} ${laneName(row)} ${row.state} ${row.reason} ${row.queue} ${row.owner}`.toLowerCase().includes(word));
  const found = rows.filter((row) => (!chosen || row.state === chosen) && fits(row));
  return html`
    <section class="lanes-box" aria-labelledby="list-title">
      <div class="lanes-box-head">
        <h2 id="list-title">Lanes, worst first</h2>
        <input type="search" class="form-control" placeholder="topic, state, bridge, queue, reason"
          aria-label="Show only lanes with these words" value=${text} onInput=${(event) => setText(event.target.value)} />
        ${chosen && html`<button type="button" class="btn btn-sm btn-outline-secondary"
          onClick=${() => onChoose("")}>only ${chosen} ✕</button>`}
      </div>
      <p class="lanes-muted" role="status">${plural(found.length, "lane")}${found.length > shown
        ? `, the first ${shown} shown` : ""}</p>
      <ul class="lanes-list">
        ${found.slice(0, shown).map((row) => html`<${Row} key=${row.key} row=${row} open=${row.key === open}
          onOpen=${onOpen} />`)}
      </ul>
      ${found.length > shown && html`<button type="button" class="btn btn-outline-secondary"
        onClick=${() => setShown(found.length)}>Show all ${count(found.length)}</button>`}
    </section>`;
}
