// A row of tabs, of which one panel is shown; arrow keys go from one to the next.

export class Tabs {
  /** `onTurn(name)` is called when another panel is shown; names are what follows `tab-` in the ids. */
  constructor(list, onTurn) {
    this.tabs = [...list.querySelectorAll("[role=tab]")];
    this.onTurn = onTurn;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.turnTo(nameOf(tab)));
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  get current() {
    return this.name;
  }

  turnTo(name) {
    if (!this.tabs.some((tab) => nameOf(tab) === name)) name = nameOf(this.tabs[0]);
    this.name = name;
    for (const tab of this.tabs) {
      const isOn = nameOf(tab) === name;
      tab.setAttribute("aria-selected", String(isOn));
      tab.tabIndex = isOn ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isOn;
    }
    this.onTurn(name);
  }

  #key(event) {
    const at = this.tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.tabs.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    const tab = this.tabs[(next + this.tabs.length) % this.tabs.length];
    tab.focus();
    this.turnTo(nameOf(tab));
  }
}

const nameOf = (tab) => tab.id.slice("tab-".length);
