// The four positions of a partition as one bar: committed, finished, fetched, end.

import { html } from "./vendor/htm-preact.js";
import { count } from "./format.js";

const PARTS = [["done", "finished, commit under way"], ["held", "fetched, not finished"], ["waiting", "not fetched yet"]];

export function Bar({ row, withNumbers }) {
  const { committed, position, fetched, end } = row;
  if (committed === null || end === null) return html`<span class="lanes-muted">positions not known yet</span>`;
  const marks = [committed, Math.max(committed, position ?? committed), fetched ?? position ?? committed, end];
  for (let i = 1; i < 4; i += 1) marks[i] = Math.max(marks[i], marks[i - 1]);
  const lengths = [1, 2, 3].map((i) => marks[i] - marks[i - 1]);
  const text = `committed ${count(committed)}, finished ${count(position)}, fetched ${count(fetched)}, end ${count(end)}`;
  return html`
    <div class="lanes-bar-box">
      <div class="lanes-bar" role="img" aria-label=${text} title=${text}>
        ${marks[3] === committed ? html`<span data-part="none" style=${{ flexGrow: 1 }}></span>`
          : PARTS.map(([part], i) => lengths[i] > 0
            && html`<span key=${part} data-part=${part} style=${{ flexGrow: lengths[i] }}></span>`)}
      </div>
      ${withNumbers ? html`<${Numbers} row=${row} lengths=${lengths} />`
        : html`<div class="lanes-bar-ends"><span>${count(committed)}</span><span>${count(end)}</span></div>`}
    </div>`;
}

function Numbers({ row, lengths }) {
  const named = [["Committed", row.committed], ["Finished", row.position], ["Fetched", row.fetched], ["End", row.end]];
  return html`
    <dl class="lanes-positions">
      ${named.map(([name, offset]) => html`<div key=${name}><dt>${name}</dt><dd>${count(offset)}</dd></div>`)}
    </dl>
    <ul class="lanes-parts">
      ${PARTS.map(([part, text], i) => html`
        <li key=${part}><span data-part=${part} aria-hidden="true"></span>${count(lengths[i])} ${text}</li>`)}
    </ul>`;
}
