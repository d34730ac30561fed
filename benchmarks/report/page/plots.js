// Hands the figures to Plotly, in the page's colours, with one legend for the plots of a set.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 700px)");

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const [text, line, paper] = [value("--text"), value("--rule"), value("--paper")];
    const soft = value("--soft");
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      "font.color": text,
      "hoverlabel.bgcolor": paper,
      "hoverlabel.bordercolor": line,
      "hoverlabel.font.color": text,
      "xaxis.gridcolor": line,
      "yaxis.gridcolor": line,
      "xaxis.linecolor": line,
      "yaxis.linecolor": line,
      // By itself it takes half of the paper's colour, which is black where there is none.
      "modebar.bgcolor": "rgba(0,0,0,0)",
      "modebar.color": soft,
      "modebar.activecolor": text,
    };
  }

  // Every set has its legend at its first plot; the others follow what is chosen there.
  function follow(first, others) {
    first.on("plotly_restyle", () => {
      const visible = new Map(first.data.map((trace) => [trace.name, trace.visible ?? true]));
      for (const other of others) {
        const all = other.data.map((trace) => visible.get(trace.name) ?? trace.visible ?? true);
        Plotly.restyle(other, { visible: all });
      }
    });
  }

  // The legend has as many lines as the width leaves it, and its own room.
  function makeRoom(element, entries) {
    const columns = Math.max(1, Math.floor(element.clientWidth / 340));
    const legend = 20 * Math.ceil(entries / columns);
    element.style.height = `${(narrow.matches ? 290 : 420) + legend}px`;
    return 60 + legend;
  }

  const config = { displaylogo: false, responsive: true, showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const drawn = [];
  for (const set of document.querySelectorAll(".plots")) {
    const plots = [...set.querySelectorAll(".canvas")];
    plots.forEach((element, n) => {
      const { data, layout } = figures[element.dataset.plot];
      layout.showlegend = n === 0;
      if (n === 0) {
        layout.legend = { ...layout.legend, yref: "container", y: 0, yanchor: "bottom", maxheight: 900 };
        layout.margin.b = makeRoom(element, data.length);
      }
      layout.autosize = true;
      layout.xaxis.title.text = "bits per pixel";
      layout.yaxis.title = { text: "" };
      // A finger that scrolls the page shall not be caught by a plot.
      if (narrow.matches) layout.dragmode = false;
      Plotly.newPlot(element, data, layout, { ...config, scrollZoom: !narrow.matches });
      Plotly.relayout(element, colours());
      drawn.push(element);
    });
    if (plots.length > 1) follow(plots[0], plots.slice(1));
  }
  window.addEventListener("resize", () => {
    for (const plot of drawn) {
      const own = plot.layout.showlegend;
      if (own) Plotly.relayout(plot, { "margin.b": makeRoom(plot, plot.data.length) });
      Plotly.Plots.resize(plot);
    }
  });
  dark.addEventListener("change", () => drawn.forEach((plot) => Plotly.relayout(plot, colours())));
})();
