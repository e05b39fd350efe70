"use strict";
(() => {
  for (const box of document.querySelectorAll("table, .wide")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
  const browser = document.getElementById("browser");
  if (!browser) return;
  const scores = JSON.parse(document.getElementById("scores").textContent);
  const by = (id) => document.getElementById(id);
  const list = by("cards");
  const cards = [...list.children];
  const controls = by("controls");
  const dialog = by("large");
  const directions = Object.fromEntries([...by("metric").options].map((o) => [o.value, o.dataset.direction]));
  const rows = {};
  for (const [key, table] of Object.entries(scores)) {
    rows[key] = Object.fromEntries(table.nsd_id.map((id, row) => [id, row]));
  }
  const page = 24;
  let limit = page;
  let shown = [];
  let current = 0;

  function score(card, metric) {
    const key = by("scored").value;
    const values = scores[key][metric];
    const row = rows[key][card.dataset.id];
    return values === undefined || row === undefined ? null : values[row];
  }

  function wanted(card, metric) {
    if (card.dataset.subject !== by("scored").value.split("/")[0]) return false;
    if (by("id").value.trim() && card.dataset.id !== by("id").value.trim()) return false;
    const value = score(card, metric);
    const [least, most] = [by("least").value, by("most").value];
    if (least !== "" && !(value !== null && value >= Number(least))) return false;
    return most === "" || (value !== null && value <= Number(most));
  }

  function order(metric) {
    const key = by("order").value;
    if (key === "id") return (a, b) => a.dataset.id - b.dataset.id;
    const sign = (directions[metric] === "lower" ? 1 : -1) * (key === "best" ? 1 : -1);
    return (a, b) => {
      const [x, y] = [score(a, metric), score(b, metric)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x - y) || a.dataset.id - b.dataset.id;
    };
  }

  function update() {
    const metric = by("metric").value;
    const key = by("scored").value;
    const inside = cards.filter((card) => wanted(card, metric)).sort(order(metric));
    const kept = new Set(inside);
    list.append(...inside, ...cards.filter((card) => !kept.has(card)));
    for (const card of cards) {
      const value = score(card, metric);
      card.querySelector(".score").textContent =
        `Image ${card.dataset.id}: ${metric} ${value === null ? "not known" : value}`;
      for (const shot of card.querySelectorAll(".shot")) {
        shot.classList.toggle("scored", shot.dataset.key === key);
      }
    }
    shown = inside;
    cards.forEach((card) => { card.hidden = true; });
    inside.slice(0, limit).forEach((card) => { card.hidden = false; });
    by("more").hidden = inside.length <= limit;
    const total = cards.filter((card) => card.dataset.subject === key.split("/")[0]).length;
    by("count").textContent =
      `${inside.length} of ${total} images` + (inside.length > limit ? `, ${limit} shown` : "");
  }

  function enlarge(place) {
    current = (place + shown.length) % shown.length;
    const card = shown[current];
    by("large-title").textContent = `Image ${card.dataset.id}, ${card.dataset.subject} (${current + 1} of ${shown.length})`;
    by("large-shots").replaceChildren(
      ...[...card.querySelectorAll(".shot")].map((shot) => shot.cloneNode(true)),
    );
    const body = by("large-scores");
    body.replaceChildren();
    for (const metric of Object.keys(scores[by("scored").value])) {
      if (metric === "nsd_id") continue;
      const row = body.insertRow();
      row.insertCell().textContent = `${metric} ${directions[metric] === "lower" ? "↓" : "↑"}`;
      row.insertCell().textContent = score(card, metric) ?? "–";
    }
    by("large-scored").textContent = by("scored").selectedOptions[0].textContent;
    if (!dialog.open) dialog.showModal();
  }

  controls.hidden = false;
  for (const event of ["input", "change"]) {
    controls.addEventListener(event, () => { limit = page; update(); });
  }
  controls.addEventListener("submit", (event) => event.preventDefault());
  by("clear").addEventListener("click", () => { controls.reset(); limit = page; update(); });
  by("more").addEventListener("click", () => {
    const next = shown[limit];
    limit += page;
    update();
    next.querySelector("button").focus();
  });
  list.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card && event.target.closest("button")) enlarge(shown.indexOf(card));
  });
  by("previous").addEventListener("click", () => enlarge(current - 1));
  by("next").addEventListener("click", () => enlarge(current + 1));
  by("close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") enlarge(current - 1);
    if (event.key === "ArrowRight") enlarge(current + 1);
  });
  dialog.addEventListener("close", () => shown[current]?.querySelector("button").focus());
  update();
})();
