/** What scene.js and curve.js use of a canvas's drawing context, written down as SVG. */

export const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const short = (value) => Math.round(value * 100) / 100;

export class SvgContext {
    constructor() {
        this.parts = [];
        this.open = []; // groups to close at restore()
        this.path = "";
        this.dash = [];
        Object.assign(this, { globalAlpha: 1, lineWidth: 1, font: "", textAlign: "left", textBaseline: "alphabetic" });
    }

    save() {
        this.open.push(0);
    }
    restore() {
        this.parts.push("</g>".repeat(this.open.pop()));
    }
    clip() {
        const id = `clip${this.parts.length}`;
        this.parts.push(`<clipPath id="${id}"><path d="${this.path}"/></clipPath><g clip-path="url(#${id})">`);
        this.open[this.open.length - 1] += 1;
    }
    beginPath() {
        this.path = "";
    }
    closePath() {
        this.path += "Z";
    }
    #step(letter, ...values) {
        this.path += letter + values.map(short).join(",");
    }
    moveTo(x, y) {
        this.#step("M", x, y);
    }
    lineTo(x, y) {
        this.#step("L", x, y);
    }
    bezierCurveTo(...values) {
        this.#step("C", ...values);
    }
    rect(x, y, w, h) {
        this.#step("M", x, y);
        this.path += `h${short(w)}v${short(h)}h${short(-w)}Z`;
    }
    arc(x, y, r) {
        this.#step("M", x - r, y);
        this.path += `a${short(r)},${short(r)},0,1,1,${short(2 * r)},0a${short(r)},${short(r)},0,1,1,${short(-2 * r)},0Z`;
    }
    setLineDash(dash) {
        this.dash = dash;
    }
    stroke() {
        const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(" ")}"` : "";
        this.#put(`fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"${dash}`);
    }
    fill() {
        this.#put(`fill="${this.fillStyle}"`);
    }
    #put(paint) {
        const alpha = this.globalAlpha < 1 ? ` opacity="${short(this.globalAlpha)}"` : "";
        this.parts.push(`<path d="${this.path}" ${paint}${alpha}/>`);
    }
    fillRect(...box) {
        this.beginPath();
        this.rect(...box);
        this.fill();
    }
    strokeRect(...box) {
        this.beginPath();
        this.rect(...box);
        this.stroke();
    }
    #text(text, x, y, paint) {
        const anchor = { left: "start", right: "end", center: "middle" }[this.textAlign];
        const base = this.textBaseline === "middle" ? ' dominant-baseline="middle"' : "";
        const at = `x="${short(x)}" y="${short(y)}" text-anchor="${anchor}"${base}`;
        this.parts.push(`<text ${at} style="font:${this.font}" ${paint}>${escaped(text)}</text>`);
    }
    fillText(text, x, y) {
        this.#text(text, x, y, `fill="${this.fillStyle}"`);
    }
    strokeText(text, x, y) {
        this.#text(text, x, y, `fill="none" stroke="${this.strokeStyle}" stroke-width="${this.lineWidth}"`);
    }
}

/** One picture of drawings side by side with captions above and where they come from below. */
export function svgOf(drawings, width, height, lines, colours) {
    const across = drawings.length * width;
    const groups = drawings.map(({ parts }, at) => `<g transform="translate(${at * width},24)">${parts.join("")}</g>`);
    const titles = drawings.map(({ title }, at) => text(at * width + width / 2, 16, title, "middle", 14));
    const wide = Math.floor(across / 6.5); // characters
    const rows = lines.flatMap((line) => line.match(new RegExp(`.{1,${wide}}(?:\\s|$)`, "g")) ?? [line]);
    const about = rows.map((line, at) => text(8, height + 42 + 15 * at, line, "start", 11));
    const all = height + 40 + 15 * rows.length;
    const ground = `<rect width="${across}" height="${all}" fill="${colours.background}"/>`;
    const size = `width="${across}" height="${all}" viewBox="0 0 ${across} ${all}"`;
    return `<svg xmlns="http://www.w3.org/2000/svg" ${size}>${[ground, ...groups, ...titles, ...about].join("")}</svg>`;

    function text(x, y, words, anchor, px) {
        const font = `font:${px}px sans-serif`;
        return `<text x="${x}" y="${y}" text-anchor="${anchor}" style="${font}" fill="${colours.text}">${escaped(words)}</text>`;
    }
}
