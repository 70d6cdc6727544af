// Where recordings come from: the server of this page, or the page itself.

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// The inverse of `pack_records` in record_codec.py: the planes hold all first bytes of the records,
// then all second bytes and so on; each time is stored as its difference to the one before.
function unshuffle(planes) {
  const n = planes.length / RECORD_BYTES;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < RECORD_BYTES; plane++) {
    for (let i = 0, at = plane * n; i < n; i++) bytes[i * RECORD_BYTES + plane] = planes[at + i];
  }
  const view = new DataView(bytes.buffer);
  let low = 0,
    high = 0;
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    low += view.getUint32(at, true);
    high += view.getUint32(at + 4, true) + (low > 0xffffffff ? 1 : 0);
    low >>>= 0;
    view.setUint32(at, low, true);
    view.setUint32(at + 4, high, true);
  }
  return bytes;
}

// Recordings embedded in the page.
class EmbeddedSource {
  constructor(recordings) {
    this.recordings = recordings;
  }

  async list() {
    return this.recordings.map(({ begin, update, results, pictures, ...named }) => ({
      ...named,
      ...begin,
      ...update.live,
    }));
  }

  async results() {
    return Object.fromEntries(this.recordings.map(({ id, results }) => [id, results]));
  }

  async details(id) {
    const { begin, results } = this.recordings.find((one) => one.id === id);
    return { curves: begin.metrics, ...results };
  }

  async pictures(id) {
    return this.recordings.find((one) => one.id === id).pictures;
  }

  async open(id, { begin, update }) {
    const recording = this.recordings.find((one) => one.id === id);
    begin(recording.begin);
    const packed = byId(`records-${id}`).textContent;
    update(recording.update, unshuffle(await inflate(packed)));
  }
}

// Recordings of the server, which sends updates at most ten times a second.
class ServerSource {
  list() {
    return this.read("recordings");
  }

  results() {
    return this.read("results");
  }

  details(id) {
    return this.read(`recordings/${encodeURIComponent(id)}/details`);
  }

  pictures(id) {
    return this.read(`recordings/${encodeURIComponent(id)}/pictures`);
  }

  async read(address) {
    const response = await fetch(address, { cache: "no-store" });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  async open(id, { begin, update, connection }) {
    this.close();
    const stream = new EventSource(`recordings/${encodeURIComponent(id)}/events`);
    this.stream = stream;
    stream.addEventListener("begin", (event) => begin(JSON.parse(event.data)));
    stream.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      update(message, fromBase64(message.records));
    });
    stream.addEventListener("error", () => connection(stream.readyState === EventSource.CLOSED));
    stream.addEventListener("open", () => connection(null));
  }

  close() {
    this.stream?.close();
  }
}

function findSource() {
  const embedded = byId("recordings");
  return embedded ? new EmbeddedSource(JSON.parse(embedded.textContent)) : new ServerSource();
}
