// A phone: an `article` named by its device id, kept up to date from the server's snapshots.
import { clock, dayName, h, hourMinute, post, setText } from "./dom.js";

const LABELS = { changeNow: "Change Now", later: "Later" };
const PASSCODES = { none: "no passcode", user: "passcode set", temporary: "temporary passcode" };
const COMPLIANCE = { compliant: "Compliant", inGracePeriod: "In grace period", noncompliant: "Not compliant" };
let serial = 0;

export class Phone {
  constructor(snapshot) {
    this.id = snapshot.id;
    this.seen = "";
    this.notification = undefined;
    const heading = `phone-${++serial}`;
    this.name = h("h2", { class: "phone-id", id: heading, title: snapshot.id }, snapshot.id);
    this.presence = h("span", { class: "presence" });
    this.owner = h("p", { class: "phone-owner", dir: "auto" });
    this.time = h("p", { class: "big-time" });
    this.date = h("p", { class: "big-date" });
    this.lock = h("p", { class: "lock-glyph" });
    this.cards = h("div", { class: "cards", "aria-live": "polite" });
    this.apps = h("div", { class: "apps", "aria-hidden": "true" }, ...Array.from({ length: 12 }, () => h("i")));
    this.passcode = h("input", {
      type: "text", class: "concealed", "aria-label": "Passcode", placeholder: "Passcode", autocomplete: "off",
      autocapitalize: "off", spellcheck: "false", maxlength: "256", onkeydown: (event) => this.submit(event),
    });
    this.user = h("input", {
      type: "text", "aria-label": "User", placeholder: "User", autocomplete: "off", maxlength: "256",
      onkeydown: (event) => event.key === "Enter" && this.logOn(),
    });
    this.logOnRow = h("div", { class: "row", hidden: true }, this.user, this.button("Log on", () => this.logOn()));
    this.statusTime = h("span");
    this.statusNetwork = h("span");
    this.entry = h("div", { class: "entry" }, this.logOnRow, this.passcode);
    this.hello = h("div", { hidden: true }, h("p", { class: "hello" }, "Hello"), h("p", {}, "The device was wiped."));
    this.compliance = h("span", { class: "badge" });
    this.deadline = h("span", { class: "deadline" });
    this.answer = h("p", { class: "answer", role: "status" });
    this.biometric = this.button("Biometrics", () => this.press(this.biometric.dataset.action));
    this.element = h(
      "article", { class: "phone", "aria-labelledby": heading, "data-device": snapshot.id },
      h("header", { class: "phone-head" }, this.name, this.presence, this.owner),
      h(
        "div", { class: "device-body" },
        h(
          "div", { class: "screen" },
          h("div", { class: "status-bar" }, this.statusTime, this.statusNetwork),
          this.time, this.date, this.lock, this.hello, this.cards, this.apps, h("div", { class: "push" }),
          this.entry, h("div", { class: "home-bar", "aria-hidden": "true" }),
        ),
      ),
      h("div", { class: "facts-line" }, this.compliance, this.deadline),
      h(
        "div", { class: "controls" },
        this.button("Swipe up", () => this.press("swipeUp")),
        this.button("Enter passcode", () => this.withPasscode("enterPasscode")),
        this.button("Set passcode", () => this.withPasscode("setPasscode")),
        this.button("Restart", () => this.press("restart")),
        this.biometric,
      ),
      this.answer,
    );
    this.update(snapshot);
  }

  button(label, press) {
    return h("button", { type: "button", class: "small", onclick: press }, label);
  }

  /** Show a snapshot of the server's; nothing is touched where nothing changed. */
  update(snapshot) {
    const text = JSON.stringify(snapshot);
    if (text === this.seen) return;
    const changed = this.seen !== "";
    this.seen = text;
    this.snapshot = snapshot;
    const data = this.element.dataset;
    Object.assign(data, {
      look: snapshot.look, online: snapshot.online, wiped: snapshot.wiped, locked: snapshot.locked, platform: snapshot.platform,
    });
    this.presence.dataset.online = snapshot.online;
    setText(this.presence, snapshot.online ? "Online" : "Offline");
    setText(this.owner, `${snapshot.title} · ${snapshot.owner}`);
    this.owner.title = `${snapshot.owner} · ${snapshot.management} · group ${snapshot.group}`;
    this.compliance.className = `badge ${snapshot.enrolled ? snapshot.compliance : ""}`;
    setText(this.compliance, snapshot.enrolled ? (COMPLIANCE[snapshot.compliance] ?? snapshot.compliance) : "Not enrolled");
    const words = PASSCODES[snapshot.passcode] ?? snapshot.passcode;
    const lock = snapshot.locked ? `Locked · ${words}` : `Unlocked · ${words}`;
    setText(this.lock, snapshot.lostMode ? `Lost Mode · ${lock}` : lock);
    this.statusNetwork.className = snapshot.online ? "signal" : "";
    setText(this.statusNetwork, snapshot.online ? "" : "No network");
    this.hello.hidden = !snapshot.wiped;
    for (const part of [this.time, this.date, this.lock]) part.hidden = snapshot.wiped;
    this.apps.hidden = snapshot.locked || snapshot.wiped;
    this.time.hidden = this.date.hidden = !snapshot.locked || snapshot.wiped;
    this.entry.hidden = snapshot.wiped;
    this.logOnRow.hidden = !snapshot.signIn;
    const biometric = snapshot.biometric;
    this.biometric.hidden = !biometric;
    if (biometric) {
      this.biometric.dataset.action = biometric.action;
      setText(this.biometric, biometric.label);
    }
    this.showNotification(snapshot.notification, changed);
    this.tick();
    if (changed) {
      this.element.classList.add("flash");
      clearTimeout(this.flash);
      this.flash = setTimeout(() => this.element.classList.remove("flash"), 700);
    }
  }

  showNotification(notification, changed) {
    const key = JSON.stringify(notification);
    if (key === this.notification) return;
    this.notification = key;
    if (!notification) return this.cards.replaceChildren();
    const buttons = notification.buttons.flatMap((name) =>
      name === "pressKey"
        ? [this.button("Press #", () => this.press("pressKey", { key: "#" })), this.button("Press 1", () => this.press("pressKey", { key: "1" }))]
        : [this.button(LABELS[name] ?? name, () => this.press(name))],
    );
    this.cards.replaceChildren(
      h(
        "div", { class: changed ? "card new" : "card" },
        h("h3", { dir: "auto" }, notification.title),
        h("p", { dir: "auto", title: notification.body }, notification.body),
        buttons.length ? h("div", { class: "card-buttons" }, ...buttons) : null,
      ),
    );
  }

  /** Show the time that it is in the fleet. */
  tick() {
    const now = clock.now();
    setText(this.time, hourMinute(now));
    setText(this.date, dayName(now));
    setText(this.statusTime, hourMinute(now));
    const { deadline } = this.snapshot;
    const minutes = deadline === null ? 0 : Math.max(0, Math.ceil((deadline - now) / 60000));
    setText(this.deadline, deadline === null ? "" : `${minutes} min left`);
  }

  submit(event) {
    if (event.key !== "Enter") return;
    const locked = this.snapshot.locked && this.snapshot.passcode !== "none";
    this.withPasscode(locked ? "enterPasscode" : "setPasscode");
  }

  withPasscode(action) {
    const passcode = this.passcode.value;
    if (!passcode) {
      this.say("Type a passcode first.", false);
      this.passcode.focus();
      return;
    }
    this.passcode.value = "";
    this.press(action, { passcode });
  }

  logOn() {
    if (!this.user.value) return this.user.focus();
    this.press("signIn", { user: this.user.value });
  }

  async press(action, values = {}) {
    this.say("", true);
    try {
      const answer = await post(`/devices/${encodeURIComponent(this.id)}/inputs`, { action, ...values });
      this.say(answer.message, answer.state === "done");
      if (action === "changeNow" && answer.state === "done") this.passcode.focus();
    } catch (error) {
      this.say(error.message, false);
    }
  }

  say(message, good) {
    this.answer.classList.toggle("failed", !good);
    this.answer.title = message;
    setText(this.answer, message);
  }
}
