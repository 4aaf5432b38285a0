// The theme draws the diagrams of a page with mermaid, and would fetch it from elsewhere if it were not here.
if (document.querySelector(".mermaid")) {
  const script = new URL("mermaid.min.js", document.currentScript.src);
  // On a phone a diagram shrinks to three quarters and then scrolls: smaller, its words could not be read.
  window.keepReadable = () => {
    const { render } = window.mermaid;
    window.mermaid.render = async (...given) => {
      const drawn = await render(...given);
      const svg = drawn.svg.replace(/max-width: ([\d.]+)px/, (max, width) => `min-width: ${0.75 * width}px; ${max}`);
      return { ...drawn, svg };
    };
  };
  document.write(`<script src="${script}" onload="keepReadable()"></script>`);
}
