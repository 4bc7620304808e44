// The explorer: `root` is the section, `data` what explorer.py wrote. Text from outside is set as text, never as markup.
const [channels, height, width] = data.image;
const size = data.mean.length, flat = size === 2, labelled = data.labels.length > 0;
const SPAN = data.span, MARGIN = 1.06, TILES = 15;
const LIGHT = ["#1f66b4", "#c96a00", "#dd2c5e", "#008a69", "#81005e", "#5c8f2c", "#845e00", "#b03ccc", "#334922", "#7a5f85"];
const DARK = ["#6aa9ec", "#ee9a45", "#ff6b92", "#2fdcb2", "#d96bb8", "#a1d174", "#cfa548", "#ee97ff", "#93b27f", "#c3acd0"];
const dark = matchMedia("(prefers-color-scheme: dark)");

function make(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(settings)) {
    if (key in element && typeof value !== "string") element[key] = value;
    else if (key === "text") element.textContent = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}
const number = (value, digits = 2) => value.toFixed(digits).replace("-", "−");
const subscript = (index) => `z${String(index + 1).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit])}`;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const name = (label) => data.classes[label] ?? String(label);

let programs;
genzooPrograms(data.network).then((found) => { programs = found; explore(); }).catch(giveUp);

function giveUp(error) {
  const why = typeof DecompressionStream === "undefined" ? "this browser cannot unpack its weights (it is older than 2023)" : String(error);
  root.prepend(make("p", { class: "warning", role: "alert", text: `The model cannot run here: ${why}. The sheet below was decoded when the page was made.` }));
  root.dataset.ready = "failed";
}

function explore() {
  const conditional = data.conditional, canDraw = "encode" in programs && channels === 1, dots = data.codes;
  const z = Float32Array.from(dots.length && !flat ? dots[0] : data.mean);
  const first = data.units.map((unit) => unit.index);
  const state = { x: flat ? 0 : first[0], y: flat ? 1 : first[1] ?? first[0], label: 0, only: null, a: null, b: null, posterior: null };
  const times = [];
  const at = (index) => (z[index] - data.mean[index]) / data.deviation[index];
  const set = (index, offset) => { z[index] = data.mean[index] + data.deviation[index] * Math.max(-SPAN, Math.min(SPAN, offset)); };

  function decode(latent) {
    const begun = performance.now();
    const [made] = conditional ? programs.decode(latent, [state.label]) : programs.decode(latent);
    times.push(performance.now() - begun);
    if (times.length > 41) times.shift();
    return made;
  }
  function paint(canvas, values) {
    const context = canvas.getContext("2d"), pixels = context.createImageData(width, height), area = height * width;
    for (let i = 0; i < area; i++)
      for (let c = 0; c < 4; c++)
        pixels.data[4 * i + c] = c === 3 ? 255 : 255 * Math.max(0, Math.min(1, values[channels === 3 ? c * area + i : i]));
    context.putImageData(pixels, 0, 0);
  }
  const picture = (label, extra = {}) => make("canvas", { width, height, class: "pixels", role: "img", "aria-label": label, ...extra });

  // ---- what there is to see
  const rank = [...document.querySelectorAll("section.explorer")].indexOf(root);
  const uid = (what) => `explorer-${rank}-${what}`;
  const plane = make("canvas", {
    class: "plane", tabIndex: 0, role: "application", "aria-label": "Plane of two latent dimensions", "aria-describedby": uid("how"),
  });
  const how = make("p", { class: "visually-hidden", id: uid("how"), text: "Arrow keys move the point, with Shift in larger steps. Home returns to the middle. Enter picks the nearest test image for the path." });
  const live = make("p", { class: "visually-hidden", role: "status" });
  const shown = picture("Decoded image", { class: "pixels shown" });
  const place = make("p", { class: "place" });
  const nearThumb = picture("Nearest test image", { class: "pixels thumb" });
  const near = make("p", { class: "small" });
  const sheet = new Image();
  const colour = (label) => (dark.matches ? DARK : LIGHT)[label % 10];

  const sliders = new Map();
  function slider(index, rate) {
    const value = make("output", { class: "value" });
    const input = make("input", { type: "range", min: String(-SPAN), max: String(SPAN), step: "0.01", id: uid(`u${index}`) });
    input.addEventListener("input", () => { set(index, Number(input.value)); state.posterior = null; moved(index !== state.x && index !== state.y); });
    sliders.set(index, { input, value });
    const caption = make("label", { for: input.id, text: subscript(index) });
    if (rate !== null && rate !== undefined && !flat) caption.append(make("span", { class: "small", text: ` ${number(rate)} nats` }));
    return make("div", { class: "unit" }, caption, input, value);
  }
  const units = make("div", { class: "units" }, ...(flat ? [0, 1].map((index) => slider(index, null)) : data.units.map((unit) => slider(unit.index, unit.rate))));
  const axes = make("div", { class: "axes" });
  if (!flat && first.length > 2)
    for (const [key, words] of [["x", "Across"], ["y", "Up"]]) {
      const choice = make("select", { id: uid(key) }, ...first.map((index) => make("option", { value: String(index), text: subscript(index) })));
      choice.value = String(state[key]);
      choice.addEventListener("change", () => { state[key] = Number(choice.value); moved(true); });
      axes.append(make("label", { for: choice.id, text: words }), choice);
    }

  const chips = make("div", { class: "chips", role: conditional ? "radiogroup" : "group", "aria-label": conditional ? "Class that is decoded" : "Classes of the dots" });
  data.classes.forEach((label, index) => {
    if (!conditional && !labelled) return;
    const mark = make("span", { class: "mark", "aria-hidden": "true" });
    const words = make("span", { class: "words", text: label });
    if (conditional) {
      const input = make("input", { type: "radio", name: uid("class"), value: String(index), checked: index === 0 });
      input.addEventListener("change", () => { state.label = index; if (state.drawn) read(); moved(true); });
      chips.append(make("label", { class: "chip" }, input, mark, words));
    } else {
      const button = make("button", { type: "button", class: "chip", "aria-pressed": "false" }, mark, words);
      button.addEventListener("click", () => {
        state.only = state.only === index ? null : index;
        [...chips.children].forEach((other, i) => other.setAttribute("aria-pressed", String(state.only === i)));
        draw();
      });
      chips.append(button);
    }
  });
  const colourChips = () => chips.querySelectorAll(".mark").forEach((mark, i) => { mark.style.background = colour(i); });
  const random = make("button", { type: "button", text: "Draw from the prior" });
  let drawn = 0;
  random.addEventListener("click", () => { z.set(data.draws[drawn++ % data.draws.length]); state.posterior = null; moved(!flat); });
  const middle = make("button", { type: "button", text: "Middle" });
  middle.addEventListener("click", () => { z.set(data.mean); state.posterior = null; moved(!flat); });

  const ends = {};
  for (const key of ["a", "b"]) ends[key] = picture(`No image for ${key.toUpperCase()} yet`, { class: "pixels end" });
  const strip = Array.from({ length: 9 }, () => picture("On the path", { class: "pixels" }));
  const between = make("div", { class: "tool" }, make("h3", { text: "From one image to another" }),
    make("p", { class: "small", text: dots.length ? "Pick two dots of the plane: click or tap them, or press Enter near them. The path between their codes is decoded." : "" }),
    make("div", { class: "path" },
      make("figure", {}, ends.a, make("figcaption", { text: "A" })),
      make("div", { class: "strip", role: "group", "aria-label": "Decoded path from A to B" }, ...strip),
      make("figure", {}, ends.b, make("figcaption", { text: "B" }))));

  // ---- the drawing pad
  const ink = new Float32Array(height * width), brush = Math.max(0.8, (1.25 * height) / 28);
  const pad = picture("Drawing pad, empty", { class: "pixels pad" });
  const hint = make("span", { class: "hint", "aria-hidden": "true", text: "draw here" });
  const belief = make("p", { class: "small", text: "Draw with mouse, pen or finger. Ellipses on the plane then mark one and two standard deviations of its posterior." });
  const centre = make("input", { type: "checkbox", checked: Boolean(data.centred), id: uid("centre") });
  centre.addEventListener("change", () => read());
  const clear = make("button", { type: "button", text: "Clear" });
  clear.addEventListener("click", () => { ink.fill(0); hint.hidden = false; state.posterior = null; state.drawn = false; paint(pad, ink); pad.setAttribute("aria-label", "Drawing pad, empty"); draw(); });
  const borrow = make("button", { type: "button", text: "Take the nearest test image" });
  borrow.addEventListener("click", () => { const index = nearest(); if (index !== null) { ink.set(pixelsOf(index)); paint(pad, ink); read(); } });
  function stamp(x, y) {
    for (let i = Math.max(0, Math.floor(y - 3 * brush)); i < Math.min(height, y + 3 * brush); i++)
      for (let j = Math.max(0, Math.floor(x - 3 * brush)); j < Math.min(width, x + 3 * brush); j++) {
        const apart = Math.hypot(j + 0.5 - x, i + 0.5 - y);
        ink[i * width + j] = Math.max(ink[i * width + j], Math.max(0, Math.min(1, 1.55 - apart / brush)));
      }
  }
  let stroke = null;
  const where = (event) => { const box = pad.getBoundingClientRect(); return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height]; };
  pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); hint.hidden = true; stroke = where(event); stamp(...stroke); paint(pad, ink); soon(read); });
  pad.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const to = where(event), steps = Math.ceil(Math.hypot(to[0] - stroke[0], to[1] - stroke[1]) / 0.4);
    for (let i = 1; i <= steps; i++) stamp(stroke[0] + ((to[0] - stroke[0]) * i) / steps, stroke[1] + ((to[1] - stroke[1]) * i) / steps);
    stroke = to;
    paint(pad, ink);
    soon(read);
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { stroke = null; });
  let waiting = false;
  function soon(action) { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; action(); }); } }
  function centred() {
    let mass = 0, down = 0, across = 0;
    for (let i = 0; i < ink.length; i++) { mass += ink[i]; down += ink[i] * Math.floor(i / width); across += ink[i] * (i % width); }
    const dy = mass ? Math.round((height - 1) / 2 - down / mass) : 0, dx = mass ? Math.round((width - 1) / 2 - across / mass) : 0;
    if (!centre.checked || (!dx && !dy)) return ink;
    const out = new Float32Array(ink.length);
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        if (i - dy >= 0 && i - dy < height && j - dx >= 0 && j - dx < width) out[i * width + j] = ink[(i - dy) * width + j - dx];
    return out;
  }
  function read() {
    if (!ink.some((value) => value > 0)) return;
    const [mean, deviation] = conditional ? programs.encode(centred(), [state.label]) : programs.encode(centred());
    z.set(mean);
    state.posterior = { mean: Float32Array.from(mean), deviation: Float32Array.from(deviation) };
    state.drawn = hint.hidden = true;
    pad.setAttribute("aria-label", "Drawing pad with a drawing");
    belief.textContent = `Posterior: ${[state.x, state.y].map((index) => `${subscript(index)} = ${number(mean[index])} ± ${number(deviation[index])}`).join(", ")}. The large picture is its reconstruction.`;
    moved(!flat);
  }
  const tool = canDraw
    ? make("div", { class: "tool" }, make("h3", { text: "Draw, and see the code" }),
        make("div", { class: "drawing" }, make("div", { class: "pad-box" }, pad, hint), make("div", {}, belief,
          make("p", { class: "row" }, clear, ...(dots.length ? [borrow] : [])),
          make("label", { class: "check small" }, centre, make("span", { text: "Centre it before it is encoded" })))))
    : null;

  // ---- test images
  let thumbPixels = null;
  function pixelsOf(index) {
    const out = new Float32Array(height * width);
    if (!thumbPixels) return out;
    const left = (index % 20) * width, top = Math.floor(index / 20) * height, across = sheet.width;
    for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) out[i * width + j] = thumbPixels[4 * ((top + i) * across + left + j)] / 255;
    return out;
  }
  function thumb(canvas, index) {
    if (!sheet.complete || !sheet.width) return;
    const context = canvas.getContext("2d");
    context.drawImage(sheet, (index % 20) * width, Math.floor(index / 20) * height, width, height, 0, 0, width, height);
  }
  const distance = (code) => {
    let sum = 0;
    for (const unit of data.units) sum += ((code[unit.index] - z[unit.index]) / data.deviation[unit.index]) ** 2;
    return sum;
  };
  const fits = (index) => !(conditional && labelled) || data.labels[index] === state.label;
  function nearest() {
    let best = null, least = Infinity;
    dots.forEach((code, index) => { const apart = distance(code); if (fits(index) && apart < least) { least = apart; best = index; } });
    return best;
  }
  const called = (index) => (labelled ? `test image ${index + 1}, class ${name(data.labels[index])}` : `test image ${index + 1}`);

  // ---- the plane
  let map = null, mapJob = 0;
  const tile = make("canvas", { width, height });
  function chart() {
    // The plane decoded behind the dots: an image as ink on paper, tile by tile when the page is idle.
    const job = ++mapJob, order = [];
    map = make("canvas", { width: TILES * width, height: TILES * height });
    const context = map.getContext("2d"), latent = Float32Array.from(z);
    for (let i = 0; i < TILES; i++) for (let j = 0; j < TILES; j++) order.push([i, j]);
    order.sort((p, q) => Math.hypot(p[0] - TILES / 2 + 0.5, p[1] - TILES / 2 + 0.5) - Math.hypot(q[0] - TILES / 2 + 0.5, q[1] - TILES / 2 + 0.5));
    let done = 0;
    const rest = () => {
      if (job !== mapJob) return;
      const begun = performance.now();
      while (done < order.length && performance.now() - begun < 14) {
        const [i, j] = order[done++];
        latent[state.x] = data.mean[state.x] + data.deviation[state.x] * SPAN * ((2 * (j + 0.5)) / TILES - 1);
        latent[state.y] = data.mean[state.y] - data.deviation[state.y] * SPAN * ((2 * (i + 0.5)) / TILES - 1);
        const values = decode(latent), pixels = tile.getContext("2d").createImageData(width, height), area = height * width;
        let mean = 0;
        for (let k = 0; k < area; k++) mean += values[k] / area;
        for (let k = 0; k < area; k++) {
          const grey = dark.matches ? 235 : 20, value = values[k];
          for (let c = 0; c < 3; c++) pixels.data[4 * k + c] = channels === 3 ? 255 * values[c * area + k] : grey;
          pixels.data[4 * k + 3] = channels === 3 ? 150 : 105 * (mean > 0.5 ? 1 - value : value);
        }
        context.putImageData(pixels, j * width, i * height);
      }
      draw();
      if (done < order.length) setTimeout(rest, 4);
      else report();
    };
    setTimeout(rest, 60);
  }
  let side = 0;
  const toX = (offset) => side / 2 + (offset / (SPAN * MARGIN)) * (side / 2), toY = (offset) => side / 2 - (offset / (SPAN * MARGIN)) * (side / 2);
  const spot = (code) => [toX((code[state.x] - data.mean[state.x]) / data.deviation[state.x]), toY((code[state.y] - data.mean[state.y]) / data.deviation[state.y])];
  function draw() {
    const ratio = window.devicePixelRatio || 1, wide = plane.clientWidth;
    if (!wide) return;
    side = wide;
    if (plane.width !== Math.round(wide * ratio)) plane.width = plane.height = Math.round(wide * ratio);
    const context = plane.getContext("2d"), style = getComputedStyle(root), property = (key) => style.getPropertyValue(key).trim();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, side, side);
    context.imageSmoothingQuality = "high";
    if (map) context.drawImage(map, toX(-SPAN), toY(SPAN), toX(SPAN) - toX(-SPAN), toY(-SPAN) - toY(SPAN));
    context.lineWidth = 1;
    context.strokeStyle = property("--line");
    context.fillStyle = property("--soft");
    context.font = `12px ${property("--sans")}`;
    for (let k = 1 - Math.ceil(SPAN); k < SPAN; k++) {
      if (k === 0) { context.beginPath(); context.moveTo(toX(0), 0); context.lineTo(toX(0), side); context.moveTo(0, toY(0)); context.lineTo(side, toY(0)); context.stroke(); }
      else { context.textAlign = "center"; context.fillText(number(k, 0), toX(k), side - 5); context.textAlign = "left"; context.fillText(number(k, 0), 5, toY(k) + 4); }
    }
    const focus = conditional ? state.label : state.only;
    dots.forEach((code, index) => {
      const [x, y] = spot(code), label = labelled ? data.labels[index] : 0, faint = labelled && focus !== null && label !== focus;
      context.globalAlpha = faint ? 0.16 : 0.9;
      context.fillStyle = labelled ? colour(label) : property("--accent");
      context.beginPath();
      context.arc(x, y, faint ? 2.4 : 3.4, 0, 7);
      context.fill();
    });
    context.globalAlpha = 1;
    if (state.posterior) {
      const { mean, deviation } = state.posterior, [x, y] = spot(mean);
      context.strokeStyle = property("--ink");
      context.lineWidth = 1.6;
      for (const reach of [1, 2]) {
        context.globalAlpha = reach === 1 ? 1 : 0.55;
        context.beginPath();
        const scale = side / 2 / (SPAN * MARGIN);
        context.ellipse(x, y, (reach * deviation[state.x] * scale) / data.deviation[state.x], (reach * deviation[state.y] * scale) / data.deviation[state.y], 0, 0, 7);
        context.stroke();
      }
      context.globalAlpha = 1;
    }
    if (state.a !== null && state.b !== null) {
      context.strokeStyle = property("--ink");
      context.setLineDash([4, 4]);
      context.lineWidth = 1.4;
      context.beginPath();
      context.moveTo(...spot(dots[state.a]));
      context.lineTo(...spot(dots[state.b]));
      context.stroke();
      context.setLineDash([]);
    }
    for (const key of ["a", "b"]) if (state[key] !== null) {
      const [x, y] = spot(dots[state[key]]);
      context.beginPath();
      context.arc(x, y, 8.5, 0, 7);
      context.fillStyle = property("--ink");
      context.fill();
      context.fillStyle = property("--paper");
      context.textAlign = "center";
      context.font = `600 11px ${property("--sans")}`;
      context.fillText(key.toUpperCase(), x, y + 4);
    }
    if (state.posterior) return;
    const [x, y] = spot(z);
    context.lineWidth = 4.5;
    context.strokeStyle = property("--paper");
    context.beginPath();
    context.arc(x, y, 8, 0, 7);
    context.stroke();
    context.lineWidth = 2.4;
    context.strokeStyle = property("--accent");
    context.stroke();
  }
  function pick(index) {
    if (index === null) return;
    // The older end gives way, so that the last two that were picked are joined.
    const key = state.a === null || (state.b !== null && state.next === "a") ? "a" : "b";
    state[key] = index;
    state.next = key === "a" ? "b" : "a";
    join();
    draw();
  }
  function join() {
    for (const key of ["a", "b"]) if (state[key] !== null) { thumb(ends[key], state[key]); ends[key].setAttribute("aria-label", `${key.toUpperCase()}: ${called(state[key])}`); }
    if (state.a === null || state.b === null) return;
    const from = dots[state.a], to = dots[state.b];
    strip.forEach((canvas, k) => {
      const t = k / (strip.length - 1);
      paint(canvas, decode(Float32Array.from(from, (value, i) => value + t * (to[i] - value))));
      canvas.setAttribute("aria-label", `${Math.round(100 * t)} % of the way from A to B`);
    });
  }
  let telling = 0, charting = 0;
  function moved(elsewhere) {
    paint(shown, decode(z));
    for (const [index, { input, value }] of sliders) { input.value = String(at(index)); value.textContent = number(z[index]); input.setAttribute("aria-valuetext", number(z[index])); }
    place.textContent = [state.x, state.y].map((index) => `${subscript(index)} = ${number(z[index])}`).join("   ");
    const index = nearest();
    if (index !== null) { thumb(nearThumb, index); near.textContent = labelled ? `Nearest test image: ${name(data.labels[index])}` : "Nearest test image"; nearThumb.setAttribute("aria-label", called(index)); }
    const words = `${place.textContent}${conditional ? `, decoded as ${name(state.label)}` : ""}${index === null ? "" : `; nearest is ${called(index)}`}`;
    shown.setAttribute("aria-label", `Decoded image at ${words}`);
    clearTimeout(telling);
    telling = setTimeout(() => { live.textContent = words; }, 500);
    if (elsewhere) {
      clearTimeout(charting);
      mapJob++;
      charting = setTimeout(() => { chart(); join(); }, 180);
    }
    draw();
  }
  let held = null;
  const spotOf = (event) => { const box = plane.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const go = (x, y) => { set(state.x, ((x / side) * 2 - 1) * SPAN * MARGIN); set(state.y, (1 - (y / side) * 2) * SPAN * MARGIN); state.posterior = null; soon(() => moved(false)); };
  plane.addEventListener("pointerdown", (event) => { plane.setPointerCapture(event.pointerId); held = { from: spotOf(event), far: false }; go(...held.from); });
  plane.addEventListener("pointermove", (event) => {
    if (!held) return;
    const to = spotOf(event);
    held.far ||= Math.hypot(to[0] - held.from[0], to[1] - held.from[1]) > 5;
    if (held.far) go(...to);
  });
  plane.addEventListener("pointerup", (event) => {
    if (held && !held.far) {
      let best = null, least = event.pointerType === "mouse" ? 9 : 16;
      dots.forEach((code, index) => {
        if (labelled && state.only !== null && data.labels[index] !== state.only) return;
        const [x, y] = spot(code), apart = Math.hypot(x - held.from[0], y - held.from[1]);
        if (fits(index) && apart < least) { least = apart; best = index; }
      });
      if (best !== null) { z.set(dots[best]); moved(!flat); pick(best); }
    }
    held = null;
  });
  plane.addEventListener("pointercancel", () => { held = null; });
  plane.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.5 : 0.1, moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (moves) { set(state.x, at(state.x) + step * moves[0]); set(state.y, at(state.y) + step * moves[1]); state.posterior = null; moved(false); }
    else if (event.key === "Enter") pick(nearest());
    else if (event.key === "Home") { z.set(data.mean); moved(!flat); }
    else return;
    event.preventDefault();
  });

  // ---- put together
  const worst = programs.check();
  const trust = make("p", { class: "small trust" });
  function report() {
    const tests = data.network.cases.length, agree = worst <= data.tolerance;
    root.dataset.error = String(worst);
    root.dataset.decode = String(median(times));
    if (agree) trust.textContent = `The model runs in this page. It computed ${tests} test cases again and is within ${worst.toExponential(1).replace("e-", " · 10⁻").replace(/⁻(\d+)$/, (_, d) => `⁻${d.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])}`)} of PyTorch; an image takes ${number(median(times), 1)} ms.`;
    trust.hidden = !agree;
  }
  if (!(worst <= data.tolerance))
    root.insertBefore(make("p", { class: "warning", role: "alert", text: `Do not trust these pictures: this browser is ${worst.toPrecision(2)} away from what PyTorch computed for the page's test cases; ${data.tolerance} is allowed.` }), root.querySelector(".still"));
  root.querySelector(".still").hidden = true;
  const panel = make("div", { class: "side" }, make("div", { class: "pictures" }, shown,
    make("div", { class: "about" }, place, ...(dots.length ? [make("div", { class: "near" }, nearThumb, near)] : []), make("p", { class: "row" }, random, middle))), axes, units);
  root.append(how, live, make("div", { class: "stage" }, make("div", { class: "plane-box" }, plane, chips), panel),
    make("div", { class: "tools" }, ...(dots.length ? [between] : []), ...(tool ? [tool] : [])), trust);
  paint(pad, ink);
  colourChips();
  moved(false);
  report();
  root.dataset.ready = "yes";
  new ResizeObserver(() => draw()).observe(plane);
  dark.addEventListener("change", () => { colourChips(); chart(); });
  chart();
  if (dots.length) {
    sheet.onload = () => {
      const whole = make("canvas", { width: sheet.width, height: sheet.height }), context = whole.getContext("2d", { willReadFrequently: true });
      context.drawImage(sheet, 0, 0);
      thumbPixels = context.getImageData(0, 0, sheet.width, sheet.height).data;
      const begin = dots.findIndex((_, i) => fits(i));
      let end = begin, far = -1;
      dots.forEach((code, i) => { const apart = code.reduce((sum, value, k) => sum + (value - dots[begin][k]) ** 2, 0); if (fits(i) && apart > far && Math.abs(code[state.x] - data.mean[state.x]) < 2 * data.deviation[state.x] && Math.abs(code[state.y] - data.mean[state.y]) < 2 * data.deviation[state.y]) { far = apart; end = i; } });
      if (begin >= 0) { state.a = begin; state.b = end; join(); }
      moved(false);
    };
    sheet.src = data.thumbs;
  }
}
