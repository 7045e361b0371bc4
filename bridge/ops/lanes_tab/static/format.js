// Numbers, times and names as text. Times are milliseconds since 1970 by the server's clock.

export function count(number) {
  return number === null || number === undefined ? "?" : Math.round(number).toLocaleString("en-US");
}

export function compact(number) {
  return number.toLocaleString("en-US", { notation: "compact", maximumFractionDigits: 1 });
}

export function rate(number) {
  if (number === null || number === undefined) return "–";
  return number >= 10 || number === 0 ? count(number) : number.toFixed(1);
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "?";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

export function shortSeconds(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : span(seconds);
}

export function clock(ms, now) {
  const at = new Date(ms);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date(now).toDateString() ? time : `${at.toISOString().slice(0, 10)} ${time}`;
}

export function since(row, now) {
  const length = span((now - row.since_ms) / 1000);
  return row.since_known
    ? `${row.state} since ${clock(row.since_ms, now)} (${length})`
    : `${row.state} since before ${clock(row.since_ms, now)}, when this Flower began to look`;
}

export function laneName(row) {
  return `${row.topic}[${row.partition}]`;
}

// Topic, partition and lane of a row's key; a target is [topic, partition, lane], -1 for all of them.
export function placeOf(key) {
  const [, topic, partition, lane] = key.match(/^(.*)\/(\d+)\/(\d+)$/s) || [key, key, "-1", "-1"];
  return [topic, Number(partition), Number(lane)];
}

export function targetText(target) {
  return target.filter((part) => part !== -1).join("/");
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}
