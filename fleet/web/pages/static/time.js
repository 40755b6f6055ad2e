// The time control: shows the fleet's time and moves it where it can be moved.
import { clock, post } from "./dom.js";

export function startTimeControl() {
  const control = document.querySelector("#clock");
  const shown = control?.querySelector("time");
  const show = () => {
    if (!shown) return;
    const text = clock.now().toISOString();
    shown.dateTime = text;
    shown.textContent = `${text.slice(0, 10)} ${text.slice(11, 19)}`;
  };
  control?.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { by } = button.dataset;
    button.disabled = true;
    try {
      await post("/time", by ? { by: Number(by) } : { next: true });
    } catch (error) {
      control.querySelector("[role=status]").textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  if (shown) setInterval(show, 1000);
  return { show };
}
