"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = id => document.getElementById(id);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const number = new Intl.NumberFormat("en");
  const share = (part, whole) => (whole ? 100 * part / whole : 0).toFixed(1) + " %";
  const [NAME, WNID, SEEN] = [0, 1, 2];  // of a row of data.labels
  const FAR = 255;

  const element = (name, attributes = {}, ...inside) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...inside);
    return made;
  };
  const onChange = (ids, act) => {
    for (const id of ids) at(id)?.addEventListener(at(id).type === "search" ? "input" : "change", act);
    if (ids.every(at)) act();
  };
  const label = place => {
    const [name, wnid, seen] = data.labels[place];
    return [element("span", {title: wnid}, name), ...(seen ? [" ", element("small", {class: "seen"}, "seen")] : [])];
  };
  const edges = hops => hops === FAR ? "no way" : String(hops);

  // Of many things that are made beforehand one is shown.
  onChange(["table-metric", "table-set"], () => all("#results .table").forEach(one => one.classList.toggle("chosen",
    one.dataset.metric === at("table-metric").value && one.dataset.set === at("table-set").value)));
  onChange(["curve-metric"], () => all(".panels figure").forEach(one => one.classList.toggle("chosen",
    one.dataset.metric === at("curve-metric").value)));
  onChange(["confusion-set"], () => all("#confusions .table").forEach(one => one.classList.toggle("chosen",
    one.dataset.set === at("confusion-set").value)));

  // Curves: models that are pressed in the legend come forward.
  const buttons = all(".legend button");
  for (const button of buttons) button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
    const picked = buttons.filter(one => one.getAttribute("aria-pressed") === "true").map(one => one.dataset.model);
    const panels = document.querySelector(".panels");
    panels.classList.toggle("picked", picked.length > 0);
    all("g[data-model]", panels).forEach(one => one.classList.toggle("on", picked.includes(one.dataset.model)));
  });

  // Images
  const pictures = all(".picture").map(one => ({one, right: JSON.parse(one.dataset.right)}));
  const atFirst = matchMedia("(max-width: 44rem)").matches ? 4 : 8;
  let few = atFirst;
  const fits = (chosen, which, models) =>
    !chosen || (chosen === "every" ? models.every(which) : models.includes(chosen) && which(chosen));
  const showPictures = () => {
    const set = at("image-set").value, wnid = at("image-class").value;
    const rightBy = at("image-right").value, wrongBy = at("image-wrong").value;
    const models = all(`.answers[data-set="${set}"] [data-name]`, pictures[0].one).map(column => column.dataset.name);
    const found = pictures.filter(({one, right}) => (!wnid || one.dataset.class === wnid)
      && fits(rightBy, model => right[set].includes(model), models)
      && fits(wrongBy, model => !right[set].includes(model), models));
    const silent = [rightBy, wrongBy].find(chosen => chosen && chosen !== "every" && !models.includes(chosen));
    const shown = new Set(found.slice(0, few).map(({one}) => one));
    for (const {one} of pictures) {
      one.hidden = !shown.has(one);
      all(".answers", one).forEach(answers => answers.classList.toggle("chosen", answers.dataset.set === set));
    }
    at("image-count").textContent = found.length
      ? `${shown.size} shown, ${found.length} of ${pictures.length} images fit`
      : `None fits: 0 of ${pictures.length} images` + (silent ? `; ${silent} gives no labels of ${set}` : "");
    at("image-more").hidden = found.length <= few;
    at("image-more").textContent = `Show all ${found.length}`;
  };
  onChange(["image-set", "image-class", "image-right", "image-wrong"], showPictures);
  at("image-reset")?.addEventListener("click", () => {
    for (const id of ["image-class", "image-right", "image-wrong"]) at(id).value = "";
    few = atFirst;
    showPictures();
  });
  at("image-more")?.addEventListener("click", () => {
    const first = pictures.find(({one}) => one.hidden)?.one;
    few = Infinity;
    showPictures();
    first?.setAttribute("tabindex", "-1");
    first?.focus({preventScroll: true});
  });

  // Of each label set those models can be chosen that were tested on it.
  const offerModels = (select, sheet) => {
    const before = select.value, models = sheet.models.map(one => one.model);
    const hits = sheet.models.map(one => one.hit1.reduce((sum, images) => sum + images, 0));
    select.replaceChildren(...models.map(model => element("option", {value: model}, data.models[model])));
    const kept = before !== "" && models.includes(Number(before));
    select.value = kept ? before : models[hits.indexOf(Math.max(...hits))];  // at first the one that is right most often
  };

  // Classes
  const order = {key: "images", up: false};
  let rows = 25;
  const classRows = () => {
    const sheet = data.sheets.find(one => one.set === at("class-set").value);
    offerModels(at("class-model"), sheet);
    const model = sheet.models.find(one => one.model === Number(at("class-model").value));
    const made = sheet.classes.map((place, i) => ({place, name: data.labels[place][NAME], images: sheet.images[i],
      hit1: model.hit1[i] / sheet.images[i], hit5: model.hit5[i] / sheet.images[i], taken: model.taken[i],
      times: model.times[i] / sheet.images[i], hops: model.taken[i] < 0 ? -1 : model.hops[i]}));
    return {sheet, made};
  };
  const compare = (a, b) => (order.up ? 1 : -1) * (a[order.key] < b[order.key] ? -1 : a[order.key] > b[order.key] ? 1 : 0)
    || (a.name < b.name ? -1 : 1);
  const bar = value => {
    const inside = element("i");
    inside.style.width = `${100 * value}%`;
    return element("span", {class: "bar", "aria-hidden": "true"}, inside);
  };
  const classRow = one => element("tr", {}, element("th", {scope: "row"}, ...label(one.place)),
    element("td", {}, number.format(one.images)), element("td", {}, bar(one.hit1), element("span", {}, share(one.hit1, 1))),
    element("td", {}, share(one.hit5, 1)),
    element("td", {}, ...(one.taken < 0 ? ["never wrong"] : [...label(one.taken), ` ${share(one.times, 1)}`])),
    element("td", {}, one.taken < 0 ? "" : edges(one.hops)));
  const showClasses = () => {
    const {sheet, made} = classRows(), wanted = at("class-find").value.trim().toLowerCase();
    const found = made.filter(one => one.name.toLowerCase().includes(wanted)
      || data.labels[one.place][WNID] === wanted).sort(compare);
    at("class-table").tBodies[0].replaceChildren(...found.slice(0, rows).map(classRow));
    at("class-table").parentElement.hidden = !found.length;
    at("class-count").textContent = (found.length
      ? `${Math.min(rows, found.length)} shown of ${number.format(found.length)} classes`
      : `None fits: 0 of ${number.format(made.length)} classes`)
      + (sheet.left_out ? `; ${number.format(sheet.left_out)} more, drawn at random, are left out of this page` : "");
    at("class-more").hidden = found.length <= rows;
    all("th button", at("class-table")).forEach(button => {
      const here = button.dataset.key === order.key;
      button.parentElement.setAttribute("aria-sort", here ? (order.up ? "ascending" : "descending") : "none");
    });
  };
  all("#class-table th button").forEach(button => button.addEventListener("click", () => {
    const key = button.dataset.key;
    Object.assign(order, {key, up: order.key === key ? !order.up : key === "name"});
    showClasses();
  }));
  at("class-more")?.addEventListener("click", () => { rows += 100; showClasses(); });
  onChange(["class-set", "class-model", "class-find"], showClasses);

  // Confusions
  let pairs = 15;
  const confusionRow = ([true_, answer, images, hops, tested]) => element("tr", {},
    element("th", {scope: "row"}, ...label(true_)), element("td", {}, ...label(answer)), element("td", {}, edges(hops)),
    element("td", {}, number.format(images)), element("td", {}, share(images, tested)));
  const showConfusions = () => {
    const set = at("confusion-set").value, sheet = data.sheets.find(one => one.set === set);
    const of = data.confusions.filter(one => one.set === set);
    offerModels(at("confusion-model"), sheet);
    const [seen, band] = [at("confusion-seen").value, at("confusion-band").value];
    const [least, most] = band === "" ? [0, FAR] : data.bands[band];
    const every = of.find(one => one.model === Number(at("confusion-model").value))?.rows ?? [];
    const found = every.filter(([, answer, , hops]) => hops >= least && hops <= most
      && (seen === "" || data.labels[answer][SEEN] === Number(seen)));
    at("confusion-table").tBodies[0].replaceChildren(...found.slice(0, pairs).map(confusionRow));
    at("confusion-table").parentElement.hidden = !found.length;
    at("confusion-count").textContent = (found.length ? `${Math.min(pairs, found.length)} shown; ` : "None fits: ")
      + `${found.length} of the model’s ${every.length} most frequent confusions` + (found.length ? " fit" : "");
    at("confusion-more").hidden = found.length <= pairs;
    at("confusion-more").textContent = `Show all ${found.length}`;
  };
  at("confusion-more")?.addEventListener("click", () => { pairs = Infinity; showConfusions(); });
  onChange(["confusion-set", "confusion-model", "confusion-seen", "confusion-band"], showConfusions);

  // The map: its table holds the points, in the same order.
  const map = at("label-map"), here = at("map-here");
  const points = all("#map-table tbody tr").map(row => ({x: Number(row.dataset.x), y: Number(row.dataset.y),
    said: [...row.cells].map(cell => cell.textContent)}));
  let current = null;
  const go = point => {
    if (!point || point === current) return;
    current = point;
    const [name, wnid, kind, trained, nearest] = point.said, [ring, text] = here.children;
    here.removeAttribute("hidden");
    for (const [key, value] of [["cx", point.x], ["cy", point.y]]) ring.setAttribute(key, value);
    const left = point.x > 500;
    text.textContent = name;
    text.setAttribute("x", point.x + (left ? -18 : 18));
    text.setAttribute("y", Math.max(point.y, 30) + 7);
    text.setAttribute("text-anchor", left ? "end" : "start");
    at("map-said").textContent = `${name} (${kind}, ${wnid}), ${trained === "seen" ? "seen" : "never seen"}; nearest: ${nearest}`;
  };
  const pointAt = event => {
    const box = map.getBoundingClientRect(), scale = map.viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const far = point => Math.hypot(point.x - x, point.y - y);
    const near = points.reduce((best, point) => far(point) < far(best) ? point : best, points[0]);
    return near && far(near) < 30 * Math.max(1, scale) ? near : null;
  };
  map.addEventListener("pointermove", event => go(pointAt(event)));
  map.addEventListener("click", event => go(pointAt(event)));
  // Left and right go through all labels by their place across, up and down to the next one above and below.
  const across = [...points].sort((a, b) => a.x - b.x);
  const beyond = {ArrowUp: (from, to) => from.y - to.y, ArrowDown: (from, to) => to.y - from.y};
  map.addEventListener("keydown", event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key], way = beyond[event.key];
    if (!step && !way) return;
    event.preventDefault();
    if (!current) return go(across[0]);
    if (step) return go(across[across.indexOf(current) + step]);
    const cost = point => way(current, point) > 0 ? way(current, point) + 2 * Math.abs(point.x - current.x) : Infinity;
    const next = points.reduce((best, point) => cost(point) < cost(best) ? point : best, current);
    if (cost(next) < Infinity) go(next);
  });
})();
