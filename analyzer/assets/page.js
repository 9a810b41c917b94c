// Adds to a page that is whole without it: sorting, filters, and the graph beside the table.
// Everything that comes from the data is set as text; nothing here makes HTML of it.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const count = (n) => n.toLocaleString("en-US");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // A browser may have saved the page as it was shown: what was made then is made anew.
  byId("canvas").replaceChildren();
  byId("order").replaceChildren();
  for (const button of document.querySelectorAll("thead button")) button.replaceWith(...button.childNodes);
  for (const row of document.querySelectorAll("tr[aria-current]")) row.removeAttribute("aria-current");

  // ---- the table

  const body = byId("table").tBodies[0];
  const rows = [...body.querySelectorAll("tr[data-key]")].map((tr, index) => ({
    tr, index, key: tr.dataset.key, verdict: tr.dataset.verdict, impact: tr.dataset.impact, kind: tr.dataset.key.split(":")[0],
    link: tr.querySelector("a"), text: null,
  }));
  const rowOf = new Map(rows.map((row) => [row.key, row]));
  const detailOf = (row) => byId(row.key.replace(":", "-"));
  const across = [...document.querySelectorAll(".crossings tr[data-impact]")];
  const boxes = [...byId("verdicts").querySelectorAll("input")];
  let held = null; // the keys of the objects that a chosen holder holds, and what it is called
  let chosen = null; // the key of the chosen object
  let shown = rows; // what the filters leave, in the table's order

  function textOf(row) {
    row.text ??= `${row.kind} ${row.tr.textContent} ${detailOf(row).textContent}`.toLowerCase();
    return row.text;
  }

  // Every word has to be there, or what is in quotation marks as it is. A number is looked for as
  // a whole: 77 is pid 77 or inode 77, not a part of 1770.
  function matcher(query) {
    const words = [...query.toLowerCase().matchAll(/"([^"]+)"|[^\s"]+/g)];
    const tests = words.map(([word, said]) => said ?? word).map((word) => {
      if (!/^\d+$/.test(word)) return (text) => text.includes(word);
      const whole = new RegExp(`(^|[^\\d,.])${word}(?![\\d]|,\\d)`);
      return (text) => whole.test(text);
    });
    return (text) => tests.every((test) => test(text));
  }

  function filter() {
    const query = byId("find").value.trim();
    const matches = matcher(query);
    const kind = byId("kind").value;
    const impact = byId("impact").value;
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    shown = rows.filter((row) =>
      (held ? held.keys.has(row.key) : verdicts.has(row.verdict)) &&
      (!kind || row.kind === kind) && (!impact || row.impact === impact) && (!query || matches(textOf(row))));
    const visible = new Set(shown);
    for (const row of rows) row.tr.hidden = !visible.has(row);
    for (const tr of across) tr.hidden = Boolean(impact) && tr.dataset.impact !== impact;
    const all = data.total > rows.length ? `listed objects (${count(data.total)} in all)` : "objects";
    byId("count").textContent =
      `${count(shown.length)} of ${count(rows.length)} ${rows.length === 1 ? "object" : all}`;
    byId("nothing").hidden = shown.length > 0 || !rows.length;
    byId("held").hidden = !held;
    byId("held").textContent = held ? `held by ${held.label} \u2715` : "";
    graph?.show(boxes.every((box) => box.value !== "contained" || box.checked));
    graph?.search(query ? matches : null, shown);
  }

  function holdOnly(label, keys) {
    held = keys ? { label, keys: new Set(keys) } : null;
    filter();
  }

  function reset() {
    byId("find").value = byId("kind").value = byId("impact").value = "";
    for (const box of boxes) box.checked = true;
    holdOnly(null, null);
  }

  const severity = new Map(["usage_leak", "overcount", "unstable", "unknown", "contained"].map((v, i) => [v, i]));
  const means = [...byId("impact").options].map(({ value }) => value).filter(Boolean);
  const collator = new Intl.Collator("en", { numeric: true });

  function valueOf(row, column, type) {
    if (type === "verdict") return severity.get(row.verdict);
    if (type === "impact") return means.indexOf(row.impact) + 1 || Infinity; // none comes last
    const text = row.tr.cells[column].textContent;
    return type === "number" ? Number(text.replaceAll(",", "")) : text; // "?" is NaN
  }

  function compare(a, b) {
    if (typeof a === "string") return collator.compare(a, b);
    return Number.isNaN(a) - Number.isNaN(b) || a - b || 0;
  }

  function sort(head, up = head.getAttribute("aria-sort") !== "ascending") {
    byId("order").value = head.cellIndex;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows.map((row) => [valueOf(row, head.cellIndex, head.dataset.sort), row]);
    keyed.sort(([a, r], [b, s]) => (up ? compare(a, b) : compare(b, a)) || r.index - s.index);
    rows.splice(0, rows.length, ...keyed.map(([, row]) => row));
    body.append(...rows.map((row) => row.tr));
    filter();
  }

  function choose(key, { focus = true, scroll = false } = {}) {
    const row = rowOf.get(key);
    if (!row) return;
    if (chosen) rowOf.get(chosen).tr.removeAttribute("aria-current");
    chosen = key;
    row.tr.setAttribute("aria-current", "true");
    if (row.tr.hidden) reset();
    if (scroll) row.tr.scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
    const source = detailOf(row);
    const title = document.createElement("h3");
    title.append(...source.firstElementChild.cloneNode(true).childNodes);
    const rest = [...source.children].slice(1).map((child) => child.cloneNode(true));
    byId("chosen").replaceChildren(title, ...rest);
    if (focus) graph?.focusObject(key);
  }

  function clear() {
    if (!rows.length) return;
    if (chosen) rowOf.get(chosen).tr.removeAttribute("aria-current");
    chosen = null;
    const hint = document.createElement("p");
    hint.className = "hint";
    hint.textContent = "Choose a row of the table or a node of the graph.";
    byId("chosen").replaceChildren(hint);
    holdOnly(null, null);
    graph?.clear();
  }

  function step(row, by) {
    const next = shown[shown.indexOf(row) + by];
    if (!next) return;
    next.link.focus({ preventScroll: true });
    next.tr.scrollIntoView({ block: "nearest" });
    choose(next.key);
  }

  for (const head of byId("table").tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(head));
    byId("order").add(new Option(head.textContent, head.cellIndex, false, head.hasAttribute("aria-sort")));
  }
  byId("order").addEventListener("change", () => { // where the table has no heads to click on
    const head = byId("table").tHead.rows[0].cells[byId("order").value];
    sort(head, head.dataset.sort !== "number"); // numbers: the largest first
  });
  body.addEventListener("click", (event) => {
    const tr = event.target.closest("tr[data-key]");
    if (!tr || String(getSelection()) && !event.target.closest("a")) return;
    event.preventDefault();
    choose(tr.dataset.key);
    const below = byId("graph").getBoundingClientRect().top > byId("objects").getBoundingClientRect().bottom - 1;
    if (below) byId("graph").scrollIntoView({ block: "start", behavior: calm.matches ? "auto" : "smooth" });
  });
  body.addEventListener("keydown", (event) => {
    const tr = event.target.closest("tr[data-key]");
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!tr || !by) return;
    event.preventDefault();
    step(rowOf.get(tr.dataset.key), by);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target !== byId("find")) clear();
  });
  let waiting = 0;
  byId("find").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { graph?.unfocus(); filter(); }, 80);
  });
  for (const id of ["kind", "impact"]) byId(id).addEventListener("change", filter);
  for (const box of boxes) box.addEventListener("change", () => { held = null; filter(); });
  byId("reset").addEventListener("click", reset);
  byId("held").addEventListener("click", clear);

  // ---- the graph: what is drawn, from what was folded

  const nodes = data.nodes.map(([key, column, look, shape, label, title, y, alone, things, opens], index) =>
    ({ key, column, look, shape, label, title, y, alone, things, opens, index, members: [] }));
  const things = new Map(); // what folded nodes unfold into, by key
  const home = new Map(nodes.map((node) => [node.key, node])); // key of anything -> its node
  for (const [index, members] of data.folds) {
    nodes[index].members = members.map(([key]) => key);
    for (const [key, label, title] of members) {
      things.set(key, { key, label, title });
      home.set(key, nodes[index]);
    }
  }
  const open = new Set(); // nodes that are unfolded
  let whole = true; // whether what is contained is drawn as well
  const seen = (node) => whole || node.alone !== null;
  const height = (node) => (whole ? node.y : node.alone);

  const drawnAs = (key) => {
    const node = home.get(key);
    return node && open.has(node) && things.has(key) ? key : node?.key;
  };

  // Nodes with their heights: below an unfolded one are its members, and the rest moves down.
  function placed() {
    const result = [];
    for (let column = 0; column < data.columns.length; column += 1) {
      let down = 0;
      const here = nodes.filter((node) => node.column === column && seen(node));
      const inOrder = here.sort((a, b) => height(a) - height(b));
      for (const node of inOrder) {
        let y = (height(node) + down) * data.row;
        result.push({ ...node, y, fold: node.things > 1, open: open.has(node) });
        if (!open.has(node)) continue;
        for (const key of node.members) {
          y += data.row;
          result.push({ ...node, ...things.get(key), y, fold: false, of: node.key });
        }
        down += node.members.length;
      }
    }
    return result;
  }

  function joined() {
    const found = data.edges
      .map(([source, target, side, words, weight, counted]) =>
        ({ source: nodes[source], target: nodes[target], side, words, weight, counted }))
      .filter(({ source, target }) => !open.has(source) && !open.has(target) && seen(source) && seen(target))
      .map((edge) => ({ ...edge, source: edge.source.key, target: edge.target.key }));
    const pairs = new Map();
    for (const [holder, target, side, words, weight, counted] of data.links) {
      const ends = [home.get(holder), home.get(target)];
      if (!ends.some((node) => open.has(node)) || !ends.every(seen)) continue;
      const edge = { source: drawnAs(holder), target: drawnAs(target), side, words, weight, counted };
      const name = `${edge.source} ${edge.target} ${side}`;
      const same = pairs.get(name);
      if (same) same.weight += weight;
      if (same && same.words !== words && !same.words.endsWith("\u2026")) same.words += ", \u2026";
      if (!same) pairs.set(name, edge);
    }
    return [...found, ...pairs.values()];
  }

  const holderNodes = (key) => (data.objects[key]?.[1] ?? []).map((index) => nodes[index]);

  // What holds an object, as it is drawn.
  function holdersOf(key) {
    const drawn = new Set();
    const own = data.links.filter(([, target]) => target === key);
    for (const [holder] of own) drawn.add(drawnAs(holder));
    for (const node of holderNodes(key)) if (!open.has(node)) drawn.add(node.key);
    return drawn;
  }

  // The listed objects that a drawn holder holds.
  function heldBy(key) {
    const node = home.get(key);
    if (things.has(key) && node.key !== key) {
      return data.links.filter(([holder]) => holder === key).map(([, target]) => target);
    }
    return Object.keys(data.objects).filter((object) => data.objects[object][1].includes(node.index));
  }

  // ---- the graph: cytoscape.js

  function makeGraph() {
    const canvas = byId("canvas");
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(`--${name}`).trim();
    document.documentElement.classList.add("drawn");
    const cy = cytoscape({
      container: canvas, elements: [], layout: { name: "preset" }, minZoom: 0.04, maxZoom: 3,
      boxSelectionEnabled: false, autoungrabify: true, autounselectify: true,
      hideEdgesOnViewport: false, textureOnViewport: false,
    });
    let cursor = null; // the node that the keyboard is at
    let focused = null; // what drew the focus: it is done again when the pane changes
    let wide = 0; // of the pane, when the columns were placed

    function look() {
      const ink = colour("ink"), soft = colour("soft"), paper = colour("paper"), accent = colour("accent");
      const looks = Object.keys(data.shapes).map((name) => (
        { selector: `node.${name}`, style: { "background-color": colour(name) } }));
      const sides = ["inside", "outside", "observer", "unplaced"].map((name) => (
        { selector: `edge.${name}`, style: { "line-color": colour(name), "target-arrow-color": colour(name) } }));
      return [
        { selector: "node", style: {
          width: 16, height: 16, shape: "data(shape)", "background-color": ink,
          "border-width": 1, "border-color": ink, label: "data(label)", color: ink,
          "font-family": getComputedStyle(document.body).fontFamily, "font-size": 13,
          "text-valign": "top", "text-margin-y": -4, "text-wrap": "ellipsis",
          "text-max-width": "data(room)", "min-zoomed-font-size": 6,
          "text-background-color": paper, "text-background-opacity": 0.85, "text-background-padding": 1,
        } },
        ...looks,
        { selector: "node.fold", style: { width: 18, height: 18, "border-width": 4, "border-style": "double" } },
        { selector: "node.open", style: { "background-opacity": 0.25 } },
        { selector: "node.title", style: {
          shape: "rectangle", width: 1, height: 1, "background-opacity": 0, "border-width": 0,
          "font-size": 11, color: soft, events: "no",
        } },
        { selector: "edge", style: {
          width: 1.2, opacity: Number(colour("strength")), "curve-style": "straight", "target-arrow-shape": "triangle",
          "arrow-scale": 0.7,
        } },
        { selector: "edge.within", style: { "curve-style": "unbundled-bezier", "control-point-distances": 40, "control-point-weights": 0.5 } },
        ...sides,
        { selector: "edge.uncounted", style: { "line-style": "dashed", "target-arrow-shape": "none" } },
        { selector: ".faded", style: { display: "none" } },
        { selector: "edge.lit", style: {
          opacity: 1, width: 2, label: "data(words)", "font-size": 11, color: ink,
          "text-background-color": paper, "text-background-opacity": 0.9, "text-background-padding": 1,
          "text-wrap": "ellipsis", "text-max-width": 90, "min-zoomed-font-size": 6, "z-index": 5,
        } },
        { selector: "node.hit", style: { "border-width": 3, "border-color": accent } },
        { selector: "node.cursor", style: { "overlay-color": accent, "overlay-opacity": 0.25, "overlay-padding": 5 } },
      ];
    }

    function elements() {
      const made = placed().map((node) => ({
        group: "nodes",
        data: {
          id: node.key, shape: node.shape, title: node.title, column: node.column, y: node.y, of: node.of ?? null,
          label: node.fold ? `${node.open ? "\u25be" : "\u25b8"} ${node.label}` : node.label,
        },
        classes: [node.look, node.fold ? "fold" : "", node.open ? "open" : ""].filter(Boolean),
      }));
      const column = new Map(nodes.map((node) => [node.key, node.column]));
      const place = (key) => column.get(key) ?? home.get(key).column;
      joined().forEach((edge, index) => made.push({
        group: "edges",
        data: { id: `edge ${index}`, source: edge.source, target: edge.target, words: edge.words },
        classes: [edge.side, edge.counted ? "" : "uncounted", place(edge.source) === place(edge.target) ? "within" : ""].filter(Boolean),
      }));
      return made;
    }

    function titles() {
      const visible = nodes.filter(seen);
      const top = Math.min(...visible.map(height)) * data.row - 1.2 * data.row;
      const used = new Set(visible.map((node) => node.column));
      return data.columns.map((name, column) => ({ name, column })).filter(({ column }) => used.has(column))
        .map(({ name, column }) => ({
          group: "nodes",
          data: { id: `column ${name}`, label: name, shape: "rectangle", title: "", column, y: top }, classes: ["title"],
        }));
    }

    function draw() {
      cy.batch(() => {
        cy.elements().remove();
        cy.add([...titles(), ...elements()]);
      });
      focused = null;
      place();
    }

    const room = (columns) => Math.max(108, Math.min(1.5 * data.column, (wide - 24) / (columns + 0.1)));

    // The columns are as far apart as the pane has room for; heights are the layout's.
    function place() {
      wide = canvas.clientWidth;
      const apart = room(data.columns.length);
      cy.batch(() => cy.nodes().forEach((drawn) => {
        const { column, y, of } = drawn.data();
        drawn.position({ x: column * apart + (of ? 12 : 0), y });
        drawn.data("room", apart * (column === 1 && apart > 150 ? 1.35 : 0.95)); // seldom side by side
      }));
    }

    // Draw the elements and nothing else, close together, each column about the same middle.
    function focus(eles, again) {
      const unfolded = new Set(eles.map((drawn) => drawn.data("of")));
      const lit = eles.union(cy.nodes().filter((drawn) => unfolded.has(drawn.id())));
      unfocus();
      focused = again;
      cy.batch(() => {
        cy.elements().not(lit).addClass("faded");
        const stacks = data.columns.map((_, column) => lit.nodes(`[column = ${column}]`)).filter((stack) => stack.length);
        const top = (Math.max(...stacks.map((stack) => stack.length)) - 1) / -2;
        lit.edges().addClass("lit");
        lit.nodes().forEach((drawn) => drawn.data("room", 0.85 * room(stacks.length)));
        stacks.forEach((stack, at) => {
          const x = at * room(stacks.length);
          const first = (stack.length - 1) / -2;
          stack.sort((a, b) => a.data("y") - b.data("y"))
            .forEach((drawn, index) => drawn.position({ x, y: (first + index) * data.row }));
          const title = node(`column ${data.columns[stack[0].data("column")]}`);
          title.removeClass("faded").position({ x, y: (top - 1.2) * data.row });
        });
      });
      const shown = lit.union(cy.nodes(".title").not(".faded"));
      go(shown, { least: 0.9, most: 1.2, middle: node(cursor) });
    }

    // Draw everything again, where it was.
    function unfocus() {
      if (focused) cy.batch(() => cy.elements().removeClass("faded lit"));
      if (focused) place();
      focused = null;
    }

    function leave() {
      if (!focused) return;
      unfocus();
      begin();
    }

    const say = (text) => { byId("said").textContent = text; };
    const real = () => cy.nodes().not(".title");
    const node = (key) => cy.getElementById(key);

    // Bring elements into view: all of them, or at least those about `middle`, else the first.
    function go(eles, { least = 0, most = 1.25, middle = null } = {}) {
      cy.resize();
      const box = eles.boundingBox();
      const pad = 24, width = canvas.clientWidth, height = canvas.clientHeight;
      const zoom = Math.max(least, Math.min(most, (width - 2 * pad) / box.w, (height - 2 * pad) / box.h));
      const fits = zoom * box.h <= height - pad;
      const y = middle && !fits ? height / 2 - zoom * middle.position("y")
        : Math.max(pad, (height - zoom * box.h) / 2) - zoom * box.y1;
      const to = { zoom, pan: { x: width / 2 - zoom * (box.x1 + box.w / 2), y } };
      cy.stop();
      if (calm.matches || cy.elements().length > 1000) cy.viewport(to);
      else cy.animate(to, { duration: 220 });
    }

    // What is worst is on top: a tall graph begins there, in letters that can be read.
    function begin() {
      if (!canvas.clientWidth) return;
      cy.resize();
      if (wide !== canvas.clientWidth) place();
      const box = cy.elements().boundingBox();
      const pad = 12, width = canvas.clientWidth, height = canvas.clientHeight;
      const across = Math.min(1.2, (width - 2 * pad) / box.w);
      const zoom = Math.max(Math.min(across, (height - 2 * pad) / box.h), Math.min(across, 0.9));
      const spare = Math.max(0, height - zoom * box.h) / 2;
      cy.viewport({ zoom, pan: {
        x: width / 2 - zoom * (box.x1 + box.w / 2), y: Math.max(pad, spare) - zoom * box.y1,
      } });
    }

    function mark(key) {
      cy.nodes().removeClass("cursor");
      cursor = key;
      if (key) node(key).addClass("cursor");
    }

    function focusObject(key) {
      const drawn = node(drawnAs(key));
      if (drawn.empty()) return;
      const holders = holdersOf(key);
      const edges = drawn.connectedEdges().filter((edge) => holders.has(edge.source().id()) || edge.target().id() !== drawn.id());
      mark(drawn.id());
      focus(drawn.union(edges).union(edges.connectedNodes()), () => focusObject(key));
      const inFold = drawn.hasClass("fold") ? ` It is one of ${drawn.data("title")}; a click on them unfolds.` : "";
      const many = edges.sources().length;
      say(`${count(many)} ${many === 1 ? "holder is" : "holders are"} drawn.${inFold} Fit draws all again.`);
    }

    function drawHolder(key) {
      const drawn = node(key);
      if (drawn.empty()) return;
      const edges = drawn.connectedEdges();
      mark(key);
      focus(drawn.union(edges).union(edges.connectedNodes()), () => drawHolder(key));
    }

    function focusHolder(key, more = "") {
      const drawn = node(key);
      const keys = heldBy(key);
      holdOnly(drawn.data("label").replace(/^[\u25b8\u25be] /, ""), keys);
      drawHolder(key);
      say(`${drawn.data("title")}: holds ${count(keys.length)} of the listed objects. Fit draws all again.${more}`);
    }

    // Unfold or fold; return what is in the way of it.
    function toggle(fold) {
      const already = open.has(fold);
      if (already) open.delete(fold);
      else open.add(fold);
      const size = placed().length + joined().length;
      const again = focused;
      if (!already && (!fold.opens || size > data.most)) {
        open.delete(fold);
        return `${fold.label} stay folded: at most ${count(data.most)} nodes and edges are drawn.`;
      }
      draw();
      mark(fold.key);
      say(already ? `${fold.label}: folded.` : `${fold.label}: unfolded.`);
      if (again) again();
      else if (!already) go(node(fold.key).union(cy.nodes().filter((other) => fold.members.includes(other.id()))), { least: 0.7 });
      return "";
    }

    function pick(drawn) {
      const id = drawn.id();
      const fold = nodes.find((other) => other.key === id && other.things > 1);
      if (fold) {
        const why = toggle(fold);
        if (why && fold.column !== 1) focusHolder(id, ` ${why}`);
        else if (why) say(why);
      } else if (rowOf.has(id)) {
        choose(id, { scroll: true });
      } else if (home.get(id).column !== 1 || heldBy(id).length) focusHolder(id);
      else say(`${drawn.data("title")}: not among the listed objects.`);
    }

    // Arrow keys go to the nearest node in that direction.
    function walk(dx, dy) {
      const visible = real().not(".faded");
      const here = cursor && node(cursor).nonempty() ? node(cursor) : null;
      const ahead = visible.filter((other) => {
        const columns = here ? other.data("column") - here.data("column") : other.data("column") - 1;
        if (!here) return !columns;
        if (dx) return columns * dx > 0;
        return !columns && (other.position("y") - here.position("y")) * dy > 0.5;
      });
      const far = (other) => (here
        ? Math.abs(other.data("column") - here.data("column")) * 1e6 + Math.abs(other.position("y") - here.position("y"))
        : other.position("y"));
      const best = ahead.min(far).ele ?? (here ? null : visible[0]);
      if (!best) return;
      mark(best.id());
      say(best.data("title"));
      const at = best.renderedPosition();
      if (at.x < 40 || at.y < 40 || at.x > canvas.clientWidth - 40 || at.y > canvas.clientHeight - 20) cy.center(best);
    }

    const zoom = (by) => cy.zoom({ level: cy.zoom() * by, renderedPosition: { x: canvas.clientWidth / 2, y: canvas.clientHeight / 2 } });
    const arrows = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const keys = {
      "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), "0": () => { unfocus(); go(cy.elements()); },
      Enter: () => cursor && node(cursor).nonempty() && pick(node(cursor)),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = arrows[event.key] ? () => walk(...arrows[event.key]) : keys[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    byId("closer").addEventListener("click", keys["+"]);
    byId("wider").addEventListener("click", keys["-"]);
    byId("fit").addEventListener("click", keys["0"]);
    byId("fold").addEventListener("click", () => {
      const again = focused;
      open.clear();
      draw();
      begin();
      say("Everything is folded.");
      again?.();
    });
    cy.on("tap", "node", (event) => { if (!event.target.hasClass("title")) pick(event.target); });
    cy.on("tap", (event) => { if (event.target === cy) clear(); });
    cy.on("mouseover", "node", (event) => { canvas.title = event.target.data("title"); canvas.style.cursor = "pointer"; });
    cy.on("mouseover", "edge", (event) => { canvas.title = event.target.data("words"); });
    cy.on("mouseout", () => { canvas.title = ""; canvas.style.cursor = ""; });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => cy.style(look()));
    // Beside the table, the graph and the chosen object fill what is seen of the page.
    const aside = canvas.closest("aside");
    function fill() {
      const room = innerHeight - Math.max(12, aside.parentNode.getBoundingClientRect().top) - 12;
      aside.style.height = getComputedStyle(aside).position === "sticky" ? `${room}px` : "";
    }
    addEventListener("scroll", () => requestAnimationFrame(fill), { passive: true });
    addEventListener("resize", fill);
    fill();

    cy.style(look());
    draw();
    begin();

    new ResizeObserver(() => {
      cy.resize();
      if (wide === canvas.clientWidth) return;
      if (focused) focused();
      else begin();
    }).observe(canvas);

    return {
      focusObject,
      show: (all) => {
        if (all === whole) return;
        whole = all;
        draw();
        begin();
      },
      unfocus: leave,
      clear: () => { mark(null); say(""); leave(); },
      search: (matches, visible) => {
        const hits = new Set(matches ? visible.map((row) => drawnAs(row.key)) : []);
        cy.batch(() => real().forEach((other) => {
          const hit = matches && (hits.has(other.id()) || matches(other.data("title").toLowerCase()));
          other.toggleClass("hit", Boolean(hit));
        }));
      },
    };
  }

  let graph = null;
  whole = boxes.every((box) => box.value !== "contained" || box.checked);
  if (nodes.length && typeof cytoscape === "function") graph = makeGraph();
  filter();
  if (rowOf.size && location.hash.length > 1) choose(location.hash.slice(1).replace("-", ":"), { scroll: true });
  document.documentElement.classList.add("ready");
})();
