// Asks before it acts: what exactly, and for skipping the offset once more, typed.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { act } from "./store.js";
import { laneName, targetText } from "./format.js";

function named([topic, partition, lane]) {
  return { topic, partition, lane };
}

function laneOf(row) {
  return [row.topic, row.partition, row.lane];
}

export function bodyOf(wish) {
  const { row, action } = wish;
  if (action === "withdraw") return { ...named(wish.target), action, request: wish.request };
  return { ...named(wish.target || laneOf(row)), action };
}

export function Confirm({ path, wish, onClose }) {
  const dialog = useRef(null);
  const [target, setTarget] = useState(laneOf(wish.row));
  const [offset, setOffset] = useState(wish.row.at_stake[0] ?? -1);
  const [typed, setTyped] = useState("");
  const [note, setNote] = useState("");
  const [error, setError] = useState("");
  useEffect(() => dialog.current.showModal(), []);
  const isSkip = wish.action === "skip";
  const send = async (event) => {
    event.preventDefault();
    const body = isSkip
      ? { ...named(laneOf(wish.row)), action: "skip", offset, confirm: typed.trim(), note }
      : { ...named(target), action: "pause", note };
    const answer = await act(path, body);
    if (answer.error) setError(answer.error);
    else onClose(answer.text);
  };
  return html`
    <dialog ref=${dialog} class="lanes-dialog" aria-labelledby="confirm-title" onClose=${() => onClose("")}>
      <form onSubmit=${send}>
        ${isSkip ? html`<${Skip} row=${wish.row} offset=${offset} setOffset=${setOffset} typed=${typed} setTyped=${setTyped} />`
          : html`<${Pause} row=${wish.row} target=${target} setTarget=${setTarget} />`}
        <label class="lanes-field">Note, for the audit list
          <input class="form-control" maxlength="200" value=${note} onInput=${(event) => setNote(event.target.value)} />
        </label>
        ${error && html`<p class="lanes-warning" role="alert">${error}</p>`}
        <div class="lanes-buttons">
          <button type="submit" class=${`btn ${isSkip ? "btn-danger" : "btn-primary"}`}
            disabled=${isSkip && typed.trim() !== String(offset)}>${isSkip ? `Skip offset ${offset}` : `Pause ${targetText(target)}`}</button>
          <button type="button" class="btn btn-outline-secondary" onClick=${() => dialog.current.close()}>Cancel</button>
        </div>
      </form>
    </dialog>`;
}

function Pause({ row, target, setTarget }) {
  const targets = [[laneOf(row), "this lane"], [[row.topic, row.partition, -1], "its partition"],
    [[row.topic, -1, -1], "the whole topic"]];
  return html`
    <h2 id="confirm-title">Pause ${laneName(row)}?</h2>
    <p>What is in flight ends, nothing more is dispatched, nothing is lost. It lasts until somebody resumes it, also
      across restarts.</p>
    <fieldset class="lanes-field">
      <legend>What</legend>
      ${targets.map(([value, text]) => html`
        <label key=${text}><input type="radio" name="target" checked=${targetText(target) === targetText(value)}
          onChange=${() => setTarget(value)} /> ${text} <code>${targetText(value)}</code></label>`)}
    </fieldset>`;
}

function Skip({ row, offset, setOffset, typed, setTyped }) {
  return html`
    <h2 id="confirm-title">Skip a record for ever?</h2>
    <p>The record is never handled: not by this chain, not later, and no dead letter is written.</p>
    <dl class="lanes-facts">
      <dt>Topic</dt><dd>${row.topic}</dd>
      <dt>Partition</dt><dd>${row.partition}, lane ${row.lane}</dd>
      <dt>Offset</dt>
      <dd>${row.at_stake.length > 1 ? html`
        <select class="form-select" aria-label="Offset" value=${offset}
          onChange=${(event) => setOffset(Number(event.target.value))}>
          ${row.at_stake.slice(0, 100).map((each) => html`<option key=${each} value=${each}>${each}</option>`)}
        </select>` : offset}</dd>
      <dt>Error</dt><dd class="lanes-error">${row.error || row.reason}</dd>
    </dl>
    <label class="lanes-field">Type the offset, ${offset}, to confirm
      <input class="form-control" inputmode="numeric" autocomplete="off" value=${typed}
        onInput=${(event) => setTyped(event.target.value)} />
    </label>`;
}
