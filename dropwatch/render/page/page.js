
"use strict";
// Everything from the packet or the host becomes text by textContent, never markup.
(() => {
  const lists = ["sorts", "ways"].map((id) => document.getElementById(id)).filter(Boolean);
  if (!lists.length) return;
  const findings = Array.from(document.querySelectorAll("#sorts > li"));
  const items = lists.flatMap((list) => Array.from(list.children));
  const search = document.getElementById("search");
  const found = document.getElementById("found");
  const MOST_OPEN = 200;
  let details = null;
  let texts = null;

  const known = () => (details ??= JSON.parse(document.getElementById("details").textContent));

  const made = (name, text, kind) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };

  const row = (list, name, ...parts) => {
    const value = made("dd");
    value.append(...parts);
    list.append(made("dt", name), value);
  };

  const copyButton = (text) => {
    const button = made("button", "Copy", "copy");
    button.type = "button";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const area = made("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = "Copied";
      found.textContent = "copied";
    });
    return button;
  };

  const command = (text) => [made("pre", text, "command"), copyButton(text)];

  const place = (frame) =>
    frame.function === null
      ? frame.address
      : `${frame.function}+0x${frame.offset.toString(16)}${frame.module ? ` [${frame.module}]` : ""}`;

  const stackOf = (frames, meanings) => {
    const list = made("ol", "", "stack");
    for (const frame of frames) {
      const entry = made("li");
      entry.append(made("code", place(frame)));
      const text = meanings[frame.function];
      if (text) entry.append(made("small", ` ${text}`));
      list.append(entry);
    }
    return list;
  };

  const layersOf = (layers) => {
    const list = made("ul");
    for (const layer of layers) {
      const fields = Object.entries(layer.fields).map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`);
      const error = layer.error ? [`stopped here: ${layer.error}`] : [];
      const entry = made("li");
      entry.append(made("b", layer.name), ` ${[...fields, ...error].join(", ")}`);
      list.append(entry);
    }
    return list;
  };

  const unfold = (item) => {
    const finding = known().sorts[findings.indexOf(item)];
    if (item.dataset.full) return;
    item.dataset.full = "yes";
    for (const pre of item.querySelectorAll("pre.command")) pre.after(copyButton(pre.textContent));
    if (!finding) return;
    const list = item.querySelector("dl");
    const others = (all, told) => all.filter((_, at) => at !== Number(told));
    for (const seen of others(finding.evidence, item.dataset.evidence)) row(list, "seen", seen.text, " ", made("small", `(${seen.source})`));
    for (const led of finding.led_by) for (const text of led.evidence) row(list, "led by", text);
    for (const fix of others(finding.fix, item.dataset.fix)) row(list, "or", fix.text, ...(fix.command ? command(fix.command) : []));
    const where = finding.where;
    const about = [where.layer && `layer ${where.layer}`, where.direction, `seen by ${finding.source}`];
    if (finding.reason) about.push(`reason ${finding.reason}`);
    row(list, "where", made("code", place(where)), `, ${about.filter(Boolean).join(", ")}`);
    row(list, "packet", layersOf(finding.layers));
    if (finding.hex) row(list, "bytes", made("pre", finding.hex.replace(/(..)(?=.)/g, "$1 "), "bytes"));
    if (finding.stack.length) row(list, "stack", stackOf(finding.stack, known().words));
    row(list, "JSON", copyButton(JSON.stringify(finding)));
  };

  // What is searched beside what is shown: the words of a finding, not its keys, numbers and bytes.
  const words = (finding) => {
    if (!finding) return [];
    const { evidence, fix, led_by, stack, layers, object, reason, source } = finding;
    return [
      reason,
      source,
      ...evidence.flatMap((seen) => [seen.text, seen.source]),
      ...fix.flatMap((one) => [one.text, one.command]),
      ...led_by.flatMap((led) => led.evidence),
      ...stack.flatMap((frame) => [frame.function, frame.module]),
      ...layers.flatMap((layer) => [layer.name, ...Object.values(layer.fields)]),
      ...Object.values(object ?? {}).filter((value) => typeof value === "string"),
    ];
  };

  const shown = () => items.filter((item) => !item.hidden);

  const filter = () => {
    // The findings come first: of the others there are no further words.
    texts ??= items.map((item, at) => [item.textContent, ...words(known().sorts[at])].join("\n").toLowerCase());
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    items.forEach((item, at) => {
      const fits = wanted.every((word) => texts[at].includes(word));
      if (item.hidden === fits) item.hidden = !fits;
    });
    const counts = lists.map((list) => {
      const all = Array.from(list.children);
      return `${all.filter((item) => !item.hidden).length} of ${all.length}`;
    });
    found.textContent = wanted.length ? `${counts.join(", and of the packets ")} shown` : "";
  };

  const openAll = () => {
    const all = shown().slice(0, MOST_OPEN);
    for (const item of all) item.firstElementChild.open = true;
    const left = shown().length - all.length;
    found.textContent = left ? `the first ${all.length} are open` : "";
  };

  const goTo = () => {
    const item = location.hash && document.getElementById(location.hash.slice(1));
    if (!item || !items.includes(item)) return;
    item.firstElementChild.open = true;
    item.scrollIntoView();
  };

  for (const list of lists)
    list.addEventListener("toggle", (event) => event.target.open && unfold(event.target.parentElement), true);
  let waits = 0;
  search.addEventListener("input", () => {
    cancelAnimationFrame(waits);
    waits = requestAnimationFrame(filter);
  });
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open").addEventListener("click", openAll);
  document.getElementById("close").addEventListener("click", () => {
    for (const item of items) item.firstElementChild.open = false;
    found.textContent = "";
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target.tagName !== "INPUT" && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "Escape" && event.target === search) {
      search.value = "";
      filter();
    }
  });

  // Paper has no folds: what is shown is printed with its answer, as long as that is no book.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = shown().slice(0, MOST_OPEN).filter((item) => !item.firstElementChild.open);
    for (const item of opened) {
      item.firstElementChild.open = true;
      unfold(item);
    }
  });
  addEventListener("afterprint", () => {
    for (const item of opened) item.firstElementChild.open = false;
  });
  addEventListener("hashchange", goTo);
  document.getElementById("controls").hidden = false;
  goTo();
})();
