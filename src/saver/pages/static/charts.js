"use strict";
// Curves (uPlot) and the progress of comparisons. Everything drawn here is in tables of the page too.
(() => {
  const DASHES = [[], [10, 5], [3, 3], [14, 4, 3, 4], [6, 3]];
  const INKS = 6;
  const MOST_MARKED = 5;
  const HEIGHT = 280;

  const finite = (value) => typeof value === "number";
  const brief = (value) => typeof value === "string" ? value : String(Number(value.toPrecision(6)));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // Comparisons: the weights replace their progress as soon as they are there.
  function compare(section) {
    const bar = section.querySelector("progress");
    const state = section.querySelector("#state");
    const source = new EventSource(section.dataset.progress);
    let ended = false;
    source.addEventListener("progress", (event) => {
      const { done, total } = JSON.parse(event.data);
      bar.max = total || 1;
      bar.value = done;
    });
    source.addEventListener("ended", async () => {
      ended = true;
      source.close();
      state.textContent = "The weights are here.";
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.getElementById("weights");
      if (found) {
        section.replaceWith(document.importNode(found, true));
        const next = document.getElementById("weights");
        if (next.dataset.progress) compare(next);
      }
    });
    source.onerror = () => {
      if (!ended) state.textContent = "The server does not answer; trying again.";
    };
    addEventListener("pagehide", () => source.close());
  }

  // The moving average of TensorBoard, free of the bias of its beginning; `past` is the weight of the past.
  function smoothed(values, past) {
    let mean = 0;
    let share = 0;
    return values.map((value) => {
      if (!finite(value)) return value;
      mean = past * mean + (1 - past) * value;
      share = past * share + (1 - past);
      return mean / share;
    });
  }

  // Numbers along an axis: short ones, since "1,000,000,000" does not fit.
  const tick = (value) => {
    if (value === null) return "";
    const size = Math.abs(value);
    return value !== 0 && (size >= 1e6 || size < 1e-4) ? value.toExponential().replace("e+", "e") : brief(value);
  };
  const ticks = (plot, splits) => splits.map(tick);

  // The width of an axis: that of its longest label.
  function needed(plot, labels, axis) {
    const longest = Math.max(4, ...(labels ?? []).map((label) => (label ?? "").length));
    return 24 + 7.5 * longest;
  }

  // On a logarithmic axis, lines and labels stand at powers of ten, unless there are fewer than two.
  function decades(plot, splits) {
    const isDecade = (value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
    const many = splits.filter(isDecade).length > 1;
    return splits.map((value) => many && !isDecade(value) ? null : value);
  }

  class Curves {
    constructor(root) {
      this.root = root;
      this.runs = JSON.parse(root.dataset.runs);
      this.query = new URLSearchParams(location.search);
      this.plots = [];
      this.asking = null;
      this.controls();
      this.load().then(() => this.listen());
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
      document.addEventListener("visibilitychange", () => this.turned());
      addEventListener("pagehide", () => this.source?.close());
      let width = root.clientWidth;
      new ResizeObserver(() => {
        if (root.clientWidth === width) return;
        width = root.clientWidth;
        for (const each of this.plots) each.plot.setSize({ width, height: HEIGHT });
      }).observe(root);
    }

    number(name) {
      const text = this.query.get(name);
      return text === null || text === "" ? null : Number(text);
    }

    get(id) {
      return document.getElementById(id);
    }

    controls() {
      const smooth = this.get("smooth");
      const scale = this.get("scale");
      const metric = this.get("metric");
      smooth.value = this.number("smooth") ?? 0;
      scale.value = this.query.get("scale") ?? "auto";
      metric.value = this.query.get("metric") ?? "";
      this.get("smooth-shown").textContent = smooth.value;
      this.get("controls").classList.remove("hidden");
      this.get("controls").addEventListener("submit", (event) => event.preventDefault());
      smooth.addEventListener("input", () => {
        this.get("smooth-shown").textContent = smooth.value;
        this.keep("smooth", smooth.value === "0" ? null : smooth.value);
        this.draw();
      });
      scale.addEventListener("change", () => {
        this.keep("scale", scale.value === "auto" ? null : scale.value);
        this.draw();
      });
      metric.addEventListener("change", () => {
        this.keep("metric", metric.value || null);
        location.reload();
      });
      for (const button of document.querySelectorAll("[data-zoom]")) {
        button.addEventListener("click", () => this.zoom(button.dataset.zoom));
      }
    }

    // The address of the page says what is seen, so that it can be shared.
    keep(name, value) {
      if (value === null) this.query.delete(name);
      else this.query.set(name, value);
      const text = this.query.toString();
      history.replaceState(null, "", location.pathname + (text ? "?" + text : ""));
    }

    async load() {
      if (this.asking) this.asking.abort();
      this.asking = new AbortController();
      const query = new URLSearchParams(this.query);
      query.set("format", "json");
      query.set("columns", Math.min(Math.max(this.root.clientWidth, 50), 2000));
      try {
        const answer = await fetch(`${location.pathname}?${query}`, { signal: this.asking.signal });
        const found = await answer.json();
        if (!answer.ok) throw new Error(found.error);
        this.found = found;
        this.say("");
      } catch (error) {
        if (error.name === "AbortError") return;
        this.say(`The curves could not be read: ${error.message}`);
        return;
      }
      this.draw();
    }

    say(text) {
      this.get("trouble").textContent = text;
    }

    // Steps

    ends() {
      let first = Infinity;
      let last = -Infinity;
      for (const panel of this.found.panels) {
        for (const curve of panel.curves) {
          if (!curve.first) continue;
          first = Math.min(first, curve.first.step);
          last = Math.max(last, curve.last.step);
        }
      }
      return first <= last ? [first, last] : [0, 1];
    }

    seen() {
      const [first, last] = this.ends();
      const low = this.number("low") ?? first;
      const high = this.number("high") ?? last;
      return low < high ? [low, high] : [low - 1, low + 1];
    }

    zoom(how) {
      if (!this.found) return;
      const [low, high] = this.seen();
      const width = high - low;
      const move = { in: [0.25, -0.25], out: [-0.5, 0.5], left: [-0.5, -0.5], right: [0.5, 0.5] }[how];
      if (move) this.show(low + move[0] * width, high + move[1] * width);
      else this.show(null, null);
    }

    show(low, high) {
      const [first, last] = this.ends();
      if (low !== null) {
        low = Math.max(0, Math.floor(low));
        high = Math.max(low + 1, Math.ceil(high));
        if (low <= first && high >= last) low = high = null;
      }
      this.keep("low", low);
      this.keep("high", high);
      this.load();
    }

    // Drawing

    draw() {
      if (!this.found) return;
      for (const each of this.plots) each.plot.destroy();
      this.plots = [];
      const panels = document.querySelectorAll(".panel");
      this.found.panels.forEach((panel, at) => {
        if (panels[at]) this.plots.push(this.plotted(panel, panels[at]));
      });
      this.range();
    }

    range() {
      const [low, high] = this.seen();
      const all = this.number("low") === null && this.number("high") === null;
      this.get("range").textContent = all ? "All steps." : `Steps ${low} to ${high}.`;
    }

    logarithmic(panel) {
      const scale = this.get("scale").value;
      return scale === "log" || (scale === "auto" && panel.logarithmic);
    }

    plotted(panel, section) {
      const log = this.logarithmic(panel);
      const past = Number(this.get("smooth").value);
      const series = [{ label: "step" }];
      panel.curves.forEach((curve, at) => {
        const line = {
          label: `${curve.run} ${curve.metric}`, stroke: css(`--curve-${at % INKS}`), width: 2,
          dash: DASHES[at % DASHES.length], points: { show: curve.steps.length < 3 },
          value: (plot, value) => value === null || value === undefined ? "-" : brief(value),
        };
        if (past) series.push({ ...line, label: `${line.label}, as logged`, width: 1, alpha: 0.35 });
        series.push(past ? { ...line, label: `${line.label}, smoothed` } : line);
      });
      const ink = css("--ink");
      const grid = { stroke: css("--line"), width: 1 };
      const axis = { stroke: ink, grid, ticks: grid };
      const plot = new uPlot({
        width: Math.max(this.root.clientWidth, 200), height: HEIGHT,
        cursor: { drag: { x: true, y: false, setScale: false } },
        scales: {
          x: { time: false, range: () => this.seen() },
          y: log ? { distr: 3 } : {},
        },
        axes: [{ ...axis, label: "step", labelSize: 20, values: ticks },
          { ...axis, size: needed, values: ticks, ...(log && { filter: decades, grid: { ...grid, filter: decades }, ticks: { ...grid, filter: decades } }) }],
        series,
        hooks: {
          setSelect: [(plot) => this.selected(plot)],
          draw: [(plot) => this.marks(plot, panel)],
        },
      }, this.data(panel, log, past), this.emptied(section.querySelector(".plot")));
      this.remark(panel, section, log);
      return { plot, panel, section };
    }

    emptied(element) {
      element.replaceChildren();
      return element;
    }

    remark(panel, section, log) {
      const below = log && panel.curves.some((curve) => curve.values.some((each) => finite(each) && each <= 0));
      section.querySelector(".remark").textContent =
        (log ? "logarithmic" : "") + (below ? "; values that are not above 0 are not drawn" : "");
    }

    selected(plot) {
      if (plot.select.width < 3) return;
      const low = plot.posToVal(plot.select.left, "x");
      const high = plot.posToVal(plot.select.left + plot.select.width, "x");
      plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.show(low, high);
    }

    // All curves of a panel on the steps of all of them: undefined where a curve has no point, null where its
    // value cannot be drawn, which leaves a gap.
    data(panel, log, past) {
      const steps = [...new Set(panel.curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
      const places = new Map(steps.map((step, at) => [step, at]));
      const found = [steps];
      for (const curve of panel.curves) {
        const values = curve.values.map((each) => finite(each) && !(log && each <= 0) ? each : null);
        for (const each of past ? [values, smoothed(values, past)] : [values]) {
          const column = new Array(steps.length).fill(undefined);
          curve.steps.forEach((step, at) => { column[places.get(step)] = each[at]; });
          found.push(column);
        }
      }
      return found;
    }

    // Marks below the curves: dots for saves, triangles for resumes, crosses for what is not finite.
    marks(plot, panel) {
      const names = [...new Set(panel.curves.map((curve) => curve.run))];
      const marked = new Set();
      const [low, high] = this.seen();
      const ratio = devicePixelRatio || 1;
      const bottom = plot.bbox.top + plot.bbox.height;
      const context = plot.ctx;
      context.save();
      const place = (step) => plot.valToPos(step, "x", true);
      panel.curves.forEach((curve, at) => {
        context.strokeStyle = css(`--curve-${at % INKS}`);
        context.lineWidth = 2 * ratio;
        curve.values.forEach((value, index) => {
          const step = curve.steps[index];
          if (!finite(value) && step >= low && step <= high) {
            cross(context, place(step), plot.bbox.top + 8 * ratio + at * 10 * ratio, 3 * ratio);
          }
        });
        if (names.length > MOST_MARKED || marked.has(curve.run)) return;
        marked.add(curve.run);
        const level = bottom - (5 + 9 * names.indexOf(curve.run)) * ratio;
        const run = this.found.runs.find((each) => each.run === curve.run);
        let last = -Infinity;
        context.fillStyle = context.strokeStyle;
        for (const event of run ? run.events : []) {
          if (event.step < low || event.step > high) continue;
          const x = place(event.step);
          if (event.kind === "saved" && x - last < 8 * ratio) continue;
          if (event.kind === "saved") last = x;
          mark(context, event.kind, x, level, 3 * ratio);
        }
      });
      context.restore();
    }

    // Live

    have(run) {
      const found = this.found.runs.find((each) => each.run === run || each.run.startsWith(`${run}: `));
      return found ? found.ref : "-";
    }

    // A browser has some six connections to a server: a page that is not seen leaves its own to others.
    turned() {
      this.source?.close();
      if (document.hidden) this.get("live").textContent = "Not live while it is not seen";
      else this.load().then(() => { this.tables(); this.listen(); });
    }

    listen() {
      this.source?.close();
      if (!this.found || document.hidden) return;
      const query = new URLSearchParams();
      for (const run of this.runs.slice(1)) query.append("with", run);
      for (const run of this.runs) query.append("have", this.have(run));
      for (const metric of this.query.getAll("metric")) query.append("metric", metric);
      const source = new EventSource(`/curves-live/${this.root.dataset.at}?${query}`);
      const live = this.get("live");
      this.source = source;
      source.onopen = () => { live.textContent = "Live"; };
      source.addEventListener("update", (event) => this.update(JSON.parse(event.data)));
      source.addEventListener("trouble", (event) => {
        const { run, trouble } = JSON.parse(event.data);
        this.say(`${run}: ${trouble}`);
      });
      source.onerror = () => {
        live.textContent = "Not live: the server does not answer; trying again";
        source.close(); // what the page has by then is another version
        setTimeout(() => this.load().then(() => this.listen()), 2000);
      };
    }

    update(news) {
      const known = new Set(this.found.panels.flatMap((each) => each.curves.map((one) => key(one))));
      const chosen = this.query.getAll("metric").length > 0;
      if (!chosen && !this.found.more && news.curves.some(([, curve]) => !known.has(key(curve)))) {
        location.reload(); // a metric that is new needs a picture of its own
        return;
      }
      for (const run of news.runs) {
        const at = this.found.runs.findIndex((each) => each.run === run.run);
        if (at >= 0) this.found.runs[at] = run;
      }
      const fresh = new Map(news.curves.map(([start, curve]) => [key(curve), [start, curve]]));
      let many = false;
      for (const panel of this.found.panels) {
        panel.curves = panel.curves.map((curve) => {
          const [start, added] = fresh.get(key(curve)) ?? [null, null];
          if (added === null) return curve;
          const next = this.joined(curve, start, added);
          many = many || next.steps.length > 8 * this.found.columns;
          return next;
        });
      }
      this.say("");
      if (many && this.number("low") === null) {
        this.load().then(() => this.tables());
        return;
      }
      for (const { plot, panel, section } of this.plots) {
        const log = this.logarithmic(panel);
        plot.setData(this.data(panel, log, Number(this.get("smooth").value)));
        this.remark(panel, section, log);
      }
      this.tables();
      const version = news.runs.map((each) => each.ref).join(", ");
      this.get("live").textContent = `Live: ${version} at ${new Date().toLocaleTimeString()}`;
    }

    joined(curve, start, added) {
      if (start === null) return { ...added, role: curve.role, steps: curve.steps, values: curve.values };
      const kept = curve.steps.findIndex((step) => step >= start);
      const end = kept < 0 ? curve.steps.length : kept;
      const low = this.number("low") ?? -Infinity;
      const high = this.number("high") ?? Infinity;
      const steps = curve.steps.slice(0, end);
      const values = curve.values.slice(0, end);
      added.steps.forEach((step, at) => {
        if (step < low || step > high) return;
        steps.push(step);
        values.push(added.values[at]);
      });
      return { ...added, role: curve.role, steps, values };
    }

    tables() {
      const point = (cell, found) => {
        cell.textContent = found ? `${brief(found.value)} at ${found.step}` : "-";
      };
      for (const { panel, section } of this.plots) {
        const rows = section.querySelectorAll("tr.curve");
        panel.curves.forEach((curve, at) => {
          if (!rows[at]) return;
          point(rows[at].querySelector(".last"), curve.last);
          point(rows[at].querySelector(".lowest"), curve.lowest);
          point(rows[at].querySelector(".highest"), curve.highest);
          rows[at].querySelector(".points").textContent = curve.points;
          rows[at].querySelector(".lost").textContent = curve.not_finite;
        });
      }
    }
  }

  const key = (curve) => JSON.stringify([curve.run, curve.metric]);

  function cross(context, x, y, size) {
    context.beginPath();
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x - size, y + size);
    context.lineTo(x + size, y - size);
    context.stroke();
  }

  function mark(context, kind, x, y, size) {
    context.beginPath();
    if (kind === "saved") {
      context.arc(x, y, size, 0, 2 * Math.PI);
    } else if (kind === "resumed") {
      context.moveTo(x, y - size * 1.3);
      context.lineTo(x + size * 1.3, y + size);
      context.lineTo(x - size * 1.3, y + size);
    } else {
      context.moveTo(x, y - size * 1.4);
      context.lineTo(x + size * 1.4, y);
      context.lineTo(x, y + size * 1.4);
      context.lineTo(x - size * 1.4, y);
    }
    context.closePath();
    context.fill();
  }

  const weights = document.querySelector("#weights[data-progress]");
  if (weights) compare(weights);
  const curves = document.getElementById("curves");
  if (curves) new Curves(curves);
})();
