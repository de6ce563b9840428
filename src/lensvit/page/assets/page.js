/* What moves on the page: the table of systems, one system, curves, and how a number was made. */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const { targets, psfs, methods, systems } = data;
  const K = targets.length;
  const at = (id) => document.getElementById(id);

  // ---------------------------------------------------------------- small things

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  const SVG = "http://www.w3.org/2000/svg";

  function draw(tag, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  function option(value, text) {
    return make("option", { value }, text);
  }

  // numbers that Python has written as float32 in base64
  function floats(text) {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let place = 0; place < raw.length; place++) bytes[place] = raw.charCodeAt(place);
    return new Float32Array(bytes.buffer);
  }

  // a piece of a line, as charts and panels have it
  function swatch(color, dashes, wide = 2.5) {
    return draw("svg", { width: 34, height: 12, class: "swatch", "aria-hidden": "true" },
      draw("line", { x1: 1, x2: 33, y1: 6, y2: 6, stroke: color, "stroke-width": wide, "stroke-dasharray": dashes || "none" }));
  }

  const plain = (target) => target.base + (target.below ? "_" + target.below : "");
  const withUnit = (target) => plain(target) + (target.unit ? " [" + target.unit + "]" : "");

  function symbol(target) {
    const node = make("span", {}, make("i", {}, target.base));
    if (target.below) node.append(make("sub", {}, target.below));
    return node;
  }

  // digits behind the point to the second significant digit of an error
  function decimals(error) {
    if (!(error > 0)) return 4;
    return Math.min(8, Math.max(0, 1 - Math.floor(Math.log10(Number(error.toPrecision(2))))));
  }

  const minus = (text) => text.replace("-", "\u2212");
  const fixed = (value, digits) => minus(value.toFixed(digits).replace(/^-(0(\.0*)?)$/, "$1"));

  // ---------------------------------------------------------------- what the methods say

  const truth = floats(systems.truth);
  const pairs = [];
  for (let first = 0; first < K; first++) for (let second = first + 1; second < K; second++) pairs.push([first, second]);
  const width = 2 * K + pairs.length;
  for (const method of methods) {
    const block = systems.blocks[method.key];
    method.values = floats(block.values);
    method.place = new Int32Array(systems.id.length).fill(-1);
    block.rows.forEach((row, place) => { method.place[row] = place; });
  }

  // what a method says of a system, or null
  function posterior(method, system) {
    const place = method.place[system];
    if (place < 0) return null;
    const from = place * width, values = method.values;
    return {
      mean: (target) => values[from + target],
      sigma: (target) => values[from + K + target],
      error: (target) => (values[from + target] - truth[system * K + target]) / values[from + K + target],
      correlation(first, second) {
        if (first === second) return 1;
        const [low, high] = first < second ? [first, second] : [second, first];
        return values[from + 2 * K + pairs.findIndex((pair) => pair[0] === low && pair[1] === high)];
      },
    };
  }

  // the error of a method for a system by the measure that is chosen [sigma]; null where there is none
  function measured(method, system, measure) {
    const found = posterior(method, system);
    if (!found) return null;
    if (measure === "rms" || measure === "worst") {
      let sum = 0, worst = 0;
      for (let target = 0; target < K; target++) {
        const error = found.error(target);
        sum += error * error;
        worst = Math.max(worst, Math.abs(error));
      }
      return measure === "rms" ? Math.sqrt(sum / K) : worst;
    }
    return found.error(Number(measure));
  }

  const compared = methods.filter((method) => method.errors);

  // ---------------------------------------------------------------- the table of systems

  function said(state, yes = "yes", no = "no") {
    if (state === null) return "not tried";
    return state === true ? yes : no + (state ? ": " + state : "");
  }

  const measure = at("measure");
  targets.forEach((target, place) => measure.append(option(place, withUnit(target))));
  const cameras = [...new Set(psfs.map((psf) => psf.camera))];
  cameras.forEach((camera) => at("filter-camera").append(option(camera, camera)));
  psfs.forEach((psf, place) => at("filter-psf").append(option(place, psf.name)));
  [...new Set(systems.images)].sort().forEach((count) => at("filter-images").append(option(count, count)));
  compared.forEach((method, place) => at("filter-method").append(option(place, method.label)));

  const text = (get) => (row, kind) => (kind === "set" ? undefined : get(row));
  const columns = [
    {
      title: "System",
      data: (row, kind) => (kind === "display" ? button(row) : systems.id[row]),
      type: "string",
    },
    { title: "Camera", data: text((row) => psfs[systems.psf[row]].camera), type: "string" },
    { title: "PSF", data: text((row) => psfs[systems.psf[row]].name), type: "string" },
    { title: "Images", data: text((row) => systems.images[row]), type: "num", className: "number" },
    { title: "Noise [counts/s]", data: text((row) => systems.noise[row]), type: "num", className: "number" },
    ...compared.map((method) => ({
      title: method.label + " [\u03c3]",
      type: "num",
      className: "number",
      orderSequence: ["desc", "asc"],
      data(row, kind) {
        const value = measured(method, row, measure.value);
        if (kind === "display") return value === null ? "\u2013" : fixed(value, 2);
        return value === null ? -1 : Math.abs(value);
      },
    })),
    ...[["refined", "Fit converged"], ["importance", "Certified"]]
      .filter(([key]) => key in systems.states)
      .map(([key, title]) => ({ title, data: text((row) => said(systems.states[key][row])), type: "string" })),
  ];

  function button(row) {
    return make("button", { type: "button", class: "system", "data-system": row }, systems.id[row]);
  }

  columns.forEach((column, place) => { column.searchable = place === 0; });

  const table = new DataTable("#systems-table", {
    data: systems.id.map((_, row) => row),
    columns,
    deferRender: true,
    autoWidth: false,
    order: [],
    pageLength: 10,
    lengthMenu: [10, 25, 100],
    layout: { topStart: "pageLength", topEnd: "search", bottomStart: "info", bottomEnd: "paging" },
    language: {
      search: "Name:",
      lengthMenu: "_MENU_ systems a page",
      info: "_START_ to _END_ of _TOTAL_ systems",
      infoEmpty: "no system",
      infoFiltered: "(of _MAX_)",
      zeroRecords: "no system has all of this",
    },
  });

  const wanted = (state) => (state === null ? "none" : state === true ? "yes" : "no");

  function passes(row) {
    const psf = psfs[systems.psf[row]];
    const value = (id) => (at(id) ? at(id).value : "");
    if (value("filter-camera") && psf.camera !== value("filter-camera")) return false;
    if (value("filter-psf") && systems.psf[row] !== Number(value("filter-psf"))) return false;
    if (value("filter-images") && systems.images[row] !== Number(value("filter-images"))) return false;
    if (value("filter-low") && systems.noise[row] < Number(value("filter-low"))) return false;
    if (value("filter-high") && systems.noise[row] > Number(value("filter-high"))) return false;
    if (value("filter-exact") && wanted(systems.states.importance[row]) !== value("filter-exact")) return false;
    if (value("filter-fit") && wanted(systems.states.refined[row]) !== value("filter-fit")) return false;
    if (value("filter-error")) {
      const found = measured(compared[Number(value("filter-method"))], row, measure.value);
      if (found === null || Math.abs(found) < Number(value("filter-error"))) return false;
    }
    return true;
  }

  table.search.fixed("filters", (_, row) => passes(row));

  const filters = at("filters");
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", (event) => {
    if (event.target === measure) table.rows().invalidate();
    table.draw();
  });
  // the event "reset" comes before the form has its first values again: reset here, so that nothing typed next is lost
  filters.querySelector("button[type=reset]").addEventListener("click", (event) => {
    event.preventDefault();
    filters.reset();
    table.rows().invalidate();
    table.search("").draw();
  });
  at("systems-table").addEventListener("click", (event) => {
    const chosen = event.target.closest("button.system");
    if (chosen) location.hash = "system=" + systems.id[Number(chosen.dataset.system)];
  });

  // ---------------------------------------------------------------- one system

  let current = -1;
  const PICTURES = [
    ["Noisy image", "asinh stretch up to its brightest pixel"],
    ["Model", "of the converged fit, in the same stretch"],
    ["Residual", "noisy image minus model, in units of the noise"],
  ];
  const loaded = new Map();

  function sheet(number) {
    if (!loaded.has(number)) {
      const image = new Image();
      image.src = "data:image/png;base64," + at("sheet-" + number).textContent;
      loaded.set(number, image.decode().then(() => image));
    }
    return loaded.get(number);
  }

  async function showPictures(system) {
    const box = at("pictures"), picture = systems.picture[system];
    if (!picture) {
      box.replaceChildren(make("p", {}, "There is no picture of this system."));
      return;
    }
    const [number, place, modelled] = picture, psf = psfs[systems.psf[system]];
    const image = await sheet(number);
    if (system !== current) return;
    const side = psf.side, shown = modelled ? PICTURES : PICTURES.slice(0, 1);
    box.replaceChildren(...shown.map(([name, what], column) => {
      const reach = (side * psf.pixel_scale).toFixed(1) + " arcsec a side";
      const canvas = make("canvas", {
        width: side, height: side, role: "img",
        "aria-label": name + " of " + systems.id[system] + ": " + what + ", " + reach,
      });
      canvas.getContext("2d").drawImage(image, 0, (place + column) * side, side, side, 0, 0, side, side);
      const figure = make("figure", {}, canvas);
      if (column === 2) {
        const ends = ["\u22125 \u03c3", "0", "+5 \u03c3"].map((end) => make("span", {}, end));
        figure.append(
          make("div", { class: "scale", "aria-hidden": "true", style: "background:linear-gradient(90deg,#0a3b70,#4393c3,#f7f6f6,#d6604d,#6d0220)" }),
          make("div", { class: "scale-ends" }, ...ends),
        );
      }
      figure.append(make("figcaption", {}, make("strong", {}, name), ": " + what + "; " + reach + "."));
      return figure;
    }));
    if (!modelled) box.append(make("p", {}, "There is no model, since there is no fit of this system that has converged."));
  }

  function showParameters(system) {
    const here = methods.filter((method) => posterior(method, system));
    const head = make("tr", {}, make("th", { scope: "col" }, "Target"), make("th", { scope: "col", class: "number" }, "Truth"));
    for (const method of here) {
      head.append(make("th", { scope: "col", class: "number" }, method.label + (method.errors ? "" : " (\u03c3)")));
      if (method.errors) head.append(make("th", { scope: "col", class: "number" }, "error [\u03c3]"));
    }
    const rows = targets.map((target, place) => {
      const name = make("th", { scope: "row", title: target.what }, symbol(target), target.unit ? " [" + target.unit + "]" : "");
      const value = truth[system * K + place];
      const finest = Math.min(...here.map((method) => posterior(method, system).sigma(place)).filter((sigma) => sigma > 0));
      const row = make("tr", {}, name, make("td", { class: "number" }, fixed(value, decimals(finest))));
      for (const method of here) {
        const found = posterior(method, system), sigma = found.sigma(place), digits = decimals(sigma);
        const shown = method.errors ? fixed(found.mean(place), digits) + " \u00b1 " + sigma.toFixed(digits) : sigma.toFixed(digits);
        row.append(make("td", { class: "number" }, shown));
        if (method.errors) row.append(make("td", { class: "number" }, fixed(found.error(place), 2)));
      }
      return row;
    });
    at("parameters").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  }

  // ---------------------------------------------------------------- ellipses

  const MASSES = [0.68, 0.95];
  targets.forEach((target, place) => {
    at("horizontal").append(option(place, withUnit(target)));
    at("vertical").append(option(place, withUnit(target)));
  });
  at("vertical").value = "1";
  for (const method of methods) {
    const box = make("input", { type: "checkbox", value: method.key });
    box.checked = true;
    method.box = box;
    method.label_box = make("label", {}, box, swatch(method.color, method.dashes), method.label);
    at("shown-methods").append(method.label_box);
  }

  function svgSymbol(target) {
    const node = [draw("tspan", { "font-style": "italic" }, target.base)];
    if (target.below) node.push(draw("tspan", { dy: "0.3em", "font-size": "75%" }, target.below));
    return node;
  }

  // places of round numbers within a range
  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
    for (let place = Math.ceil(low / step); place * step <= high; place++) {
      found.push([place * step, fixed(place * step, digits)]);
    }
    return found;
  }

  // a range without its ends, where numbers would touch those of the next panel
  const inner = ([low, high], edge) => [low + edge * (high - low), high - edge * (high - low)];

  // the panel of two targets, in a box of an SVG; null where nothing is chosen
  function panel(system, pair, box, labels) {
    const truths = pair.map((target) => truth[system * K + target]);
    const shown = methods.filter((method) => method.box.checked && posterior(method, system));
    const ranges = pair.map((target, axis) => {
      let low = truths[axis], high = truths[axis];
      for (const method of shown) {
        const found = posterior(method, system), reach = 2.6 * found.sigma(target);
        low = Math.min(low, found.mean(target) - reach);
        high = Math.max(high, found.mean(target) + reach);
      }
      const pad = 0.04 * (high - low) || 1e-3;
      return [low - pad, high + pad];
    });
    const scale = [
      (value) => box.x + ((value - ranges[0][0]) / (ranges[0][1] - ranges[0][0])) * box.width,
      (value) => box.y + box.height - ((value - ranges[1][0]) / (ranges[1][1] - ranges[1][0])) * box.height,
    ];
    const perUnit = [box.width / (ranges[0][1] - ranges[0][0]), -box.height / (ranges[1][1] - ranges[1][0])];
    const group = draw("g");
    group.append(draw("rect", { x: box.x, y: box.y, width: box.width, height: box.height, fill: "#fff", stroke: "#767676" }));
    const size = labels.size;
    if (labels.x) {
      for (const [value, text] of ticks(...inner(ranges[0], labels.edge), labels.count)) {
        const x = scale[0](value), y = box.y + box.height;
        group.append(draw("line", { x1: x, x2: x, y1: y, y2: y - 5, stroke: "#555" }));
        group.append(draw("text", { x, y: y + 1.2 * size, "text-anchor": "middle", "font-size": size, fill: "#333" }, text));
      }
    }
    if (labels.y) {
      for (const [value, text] of ticks(...inner(ranges[1], labels.edge), labels.count)) {
        const y = scale[1](value);
        group.append(draw("line", { x1: box.x, x2: box.x + 5, y1: y, y2: y, stroke: "#555" }));
        group.append(draw("text", { x: box.x - 5, y: y + 0.35 * size, "text-anchor": "end", "font-size": size, fill: "#333" }, text));
      }
    }
    for (const method of shown) {
      const found = posterior(method, system);
      const [sx, sy] = pair.map((target, axis) => found.sigma(target) * perUnit[axis]);
      const rho = found.correlation(...pair);
      const cx = scale[0](found.mean(pair[0])), cy = scale[1](found.mean(pair[1]));
      for (const mass of MASSES) {
        const radius = Math.sqrt(-2 * Math.log(1 - mass)), path = [];
        for (let step = 0; step < 72; step++) {
          const angle = (2 * Math.PI * step) / 72, u = radius * Math.cos(angle), v = radius * Math.sin(angle);
          path.push((cx + sx * u).toFixed(2) + " " + (cy + sy * (rho * u + Math.sqrt(Math.max(0, 1 - rho * rho)) * v)).toFixed(2));
        }
        group.append(draw("path", {
          d: "M" + path.join("L") + "Z", fill: "none", stroke: method.color, "stroke-width": labels.line,
          "stroke-dasharray": method.dashes, "data-method": method.key,
        }));
      }
      group.append(draw("circle", { cx, cy, r: labels.line, fill: method.color }));
    }
    const [tx, ty] = [scale[0](truths[0]), scale[1](truths[1])], arm = labels.cross;
    group.append(draw("path", { d: `M${tx - arm} ${ty}H${tx + arm}M${tx} ${ty - arm}V${ty + arm}`, stroke: "#000", "stroke-width": 1.8 }));
    return group;
  }

  function showEllipses() {
    if (current < 0) return;
    const pair = [Number(at("horizontal").value), Number(at("vertical").value)];
    const names = methods.filter((method) => method.box.checked && posterior(method, current)).map((method) => method.label);
    const [first, second] = pair.map((place) => targets[place]);
    const svg = draw("svg", { viewBox: "0 0 520 440", role: "img", "aria-label":
      `Posterior of ${first.what} and ${second.what} of ${systems.id[current]} by ${names.join(", ") || "no method"}, with the truth; the table above has the numbers` });
    svg.append(panel(current, pair, { x: 95, y: 10, width: 410, height: 365 }, { x: true, y: true, size: 14, count: 5, edge: 0, line: 1.8, cross: 9 }));
    const unit = (target) => (target.unit ? [draw("tspan", { dy: target.below ? "-0.22em" : 0 }, " [" + target.unit + "]")] : []);
    svg.append(draw("text", { x: 300, y: 428, "text-anchor": "middle", "font-size": 17 }, ...svgSymbol(first), ...unit(first)));
    svg.append(draw("text", { x: 0, y: 0, transform: "translate(20 192) rotate(-90)", "text-anchor": "middle", "font-size": 17 }, ...svgSymbol(second), ...unit(second)));
    at("ellipses").replaceChildren(svg);
    if (at("all-pairs").open) showCorner();
  }

  function showCorner() {
    const cell = 100, left = 60, whole = left + K * cell;
    const svg = draw("svg", { viewBox: `0 0 ${whole} ${whole - cell + 50}`, role: "img",
      "aria-label": `Posteriors of all pairs of targets of ${systems.id[current]}, with the truth` });
    for (let row = 1; row < K; row++) {
      for (let column = 0; column < row; column++) {
        const box = { x: left + column * cell + 3, y: (row - 1) * cell + 3, width: cell - 6, height: cell - 6 };
        svg.append(panel(current, [column, row], box, { x: row === K - 1, y: column === 0, size: 9, count: 3, edge: 0.15, line: 1, cross: 5 }));
      }
      svg.append(draw("text", { x: 2, y: (row - 0.5) * cell + 4, "font-size": 12 }, ...svgSymbol(targets[row])));
      svg.append(draw("text", { x: left + (row - 0.5) * cell, y: (K - 1) * cell + 32, "text-anchor": "middle", "font-size": 12 }, ...svgSymbol(targets[row - 1])));
    }
    at("corner").replaceChildren(svg);
  }

  at("posteriors").addEventListener("submit", (event) => event.preventDefault());
  at("posteriors").addEventListener("input", showEllipses);
  at("all-pairs").addEventListener("toggle", () => { if (at("all-pairs").open && current >= 0) showCorner(); });

  function show(system) {
    current = system;
    const psf = psfs[systems.psf[system]], states = systems.states;
    at("system-title").textContent = systems.id[system];
    const facts = [
      psf.camera + ", PSF " + psf.name, systems.images[system] + " quasar images",
      "background noise " + systems.noise[system] + " counts/s in a pixel of the camera",
    ];
    if (states.refined) facts.push("fit to all pixels: " + said(states.refined[system], "converged", "not converged"));
    if (states.importance) facts.push("exact posterior: " + said(states.importance[system], "certified", "not certified"));
    for (const method of methods) method.label_box.hidden = !posterior(method, system);
    at("system-facts").textContent = facts.join("; ") + ".";
    at("system").hidden = false;
    showPictures(system);
    showParameters(system);
    showEllipses();
    const order = table.rows({ search: "applied", order: "applied" }).indexes().toArray(), place = order.indexOf(system);
    at("system-previous").disabled = place <= 0;
    at("system-next").disabled = place < 0 || place === order.length - 1;
    at("system-previous").onclick = () => { location.hash = "system=" + systems.id[order[place - 1]]; };
    at("system-next").onclick = () => { location.hash = "system=" + systems.id[order[place + 1]]; };
  }

  function follow() {
    const name = decodeURIComponent(location.hash.slice(1));
    if (!name.startsWith("system=")) return;
    const system = systems.id.indexOf(name.slice("system=".length));
    if (system < 0) return;
    const within = at("system").contains(document.activeElement);
    show(system);
    if (!within) {
      at("system").scrollIntoView({ behavior: "instant" });
      at("system").focus({ preventScroll: true });
    }
  }

  at("system-close").addEventListener("click", () => {
    const row = at("systems-table").querySelector(`button[data-system="${current}"]`);
    current = -1;
    at("system").hidden = true;
    history.replaceState(null, "", "#systems");
    (row || at("systems-table").querySelector("button.system") || at("main")).focus();
  });
  addEventListener("hashchange", follow);

  // ---------------------------------------------------------------- curves

  const NETWORKS = methods.filter((method) => method.network);
  const dashes = (entry) => (entry ? entry.split(" ").map(Number) : []);
  const axis = (label, more = {}) => ({ label, stroke: "#333", grid: { stroke: "#e6e6e6", width: 1 }, labelSize: 22, ...more });

  // a chart as wide as its place, with words that say what it shows where it cannot be seen
  function chart(box, title, describes, options, values) {
    const place = make("div", { role: "img", "aria-label": title + ": " + describes });
    const key = options.series.filter((entry) => entry.label).map((entry) =>
      make("li", {}, swatch(entry.key || entry.stroke, (entry.dash || []).join(" "), entry.key ? 10 : 2.5), entry.label));
    box.append(make("div", { class: "chart" }, make("h3", {}, title), place, make("ul", { class: "key" }, ...key)));
    const size = () => ({ width: Math.max(220, place.clientWidth), height: 230 });
    const plot = new uPlot({ ...size(), legend: { show: false }, cursor: { show: false }, ...options }, values, place);
    new ResizeObserver(() => {
      if (place.clientWidth && Math.abs(place.clientWidth - plot.width) > 1) plot.setSize(size());
    }).observe(place);
    return plot;
  }

  for (const training of data.trainings) {
    const look = NETWORKS.find(({ key }) => training.name === key || training.name.startsWith(key + "-")) || NETWORKS[0];
    const kept = training.epoch.map((epoch, place) => (epoch === training.kept ? training.validation[place] : null));
    const last = training.epoch.length - 1, best = training.epoch.indexOf(training.kept);
    const describes = `${training.epoch.length} epochs; training loss from ${training.train[0]} to ${training.train[last]}, ` +
      `validation loss from ${training.validation[0]} to ${training.validation[last]}; kept: epoch ${training.kept} with ${training.validation[best]}`;
    const few = training.epoch.length < 2;
    chart(at("training-charts"), training.label, describes, {
      scales: { x: { time: false, range: [0.5, training.epoch[last] + 0.5] } },
      axes: [axis("epoch", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] }), axis("loss", { size: 55 })],
      series: [
        {},
        { label: "training", stroke: "#5a5a5a", dash: [5, 3], points: { show: few } },
        { label: "validation", stroke: look ? look.color : "#0072b2", width: 2, points: { show: few } },
        { label: "", stroke: look ? look.color : "#0072b2", paths: () => null, points: { show: true, size: 9, fill: "#fff", width: 2 } },
      ],
    }, [training.epoch, training.train, training.validation, kept]);
  }

  const calibration = data.calibration;
  const STATES = { predicted: "as predicted", recalibrated: "recalibrated on the validation systems" };
  const names = [...new Set(calibration.coverage.map((entry) => entry.target))];
  const called = (name) => {
    const target = targets.find((entry) => entry.name === name);
    return target ? plain(target) : name === "joint" ? "all targets jointly (TARP)" : name;
  };
  names.forEach((name) => at("calibration-target").append(option(name, called(name))));
  for (const state of new Set(calibration.coverage.map((entry) => entry.state))) {
    at("calibration-state").append(option(state, STATES[state] || state));
  }

  function series(method, label) {
    return { label, stroke: method.color, width: 2, dash: dashes(method.dashes), points: { show: false } };
  }

  let plots = [];
  function showCalibration() {
    const target = at("calibration-target").value, state = at("calibration-state").value;
    const of = (entries) => entries.filter((entry) => entry.target === target && entry.state === state);
    const look = (name) => NETWORKS.find((method) => method.key === name) || NETWORKS[0];
    const label = (name) => calibration.labels[name] || name;
    plots.forEach((plot) => plot.destroy());
    at("calibration-charts").replaceChildren();
    const hidden = { stroke: "transparent", width: 0, points: { show: false } };
    const band = { bands: [{ series: [2, 1], fill: "rgba(0, 0, 0, 0.12)" }] };
    const bounds = [{ ...hidden, label: "range if calibrated", key: "#e0e0e0" }, { ...hidden, label: "" }];
    const covered = of(calibration.coverage), levels = covered[0].level;
    const minusLevel = (values) => values.map((value, place) => value - levels[place]);
    const excess = covered.map((entry) => entry.model + ": " + entry.level.map((level, place) =>
      Math.abs(level - 0.7) < 0.026 ? "share " + entry.coverage[place] + " at level " + level : "").filter(Boolean).join(", "));
    plots = [
      chart(at("calibration-charts"), "Coverage minus level, " + called(target), excess.join("; "), {
        scales: { x: { time: false, range: [0, 1] } },
        axes: [axis("level"), axis("excess coverage", { size: 60 })],
        series: [{}, ...bounds, ...covered.map((entry) => series(look(entry.model), label(entry.model)))],
        ...band,
      }, [levels, minusLevel(covered[0].low), minusLevel(covered[0].high), ...covered.map((entry) => minusLevel(entry.coverage))]),
    ];
    const binned = of(calibration.pit), edges = binned[0].from;
    const stairs = (values, entry) => {  // one more, so that the last bin has its width
      const density = values.map((value, place) => value / (entry.to[place] - entry.from[place]));
      return [...density, density[density.length - 1]];
    };
    const stepped = { paths: uPlot.paths.stepped({ align: 1 }) };
    plots.push(chart(at("calibration-charts"), "Density of PIT values, " + called(target), "1 for a calibrated model", {
      scales: { x: { time: false, range: [0, 1] }, y: { range: (_, low, high) => [0, Math.max(2, high * 1.05)] } },
      axes: [axis("PIT value"), axis("density", { size: 50 })],
      series: [{}, ...bounds.map((entry) => ({ ...entry, ...stepped })),
        ...binned.map((entry) => ({ ...series(look(entry.model), label(entry.model)), ...stepped }))],
      ...band,
    }, [[...edges, binned[0].to[edges.length - 1]], stairs(binned[0].low, binned[0]), stairs(binned[0].high, binned[0]),
      ...binned.map((entry) => stairs(entry.share, entry))]));
    const measures = [
      ["model", "Model"], ["z_mean", "mean error [\u03c3]"], ["z_sd", "scatter of errors [\u03c3]"],
      ["coverage_68", "in the 68% interval"], ["coverage_95", "in the 95% interval"], ["p_value", "p-value"], ["verdict", "verdict"],
    ];
    const rows = of(calibration.summary).map((entry) => make("tr", {}, ...measures.map(([key], place) => {
      const value = entry[key];
      const shown = key === "model" ? label(value) : value === null ? "\u2013" : typeof value === "number" ? minus(value.toPrecision(3)) : value;
      return place ? make("td", { class: key === "verdict" ? "" : "number" }, shown) : make("th", { scope: "row" }, shown);
    })));
    at("calibration-table").replaceChildren(
      make("thead", {}, make("tr", {}, ...measures.map(([key, title]) => make("th", { scope: "col", class: key === "model" || key === "verdict" ? "" : "number" }, title)))),
      make("tbody", {}, ...rows),
    );
  }

  at("calibration-choice").addEventListener("submit", (event) => event.preventDefault());
  at("calibration-choice").addEventListener("input", showCalibration);
  showCalibration();

  // ---------------------------------------------------------------- how a number was made

  const origins = data.origins, FEW = 8;

  function list(files, hashes = {}) {
    const items = files.map((file) => make("li", {}, make("code", {}, file), hashes[file] ? make("span", {}, " sha256 ", make("code", {}, hashes[file] + "\u2026")) : ""));
    const first = make("ul", {}, ...items.slice(0, FEW));
    if (items.length <= FEW) return [first];
    return [first, make("details", {}, make("summary", {}, `${items.length - FEW} more`), make("ul", {}, ...items.slice(FEW)))];
  }

  function described(job) {
    const entries = [["Command", [make("pre", {}, job.command)]], ["Code", [make("code", {}, job.code || "\u2013")]]];
    if (job.began) entries.push(["Began", [job.began.replace("T", " ").replace("+00:00", " UTC") + (job.seconds === null ? "" : `, took ${job.seconds} s`)]]);
    entries.push(["Made", list(job.outputs, job.hashes)], ["From", job.inputs.length ? list(job.inputs) : ["no file"]]);
    return make("dl", {}, ...entries.flatMap(([name, content]) => [make("dt", {}, name), make("dd", {}, ...content)]));
  }

  // the jobs of each rule, which are written when they are asked for
  function rules(places, open) {
    const groups = new Map();
    for (const place of places) {
      const job = origins.jobs[place];
      groups.set(job.rule, [...(groups.get(job.rule) || []), job]);
    }
    return [...groups].map(([rule, jobs], number) => {
      const summary = make("summary", {}, "rule ", make("strong", {}, rule), jobs.length > 1 ? `, ${jobs.length} jobs` : "", jobs[0].code ? " \u2014 " + jobs[0].code : "");
      const box = make("details", { class: "job" }, summary);
      const fill = () => {
        if (box.childElementCount > 1) return;
        if (jobs.length === 1) { box.append(described(jobs[0])); return; }
        for (const job of jobs) box.append(make("details", {}, make("summary", {}, job.outputs[0] || rule), described(job)));
      };
      box.addEventListener("toggle", fill);
      if (open && number === 0) { box.open = true; fill(); }
      return box;
    });
  }

  if (at("jobs")) at("jobs").append(...rules(origins.jobs.map((_, place) => place), false));

  const dialog = at("origin");
  at("table1").addEventListener("click", (event) => {
    const asked = event.target.closest("button.origin");
    if (!asked) return;
    const column = asked.dataset.column, origin = origins.columns[column];
    const head = at("table1").tHead.rows[0].cells[asked.closest("td").cellIndex].textContent.trim();
    const row = asked.closest("tr").cells[0].textContent.trim();
    at("origin-title").textContent = `${asked.textContent.trim()}: ${head}, ${row}`;
    const last = origins.jobs.findIndex((job) => job.outputs.some((path) => path.endsWith("/tables/table1.csv")));
    at("origin-content").replaceChildren(
      make("p", {}, "The entry of the row ", make("code", {}, asked.dataset.row), " and the column ", make("code", {}, column), " of Table 1. It is made by the rule ",
        make("code", {}, origins.jobs[last].rule), " from these files, which the rules below have made, the last ones first:"),
      ...list(origin.files),
      ...rules([last, ...origin.jobs.filter((place) => place !== last)], true),
    );
    dialog.showModal();
    dialog.scrollTop = 0;
  });
  at("origin-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

  follow();
  // once more when figures have their heights
  addEventListener("load", () => { if (current >= 0) at("system").scrollIntoView({ behavior: "instant" }); });
  document.documentElement.dataset.ready = "yes";
})();
