/** What the component says in words: tiles of numbers, captions, notes, and what lies under the pointer. */

import { importance } from "./numbers.js";
import { DRAWN_MOST, kindOf } from "./scene.js";
import { escaped } from "./svg.js";

const plain = (value, digits) => (value === undefined || Number.isNaN(value) ? "none" : value.toFixed(digits));
const percent = (value) => (Number.isNaN(value) ? "none" : `${Math.round(100 * value)}%`);
const count = (value) => value.toLocaleString("en-US");

/** [value, note] of every tile, in the order of header.tiles (pages/panels/circuit_content.py). */
export function tilesOf({ header }, axis, k, numbers) {
    const [arm, mdm] = [header.models.arm.label, header.models.mdm.label];
    const of = (style) => {
        const at = header.lines.findIndex((line) => line.style === style);
        return at < 0 ? undefined : axis.value(at, k);
    };
    const [halves, withControl] = [of("half-pair"), of("control-mdm")];
    const first = [
        [plain(numbers?.jaccard ?? of("pair"), 3), numbers ? `chance ${plain(numbers.chance, 3)}` : "…"],
        [
            plain(header.notes.stands ? of("pair") : of("control"), 3),
            withControl === undefined ? header.notes.control : `${mdm} with it ${plain(withControl, 3)}`,
        ],
        [
            plain(halves, 3),
            halves === undefined
                ? header.notes.halves
                : `${arm} ${plain(of("half-arm"), 2)}, ${mdm} ${plain(of("half-mdm"), 2)}`,
        ],
    ];
    const solved = [header.notes.solved[0], header.notes.solved[1]];
    if (!numbers) return [...first, ["…", ""], ["…", ""], ["…", ""], ["…", ""], solved];
    return [
        ...first,
        [plain(numbers.components, 3), "of those with 90% of importance"],
        [count(numbers.shared), `of ${count(k)} in each circuit`],
        [plain(numbers.ratio, 2), `${mdm} ${percent(numbers.early[1])}, ${arm} ${percent(numbers.early[0])}`],
        [numbers.effective.map((value) => plain(value, 1)).join(" / "), `components, ${arm} / ${mdm}`],
        solved,
    ];
}

/** HTML of a graph's caption: whose circuit, how many edges of which class. */
export function captionOf({ header, edges }, scene, drawn, model, view) {
    const { colours } = scene;
    const key = (colour, text, dash) => `<span><i style="border-top:2px ${dash} ${colour}"></i> ${text}</span>`;
    const label = (some) => escaped(header.models[some].label);
    if (view === "layers")
        return `<b>Importance by layer</b><br><span>${label("arm")} to the left, ${label("mdm")} to the right</span>`;
    const some = view === "one" ? drawn.arm.both : { [model]: drawn[model] };
    if (!some[model]) return "";
    const isShared = (name) => (rank) => edges[name].other[rank] < scene.k;
    const shares = (name) => (view === "one" ? some[name].ranks.filter(isShared(name)).length : some[name].shared);
    const all = (name) => (view === "one" ? some[name].ranks.length : some[name].left);
    const only = (name) =>
        key(
            colours[name],
            `${label(name)} only: ${count(all(name) - shares(name))}`,
            name === "arm" ? "dashed" : "dotted",
        );
    const shared = Object.keys(some).reduce((sum, name) => sum + shares(name), 0);
    const title = view === "one" ? "Both circuits in one graph" : escaped(header.models[model].title);
    const keys = view === "one" ? [only("arm"), only("mdm")] : [only(model)];
    return `<b>${title}</b><br>${[key(colours.shared, `shared: ${count(shared)}`, "solid"), ...keys].join(" ")}`;
}

/** What the filters keep, a filter each, in the words of engine/circuits/filters.py; empty where they keep all. */
export function filterWords({ kinds }, chosen) {
    const read = kinds.filter((kind) => chosen.kinds.includes(kind));
    const words = [
        read.length < kinds.length ? `read as ${read.join(", ") || "nothing"}` : "",
        chosen.sign === "both" ? "" : chosen.sign,
        { all: "", shared: "shared", only: "not shared" }[chosen.show],
        chosen.prune ? "pruned" : "",
    ];
    return words.filter(Boolean);
}

/** What is not drawn, and why. */
export function noteOf({ header, edges }, chosen, drawn) {
    const { k } = chosen;
    const left = Math.max(...Object.values(drawn.arm?.both ?? drawn).map((some) => some.left));
    const words = [];
    if (k > edges.arm.score.length) {
        words.push(
            `Above ${count(edges.arm.score.length)} edges the numbers stay exact; nodes and pruning are of the strongest ${count(edges.arm.score.length)}.`,
        );
    }
    if (left > DRAWN_MOST) words.push(`Drawn: the strongest ${count(DRAWN_MOST)} edges.`);
    const filtered = filterWords(header, chosen).length > 0;
    if (filtered) words.push(`The filters choose what is drawn; all numbers are of the ${count(k)} strongest edges.`);
    const marks = "Circles are heads, squares MLPs; the larger, the more important.";
    const { models } = header;
    const ofView = {
        side: `${marks} Bars at the right: importance by layer.`,
        one: marks,
        layers: `Shares of importance; at the right, ${models.mdm.label} minus ${models.arm.label} in percentage points.`,
    };
    words.push(ofView[chosen.view]);
    return words.join(" ");
}

/** A node in words. */
export function nodeWords({ header, edges }, k, node) {
    const kind = kindOf(node, header.shape);
    const layer = Math.floor((node - 1) / (header.shape.heads + 1));
    const head = (node - 1) % (header.shape.heads + 1);
    const name = {
        input: "Token embedding",
        logits: "Logits",
        mlp: `MLP of layer ${layer}`,
        head: `Head ${head} of layer ${layer}`,
    }[kind];
    const of = (model) => {
        const [own, most] = [edges[model], Math.min(k, edges[model].score.length)];
        let at = 0;
        for (let rank = 0; rank < most; rank++) at += own.source[rank] === node || own.target[rank] === node ? 1 : 0;
        const label = header.models[model].label;
        if (!at) return `${label}: not in the circuit`;
        const sums = importance(own, most, header.names.length);
        const all = sums.subarray(1, -1).reduce((sum, value) => sum + value, 0);
        const inner = kind === "head" || kind === "mlp"; // shares are those of heads and MLPs (METHOD)
        const share = inner && all ? `, ${((100 * sums[node]) / all).toFixed(1)}% of importance` : "";
        return `${label}: ${count(at)} edges${share}${k > most ? ` (of the strongest ${count(most)})` : ""}`;
    };
    return `${name} (${header.names[node]})\n${of("arm")}\n${of("mdm")}`;
}

/** An edge in words, with rank and score in both models. */
export function edgeWords({ header, edges }, k, model, rank) {
    const own = edges[model];
    const other = model === "arm" ? "mdm" : "arm";
    const reads = own.kind[rank] < 3 ? `<${"qkv"[own.kind[rank]]}>` : "";
    const there = own.other[rank];
    const score = (value) => (value >= 0 ? "+" : "") + value.toPrecision(3);
    const rankOf = (at) => (header.partial && at >= own.score.length ? `above ${count(at)}` : count(at + 1));
    const line = (name, at, text) => `${header.models[name].label}: rank ${rankOf(at)}${text}`;
    const lines = {
        [model]: line(model, rank, `, score ${score(own.score[rank])}`),
        [other]: line(
            other,
            there,
            there < edges[other].score.length ? `, score ${score(edges[other].score[there])}` : "",
        ),
    };
    const where = there < k ? "shared" : `${header.models[model].label} only`;
    return `${header.names[own.source[rank]]} → ${header.names[own.target[rank]]}${reads}, ${where}\n${lines.arm}\n${lines.mdm}`;
}
