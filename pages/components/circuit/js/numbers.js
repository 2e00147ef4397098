/**
 * The numbers of two circuits at any K: engine/circuits/{comparison,profiles,along_k,pruning,filters}.py once more,
 * because a slide cannot wait for the server. tests/browser/test_circuit_numbers.py compares the two.
 *
 * @typedef {import("./payload.js").Edges} Edges
 * @typedef {Object} Shape
 * @property {number} layers
 * @property {number} heads
 * @property {number} edges of the whole graph
 * @property {number} early how many layers are early
 * @property {number} core the share of importance that a model's main components hold
 *
 * @typedef {Object} Numbers
 * @property {number} shared
 * @property {number} jaccard
 * @property {number} chance
 * @property {number} components overlap of main components; NaN where there are none
 * @property {number[]} early share of importance in early layers, of the ARM and of the MDM
 * @property {number} ratio
 * @property {number[]} effective number of components of both
 * @property {ArrayLike<number>[]} profile share of importance by layer of both
 */

/** @param {Shape} shape */
export const nodesOf = (shape) => 2 + shape.layers * (shape.heads + 1);

/** @param {number} shared @param {number} k */
export const jaccard = (shared, k) => shared / (2 * k - shared);

/** @param {Edges} edges @param {number} k */
export function sharedAt(edges, k) {
    let shared = 0;
    for (let rank = 0; rank < k; rank++) shared += edges.other[rank] < k ? 1 : 0;
    return shared;
}

/** Sum of |score| over the circuit's edges at each node. @param {Edges} edges @param {number} k @param {number} nodes */
export function importance(edges, k, nodes) {
    const sum = new Float64Array(nodes);
    for (let rank = 0; rank < k; rank++) {
        const weight = Math.abs(edges.score[rank]);
        sum[edges.source[rank]] += weight;
        sum[edges.target[rank]] += weight;
    }
    return sum;
}

/** Shares of importance by layer; `input` and `logits` are left out. @param {Float64Array} byNode @param {Shape} shape */
export function layerProfile(byNode, shape) {
    const profile = new Float64Array(shape.layers);
    let total = 0;
    for (let node = 1; node < byNode.length - 1; node++) {
        profile[Math.floor((node - 1) / (shape.heads + 1))] += byNode[node];
        total += byNode[node];
    }
    return total ? profile.map((sum) => sum / total) : profile;
}

/** exp of the entropy of the components' shares. @param {Float64Array} byNode */
export function effectiveNumber(byNode) {
    const inner = byNode.subarray(1, -1);
    const total = inner.reduce((sum, value) => sum + value, 0);
    if (!total) return 0;
    let entropy = 0;
    for (const value of inner) {
        const share = value / total;
        if (share > 0) entropy -= share * Math.log(share);
    }
    return Math.exp(entropy);
}

/** The fewest components that hold `share` of their importance, as flags by node. @param {Float64Array} byNode @param {number} share */
export function mainComponents(byNode, share) {
    const flags = new Uint8Array(byNode.length);
    const order = [];
    let total = 0;
    for (let node = 1; node < byNode.length - 1; node++) {
        total += byNode[node];
        if (byNode[node] > 0) order.push(node);
    }
    order.sort((a, b) => byNode[b] - byNode[a] || a - b);
    let held = 0;
    for (const node of order) {
        if (held >= share * total) break;
        held += byNode[node];
        flags[node] = 1;
    }
    return flags;
}

/** @param {Uint8Array} a @param {Uint8Array} b */
export function overlapOfFlags(a, b) {
    let both = 0;
    let either = 0;
    for (let node = 0; node < a.length; node++) {
        both += a[node] & b[node];
        either += a[node] | b[node];
    }
    return either ? both / either : Number.NaN;
}

/**
 * All numbers at one K; above the edges that are here from the table of stops, null where K is none of them.
 * @param {import("./payload.js").Payload} payload @param {number} k @returns {Numbers | null}
 */
export function numbersAt(payload, k) {
    const { shape } = payload.header;
    const chance = k / (2 * shape.edges - k);
    if (k > payload.edges.arm.score.length) {
        const at = stopOf(payload, k);
        return at < 0 ? null : { ...beyond(payload, at, k), chance };
    }
    const sums = [payload.edges.arm, payload.edges.mdm].map((edges) => importance(edges, k, nodesOf(shape)));
    const profile = sums.map((byNode) => layerProfile(byNode, shape));
    const early = profile.map((shares) => earlyShare(shares, shape.early));
    const shared = sharedAt(payload.edges.arm, k);
    const main = sums.map((byNode) => mainComponents(byNode, shape.core));
    const effective = sums.map(effectiveNumber);
    const components = overlapOfFlags(main[0], main[1]);
    return { shared, jaccard: jaccard(shared, k), chance, components, early, ratio: ratio(early), effective, profile };
}

/** Index of K among the stops above the edges that are here, -1 where it is none. */
export const stopOf = (payload, k) => payload.arrays.stops.indexOf(k);

function beyond(payload, at, k) {
    const { arrays, header } = payload;
    const { layers } = header.shape;
    const of = (name) => [arrays[`arm_${name}`][at], arrays[`mdm_${name}`][at]];
    const profile = ["arm", "mdm"].map((model) => arrays[`${model}_profile`].subarray(at * layers, (at + 1) * layers));
    const shared = arrays.stop_shared[at];
    const early = of("early");
    return {
        shared,
        jaccard: jaccard(shared, k),
        components: arrays.stop_components[at],
        early,
        ratio: ratio(early),
        effective: of("effective"),
        profile,
    };
}

function earlyShare(profile, layers) {
    if (!profile.some((share) => share > 0)) return Number.NaN;
    return profile.slice(0, layers).reduce((sum, share) => sum + share, 0);
}

const ratio = ([arm, mdm]) => (arm ? mdm / arm : Number.NaN);

/**
 * Which of the K strongest edges are drawn, as flags by rank.
 * @param {Edges} edges @param {number} k how many of the edges that are here
 * @param {number} circuit K, which says what is shared
 * @param {{kinds: boolean[], sign: string, show: string, prune: boolean}} filters @param {number} nodes
 */
export function kept(edges, k, circuit, filters, nodes) {
    const flags = filters.prune ? pruned(edges, k, nodes) : new Uint8Array(k).fill(1);
    for (let rank = 0; rank < k; rank++) {
        const positive = edges.score[rank] > 0;
        const negative = edges.score[rank] < 0;
        const shared = edges.other[rank] < circuit;
        const fits =
            filters.kinds[edges.kind[rank]] &&
            (filters.sign === "both" || (filters.sign === "positive" ? positive : negative)) &&
            (filters.show === "all" || (filters.show === "shared") === shared);
        if (!fits) flags[rank] = 0;
    }
    return flags;
}

/** Edges on a path from `input` to `logits` within the circuit. @param {Edges} edges @param {number} k @param {number} nodes */
export function pruned(edges, k, nodes) {
    const flags = new Uint8Array(k).fill(1);
    for (let changed = true; changed; ) {
        changed = false;
        const fed = new Uint8Array(nodes);
        const used = new Uint8Array(nodes);
        fed[0] = used[nodes - 1] = 1;
        for (let rank = 0; rank < k; rank++) {
            if (!flags[rank]) continue;
            fed[edges.target[rank]] = 1;
            used[edges.source[rank]] = 1;
        }
        for (let rank = 0; rank < k; rank++) {
            const alive = (node) => fed[node] && used[node];
            if (flags[rank] && !(alive(edges.source[rank]) && alive(edges.target[rank]))) {
                flags[rank] = 0;
                changed = true;
            }
        }
    }
    return flags;
}
