// The theme's search has its few words in English alone, in a tree of its own, whatever the language of the site.
const portuguese = new Map([
  ["Search", "Buscar"],
  ["Close search", "Fechar a busca"],
  ["Search results", "Resultados da busca"],
  ["Loading search…", "Carregando a busca…"],
  ["No results", "Nenhum resultado"],
  ["Filters", "Filtros"],
]);

function translate(root) {
  for (const element of root.querySelectorAll("[aria-label], [placeholder]")) {
    for (const name of ["aria-label", "placeholder"]) {
      const word = portuguese.get(element.getAttribute(name));
      if (word) element.setAttribute(name, word);
    }
  }
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const said = texts.currentNode.data;
    const meant = portuguese.get(said) ?? said.replace(/^([\d.,]+) results?$/, (_, count) =>
      `${count.replaceAll(",", ".")} ${count === "1" ? "resultado" : "resultados"}`);
    if (meant !== said) texts.currentNode.data = meant;
  }
}

const seen = new WeakSet();

function look() {
  for (const { shadowRoot } of document.body.children) {
    if (!shadowRoot || seen.has(shadowRoot)) continue;
    seen.add(shadowRoot);
    const watched = { childList: true, subtree: true, characterData: true, attributes: true };
    new MutationObserver(() => translate(shadowRoot)).observe(shadowRoot, watched);
    translate(shadowRoot);
  }
}

new MutationObserver(look).observe(document.body, { childList: true });
look();
