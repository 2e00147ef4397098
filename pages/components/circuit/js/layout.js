/**
 * Where nodes and edges stand: one unit is one head across and one layer up, and
 * the view maps units to CSS pixels of a canvas. Both graphs share one view, so that they are panned and zoomed alike.
 *
 * @typedef {Object} Layout
 * @property {Float32Array} x by node
 * @property {Float32Array} y by node
 * @property {number} width units across
 * @property {number} height units up
 */

export const MARGIN = { left: 34, right: 46, top: 12, bottom: 22 };

/** @param {{layers: number, heads: number}} shape @returns {Layout} */
export function layoutOf({ layers, heads }) {
    const x = [heads / 2];
    const y = [-1];
    for (let layer = 0; layer < layers; layer++) {
        for (let head = 0; head < heads; head++) {
            x.push(head);
            y.push(layer);
        }
        x.push(heads + 0.5);
        y.push(layer + 0.5);
    }
    x.push(heads / 2);
    y.push(layers + 0.25);
    return { x: Float32Array.from(x), y: Float32Array.from(y), width: heads + 1.6, height: layers + 2 };
}

/**
 * Control points (x0, y0, .. x3, y3) of every edge's cubic curve, which leaves upwards and arrives from below: queries,
 * keys and values a little left of, at, and right of the middle of their head.
 * @param {Layout} layout @param {import("./payload.js").Edges} edges
 */
export function curvesOf(layout, edges) {
    const points = new Float32Array(8 * edges.score.length);
    for (let edge = 0; edge < edges.score.length; edge++) {
        const kind = edges.kind[edge];
        const [from, to] = [edges.source[edge], edges.target[edge]];
        const [x0, y0] = [layout.x[from], layout.y[from]];
        const [x1, y1] = [layout.x[to] + (kind < 3 ? 0.12 * (kind - 1) : 0), layout.y[to]];
        const rise = 0.2 + 0.35 * (y1 - y0);
        // A line within one column bows, or it would run through the nodes between.
        const bow = Math.abs(x1 - x0) < 0.4 ? Math.min(0.25 + 0.12 * (y1 - y0), 0.7) : 0;
        points.set([x0, y0, x0 + bow, y0 + rise, x1 + bow, y1 - rise, x1, y1], 8 * edge);
    }
    return points;
}

/**
 * The part of a canvas that nodes and edges stay within, however they are zoomed: left, top, width, height. Beside it
 * are the names of layers and, where there is one graph for each model, bars.
 * @param {string} view
 */
export function frameOf(width, height, view) {
    const left = MARGIN.left - 12;
    const right = view === "side" ? width - MARGIN.right + 12 : width;
    return [left, 0, right - left, height - MARGIN.bottom + 6];
}

/** How units become pixels: `zoom` and the units (`x`, `y`) in the middle of the canvas. */
export class View {
    /** @param {Layout} layout */
    constructor(layout) {
        this.layout = layout;
        this.reset();
    }

    reset() {
        this.zoom = 1;
        this.x = this.layout.width / 2 - 0.8;
        this.y = this.layout.height / 2 - 1.4;
    }

    /** Pixels per unit and the place of unit (0, 0) on a canvas of this size. @param {number} width @param {number} height */
    scale(width, height) {
        const [w, h] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
        const across = (this.zoom * w) / this.layout.width;
        const up = (this.zoom * h) / this.layout.height;
        return { across, up, left: MARGIN.left + w / 2 - across * this.x, top: MARGIN.top + h / 2 + up * this.y };
    }

    /** Zoom by a factor about the pixel (px, py), which stays in its place. */
    zoomAt(factor, px, py, width, height) {
        const before = this.scale(width, height);
        const [ux, uy] = [(px - before.left) / before.across, (before.top - py) / before.up];
        this.zoom = Math.min(Math.max(this.zoom * factor, 1), 12);
        const after = this.scale(width, height);
        this.x += ux - (px - after.left) / after.across;
        this.y += uy - (after.top - py) / after.up;
        if (this.zoom === 1) this.reset();
    }

    pan(dx, dy, width, height) {
        const { across, up } = this.scale(width, height);
        this.x -= dx / across;
        this.y += dy / up;
    }
}

/** The node whose mark is within reach of a pixel, or -1. */
export function nodeAt(layout, place, px, py, reach) {
    let [best, nearest] = [-1, reach * reach];
    for (let node = 0; node < layout.x.length; node++) {
        const dx = place.left + place.across * layout.x[node] - px;
        const dy = place.top - place.up * layout.y[node] - py;
        if (dx * dx + dy * dy < nearest) [best, nearest] = [node, dx * dx + dy * dy];
    }
    return best;
}

/** The drawn edge that passes nearest to a pixel within `reach`, or -1, and how far. @param {number[]} drawn ranks */
export function edgeAt(points, drawn, place, px, py, reach) {
    let [best, nearest] = [-1, reach * reach];
    for (const rank of drawn) {
        for (let step = 1; step < 24; step++) {
            const [x, y] = pointOn(points, rank, step / 24);
            const dx = place.left + place.across * x - px;
            const dy = place.top - place.up * y - py;
            if (dx * dx + dy * dy < nearest) [best, nearest] = [rank, dx * dx + dy * dy];
        }
    }
    return { edge: best, distance: nearest };
}

function pointOn(points, rank, t) {
    const s = 1 - t;
    const weights = [s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t];
    let [x, y] = [0, 0];
    for (let i = 0; i < 4; i++) {
        x += weights[i] * points[8 * rank + 2 * i];
        y += weights[i] * points[8 * rank + 2 * i + 1];
    }
    return [x, y];
}

/** Begin a path at the first point and draw it through the others. */
export function trace(g, points) {
    for (const [at, [x, y]] of points.entries()) {
        if (at) g.lineTo(x, y);
        else g.moveTo(x, y);
    }
}
