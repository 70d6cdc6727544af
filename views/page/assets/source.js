// Where the records come from: the server of this page, or the page itself.

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

// Records as the report keeps them, which packs better: all first bytes, then all second bytes …;
// of the times only how much later each is than the one before.
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

// The recordings in the page.
class Carried {
  constructor(recordings) {
    this.recordings = recordings;
  }

  async list() {
    return this.recordings.map(({ id, begin, update }) => ({ id, ...begin, ...update.live }));
  }

  async open(id, { begin, update }) {
    const recording = this.recordings.find((one) => one.id === id);
    begin(recording.begin);
    const packed = byId(`records-${id}`).textContent;
    update(recording.update, unshuffle(await inflate(packed)));
  }

  async chart(id) {
    return this.recordings.find((one) => one.id === id).svg;
  }
}

// The server, which tells what is new ten times a second at most.
class Served {
  async list() {
    const answer = await fetch("recordings", { cache: "no-store" });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  async open(id, { begin, update, lost }) {
    this.close();
    const stream = new EventSource(`recordings/${encodeURIComponent(id)}/events`);
    this.stream = stream;
    stream.addEventListener("begin", (event) => begin(JSON.parse(event.data)));
    stream.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      update(message, fromBase64(message.records));
    });
    stream.addEventListener("error", () => lost(stream.readyState === EventSource.CLOSED));
    stream.addEventListener("open", () => lost(null));
  }

  async chart(id) {
    return (await fetch(`recordings/${encodeURIComponent(id)}/chart`)).text();
  }

  close() {
    this.stream?.close();
  }
}

function findSource() {
  const carried = byId("recordings");
  return carried ? new Carried(JSON.parse(carried.textContent)) : new Served();
}
