/**
 * The circuit component: what a reader chooses, what is drawn, what the server is told.
 *
 * 1. `mount` is called by Streamlit with new data or another theme; the workbench of a place is kept.
 * 2. Everything a hand does changes `chosen` and is drawn in the next frame; the server is told when it rests.
 * 3. A choice of the server's (a link, a button beside) arrives with a new serial number.
 */

import { Axis, drawCurves, drawHandle, drawMarks } from "./curve.js";
import { faithfulnessWords, marksOf, smallestWords } from "./faithful.js";
import { curvesOf, edgeAt, frameOf, layoutOf, nodeAt, View } from "./layout.js";
import { importance, numbersAt } from "./numbers.js";
import { unpack } from "./payload.js";
import { diameters, drawGraph, drawLayers, drawProfile, drawUnion, edgeKey } from "./scene.js";
import { SvgContext, svgOf } from "./svg.js";
import { captionOf, edgeWords, filterWords, nodeWords, noteOf, tilesOf } from "./words.js";

const REST = 130; // ms without a move until the server is told
const PLAYED = 140; // ms from one K to the next
const SHOWN = 900; // ms that a checkpoint or denoising step stays while they are played
const MODELS = ["arm", "mdm"];

export function mount(component) {
    const root = component.parentElement.querySelector("[data-testid=circuit]");
    root.workbench ??= new Workbench(root);
    root.workbench.update(component);
    return () => {
        if (!root.isConnected) root.workbench.leave(); // else it is shown still, with newer data
    };
}

class Workbench {
    constructor(root) {
        this.root = root;
        this.part = (name) => root.querySelector(`[data-part="${name}"]`);
        this.drawn = {};
        this.resizing = new ResizeObserver(() => this.redraw(true));
        for (const canvas of root.querySelectorAll("canvas")) this.resizing.observe(canvas);
        root.circuitPlaces = () => this.places();
        this.listen();
    }

    leave() {
        this.resizing.disconnect();
        clearTimeout(this.resting);
        clearInterval(this.playing);
        clearTimeout(this.waiting);
    }

    /** New data, another choice of the server's, or another theme. */
    update(component) {
        this.tell = (chosen) => component.setStateValue("chosen", chosen);
        const payload = unpack(component.data);
        const { header } = payload;
        if (this.payload?.header.version !== header.version) {
            const sameShape = this.layout && JSON.stringify(header.shape) === JSON.stringify(this.payload.header.shape);
            this.layout = layoutOf(header.shape);
            if (!sameShape) this.view = new View(this.layout);
            else if (this.payload.header.circuits !== header.circuits) this.fade();
            this.curves = Object.fromEntries(
                MODELS.map((model) => [model, curvesOf(this.layout, payload.edges[model])]),
            );
        }
        const before = this.payload?.header;
        this.payload = payload;
        this.axis = new Axis(payload);
        if (before?.serial !== header.serial) this.takeChoices(header.chosen);
        if (`${before?.path}` !== `${header.path}`) this.path = header.path?.length ? new Set(header.path) : null;
        this.colours = header.colours;
        this.showChoices();
        this.redraw(true);
        if (header.partial) this.resting ??= setTimeout(() => this.rest(), REST);
    }

    /** Take what the server has chosen otherwise than it was told; the rest may have moved on here meanwhile. */
    takeChoices(chosen) {
        const known = this.told ?? {};
        const changed = Object.entries(chosen).filter(([name, value]) => `${value}` !== `${known[name]}`);
        this.chosen = { ...this.chosen, ...Object.fromEntries(changed) };
        this.told = { ...chosen };
    }

    /** Other circuits come in gently: what was drawn stays above them for a moment. */
    fade() {
        for (const model of MODELS) {
            const canvas = this.part(`graph-${model}`);
            if (!canvas.clientWidth) continue;
            const above = element("canvas", { width: canvas.width, height: canvas.height, className: "fading" });
            above.getContext("2d").drawImage(canvas, 0, 0);
            above.style.cssText = `left:${canvas.offsetLeft}px;top:${canvas.offsetTop}px;width:${canvas.clientWidth}px`;
            above.addEventListener("animationend", () => above.remove());
            canvas.parentElement.append(above);
        }
    }

    /** Change what is chosen: drawn at once, told to the server when it rests. */
    choose(change, event) {
        Object.assign(this.chosen, change);
        this.event = event?.timeStamp ?? performance.now();
        this.moving = true; // dashes and names wait until it rests
        if (!("k" in change) && !this.played) this.showChoices();
        this.redraw();
        clearTimeout(this.resting);
        this.due = !("k" in change); // the server is told when what was chosen is painted
        if (!this.due) this.resting = setTimeout(() => this.rest(), REST);
    }

    rest() {
        if (this.frame !== undefined) {
            this.resting = setTimeout(() => this.rest(), REST); // it moves still, though frames take long
            return;
        }
        this.resting = undefined;
        this.told = { ...this.chosen };
        this.tell({ ...this.chosen, ...this.slid, whole: this.payload.header.circuits });
        this.slid = {};
        if (!this.moving) return;
        this.moving = false;
        this.redraw();
    }

    setK(k, event) {
        if (!k || k === this.chosen.k) return;
        this.choose({ k: Math.min(Math.max(Math.round(k), 1), this.axis.most) }, event);
    }

    /** Move to the inspector where it lies below the graphs. */
    reveal() {
        if (!this.chosen.node || !matchMedia("(max-width: 1100px)").matches) return;
        document.querySelector(".st-key-inspector")?.scrollIntoView({ behavior: "smooth" });
    }

    select(node, event) {
        const name = node < 0 ? null : this.payload.header.names[node];
        const pins = this.chosen.pins ?? [];
        this.path = null;
        if (!event?.shiftKey || !name) {
            this.choose({ node: name === this.chosen.node ? null : name, pins: name ? pins : [] }, event);
            this.reveal();
            return;
        }
        this.choose({ pins: pins.includes(name) ? pins.filter((pin) => pin !== name) : [...pins, name] }, event);
    }

    // What is drawn.

    redraw(all = false) {
        this.all ||= all;
        this.frame ??= requestAnimationFrame(() => {
            this.frame = undefined;
            if (!this.payload) return;
            this.draw();
            this.all = false;
            const { k, node } = this.chosen;
            const detail = { k, node, event: this.event };
            const channel = new MessageChannel(); // its message comes after the frame was painted
            channel.port1.onmessage = () => {
                channel.port1.close();
                Object.assign(this.root.dataset, { k, node: node ?? "", painted: performance.now() });
                detail.at = performance.now();
                if (this.due) this.rest();
                this.due = false;
                this.root.dispatchEvent(new CustomEvent("circuit-painted", { bubbles: true, composed: true, detail }));
            };
            channel.port2.postMessage(null);
        });
    }

    draw() {
        const { k, tau } = this.chosen;
        this.marks = marksOf(this.payload, tau);
        const scene = this.scene();
        const numbers = numbersAt(this.payload, k);
        this.drawCurve(k);
        this.drawGraphs(scene, numbers);
        this.showNumbers(numbers);
    }

    scene() {
        const { header } = this.payload;
        const { node, pins } = this.chosen;
        const selected = new Set([node, ...(pins ?? [])].filter(Boolean).map((name) => header.names.indexOf(name)));
        const { payload, layout, curves, colours, path, moving } = this;
        const { k } = this.chosen;
        const filters = { ...this.chosen, kinds: header.kinds.map((kind) => this.chosen.kinds.includes(kind)) };
        const most = Math.min(k, payload.edges.arm.score.length);
        const weights = Object.fromEntries(
            MODELS.map((model) => [model, importance(payload.edges[model], most, header.names.length)]),
        );
        return { payload, layout, curves, colours, path, moving, filters, selected, k, weights, focus: this.focus };
    }

    drawGraphs(scene, numbers) {
        const { view } = this.chosen;
        this.part("graphs").classList.toggle("single", view !== "side");
        for (const model of view === "side" ? MODELS : ["arm"]) {
            const { g, width, height } = context(this.part(`graph-${model}`), this.colours.background);
            this.drawn[model] = this.drawView(g, scene, numbers, model, width, height);
        }
        for (const model of MODELS) {
            set(this.part(`caption-${model}`), "innerHTML", captionOf(this.payload, scene, this.drawn, model, view));
        }
        set(this.part("note"), "textContent", noteOf(this.payload, this.chosen, this.drawn));
    }

    drawView(g, scene, numbers, model, width, height) {
        const { view } = this.chosen;
        if (view === "layers") return drawLayers(g, scene, numbers, new View(this.layout), width, height);
        if (view === "one") return drawUnion(g, scene, this.view, width, height);
        const drawn = drawGraph(g, scene, model, this.view, width, height);
        if (numbers) drawProfile(g, scene, numbers.profile, model, this.view, width, height);
        return drawn;
    }

    drawCurve(k) {
        const canvas = this.part("curve");
        const { g, width, height } = context(canvas, this.colours.background);
        if (this.all || !this.background) {
            this.background = document.createElement("canvas");
            Object.assign(this.background, { width: canvas.width, height: canvas.height });
            const below = this.background.getContext("2d");
            below.setTransform(g.getTransform());
            drawCurves(below, this.axis, this.colours, width, height);
            drawMarks(below, this.axis, this.marks, this.chosen.tau, this.colours, width, height);
        }
        g.drawImage(this.background, 0, 0, width, height);
        const [x, y] = drawHandle(g, this.axis, k, this.colours, width, height);
        Object.assign(canvas.dataset, { handleX: x, handleY: y });
        canvas.setAttribute("aria-valuenow", k);
        const value = this.axis.value(0, k);
        canvas.setAttribute("aria-valuetext", `K ${k}, overlap ${value === undefined ? "unknown" : value.toFixed(3)}`);
    }

    showNumbers(numbers) {
        const input = this.part("k");
        if (input.getRootNode().activeElement !== input) input.value = this.chosen.k;
        tilesOf(this.payload, this.axis, this.chosen.k, numbers).forEach(([value, note], at) => {
            const [strong, small] = this.tiles[at];
            set(strong, "textContent", value);
            set(small, "textContent", note);
        });
        this.showFaithful();
    }

    /** Which circuits are faithful, as far as it is measured. */
    showFaithful() {
        const { faithful } = this.payload.header;
        const { k, tau } = this.chosen;
        set(this.part("faithful"), "hidden", !faithful);
        if (!faithful) return;
        set(this.part("asked"), "hidden", !this.marks.length);
        set(this.part("smallest"), "innerHTML", smallestWords(this.marks, tau, this.colours));
        set(this.part("measured"), "innerHTML", faithfulnessWords(this.payload, k));
        set(this.part("unmeasured"), "textContent", faithful.note);
        set(this.part("more"), "hidden", !faithful.link);
    }

    showChoices() {
        const { header } = this.payload;
        const { chosen } = this;
        const shown = `${header.version} ${this.colours.background}`;
        if (this.shown !== shown) this.build(header);
        this.shown = shown;
        for (const button of this.part("views").children) {
            button.setAttribute("aria-checked", button.value === chosen.view);
            button.tabIndex = button.value === chosen.view ? 0 : -1;
        }
        for (const box of this.part("kinds").querySelectorAll("input")) box.checked = chosen.kinds.includes(box.value);
        this.part("sign").value = chosen.sign;
        this.part("show").value = chosen.show;
        this.part("prune").checked = chosen.prune;
        this.part("node").value = chosen.node ?? "";
        this.part("tau").value = chosen.tau;
        const count = filterWords(header, chosen).length;
        this.part("active").textContent = count ? ` (${count})` : "";
        this.showSlides(header.slides);
        this.part("guide").hidden =
            !Object.keys(header.guide).length || localStorage.getItem("introduction closed") === "yes";
    }

    /** What depends on the runs alone: names of tiles, kinds, nodes, lines. */
    build(header) {
        if (this.part("numbers").children.length !== header.tiles.length) {
            const tiles = header.tiles.map(() =>
                element("div", { innerHTML: "<dt></dt><dd><b></b><small></small></dd>" }),
            );
            this.part("numbers").replaceChildren(...tiles);
        }
        header.tiles.forEach(([name, help], at) => {
            const tile = this.part("numbers").children[at];
            Object.assign(tile, { title: help }).firstChild.textContent = name;
        });
        this.tiles = [...this.part("numbers").children].map((tile) => [...tile.lastChild.children]);
        const kinds = header.kinds.map((kind) => {
            const label = element("label");
            label.append(element("input", { type: "checkbox", value: kind }), ` ${kind}`);
            return label;
        });
        this.part("kinds").replaceChildren(this.part("kinds").firstElementChild, ...kinds);
        const nodes = header.names.map((name) => element("option", { value: name, textContent: name }));
        this.part("node").replaceChildren(this.part("node").firstElementChild, ...nodes);
        const asked = (tau) => element("option", { value: tau, textContent: `${Math.round(100 * tau)}%` });
        this.part("tau").replaceChildren(...(header.faithful?.taus ?? []).map(asked));
        this.part("faithful").title = header.faithful?.help ?? "";
        this.part("k").max = header.shape.edges;
        this.part("curve").setAttribute("aria-valuemin", 1);
        this.part("curve").setAttribute("aria-valuemax", header.shape.edges);
        const lines = header.lines.map(({ name, colour, dash }) => {
            const entry = element("span");
            entry.append(element("i", { style: `border-color:${colour};border-top-style:${dash}` }), name);
            return entry;
        });
        this.part("legend").replaceChildren(...lines);
    }

    /** What needs other data: checkpoints of post-training, denoising steps, sites; each can be played. */
    showSlides(slides) {
        const names = slides.map(({ name, options }) => [name, ...options].join()).join(";");
        if (this.slides !== names) {
            this.part("slides").replaceChildren(
                ...slides.map(({ name, label, options }) => {
                    const range = element("input", { type: "range", min: 0, max: options.length - 1, name });
                    const row = element("label", { textContent: label });
                    const play = element("button", { type: "button", textContent: "▶", title: `Play: ${label}` });
                    play.dataset.slide = name;
                    row.append(range, element("output"), play);
                    return row;
                }),
            );
        }
        this.slides = names;
        slides.forEach(({ name, options, value: told }, at) => {
            if (this.asked?.value === told) this.asked = undefined;
            const value = this.asked?.name === name ? this.asked.value : told;
            const [range, output] = this.part("slides").children[at].children;
            range.value = options.indexOf(value);
            output.textContent = value;
        });
        const shown = slides.find(({ name }) => name === this.played);
        if (!shown) return;
        const next = shown.options[shown.options.indexOf(shown.value) + 1];
        clearTimeout(this.waiting);
        if (next) this.waiting = setTimeout(() => this.slide(shown.name, next), SHOWN);
        else this.playSlide(null);
    }

    /** Ask the server for other data; this is told once, as the server may choose otherwise afterwards. */
    slide(name, value, event) {
        this.slid = { [name]: value };
        this.asked = { name, value }; // shown until the server has answered
        this.choose({}, event);
    }

    playSlide(name) {
        const slide = this.payload.header.slides.find((some) => some.name === name);
        this.played = slide && this.played !== name ? name : null;
        clearTimeout(this.waiting);
        for (const button of this.part("slides").querySelectorAll("button")) {
            button.setAttribute("aria-pressed", button.dataset.slide === this.played);
        }
        if (!this.played) return;
        const at = slide.options.indexOf(slide.value) + 1;
        this.slide(name, slide.options[at % slide.options.length]);
    }

    /** Where the nodes are, in CSS pixels within a graph. */
    places() {
        const canvas = this.part("graph-arm");
        const { left, top, across, up } = this.view.scale(canvas.clientWidth, canvas.clientHeight);
        const { x, y } = this.layout;
        const { names } = this.payload.header;
        return Object.fromEntries(names.map((name, node) => [name, [left + across * x[node], top - up * y[node]]]));
    }

    // What a hand does.

    listen() {
        const on = (part, type, action) => this.part(part).addEventListener(type, action);
        this.listenToCurve(on);
        for (const model of MODELS) this.listenToGraph(this.part(`graph-${model}`), model);
        on("k", "change", (event) => {
            this.setK(event.target.valueAsNumber, event);
            event.target.value = this.chosen.k; // what is no K becomes the nearest, or what it was
        });
        on("play", "click", () => this.play());
        on("views", "click", (event) => event.target.value && this.choose({ view: event.target.value }, event));
        on("views", "keydown", (event) => {
            const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: 2, ArrowUp: 2 }[event.key];
            if (!turn) return;
            const buttons = [...event.currentTarget.children];
            const next = buttons[(buttons.findIndex((button) => button.value === this.chosen.view) + turn) % 3];
            this.choose({ view: next.value }, event);
            next.focus();
        });
        on("kinds", "change", (event) => {
            const boxes = [...event.currentTarget.querySelectorAll("input")];
            this.choose({ kinds: boxes.filter((box) => box.checked).map((box) => box.value) }, event);
        });
        for (const name of ["sign", "show"])
            on(name, "change", (event) => this.choose({ [name]: event.target.value }, event));
        on("prune", "change", (event) => this.choose({ prune: event.target.checked }, event));
        on("node", "change", (event) => {
            this.choose({ node: event.target.value || null }, event);
            this.reveal();
        });
        on("tau", "change", (event) => {
            this.choose({ tau: event.target.value }, event);
            this.redraw(true); // its marks are drawn with the curves
        });
        on("more", "click", (event) => Object.assign(event.target, { href: `evidence${location.search}` }));
        on("slides", "input", ({ target }) => {
            const { options } = this.payload.header.slides.find(({ name }) => name === target.name);
            target.nextSibling.textContent = options[target.value];
        });
        on("slides", "change", (event) => {
            const { options } = this.payload.header.slides.find(({ name }) => name === event.target.name);
            this.playSlide(null);
            this.slide(event.target.name, options[event.target.value], event);
        });
        on("close", "click", () => {
            localStorage.setItem("introduction closed", "yes");
            this.part("guide").hidden = true;
        });
        this.root.addEventListener("click", (event) => this.clickButton(event));
        this.root.addEventListener("keydown", (event) => {
            if (event.key !== "Escape") return;
            if (this.closeMenus()) return;
            if (this.chosen.node || this.chosen.pins.length || this.path) this.select(-1, event);
        });
    }

    /** Zoom about the middle of a graph. */
    zoomBy(factor, { clientWidth: width, clientHeight: height }) {
        this.view.zoomAt(factor, width / 2, height / 2, width, height);
    }

    /** Whether one was open. */
    closeMenus(but = null) {
        const open = [...this.root.querySelectorAll("details[open]")].filter((menu) => !menu.contains(but));
        for (const menu of open) menu.open = false;
        return open.length > 0;
    }

    clickButton(event) {
        const { zoom, save, guide, slide, size } = event.target.dataset;
        if (zoom) {
            if (zoom === "0") this.view.reset();
            else this.zoomBy(Number(zoom), this.part("graph-arm"));
            this.redraw();
        }
        if (slide) this.playSlide(slide);
        if (size) this.setK(Number(size), event);
        if (save) this.save(save);
        this.closeMenus(save ? null : event.target);
        if (guide) this.choose(this.payload.header.guide[guide], event);
        if (guide === "node") this.reveal();
        if (guide === "k") this.part("curve").focus();
    }

    listenToCurve(on) {
        const move = (event) => this.setK(this.axis.k(event.offsetX, event.target.clientWidth), event);
        on("curve", "pointerdown", (event) => {
            event.target.setPointerCapture(event.pointerId);
            this.stop();
            move(event);
        });
        on("curve", "pointermove", (event) => event.target.hasPointerCapture(event.pointerId) && move(event));
        on("curve", "keydown", (event) => {
            const k = this.axis.step(event.key, this.chosen.k);
            if (k === undefined) return;
            event.preventDefault();
            this.stop();
            this.setK(k, event);
        });
    }

    stop() {
        clearInterval(this.playing);
        this.playing = undefined;
        this.part("play").setAttribute("aria-pressed", false);
    }

    play() {
        if (this.playing) return this.stop();
        const { options } = this.payload.header;
        if (this.chosen.k >= options.at(-1)) this.setK(options[0]);
        this.part("play").setAttribute("aria-pressed", true);
        this.playing = setInterval(() => {
            const k = this.axis.step("ArrowRight", this.chosen.k);
            this.setK(k);
            if (k === this.axis.most) this.stop();
        }, PLAYED);
    }

    listenToGraph(canvas, model) {
        let from = null;
        const size = () => [canvas.clientWidth, canvas.clientHeight];
        canvas.addEventListener("pointerdown", (event) => {
            from = { x: event.offsetX, y: event.offsetY, moved: false };
        });
        canvas.addEventListener("pointermove", (event) => {
            if (!from || !event.buttons) return this.hover(event, canvas, model);
            const [dx, dy] = [event.offsetX - from.x, event.offsetY - from.y];
            if (!from.moved && Math.hypot(dx, dy) < 4) return;
            canvas.setPointerCapture(event.pointerId);
            this.part("tip").hidden = true;
            this.view.pan(dx, dy, ...size());
            from = { x: event.offsetX, y: event.offsetY, moved: true };
            this.redraw();
        });
        canvas.addEventListener("pointerup", (event) => {
            if (from && !from.moved) this.click(event, canvas, model);
            from = null;
        });
        canvas.addEventListener("pointercancel", () => {
            from = null;
        });
        canvas.addEventListener("pointerleave", () => {
            this.part("tip").hidden = true;
        });
        canvas.addEventListener("dblclick", () => {
            this.view.reset();
            this.redraw();
        });
        canvas.addEventListener(
            "wheel",
            (event) => {
                if (!event.ctrlKey && !event.metaKey && this.view.zoom === 1) return; // the page scrolls
                event.preventDefault();
                this.view.zoomAt(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY, ...size());
                this.redraw();
            },
            { passive: false },
        );
        canvas.addEventListener("keydown", (event) => this.walkNodes(event, canvas));
        canvas.addEventListener("blur", () => {
            this.focus = undefined;
            this.redraw();
        });
    }

    nearest(event, canvas, model) {
        const [left, , across, down] = frameOf(canvas.clientWidth, canvas.clientHeight, this.chosen.view);
        const within = event.offsetX > left && event.offsetX < left + across && event.offsetY < down;
        if (!within || this.chosen.view === "layers") return { node: -1, edge: -1, model };
        const place = this.view.scale(canvas.clientWidth, canvas.clientHeight);
        const node = nodeAt(this.layout, place, event.offsetX, event.offsetY, diameters(place)[1] / 2 + 5);
        if (node >= 0) return { node, edge: -1, model };
        const drawn = this.chosen.view === "one" ? this.drawn.arm?.both : { [model]: this.drawn[model] };
        const near = Object.keys(drawn ?? {}).map((some) => {
            const ranks = drawn[some]?.ranks ?? [];
            return { node, model: some, ...edgeAt(this.curves[some], ranks, place, event.offsetX, event.offsetY, 7) };
        });
        return near.sort((a, b) => a.distance - b.distance)[0] ?? { node, edge: -1, model };
    }

    click(event, canvas, model) {
        if (this.chosen.view === "layers") return;
        const { node, edge, model: own } = this.nearest(event, canvas, model);
        if (node >= 0) return this.select(node, event);
        this.path = edge < 0 ? null : new Set([edgeKey(this.payload.edges[own], edge)]);
        if (edge < 0 && (this.chosen.node || this.chosen.pins.length)) this.select(-1, event);
        this.redraw();
    }

    hover(event, canvas, model) {
        const tip = this.part("tip");
        const { node, edge, model: own } = this.nearest(event, canvas, model);
        tip.hidden = node < 0 && edge < 0;
        if (tip.hidden) return;
        tip.textContent =
            node >= 0
                ? nodeWords(this.payload, this.chosen.k, node)
                : edgeWords(this.payload, this.chosen.k, own, edge);
        const [outer, inner] = [this.root.getBoundingClientRect(), canvas.getBoundingClientRect()];
        const x = inner.left - outer.left + event.offsetX;
        tip.style.left = `${Math.max(Math.min(x + 14, outer.width - tip.offsetWidth - 4), 0)}px`;
        tip.style.top = `${inner.top - outer.top + event.offsetY + 16}px`;
    }

    /** Arrow keys go from node to node, Enter selects, + and - zoom. */
    walkNodes(event, canvas) {
        const { heads } = this.payload.header.shape;
        const last = this.payload.header.names.length - 1;
        const now = this.focus ?? Math.max(this.payload.header.names.indexOf(this.chosen.node), 0);
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: heads + 1, ArrowDown: -heads - 1 }[event.key];
        const zoom = { "+": 1.5, "-": 0.667 }[event.key];
        if (event.key === "Enter" || event.key === " ") this.select(now, event);
        else if (zoom) this.zoomBy(zoom, canvas);
        else if (event.key === "0") this.view.reset();
        else if (step) this.focus = now === 0 && step > 1 ? 1 : Math.min(Math.max(now + step, 0), last);
        else return;
        event.preventDefault();
        if (step) this.part("spoken").textContent = nodeWords(this.payload, this.chosen.k, this.focus);
        this.redraw();
    }

    /** A file of exactly what is seen. */
    save(form) {
        const { header } = this.payload;
        const numbers = numbersAt(this.payload, this.chosen.k);
        const { clientWidth: width, clientHeight: height } = this.part("graph-arm");
        const drawings = (this.chosen.view === "side" ? MODELS : ["arm"]).map((model) => {
            const g = new SvgContext();
            this.drawView(g, { ...this.scene(), moving: false, focus: undefined }, numbers, model, width, height);
            const words = [...this.part(`caption-${model}`).children].map((child) => child.textContent.trim());
            return { parts: g.parts, title: words.filter(Boolean).join(" · ") };
        });
        const filters = filterWords(header, this.chosen).join(", ");
        const size = [`K = ${this.chosen.k}`, ...(filters ? [`filters: ${filters}`] : [])].join(" · ");
        const lines = [size, this.part("note").textContent, ...header.origin];
        const svg = svgOf(drawings, width, height, lines, this.colours);
        const name = `${header.file}-k${this.chosen.k}-${this.chosen.view}.${form}`;
        const blob = new Blob([svg], { type: "image/svg+xml" });
        if (form === "svg") return download(blob, name);
        const image = new Image();
        image.onload = () => {
            const canvas = Object.assign(document.createElement("canvas"), {
                width: 2 * image.width,
                height: 2 * image.height,
            });
            canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
            canvas.toBlob((png) => download(png, name));
        };
        image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
    }
}

function download(blob, name) {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** An empty canvas's drawing context in CSS pixels, at the screen's resolution; opaque, which is painted faster. */
function context(canvas, background) {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    const g = canvas.getContext("2d", { alpha: false });
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.fillStyle = background;
    g.fillRect(0, 0, width, height);
    return { g, width, height };
}

/** Write a property that changed: the browser lays out again whatever is written. */
function set(node, property, value) {
    if (written.get(node) !== value) node[property] = value;
    written.set(node, value);
}

const written = new WeakMap();
const element = (name, properties = {}) => Object.assign(document.createElement(name), properties);
