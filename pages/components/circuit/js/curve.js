/** The overlap at every K, which is the slider of K: the axis, its stops, and how it is drawn. */

import { trace } from "./layout.js";

const EDGE = { left: 34, right: 14, top: 10, bottom: 20 };
const STYLE = {
    pair: ["shared", 2.5, []],
    control: ["neutral", 1.5, [7, 4]],
    "control-mdm": ["neutral", 1, [1, 3]],
    "half-pair": ["text", 1, [2, 3]],
    "half-arm": ["arm", 1, [2, 3]],
    "half-mdm": ["mdm", 1, [2, 3]],
};

export class Axis {
    /** @param {import("./payload.js").Payload} payload */
    constructor(payload) {
        this.payload = payload;
        this.here = payload.edges.arm.score.length; // up to here any K has its numbers, above only the stops
        this.most = payload.header.shape.edges;
        this.low = Math.log(Math.min(2, this.most));
    }

    x(k, width) {
        const part = (Math.log(Math.max(k, 1)) - this.low) / (Math.log(this.most) - this.low || 1);
        return EDGE.left + Math.max(part, 0) * (width - EDGE.left - EDGE.right);
    }

    /** The K at a pixel: any up to `here`, above it the nearest stop. */
    k(x, width) {
        const part = Math.min(Math.max((x - EDGE.left) / (width - EDGE.left - EDGE.right), 0), 1);
        const k = Math.round(Math.exp(this.low + part * (Math.log(this.most) - this.low)));
        return k <= this.here ? Math.max(k, 1) : this.nearestStop(k);
    }

    nearestStop(k) {
        const distance = (stop) => Math.abs(Math.log(stop / k));
        return this.payload.arrays.stops.reduce(
            (best, stop) => (distance(stop) < distance(best) ? stop : best),
            this.here,
        );
    }

    /** A key's next K: one option on or back, a decade, or an end. */
    step(key, k) {
        const { options } = this.payload.header;
        const next = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[key];
        if (next === 1) return options.find((option) => option > k) ?? this.most;
        if (next === -1) return options.findLast((option) => option < k) ?? 1;
        const far = { PageUp: 10 * k, PageDown: Math.round(k / 10), Home: options[0], End: this.most }[key];
        if (far === undefined) return undefined;
        const within = Math.min(Math.max(far, 1), this.most);
        return within <= this.here ? within : this.nearestStop(within);
    }

    /** The value of a line at K; undefined between stops. */
    value(line, k) {
        const { arrays } = this.payload;
        const values = arrays[`line_${line}`];
        const at = k <= this.here ? k - 1 : this.here + arrays.stops.indexOf(k);
        return k > this.here && at < this.here ? undefined : values[at];
    }
}

/** Everything but the handle. @param {CanvasRenderingContext2D} g @param {Axis} axis */
export function drawCurves(g, axis, colours, width, height) {
    const { header, arrays } = axis.payload;
    const y = (value) => EDGE.top + (1 - value) * (height - EDGE.top - EDGE.bottom);
    const dense = Array.from({ length: 120 }, (_, at) => Math.round(Math.exp((Math.log(axis.here) * at) / 119)));
    const ks = [...new Set([...dense, ...arrays.stops])];
    g.font = "10px sans-serif";
    g.lineWidth = 1;
    for (const [text, value] of [
        ["0", 0],
        [".5", 0.5],
        ["1", 1],
    ]) {
        label(g, text, EDGE.left - 6, y(value) + 3, "right", colours.neutral);
        line(
            g,
            [
                [EDGE.left, y(value)],
                [width - EDGE.right, y(value)],
            ],
            colours.faint,
        );
    }
    for (let k = 10; k <= axis.most; k *= 10) {
        label(
            g,
            k < 1000 ? `${k}` : k < 1e6 ? `${k / 1000}k` : `${k / 1e6}M`,
            axis.x(k, width),
            height - 5,
            "center",
            colours.neutral,
        );
    }
    const styles = header.lines.map(({ style }) => style);
    const points = (at) => ks.map((k) => [axis.x(k, width), y(axis.value(at, k))]);
    if (styles.includes("half-arm"))
        band(g, points(styles.indexOf("half-arm")), points(styles.indexOf("half-mdm")), colours.neutral);
    line(
        g,
        ks.map((k) => [axis.x(k, width), y(k / (2 * axis.most - k))]),
        colours.neutral,
        1,
        [1, 3],
    );
    for (let at = styles.length - 1; at >= 0; at--) {
        const [colour, thick, dash] = STYLE[styles[at]];
        line(g, points(at), colours[colour], thick, dash);
    }
}

/** Where the smallest faithful circuits are: a triangle on the axis below a line that says whose. */
export function drawMarks(g, axis, marks, tau, colours, width, height) {
    const low = height - EDGE.bottom;
    const reached = marks.filter(({ k }) => k).sort((a, b) => a.k - b.k);
    reached.forEach(({ model, label: name, k }, at) => {
        const x = axis.x(k, width);
        const left = x > width - 80 || (at === 0 && reached.length > 1 && x > EDGE.left + 60);
        const ends = [EDGE.top, low].map((y) => [x, y]);
        line(g, ends, colours[model], 1, [4, 3]);
        g.font = "10px sans-serif";
        label(g, "▲", x, low + 1, "center", colours[model]);
        const [text, y] = [`${name} ${Math.round(100 * tau)}%`, EDGE.top + 6 + 11 * at];
        const [from, align] = left ? [x - 4, "right"] : [x + 4, "left"];
        Object.assign(g, { strokeStyle: colours.background, lineWidth: 4, textAlign: align });
        g.strokeText(text, from, y); // so that it can be read above the curves
        label(g, text, from, y, align, colours[model]);
    });
}

/** The handle at K with the Jaccard index beside it; returns its place. */
export function drawHandle(g, axis, k, colours, width, height) {
    const value = axis.value(0, k); // none between the stops, until the server has answered
    const [x, y] = [axis.x(k, width), EDGE.top + (1 - (value ?? 0)) * (height - EDGE.top - EDGE.bottom)];
    line(
        g,
        [
            [x, EDGE.top],
            [x, height - EDGE.bottom],
        ],
        colours.text,
    );
    g.beginPath();
    g.arc(x, y, 7, 0, 2 * Math.PI);
    g.fillStyle = colours.shared;
    g.fill();
    g.strokeStyle = colours.background;
    g.lineWidth = 2;
    g.stroke();
    g.font = "600 13px sans-serif";
    const right = x > width - 70;
    const text = value === undefined ? "…" : value.toFixed(3);
    label(g, text, x + (right ? -12 : 12), y < 30 ? y + 18 : y - 8, right ? "right" : "left", colours.text);
    return [x, y];
}

function label(g, text, x, y, align, colour) {
    g.textAlign = align;
    g.fillStyle = colour;
    g.fillText(text, x, y);
}

function line(g, points, colour, thick = 1, dash = []) {
    g.setLineDash(dash);
    g.strokeStyle = colour;
    g.lineWidth = thick;
    g.beginPath();
    trace(g, points);
    g.stroke();
    g.setLineDash([]);
}

function band(g, low, high, colour) {
    g.beginPath();
    trace(g, [...low, ...high.reverse()]);
    g.closePath();
    g.fillStyle = colour;
    g.globalAlpha = 0.15;
    g.fill();
    g.globalAlpha = 1;
}
