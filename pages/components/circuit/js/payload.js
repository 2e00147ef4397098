/**
 * Read what pages/components/circuit/payload.py packs: a JSON header, then typed arrays.
 *
 * @typedef {Object} Edges The strongest edges of one model, strongest first.
 * @property {Uint16Array} source node that writes
 * @property {Uint16Array} target node that reads
 * @property {Uint8Array} kind what the target reads by: 0, 1, 2 for q, k, v; 3 an MLP; 4 the logits
 * @property {Float32Array} score
 * @property {Int32Array} other rank in the other model, 0 = strongest
 *
 * @typedef {Object} Payload
 * @property {Object<string, any>} header
 * @property {Object<string, any>} arrays by name
 * @property {{arm: Edges, mdm: Edges}} edges
 */

const TYPES = { f4: Float32Array, i4: Int32Array, u2: Uint16Array, u1: Uint8Array };

/** @param {Uint8Array} bytes @returns {Payload} */
export function unpack(bytes) {
    const whole = bytes.slice(); // at an offset that is a multiple of 4
    const length = new DataView(whole.buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(whole.subarray(4, 4 + length)));
    const arrays = {};
    for (const [name, type, offset, entries] of header.arrays) {
        arrays[name] = new TYPES[type](whole.buffer, offset, entries);
    }
    const of = (model) => {
        const column = (name) => arrays[`${model}_${name}`];
        return {
            source: column("source"),
            target: column("target"),
            kind: column("kind"),
            score: column("score"),
            other: column("other"),
        };
    };
    return { header, arrays, edges: { arm: of("arm"), mdm: of("mdm") } };
}
