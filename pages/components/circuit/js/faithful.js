/** Faithfulness beside K: the smallest circuits that reach what is asked for, and f at the measured sizes nearest to K. */

import { escaped } from "./svg.js";

const count = (value) => value.toLocaleString("en-US");
const percent = (share) => `${Math.round(100 * share)}%`;
const modelsOf = ({ header }) => Object.entries(header.faithful?.models ?? {});

/** By model measured over K: the smallest K that reaches `tau`, and the size before it; undefined where none does. */
export function marksOf(payload, tau) {
    return modelsOf(payload).flatMap(([model, { smallest }]) => {
        const [k, below] = smallest?.[tau] ?? [];
        return smallest ? [{ model, label: payload.header.models[model].label, k, below }] : [];
    });
}

/** HTML of a button for each, which sets K. */
export function smallestWords(marks, tau, colours) {
    const words = marks.map(({ model, label, k, below }) => {
        if (k === undefined) return `<span>${escaped(label)}: none</span>`;
        const why = `The smallest measured circuit with a faithfulness of ${tau} or more; ${count(below)} edges have less.`;
        const sign = `<i style="color:${colours[model]}">▲</i>`;
        return `<button type="button" data-size="${k}" title="${why} Set K to it.">${sign} ${escaped(label)} K = ${count(k)}</button>`;
    });
    return words.join(" ");
}

/** HTML of f of the models that are measured, at the measured sizes nearest to K. */
export function faithfulnessWords(payload, k) {
    const distance = (size) => Math.max(size, k) / Math.min(size, k); // as nearest_size in engine/runs/evidence_summary.py
    const near = modelsOf(payload).map(([model, { sizes, f, f_low, f_high, right }]) => {
        const at = sizes.reduce((best, size, i) => (distance(size) < distance(sizes[best]) ? i : best), 0);
        const interval = f_low[at] === null ? "" : `95% interval ${f_low[at].toFixed(2)} to ${f_high[at].toFixed(2)}; `;
        const title = `${interval}${percent(right[at])} of the scored tokens right with this circuit alone`;
        const label = escaped(payload.header.models[model].label);
        return { size: sizes[at], words: `${label} <b title="${title}">${f[at].toFixed(2)}</b>` };
    });
    const at = (size) => `measured at K = ${count(size)}`;
    const same = near.every(({ size }) => size === near[0].size);
    if (same) return near[0] ? `Faithfulness, ${at(near[0].size)}: ${near.map(({ words }) => words).join(", ")}` : "";
    return `Faithfulness: ${near.map(({ size, words }) => `${words} ${at(size)}`).join(", ")}`;
}
