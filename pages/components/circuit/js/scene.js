/**
 * Draw a circuit on a canvas, or on anything that has a canvas's drawing functions (svg.js).
 *
 * @typedef {Object} Scene What a graph shows.
 * @property {import("./payload.js").Payload} payload
 * @property {import("./layout.js").Layout} layout
 * @property {Object<string, Float32Array>} curves by model
 * @property {number} k
 * @property {Object<string, Float64Array>} weights importance by node, by model
 * @property {Object} filters see numbers.js
 * @property {Set<number>} selected nodes
 * @property {Set<string> | null} path "source>target:kind" of highlighted edges
 * @property {Object<string, string>} colours
 * @property {boolean} moving whether K changes at this moment: dashes and labels wait until it rests
 */

import { frameOf, MARGIN, trace } from "./layout.js";
import { kept, nodesOf } from "./numbers.js";

export const DRAWN_MOST = 1500; // edges; more are a grey felt
const WIDTHS = [0.9, 1.7, 3];
const OPACITY = [0.6, 0.8, 0.95];
const STRONG = [0.15, 0.4]; // shares of the largest |score| where a wider line begins
const FADED = 0.12;
const DASHES = { shared: [], arm: [6, 4], mdm: [2, 3] };

/** What of a model's circuit is drawn: ranks of edges, importance by node, standing of nodes. @param {Scene} scene */
export function drawnOf(scene, model) {
    const { payload, k } = scene;
    const edges = payload.edges[model];
    const flags = kept(edges, Math.min(k, edges.score.length), k, scene.filters, nodesOf(payload.header.shape));
    const ranks = [];
    let [left, shared] = [0, 0]; // edges that the filters keep, drawn or not
    for (let rank = 0; rank < flags.length; rank++) {
        if (!flags[rank]) continue;
        left += 1;
        shared += edges.other[rank] < k ? 1 : 0;
        if (ranks.length < DRAWN_MOST) ranks.push(rank);
    }
    const { [model]: weight, [model === "arm" ? "mdm" : "arm"]: other } = scene.weights;
    const standing = weight.map((sum, node) => (sum > 0 ? (other[node] > 0 ? 2 : 1) : 0));
    return { ranks, left, shared, weight, standing };
}

/** Draw one model's circuit. @param {CanvasRenderingContext2D} g @param {Scene} scene */
export function drawGraph(g, scene, model, view, width, height) {
    const drawn = drawnOf(scene, model);
    const place = view.scale(width, height);
    drawFrame(g, scene, place, width, height);
    clipTo(g, frameOf(width, height, "side"));
    drawEdges(g, scene, scene.payload.edges[model], scene.curves[model], drawn.ranks, place, (rank) =>
        scene.payload.edges[model].other[rank] < scene.k ? "shared" : model,
    );
    drawNodes(g, scene, drawn, place, model);
    g.restore();
    return drawn;
}

/** Draw both circuits as one: each edge once, by the model where it is stronger. */
export function drawUnion(g, scene, view, width, height) {
    const both = { arm: drawnOf(scene, "arm"), mdm: drawnOf(scene, "mdm") };
    const place = view.scale(width, height);
    drawFrame(g, scene, place, width, height);
    clipTo(g, frameOf(width, height, "one"));
    const { arm, mdm } = both;
    const theirs = { arm: new Set(mdm.ranks), mdm: new Set(arm.ranks) };
    for (const model of ["mdm", "arm"]) {
        const edges = scene.payload.edges[model];
        // Where both models have an edge it is drawn by its lower rank, at equal ranks by the ARM's.
        const ours = both[model].ranks.filter((rank) => {
            const there = edges.other[rank];
            return !theirs[model].has(there) || rank < there || (model === "arm" && rank === there);
        });
        drawEdges(g, scene, edges, scene.curves[model], ours, place, (rank) =>
            edges.other[rank] < scene.k ? "shared" : model,
        );
        both[model] = { ...both[model], ranks: ours };
    }
    const [armShares, mdmShares] = [sharesOf(arm), sharesOf(mdm)];
    const weight = armShares.map((share, node) => Math.max(share, mdmShares[node]));
    drawNodes(g, scene, { weight, standing: unionStanding(arm, mdm) }, place, "arm");
    g.restore();
    return { ranks: arm.ranks, left: arm.left, both };
}

/** Draw within a box alone, until the next restore(). */
function clipTo(g, box) {
    g.save();
    g.beginPath();
    g.rect(...box);
    g.clip();
}

const sharesOf = ({ weight }) => {
    const total = weight.reduce((sum, value) => sum + value, 0) || 1;
    return weight.map((value) => value / total);
};

/** 0 in neither, 1 in the ARM's alone, 2 in both, 3 in the MDM's alone. */
const unionStanding = (arm, mdm) => arm.standing.map((is, node) => (is ? is : mdm.standing[node] ? 3 : 0));

function drawEdges(g, scene, edges, points, ranks, place, groupOf) {
    const largest = Math.abs(edges.score[0]) || 1;
    const lit = (rank) =>
        scene.path
            ? scene.path.has(edgeKey(edges, rank))
            : scene.selected.has(edges.source[rank]) || scene.selected.has(edges.target[rank]);
    const dims = scene.path !== null || scene.selected.size > 0;
    for (const near of dims ? [false, true] : [false]) {
        for (let at = ranks.length - 1; at >= 0; at--) {
            const rank = ranks[at];
            if (dims && lit(rank) !== near) continue;
            const part = Math.abs(edges.score[rank]) / largest;
            const level = part >= STRONG[1] ? 2 : part >= STRONG[0] ? 1 : 0;
            const group = groupOf(rank);
            g.globalAlpha = dims ? (near ? 1 : FADED) : OPACITY[level];
            g.lineWidth = near ? WIDTHS[Math.max(level, 1)] + 0.6 : WIDTHS[level];
            g.strokeStyle = scene.colours[group];
            if (!scene.moving) g.setLineDash(DASHES[group]);
            strokeCurve(g, points, 8 * rank, place);
        }
    }
    g.globalAlpha = 1;
    g.setLineDash([]);
}

function strokeCurve(g, p, at, { left, top, across, up }) {
    g.beginPath();
    g.moveTo(left + across * p[at], top - up * p[at + 1]);
    g.bezierCurveTo(
        left + across * p[at + 2],
        top - up * p[at + 3],
        left + across * p[at + 4],
        top - up * p[at + 5],
        left + across * p[at + 6],
        top - up * p[at + 7],
    );
    g.stroke();
}

export const edgeKey = (edges, rank) => `${edges.source[rank]}>${edges.target[rank]}:${edges.kind[rank]}`;

/** The smallest and the largest node in pixels, so that those of many heads don't hide each other. */
export function diameters({ across, up }) {
    const high = Math.min(Math.max(Math.min(across, 1.6 * up) * 0.9, 5), 26);
    return [Math.max(high / 3, 2.5), high];
}

function drawNodes(g, scene, { weight, standing }, place, model) {
    const largest = weight.reduce((a, b) => Math.max(a, b), 0) || 1;
    const [low, high] = diameters(place);
    const { layout, colours } = scene;
    const fills = [colours.background, colours[model], colours.shared, colours.mdm];
    for (let node = 0; node < weight.length; node++) {
        const is = standing[node];
        const size = is ? low + (high - low) * Math.sqrt(weight[node] / largest) : low;
        const [x, y] = [place.left + place.across * layout.x[node], place.top - place.up * layout.y[node]];
        const kind = kindOf(node, scene.payload.header.shape);
        putMark(g, kind, x, y, Math.round(2 * size) / 2, fills[is], is ? colours.background : colours.neutral);
    }
    for (const node of scene.selected) {
        const [x, y] = [place.left + place.across * layout.x[node], place.top - place.up * layout.y[node]];
        g.strokeStyle = colours.text;
        g.lineWidth = 2;
        g.beginPath();
        g.arc(x, y, high / 2 + 4, 0, 2 * Math.PI);
        g.stroke();
        if (!scene.moving) drawLabel(g, scene.payload.header.names[node], x, y - high / 2 - 8, colours);
    }
    if (scene.focus !== undefined) drawFocus(g, scene, place, high + 14);
    if (place.across > 90 && !scene.moving) labelReads(g, scene, place);
}

/** A dashed frame around the node where the arrow keys are. */
function drawFocus(g, { layout, colours, focus }, place, size) {
    const [x, y] = [place.left + place.across * layout.x[focus], place.top - place.up * layout.y[focus]];
    g.strokeStyle = colours.text;
    g.lineWidth = 1.5;
    g.setLineDash([3, 2]);
    g.strokeRect(x - size / 2, y - size / 2, size, size);
    g.setLineDash([]);
}

/** Say which arrival of a zoomed head is its query, key or value. */
function labelReads(g, scene, place) {
    g.fillStyle = scene.colours.text;
    g.font = "10px sans-serif";
    g.textAlign = "center";
    for (let node = 1; node < scene.layout.x.length - 1; node++) {
        if (kindOf(node, scene.payload.header.shape) !== "head") continue;
        const y = place.top - place.up * scene.layout.y[node] + 20;
        ["q", "k", "v"].forEach((name, kind) => {
            g.fillText(name, place.left + place.across * (scene.layout.x[node] + 0.12 * (kind - 1)), y);
        });
    }
}

function drawLabel(g, text, x, y, colours) {
    g.font = "600 13px sans-serif";
    g.textAlign = "center";
    g.lineWidth = 4;
    g.strokeStyle = colours.background;
    g.strokeText(text, x, y);
    g.fillStyle = colours.text;
    g.fillText(text, x, y);
}

export function kindOf(node, { layers, heads }) {
    if (node === 0) return "input";
    if (node === 1 + layers * (heads + 1)) return "logits";
    return (node - 1) % (heads + 1) === heads ? "mlp" : "head";
}

const marks = new Map(); // drawn once each: a browser that draws in software takes long for a thousand circles

function putMark(g, kind, x, y, size, fill, line) {
    if (!g.canvas) return drawMark(g, kind, x, y, size, fill, line);
    const ratio = window.devicePixelRatio || 1;
    const name = `${kind} ${size} ${fill} ${line} ${ratio}`;
    const side = size + 4;
    let mark = marks.get(name);
    if (!mark) {
        mark = Object.assign(document.createElement("canvas"), { width: side * ratio, height: side * ratio });
        const inner = mark.getContext("2d");
        inner.scale(ratio, ratio);
        drawMark(inner, kind, side / 2, side / 2, size, fill, line);
        marks.set(name, mark);
    }
    g.drawImage(mark, x - side / 2, y - side / 2, side, side);
}

function drawMark(g, kind, x, y, size, fill, line) {
    const r = size / 2;
    g.fillStyle = fill;
    g.strokeStyle = line;
    g.lineWidth = 1;
    if (kind === "mlp") {
        g.fillRect(x - r, y - r, size, size);
        g.strokeRect(x - r, y - r, size, size);
        return;
    }
    g.beginPath();
    if (kind === "head") g.arc(x, y, r, 0, 2 * Math.PI);
    if (kind === "input")
        polygon(g, [
            [x, y - r],
            [x + r, y + r],
            [x - r, y + r],
        ]);
    if (kind === "logits")
        polygon(g, [
            [x, y - r],
            [x + r, y],
            [x, y + r],
            [x - r, y],
        ]);
    g.fill();
    g.stroke();
}

function polygon(g, corners) {
    trace(g, corners);
    g.closePath();
}

/** Names of layers at the left and of heads below. */
function drawFrame(g, scene, place, width, height) {
    const { layers, heads } = scene.payload.header.shape;
    g.font = "11px sans-serif";
    g.fillStyle = scene.colours.neutral;
    g.textAlign = "right";
    g.textBaseline = "middle";
    const every = Math.ceil(14 / place.up);
    const rows = [["in", -1], ...Array.from({ length: layers }, (_, at) => [`${at}`, at]), ["out", layers + 0.25]];
    for (const [text, y] of rows) {
        const at = place.top - place.up * y;
        const shows = typeof y === "number" && (text === "in" || text === "out" || y % every === 0);
        if (shows && at > 4 && at < height - MARGIN.bottom + 6) g.fillText(text, MARGIN.left - 14, at);
    }
    if (!place.across) return;
    g.textAlign = "center";
    g.textBaseline = "alphabetic";
    const step = Math.ceil(26 / place.across);
    for (let head = 0; head <= heads; head++) {
        const x = place.left + place.across * (head === heads ? heads + 0.5 : head);
        const shows = head === heads || (head % step === 0 && heads - head >= step / 2);
        if (shows && x > MARGIN.left - 10 && x < width - 16)
            g.fillText(head === heads ? "MLP" : `h${head}`, x, height - 6);
    }
}

/** Shares of importance by layer as bars at the right of a graph. */
export function drawProfile(g, scene, profiles, model, view, width, height) {
    const place = view.scale(width, height);
    const shares = profiles[model === "arm" ? 0 : 1];
    const largest = Math.max(...profiles[0], ...profiles[1], 1e-9);
    g.fillStyle = scene.colours[model];
    g.globalAlpha = 0.55;
    for (let layer = 0; layer < shares.length; layer++) {
        const y = place.top - place.up * (layer + 0.25);
        const thick = Math.min(Math.max(0.6 * place.up, 1.5), 10);
        if (y > 0 && y < height - MARGIN.bottom) {
            g.fillRect(width - 30, y - thick / 2, (28 * shares[layer]) / largest, thick);
        }
    }
    g.globalAlpha = 1;
}

/** Importance by layer of both models back to back, and their difference. */
export function drawLayers(g, scene, numbers, view, width, height) {
    const place = view.scale(width, height);
    drawFrame(g, scene, { ...place, across: 0 }, width, height);
    if (!numbers) return { ranks: [], left: 0 };
    const [arm, mdm] = numbers.profile;
    const largest = Math.max(...arm, ...mdm, 1e-9);
    const [middle, half] = [width * 0.42, width * 0.36];
    g.font = "11px sans-serif";
    for (let layer = 0; layer < arm.length; layer++) {
        const y = place.top - place.up * (layer + 0.25);
        const thick = Math.min(Math.max(0.7 * place.up, 2), 18);
        const bar = (model, share, sign) => {
            g.fillStyle = scene.colours[model];
            const length = (half * share) / largest;
            g.fillRect(sign > 0 ? middle + 1 : middle - 1 - length, y - thick / 2, length, thick);
        };
        bar("arm", arm[layer], -1);
        bar("mdm", mdm[layer], 1);
        const difference = 100 * (mdm[layer] - arm[layer]);
        g.textAlign = "right";
        g.textBaseline = "middle";
        g.fillStyle = scene.colours.text;
        const text = `${difference >= 0 ? "+" : "−"}${Math.abs(difference).toFixed(1)} points`;
        if (place.up * 1.01 > 10 || layer % 2 === 0) g.fillText(text, width - 12, y);
    }
    return { ranks: [], left: 0 };
}
