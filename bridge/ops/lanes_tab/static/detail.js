// One lane, opened: all that is known of it, asked again with every tick.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Bar } from "./bar.js";
import { Asked, Buttons } from "./buttons.js";
import { Batches } from "./timeline.js";
import { Advice, Badge } from "./list.js";
import { ask } from "./store.js";
import { clock, count, laneName, placeOf, since, span } from "./format.js";

export function Detail({ store, lane, onClose, onAsk, canAct, taskPath }) {
  const [found, setFound] = useState(null);
  const title = useRef(null);
  const asking = useRef(false);
  const [topic, partition, number] = placeOf(lane);
  useEffect(() => {
    setFound(null);
    title.current.focus();
  }, [lane]);
  useEffect(() => {
    if (asking.current) return;
    asking.current = true;
    const query = new URLSearchParams({ topic, partition, lane: number });
    ask(`${store.path}/api/lane?${query}`).then((answer) => {
      asking.current = false;
      setFound(answer);
    });
  }, [lane, store.tick.number]);
  const row = store.rows.get(lane);
  const known = found && found.row && found.row.key === lane ? found : null;
  return html`
    <aside class="lanes-detail" aria-labelledby="detail-title" onKeyDown=${(event) => event.key === "Escape" && onClose()}>
      <header>
        <h2 id="detail-title" tabindex="-1" ref=${title}>${topic}[${partition}] <small>lane ${number}</small></h2>
        ${row && html`<${Badge} state=${row.state} />`}
        <button type="button" class="btn-close" aria-label="Close" onClick=${onClose}></button>
      </header>
      ${row ? html`<${Now} store=${store} row=${row} onAsk=${onAsk} canAct=${canAct} />`
        : html`<p class="lanes-warning">No bridge has this lane now.</p>`}
      ${row && known && html`
        <${Flight} lane=${known.lane} taskPath=${taskPath} />
        <${Trouble} lane=${known.lane} />
        <${Facts} lane=${known.lane} now=${store.now()} row=${row} />
        <${Batches} batches=${known.batches} known=${known.known} taskPath=${taskPath} now=${store.now()}
          of=${laneName(row)} />`}
    </aside>`;
}

function Now({ store, row, onAsk, canAct }) {
  const retryIn = row.retry_at_ms === null ? null : Math.max(0, (row.retry_at_ms - store.now()) / 1000);
  return html`
    <section class="lanes-now">
      <p class="lanes-since">${since(row, store.now())}</p>
      <p class="lanes-why">${row.reason}</p>
      ${row.attempt > 1 || retryIn !== null ? html`<p class="lanes-retry">attempt ${row.attempt}${
        row.max_attempts ? ` of ${row.max_attempts}` : ""}${retryIn === null ? ""
        : `, next at ${clock(row.retry_at_ms, store.now())} (in ${span(retryIn)})`}</p>` : null}
      <${Advice} text=${row.advice} />
      <${Buttons} row=${row} onAsk=${onAsk} canAct=${canAct} />
      <${Asked} store=${store} row=${row} limit=${5} />
      <${Bar} row=${row} withNumbers=${true} />
    </section>`;
}

function Flight({ lane, taskPath }) {
  const flight = lane.in_flight;
  if (!flight) return null;
  const links = Array.from({ length: flight.link }, (_, index) => index + 1);
  return html`
    <section>
      <h3>In flight</h3>
      <p>for ${span(flight.age_seconds)}, ${flight.worker ? html`link ${flight.link} on <b>${flight.worker}</b>`
        : html`link ${flight.link} in queue <b>${lane.queue}</b>, no worker has taken it`}</p>
      <ul class="lanes-links">
        ${links.map((link) => html`<li key=${link}><a href=${`${taskPath}/${encodeURIComponent(`${flight.chain}-${link}`)}`}>
          ${flight.chain}-${link}</a></li>`)}
      </ul>
    </section>`;
}

function Trouble({ lane }) {
  if (!lane.last_error) return null;
  return html`
    <section>
      <h3>Error</h3>
      <p class="lanes-error">${lane.last_error}</p>
      ${lane.traceback && html`<details open><summary>Traceback</summary><pre tabindex="0">${lane.traceback}</pre></details>`}
    </section>`;
}

function Facts({ lane, row, now }) {
  const facts = [
    ["Lag", `${count(lane.lag)} records`],
    ["Oldest unfinished", lane.lag_seconds ? span(lane.lag_seconds) : lane.lag_seconds === null ? "not known" : "none"],
    ["Stands at offset", count(lane.first_unfinished)],
    lane.at_stake.length > 0 && ["At stake", lane.at_stake.slice(0, 20).join(", ")],
    ["Buffered", `${count(lane.buffered)} records`],
    ["Queue", lane.queue],
    ["Bridge", lane.owner],
    lane.paused && ["Paused", lane.paused],
    ["In this state", `${row.since_known ? "since" : "since before"} ${clock(row.since_ms, now)}`],
  ].filter(Boolean);
  return html`<section><h3>More</h3><dl class="lanes-facts">
    ${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl></section>`;
}
