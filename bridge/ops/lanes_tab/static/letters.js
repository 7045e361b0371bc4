// Dead letters by cause: read from Kafka only when somebody asks.

import { html, useState } from "./vendor/htm-preact.js";
import { Copy } from "./buttons.js";
import { act, ask } from "./store.js";
import { count, span } from "./format.js";

export function Letters({ path, now, showValues, canAct }) {
  const [found, setFound] = useState(null);
  const [isReading, setReading] = useState(false);
  const read = async () => {
    setReading(true);
    setFound(await ask(`${path}/api/letters`));
    setReading(false);
  };
  return html`
    <section class="lanes-box" aria-labelledby="letters-title">
      <div class="lanes-box-head">
        <h2 id="letters-title">Dead letters</h2>
        <button type="button" class="btn btn-sm btn-outline-secondary" disabled=${isReading} onClick=${read}>
          ${isReading ? "Reading …" : found ? "Read again" : "Read them"}</button>
      </div>
      <div aria-live="polite">
        ${!found && html`<p class="lanes-muted">They are read from Kafka when you ask, from the beginning of their topics.</p>`}
        ${found && found.error && html`<p class="lanes-warning" role="alert">${found.error}</p>`}
        ${found && found.kinds && !found.kinds.length && html`<p class="lanes-muted">There are none.</p>`}
        ${found && found.kinds && found.kinds.map((kind) => html`
          <${Kind} key=${`${kind.topic} ${kind.source} ${kind.disposition} ${kind.exception}`} kind=${kind} path=${path}
            now=${now} showValues=${showValues} canAct=${canAct} />`)}
      </div>
    </section>`;
}

function Kind({ kind, path, now, showValues, canAct }) {
  const [letter, setLetter] = useState(null);
  const show = async () => {
    const place = { topic: kind.topic, partition: kind.newest_partition, offset: kind.newest_offset };
    setLetter(letter ? null : await ask(`${path}/api/letter?${new URLSearchParams(place)}`));
  };
  const age = (ms) => (ms === null ? "?" : `${span((now - ms) / 1000)} ago`);
  return html`
    <article class="lanes-letter">
      <h3>${count(kind.count)} × ${kind.disposition || "not written by a bridge"} ${kind.exception && html`<code>${kind.exception}</code>`}</h3>
      <p>${kind.source || "?"} → ${kind.topic}; oldest ${age(kind.oldest_ms)}, newest ${age(kind.newest_ms)}${
        kind.replayed ? `; ${count(kind.replayed)} replayed already` : ""}${kind.stubs ? `; ${count(kind.stubs)} stubs` : ""}</p>
      <p class="lanes-replay">To replay them when the cause is repaired, here or by the command (without
        <code>--dry-run</code> it writes): <${Copy} text=${kind.command} /></p>
      ${kind.source && html`<${Replay} kind=${kind} path=${path} canAct=${canAct} />`}
      <button type="button" class="btn btn-sm btn-outline-secondary" aria-expanded=${letter !== null} onClick=${show}>
        ${letter ? "Hide" : "Show the newest"}</button>
      ${letter && letter.error && html`<p class="lanes-warning" role="alert">${letter.error}</p>`}
      ${letter && letter.headers && html`<${Preview} letter=${letter} showValues=${showValues} />`}
    </article>`;
}

// First what it would do, then, asked once more, done.
function Replay({ kind, path, canAct }) {
  const [answer, setAnswer] = useState(null);
  const [step, setStep] = useState("idle");
  const { topic, source, disposition, exception } = kind;
  const run = async (dryRun) => {
    setStep("running");
    setAnswer(await act(path, { topic, source, disposition, exception, dry_run: dryRun }, "replay"));
    setStep(dryRun ? "tried" : "done");
  };
  const problem = answer && (answer.error || answer.problem);
  return html`
    <div class="lanes-replay-run" aria-live="polite">
      ${answer && answer.lines && html`<pre tabindex="0">${answer.lines.join("\n")}</pre>`}
      ${problem && html`<p class="lanes-warning" role="alert">${problem}</p>`}
      <div class="lanes-buttons">
        ${step === "tried" && !problem
          ? html`<button type="button" class="btn btn-sm btn-primary" onClick=${() => run(false)}>Write them back</button>
            <button type="button" class="btn btn-sm btn-outline-secondary" onClick=${() => { setStep("idle"); setAnswer(null); }}>
              Cancel</button>`
          : html`<button type="button" class="btn btn-sm btn-outline-secondary" disabled=${!canAct || step === "running"}
            onClick=${() => run(true)}>${step === "running" ? "Replaying …" : "Replay …"}</button>`}
      </div>
    </div>`;
}

function Preview({ letter, showValues }) {
  return html`
    <div class="lanes-preview">
      <p><b>${letter.title}</b>, ${letter.source}</p>
      <table class="lanes-headers"><tbody>
        ${letter.headers.map(([name, value], index) => html`
          <tr key=${index}><th scope="row">${name}</th><td>${value}</td></tr>`)}
      </tbody></table>
      ${showValues ? html`<pre tabindex="0">${letter.key}</pre><pre tabindex="0">${letter.value}</pre>`
        : html`<p class="lanes-muted">Key and value are not shown: start Flower with --show-values.</p>`}
    </div>`;
}
