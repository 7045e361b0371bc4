// Every lane as one small square, the worst first: five hundred of them at a glance.

import { html } from "./vendor/htm-preact.js";
import { count, laneName, span } from "./format.js";

const MOVING = new Set(["adopting", "running", "filling", "idle"]);

const HEATS = ["under 1 s", "10 s", "60 s", "older"];

function heat(row) {
  const age = row.lag_seconds || 0;
  return MOVING.has(row.state) ? (age >= 60 ? 3 : age >= 10 ? 2 : age >= 1 ? 1 : 0) : 0;
}

function label(row) {
  return `${laneName(row)} lane ${row.lane}: ${row.state}, lag ${count(row.lag)}, oldest ${span(row.lag_seconds)}`;
}

function move(event) {
  const cells = [...event.currentTarget.querySelectorAll("button")];
  const at = cells.indexOf(document.activeElement);
  const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: cells.length - 1 };
  const next = cells[steps[event.key]];
  if (event.key in steps && next) {
    event.preventDefault();
    next.focus();
  }
}

export function Strip({ rows, open, onOpen, counts, order, chosen, onChoose }) {
  return html`
    <section class="lanes-box" aria-labelledby="strip-title">
      <h2 id="strip-title">All lanes</h2>
      <div class="lanes-strip" role="group" aria-label="Lanes, worst first; arrow keys move" onKeyDown=${move}>
        ${rows.map((row, index) => html`
          <button type="button" key=${row.key} class="lanes-cell" data-state=${row.state} data-heat=${heat(row)}
            tabindex=${row.key === open || (!open && index === 0) ? 0 : -1} title=${label(row)} aria-label=${label(row)}
            aria-pressed=${row.key === open} onClick=${() => onOpen(row.key)}></button>`)}
      </div>
      <ul class="lanes-legend" aria-label="States">
        ${order.filter((state) => counts[state]).map((state) => html`
          <li key=${state}>
            <button type="button" class="lanes-filter" aria-pressed=${chosen === state}
              onClick=${() => onChoose(chosen === state ? "" : state)}>
              <span class="lanes-cell" data-state=${state} data-heat="0" aria-hidden="true"></span>
              ${count(counts[state])} ${state}
            </button>
          </li>`)}
        <li class="lanes-heat lanes-muted">moving lanes, by their oldest record:
          ${HEATS.map((text, index) => html`<span key=${text}><span class="lanes-cell" data-state="running"
            data-heat=${index} aria-hidden="true"></span> ${text}</span>`)}
        </li>
      </ul>
    </section>`;
}
