// SPDX-License-Identifier: Apache-2.0
// The script of the flame graph. Frames carry their left edge and width as shares of the whole
// (data-x, data-w) and their depth (data-d); the first line of their <title> is the full name.
#include "observe/output/flame_graph.h"

namespace lb::observe {

constexpr std::string_view kFlameScript = R"js(
"use strict";
(function () {
  const graph = document.getElementById("flame");
  if (!graph) return;
  const left = Number(graph.dataset.left), width = Number(graph.dataset.width);
  const charWidth = Number(graph.dataset.char), tiny = 1e-7;
  const frames = Array.from(graph.querySelectorAll("g.f"), (g) => ({
    g: g, rect: g.querySelector("rect"), text: g.querySelector("text"),
    name: g.querySelector("title").textContent.split("\n")[0],
    x: Number(g.dataset.x), w: Number(g.dataset.w), depth: Number(g.dataset.d),
  }));
  const root = frames[0];
  const reset = document.getElementById("reset"), search = document.getElementById("search");
  const found = document.getElementById("found");
  reset.style.display = "none";

  function place(frame, x, w) {
    const px = w * width, room = Math.floor((px - 6) / charWidth);
    const letters = Array.from(frame.name);
    frame.rect.setAttribute("x", left + x * width);
    frame.rect.setAttribute("width", px);
    frame.text.setAttribute("x", left + x * width + 3);
    frame.text.textContent = room < 3 ? "" : letters.length <= room ? frame.name
        : letters.slice(0, room - 2).join("") + "..";
  }

  function zoom(to) {
    for (const f of frames) {
      const inside = f.depth >= to.depth && f.x >= to.x - tiny && f.x + f.w <= to.x + to.w + tiny;
      const below = f.depth < to.depth && f.x <= to.x + tiny && f.x + f.w >= to.x + to.w - tiny;
      f.g.style.display = inside || below ? "" : "none";
      f.g.classList.toggle("below", below);
      if (inside) place(f, (f.x - to.x) / to.w, f.w / to.w);
      if (below) place(f, 0, 1);
    }
    reset.style.display = to === root ? "none" : "";
  }

  function mark(words) {
    const wanted = (words || "").toLowerCase();
    let share = 0, end = 0;
    const hits = frames.filter((f) => {
      const hit = wanted !== "" && f !== root && f.name.toLowerCase().includes(wanted);
      f.g.classList.toggle("hit", hit);
      return hit;
    });
    // From left to right, the wider first: what stands on a frame that counts is counted with it.
    hits.sort((a, b) => a.x - b.x || b.w - a.w);
    for (const f of hits) {
      if (f.x < end - tiny) continue;
      share += f.w;
      end = f.x + f.w;
    }
    found.textContent = wanted === "" ? "" : "found in " + (100 * share).toFixed(1) + " % of all";
  }

  function ask() {
    const words = window.prompt("Functions whose name contains:", "");
    if (words !== null) mark(words);
  }

  graph.addEventListener("click", (event) => {
    const g = event.target.closest("g.f");
    const frame = frames.find((f) => f.g === g);
    if (frame) zoom(frame);
  });
  reset.addEventListener("click", () => zoom(root));
  search.addEventListener("click", ask);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { zoom(root); mark(""); }
    if (event.key === "/") { event.preventDefault(); ask(); }
  });
})();
)js";

}  // namespace lb::observe
