// The search of the site: as `whydrop explain WORDS` does it, in what search-data.js holds. It asks nobody.
"use strict";

(() => {
  const WORTH = { family: 2.0, cause: 1.6, counter: 1.2, "drop reason": 1.0, "kernel function": 0.7 };
  const HARMLESS = 1.1;
  const IN_NAME = 6, IN_TITLE = 4, IN_TEXT = 1, IN_A_ROW = 4, MOST = 30;

  const tokens = (text) =>
    text.replace(/IPv/g, "ipv").replace(/([a-z0-9])(?=[A-Z])|([A-Z])(?=[A-Z][a-z])/g, "$1$2 ")
      .toLowerCase().match(/[a-z]+|[0-9]+/g) || [];
  const plain = (text) => text.toLowerCase().match(/[a-z]+|[0-9]+/g) || [];
  const spellings = (text) => [...plain(text), ...tokens(text)];

  const fit = (wanted, word) => {
    if (word === wanted) return 1;
    if (wanted.length >= 3 && word.startsWith(wanted)) return 0.7;
    if (word.length > 3 && wanted.startsWith(word) && wanted.length - word.length <= 2) return 0.6;
    return 0;
  };

  let pages;
  const all = () => {
    if (!pages) {
      pages = (window.whydropPages || []).map(([name, kind, title, text, path]) => {
        const words = new Map(spellings(text).map((word) => [word, IN_TEXT]));
        spellings(title).forEach((word) => words.set(word, IN_TITLE));
        spellings(name).forEach((word) => words.set(word, IN_NAME));
        const row = plain(`${title} ${text}`).join(" ");
        return { name, kind, title, row, path, words };
      });
    }
    return pages;
  };

  const worth = (wanted) => {
    const found = all().map((page) => {
      let best = 0;
      for (const [word, weight] of page.words) best = Math.max(best, weight * fit(wanted, word));
      return best;
    });
    const having = found.filter((one) => one > 0).length;
    const rarity = having ? Math.log(1 + found.length / having) : 0;
    return found.map((one) => one * rarity);
  };

  const search = (query) => {
    const words = tokens(query);
    if (!words.length) return [];
    const row = plain(query).join(" ");
    const worths = words.map(worth);
    const pairs = words.slice(1).map((word, at) => worth(words[at] + word));
    const exact = query.trim().toLowerCase();
    const hits = [];
    all().forEach((page, at) => {
      const scores = worths.map((one) => one[at]);
      pairs.forEach((one, pair) => {
        if (one[at]) {
          scores[pair] = Math.max(scores[pair], one[at]);
          scores[pair + 1] = Math.max(scores[pair + 1], one[at]);
        }
      });
      if (!scores.every((score) => score > 0)) return;
      let score = scores.reduce((sum, one) => sum + one, 0);
      if (words.length > 1 && page.row.includes(row)) score += IN_A_ROW * Math.max(...scores);
      const name = page.name.toLowerCase();
      if (name === exact || name.endsWith("." + exact)) score += 1000;
      hits.push([score * (page.name.startsWith("benign.") ? HARMLESS : WORTH[page.kind]), page]);
    });
    hits.sort((one, two) => two[0] - one[0] || (one[1].name < two[1].name ? -1 : 1));
    return hits.map(([, page]) => page);
  };

  const root = document.body.dataset.root;
  const form = document.getElementById("search");
  const field = document.getElementById("words");
  const found = document.getElementById("found");
  const count = document.getElementById("count");
  const list = document.getElementById("hits");

  const show = () => {
    const query = field.value;
    const hits = search(query);
    found.hidden = !query.trim();
    const some = hits.length > MOST ? `the nearest ${MOST} of ${hits.length} pages` :
      hits.length === 1 ? "one page" : `${hits.length} pages`;
    count.textContent = hits.length ? `${some} with “${query.trim()}”` : `No page has “${query.trim()}”.`;
    list.replaceChildren(...hits.slice(0, MOST).map((page) => {
      const item = document.createElement("li");
      const link = document.createElement("a");
      const kind = document.createElement("span");
      link.href = root + page.path;
      link.textContent = page.name;
      kind.className = "kind";
      kind.textContent = page.kind;
      item.append(link, " ", kind, " ", page.title);
      return item;
    }));
  };

  field.addEventListener("input", show);
  form.hidden = false; // without this script it would find nothing
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = list.querySelector("a");
    if (first && !found.hidden) location.href = first.href;
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    } else if (event.key === "Escape" && document.activeElement === field) {
      field.value = "";
      show();
    }
  });

  const asked = new URLSearchParams(location.search).get("q");
  if (asked) field.value = asked;
  if (field.value) show();
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted && wanted.closest("details")) wanted.closest("details").open = true;
})();
