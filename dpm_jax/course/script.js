// Picks the frames that the sliders ask for, and draws them: no number is computed here.
(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("data").textContent);
  const { left, top, width, height } = page.frame;

  const steps = (curve) => {
    if (typeof curve.data === "string") {
      const bytes = Uint8Array.from(atob(curve.data), (c) => c.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      curve.data = Uint16Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true));
    }
    return curve.data;
  };

  const path = (curve, frame) => {
    const start = curve.index[frame] * curve.n;
    const [lo, hi] = curve.range;
    const down = (value) => (top + (height * (hi - value)) / (hi - lo)).toFixed(2);
    const scale = (curve.hi - curve.lo) / 65535;
    const parts = [];
    for (let i = 0; i < curve.n; i++) {
      const y = down(curve.lo + scale * steps(curve)[start + i]);
      const x = curve.x[i].toFixed(2);
      parts.push(curve.kind === "bars" ? `M${x} ${down(0)}V${y}` : `${x} ${y}`);
    }
    return curve.kind === "bars" ? parts.join("") : "M" + parts.join("L");
  };

  const inputs = (demo) => demo.controls.map((name) => document.getElementById(`${demo.name}-${name}`));

  const show = (demo) => {
    const at = {};
    inputs(demo).forEach((input, i) => {
      const name = demo.controls[i];
      at[name] = { place: Number(input.value), size: demo.values[name].length };
      const value = demo.values[name][input.value];
      input.setAttribute("aria-valuetext", value);
      document.getElementById(`${input.id}-value`).textContent = value;
    });
    const frame = (axes) => axes.reduce((sum, name) => sum * at[name].size + at[name].place, 0);
    for (const [id, curve] of Object.entries(demo.curves)) {
      document.getElementById(id).setAttribute("d", path(curve, frame(curve.axes)));
    }
    for (const [id, picture] of Object.entries(demo.pictures)) {
      const file = picture.files[picture.index[frame(picture.axes)]];
      document.getElementById(id).setAttribute("href", "data:image/png;base64," + file);
    }
    for (const [id, reading] of Object.entries(demo.readings)) {
      document.getElementById(id).textContent = reading.values[frame(reading.axes)];
    }
  };

  const toggles = [...document.querySelectorAll("input[data-curve]")];

  const hide = (toggle) => {
    document.getElementById(toggle.dataset.curve).style.display = toggle.checked ? "" : "none";
  };

  const language = () => document.querySelector("input[name=language]:checked").value;

  const link = () => {
    const state = new URLSearchParams({ lang: language() });
    for (const demo of page.demos) {
      inputs(demo).forEach((input, i) => {
        const value = demo.values[demo.controls[i]][input.value];
        if (input.value !== input.defaultValue) state.set(input.id, value);
      });
    }
    for (const toggle of toggles) if (!toggle.checked) state.set(toggle.id, "off");
    history.replaceState(null, "", "#" + state);
    // Pages are linked in the language that is being read.
    for (const other of document.querySelectorAll("a[data-page]")) {
      other.href = `${other.dataset.page}#lang=${language()}`;
    }
  };

  const restore = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const chosen = document.getElementById(`lang-${state.get("lang")}`);
    if (chosen) chosen.checked = true;
    document.documentElement.lang = language();
    for (const demo of page.demos) {
      inputs(demo).forEach((input, i) => {
        const place = demo.values[demo.controls[i]].indexOf(state.get(input.id));
        input.value = place < 0 ? input.defaultValue : place;
      });
      show(demo);
    }
    for (const toggle of toggles) {
      toggle.checked = state.get(toggle.id) !== "off";
      hide(toggle);
    }
    link();
  };

  for (const demo of page.demos) {
    for (const input of inputs(demo)) {
      input.disabled = false;
      input.addEventListener("input", () => show(demo));
      input.addEventListener("change", link);
    }
  }
  for (const toggle of toggles) {
    toggle.disabled = false;
    toggle.addEventListener("change", () => {
      hide(toggle);
      link();
    });
  }
  for (const choice of document.querySelectorAll("input[name=language]")) {
    choice.addEventListener("change", () => {
      document.documentElement.lang = language();
      link();
    });
  }
  addEventListener("hashchange", restore);
  restore();
})();
