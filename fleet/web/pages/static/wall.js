// The device wall: a grid of which only the visible part exists and is streamed.
import { startActivity } from "./activity.js";
import { clock, openEvents, post } from "./dom.js";
import { Phone } from "./phone.js";
import { startTimeControl } from "./time.js";

const WIDTH = 250, GAP = 26, HEIGHT = 590, SPARE_ROWS = 1;
const wall = document.querySelector("#wall");
const filters = document.querySelector("#filters");
const total = document.querySelector("#total");
const empty = document.querySelector("#empty");
const shown = new Map();
let viewer = null, count = 0, order = [], first = 0, asked = "", running = false, again = false;

const columns = () => Math.max(1, Math.floor((wall.clientWidth + GAP) / (WIDTH + GAP)));

function visible() {
  const perRow = columns();
  const top = wall.getBoundingClientRect().top;
  const from = Math.max(0, Math.floor(-top / HEIGHT) - SPARE_ROWS) * perRow;
  const rows = Math.ceil(window.innerHeight / HEIGHT) + 1 + 2 * SPARE_ROWS;
  return { first: from, count: rows * perRow };
}

async function refresh(force = false) {
  if (viewer === null) return;
  const query = { ...Object.fromEntries(new FormData(filters)), ...visible() };
  const text = JSON.stringify(query);
  if (text === asked && !force) return place();
  if (running) { again = again || force || text !== asked; return; }
  running = true;
  asked = text;
  try {
    const answer = await post(`/viewers/${viewer}/window`, query);
    count = answer.total;
    first = answer.first;
    order = answer.phones.map((phone) => phone.id);
    draw(answer.phones);
  } catch (error) {
    total.textContent = error.message;
  } finally {
    running = false;
  }
  if (again) { again = false; refresh(true); }
}

function draw(phones) {
  total.textContent = `${count.toLocaleString("en")} ${count === 1 ? "device" : "devices"}`;
  empty.hidden = count > 0;
  wall.setAttribute("aria-busy", "true");
  const wanted = new Set(order);
  for (const [id, phone] of shown) {
    if (!wanted.has(id) && !phone.element.contains(document.activeElement)) {
      phone.element.remove();
      shown.delete(id);
    }
  }
  for (const snapshot of phones) {
    const phone = shown.get(snapshot.id);
    if (phone) phone.update(snapshot);
    else shown.set(snapshot.id, new Phone(snapshot));
  }
  place();
  wall.setAttribute("aria-busy", "false");
}

function place() {
  const perRow = columns();
  const width = Math.min(wall.clientWidth, perRow * (WIDTH + GAP) - GAP);
  const left = Math.max(0, (wall.clientWidth - width) / 2);
  wall.style.height = `${Math.ceil(count / perRow) * HEIGHT}px`;
  let previous = null;
  order.forEach((id, index) => {
    const element = shown.get(id)?.element;
    if (!element) return;
    const at = first + index;
    const x = left + (at % perRow) * (WIDTH + GAP), y = Math.floor(at / perRow) * HEIGHT;
    element.style.transform = `translate(${x}px, ${y}px)`;
    element.setAttribute("aria-posinset", at + 1);
    element.setAttribute("aria-setsize", count);
    const next = previous ? previous.nextSibling : wall.firstChild;
    if (next !== element) wall.insertBefore(element, next);
    previous = element;
  });
}

let frame = 0;
const later = () => { cancelAnimationFrame(frame); frame = requestAnimationFrame(() => refresh()); };
addEventListener("scroll", later, { passive: true });
addEventListener("resize", later);
filters.addEventListener("input", () => { window.scrollTo({ top: Math.min(scrollY, wall.offsetTop) }); refresh(); });
filters.addEventListener("submit", (event) => event.preventDefault());

const time = startTimeControl();
const activity = startActivity();
openEvents(
  "wall",
  {
    phones: (phones) => phones.forEach((phone) => shown.get(phone.id)?.update(phone)),
    list: () => refresh(true),
    clock: (now) => { clock.set(now); time.show(); for (const phone of shown.values()) phone.tick(); },
    log: (entries) => activity.log(entries),
    load: (figures) => activity.load(figures),
  },
  (name) => { viewer = name; activity.started(name); refresh(true); },
);
setInterval(() => { for (const phone of shown.values()) phone.tick(); }, 1000);
