"use strict";
// Optional: the page works without this script, which only filters scenarios.
const cards = [...document.querySelectorAll(".scenario")];
const buttons = [...document.querySelectorAll("[data-show]")];
const find = document.getElementById("find");
const none = document.getElementById("none");
let show = "all";
function apply() {
  const words = find.value.trim().toLowerCase().split(/\s+/);
  let shown = 0;
  for (const card of cards) {
    const text = card.querySelector("summary").textContent.toLowerCase()
      + card.querySelector(".about").textContent.toLowerCase();
    const fits = (show === "all" || card.dataset.status === show)
      && words.every((word) => text.includes(word));
    card.hidden = !fits;
    shown += fits;
  }
  none.hidden = shown > 0 || cards.length === 0;
}
for (const button of buttons) {
  button.addEventListener("click", () => {
    show = button.dataset.show;
    for (const other of buttons) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    apply();
  });
}
find.addEventListener("input", apply);
