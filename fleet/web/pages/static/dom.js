// Helpers shared by the page scripts: elements, requests and the event stream. Text only ever becomes textContent.

/** Create an element; `props` are attributes, `on` listeners, and `class` the class list. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set the text of an element only where it differs, so that screen readers announce changes only. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const csrf = () => document.querySelector('meta[name="csrf-token"]').content;

/** POST JSON; returns the answer's JSON. Throws an Error with the server's message. */
export async function post(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf() },
    body: JSON.stringify(body),
  });
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(document.error || `The server answered ${answer.status}.`);
  return document;
}

/** Run work that talks to the server; what a lost connection interrupts is done again by the next `hello`. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    console.warn(error.message);
    return undefined;
  }
}

/** The event stream of this page. `started(viewer)` runs on every (re)connection. */
export function openEvents(view, handlers, started) {
  const source = new EventSource(`/events?view=${view}`);
  const lost = document.querySelector("#lost");
  source.addEventListener("error", () => { lost.hidden = false; });
  source.addEventListener("hello", (event) => {
    lost.hidden = true;
    started(JSON.parse(event.data).viewer);
  });
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
  return source;
}

/** The fleet's clock, kept from `clock` events: `{now, speed}` with speed 0 for virtual time. */
export const clock = {
  at: performance.now(),
  fleet: Date.now(),
  speed: 1,
  set({ now, speed }) {
    Object.assign(clock, { at: performance.now(), fleet: now, speed });
  },
  now: () => new Date(clock.fleet + (performance.now() - clock.at) * clock.speed),
};

const two = (number) => String(number).padStart(2, "0");
export const hourMinute = (date) => `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
export const dayName = (date) =>
  date.toLocaleDateString("en", { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
