// Portal, console and account pages: parts marked `data-live` follow the server; phones stand beside them.
import { attempt, clock, openEvents, post } from "./dom.js";
import { Phone } from "./phone.js";
import { startTimeControl } from "./time.js";

const aside = document.querySelector("#phones");
const shown = new Map();
let viewer = null, running = false, again = false;

/** Fetch the page anew and take over what changed: its live parts, or all of it on another screen. */
async function refresh() {
  if (running) { again = true; return; }
  running = true;
  await attempt(async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) takeOver(new DOMParser().parseFromString(await answer.text(), "text/html"));
  });
  running = false;
  if (again) { again = false; refresh(); }
}

function takeOver(fresh) {
  const main = document.querySelector("main"), next = fresh.querySelector("main");
  if (main.dataset.screen !== next.dataset.screen) {
    main.replaceChildren(...next.childNodes);
    main.dataset.screen = next.dataset.screen;
    main.focus();
  } else {
    for (const part of next.querySelectorAll("[data-live]")) {
      const old = document.getElementById(part.id);
      if (old && old.outerHTML !== part.outerHTML) old.replaceWith(part);
    }
  }
  const ids = fresh.querySelector("#phones")?.dataset.ids ?? "";
  if (aside && aside.dataset.ids !== ids) { aside.dataset.ids = ids; watch(); }
}

async function watch() {
  if (!aside || viewer === null) return;
  const ids = aside.dataset.ids.split(" ").filter(Boolean);
  const answer = await attempt(() => post(`/viewers/${viewer}/phones`, { ids }));
  if (!answer) return;
  for (const [id, phone] of shown) if (!ids.includes(id)) { phone.element.remove(); shown.delete(id); }
  for (const snapshot of answer.phones) {
    if (shown.has(snapshot.id)) shown.get(snapshot.id).update(snapshot);
    else {
      shown.set(snapshot.id, new Phone(snapshot));
      aside.append(shown.get(snapshot.id).element);
    }
  }
}

const time = startTimeControl();
openEvents(
  "page",
  {
    phones: (phones) => phones.forEach((phone) => shown.get(phone.id)?.update(phone)),
    page: () => refresh(),
    clock: (now) => { clock.set(now); time.show(); for (const phone of shown.values()) phone.tick(); refresh(); },
  },
  (name) => { viewer = name; watch(); refresh(); },
);
setInterval(() => { for (const phone of shown.values()) phone.tick(); }, 1000);

// Flyouts: the menu of the portal, its notifications, and the remote tasks of the console.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[aria-expanded][aria-controls]");
  for (const other of document.querySelectorAll("[aria-expanded='true'][aria-controls]")) if (other !== button) toggle(other, false);
  if (button) toggle(button, button.getAttribute("aria-expanded") !== "true");
});
document.addEventListener("keydown", (event) => {
  const button = document.querySelector("[aria-expanded='true'][aria-controls]");
  if (button) {
    const items = [...document.getElementById(button.getAttribute("aria-controls")).querySelectorAll("[role=menuitem], a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") { toggle(button, false); button.focus(); }
    else if (step && items.length) {
      event.preventDefault();
      const at = items.indexOf(document.activeElement);
      items[(at + step + items.length) % items.length].focus();
    }
    return;
  }
  const item = event.target.closest?.("[role=treeitem]");
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (item && move) {
    event.preventDefault();
    const items = [...item.parentElement.querySelectorAll("[role=treeitem]")];
    items[Math.max(0, Math.min(items.length - 1, items.indexOf(item) + move))].focus();
  }
});

function toggle(button, open) {
  button.setAttribute("aria-expanded", String(open));
  const panel = document.getElementById(button.getAttribute("aria-controls"));
  panel.hidden = !open;
  if (open && panel.getAttribute("role") === "menu") panel.querySelector("[role=menuitem]")?.focus();
}

// The box in the head of the console's table selects all that it lists.
document.addEventListener("change", (event) => {
  if (event.target.id !== "select-all") return;
  for (const box of document.querySelectorAll("input[name=device]")) box.checked = event.target.checked;
});
