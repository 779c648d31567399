// Plots as SVG, each with its figures in words for those who do not see it.

import { bytes, h, number } from "./client.js";

const WIDTH = 900;

function figure(caption, description, height, content, legend) {
  return h("figure", {}, h("figcaption", {}, caption), legend ?? null,
    h("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": description }, content));
}

/** Horizontal bars, one or two for each name. */
export function bars(caption, rows, names, digits = 1) {
  const two = rows.some((row) => row.second !== undefined && row.second !== null);
  const [left, step] = [300, two ? 30 : 20];
  const most = Math.max(1e-9, ...rows.flatMap((row) => [row.value ?? 0, row.second ?? 0]));
  const width = (value) => Math.max(0, ((value ?? 0) / most) * (WIDTH - left - 70));
  const one = (value, y, style) => value === null || value === undefined ? [] : [
    h("rect", { class: style, x: left, y, width: width(value), height: 11, rx: 2 }),
    h("text", { class: "faint", x: left + width(value) + 6, y: y + 10 }, number(value, digits))];
  const content = rows.flatMap((row, at) => [
    h("text", { class: "label", x: left - 8, y: at * step + 13, "text-anchor": "end" }, shortened(row.name), h("title", {}, row.name)),
    ...one(row.value, at * step + 3, "bar"), ...(two ? one(row.second, at * step + 15, "bar-2") : [])]);
  const words = rows.map((row) => `${row.name} ${number(row.value, digits)}${two ? ` and ${number(row.second, digits)}` : ""}`);
  const legend = two ? h("div", { class: "legend" }, h("span", {}, h("i"), names[0]), h("span", {}, h("i", { class: "second" }), names[1])) : null;
  return figure(caption, `${caption}: ${words.join("; ")}`, rows.length * step + 6, content, legend);
}

/** Before and after. */
export function sizes(before, after) {
  const rows = [["before", before, "bar-2"], ["after", after, "bar"]];
  const width = (value) => Math.max(2, (value / Math.max(before, after, 1)) * (WIDTH - 200));
  const content = rows.flatMap(([name, value, style], at) => [
    h("text", { class: "label", x: 62, y: at * 26 + 17, "text-anchor": "end" }, name),
    h("rect", { class: style, x: 70, y: at * 26 + 4, width: width(value), height: 18, rx: 2 }),
    h("text", { class: "faint", x: 76 + width(value), y: at * 26 + 17 }, bytes(value))]);
  return figure("Size of the weights", `${bytes(before)} before, ${bytes(after)} after`, 56, content);
}

/** How often each magnitude was seen, on a logarithmic axis, and the range chosen. */
export function histogram(name, { exponent, counts }, chosen) {
  const [height, left, bottom] = [220, 50, 190];
  const columns = 120;
  const bins = 4096;
  const per = Math.ceil(counts.length / columns);
  const sums = [];
  for (let at = 0; at < counts.length; at += per) sums.push(counts.slice(at, at + per).reduce((a, b) => a + b, 0));
  const most = Math.log10(1 + Math.max(1, ...sums));
  const step = (WIDTH - left - 20) / sums.length;
  const width = 2 ** exponent / bins;
  const place = (value) => left + (value / (width * per)) * step;
  const content = [
    ...sums.map((sum, at) => {
      const tall = (Math.log10(1 + sum) / most) * (bottom - 20);
      return h("rect", { class: "bar", x: left + at * step, y: bottom - tall, width: Math.max(0.5, step - 0.6), height: tall });
    }),
    h("line", { class: "axis", x1: left, x2: WIDTH - 20, y1: bottom, y2: bottom }),
    h("text", { class: "faint", x: left, y: bottom + 16 }, "0"),
    h("text", { class: "faint", x: WIDTH - 20, y: bottom + 16, "text-anchor": "end" }, number(width * per * sums.length, 3)),
    h("text", { class: "faint", x: 4, y: 14 }, "count, log scale"),
  ];
  if (chosen?.amax_chosen) {
    const x = Math.min(place(chosen.amax_chosen), WIDTH - 20);
    content.push(h("line", { class: "mark", x1: x, x2: x, y1: 18, y2: bottom }),
      h("text", { class: "label", x: x - 6, y: 30, "text-anchor": "end" }, `range chosen: ${number(chosen.amax_chosen, 4)}`));
  }
  const words = `Magnitudes of ${name}: observed up to ${number(chosen?.amax_observed, 4)}, range chosen up to ${number(chosen?.amax_chosen, 4)} by ${chosen?.algorithm}`;
  return figure(words, words, height, content);
}

function shortened(name) {
  const most = 42;
  return name.length > most ? `…${name.slice(-most)}` : name;
}
