// A support chat in a browser that loses nothing: it comes back after every loss of the connection, also of those that
// nobody tells it about, asks for what it missed, and sends again what was not acknowledged, one message at a time.
// No library.
//
//   const chat = new Chat({ ticket: async () => (await api("POST", "/chat/ticket")).ticket, onFrame: show });
//   chat.connect();
//   chat.say("Где мой латте?");
//
// A person has five sockets; a sixth takes the place of the oldest, whose state is "replaced" then. It doesn't come back
// by itself, or two windows would take each other's place for ever, but when the person does:
//
//   addEventListener("focus", () => chat.state === "replaced" && chat.connect());

const FINAL = new Set([1008, 4401, 4403, 4404]); // coming back would not help
const LATER = new Set(["rate_limited", "too_many_requests"]); // refusals that pass by themselves
const TOO_LARGE = 1009;
const MAX_FRAME = 32 * 1024; // bytes
const WAITS = {
  shortest: 500, // milliseconds before coming back; twice as long each time,
  longest: 30_000, // up to this,
  steady: 5_000, // until a connection lasted for so long
  gap: 250, // between two frames: the server takes five a second
  slower: 1_000, // after it said that this is too fast
  answer: 10_000, // for the server to answer; then the connection is given up
  silence: 20_000, // without a frame; then a ping asks whether the server is still there
  typing: 3_000, // before "typing" is repeated: it holds for five seconds
};

export class Chat {
  /**
   * @param {object} options
   * @param {() => Promise<string | null>} options.ticket  fetches a one-time ticket, with the user's login; null when
   *   the login is over
   * @param {(frame: object) => void} options.onFrame  is given every frame that comes, each message once and in order
   * @param {(state: string) => void} [options.onState]  "connecting", "open", "waiting", "replaced", or "closed 4401"
   * @param {(refused: {client_id: string, text: string, code: string, detail: string}) => void} [options.onRefused]
   *   is given each message that the server will never take: show it, so that it can be written anew
   * @param {string} [options.path]  /chat, or /chat/{conversation_id} for those who answer
   * @param {string} [options.origin]  where Crema is
   * @param {object} [options.waits]  other WAITS
   */
  constructor(options) {
    const { ticket, onFrame, onState = () => {}, onRefused = () => {}, waits, path = "/chat" } = options;
    const { origin = globalThis.location?.origin } = options;
    Object.assign(this, { ticket, onFrame, onState, onRefused, waits: { ...WAITS, ...waits } });
    this.url = origin.replace(/^http/, "ws") + path;
    this.position = null; // the seq of the last message seen
    this.unacknowledged = new Map(); // client_id → text, in the order they were said
    this.inFlight = null; // the client_id that was sent and not answered yet
    this.passing = new Map(); // type → frame: what is to be sent beside messages
    this.delay = this.waits.shortest;
    this.state = "closed";
  }

  /** Connect, now, and come back by itself until `close` or until that is useless. */
  connect() {
    if (this.state === "connecting" || this.state === "open") return;
    clearTimeout(this.comingBack);
    this.ended = false;
    this.#open();
  }

  /** Say something, now or when the connection is back; return its client_id. */
  say(text) {
    const id = crypto.randomUUID();
    this.unacknowledged.set(id, text);
    this.#pump();
    return id;
  }

  /** Tell the others that one is writing. Call it at every key; it is sent every three seconds. */
  typing() {
    if (this.state !== "open" || Date.now() - (this.typedAt ?? 0) < this.waits.typing) return;
    this.typedAt = Date.now();
    this.passing.set("typing", { type: "typing" });
    this.#pump();
  }

  /** Tell the other side that everything shown was read. */
  read() {
    if (!this.position) return;
    this.passing.set("read", { type: "read", seq: this.position });
    this.#pump();
  }

  close() {
    this.ended = true;
    clearTimeout(this.comingBack);
    this.#leave();
    this.#is("closed");
  }

  async #open() {
    this.#is("connecting");
    const attempt = (this.attempt = Symbol("attempt"));
    this.#expect(this.waits.answer); // of the ticket, the handshake and `ready` together
    let ticket;
    try {
      ticket = await this.ticket();
    } catch {
      if (attempt === this.attempt) this.#comeBack();
      return;
    }
    if (attempt !== this.attempt) return; // closed or given up meanwhile
    if (ticket === null) {
      this.#leave();
      this.#is("closed 4401");
      return;
    }
    const after = this.position === null ? "" : `?after=${this.position}`;
    const socket = (this.socket = new WebSocket(this.url + after));
    socket.onopen = () => socket.send(JSON.stringify({ type: "auth", ticket }));
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #take(frame) {
    this.#expect(null);
    if (frame.type === "ready") {
      this.openedAt = Date.now();
      this.lastSeq = frame.last_seq;
      this.position ??= frame.last_seq;
      this.#is("open");
    } else if (frame.type === "ack") {
      this.unacknowledged.delete(frame.client_id);
      this.delay = this.waits.shortest;
      if (frame.client_id === this.inFlight) this.inFlight = null;
    } else if (frame.type === "error") {
      this.#refused(frame);
    } else if (frame.type === "message") {
      if (frame.seq <= this.position) return; // seen before
      this.position = frame.seq;
    }
    this.onFrame(frame);
    this.#pump();
  }

  #refused({ code, detail, client_id: id }) {
    if (LATER.has(code)) {
      this.slowUntil = Date.now() + this.waits.slower;
      if (id === this.inFlight) this.inFlight = null; // again, later
    } else if (code === "invalid_position" && this.position > this.lastSeq) {
      this.position = this.lastSeq; // the server's past was restored from a backup
    } else if (this.unacknowledged.has(id)) {
      this.#drop(id, code, detail);
    }
  }

  /** Give up what the server will never take, and go on with the rest. */
  #drop(id, code, detail) {
    const text = this.unacknowledged.get(id);
    this.unacknowledged.delete(id);
    if (id === this.inFlight) this.inFlight = null;
    this.onRefused({ client_id: id, text, code, detail });
  }

  /** Send what is to be sent, a frame at a time: what passes first, then the oldest message that has no answer. */
  #pump() {
    if (this.state !== "open" || this.pumping !== undefined) return;
    if (this.passing.size === 0 && (this.inFlight !== null || this.unacknowledged.size === 0)) return;
    const at = Math.max((this.sentAt ?? 0) + this.waits.gap, this.slowUntil ?? 0);
    this.pumping = setTimeout(() => {
      this.pumping = undefined;
      this.#sendNext();
      this.#pump();
    }, at - Date.now());
  }

  #sendNext() {
    const [passing] = this.passing.values();
    if (passing) {
      this.passing.delete(passing.type);
      this.#send(JSON.stringify(passing));
    } else if (this.inFlight === null && this.unacknowledged.size > 0) {
      const [[id, text]] = this.unacknowledged;
      const frame = JSON.stringify({ type: "message", client_id: id, text });
      if (new TextEncoder().encode(frame).length > MAX_FRAME) {
        this.#drop(id, "too_large", "This text is too long.");
        return;
      }
      this.inFlight = id;
      this.#send(frame);
      this.#expect(this.waits.answer);
    }
  }

  #send(frame) {
    this.sentAt = Date.now();
    this.socket.send(frame);
  }

  /** Give the connection up unless a frame comes in time. `null`: none is awaited; a ping asks for one after a while. */
  #expect(milliseconds) {
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => {
      if (milliseconds !== null) {
        this.#comeBack();
        return;
      }
      this.passing.set("ping", { type: "ping" });
      this.#pump();
      this.#expect(this.waits.answer);
    }, milliseconds ?? this.waits.silence);
  }

  #closed(code, reason) {
    const culprit = this.inFlight;
    if (code === TOO_LARGE && culprit !== null) this.#drop(culprit, "too_large", "This text is too long.");
    if (FINAL.has(code) || reason === "too_many_sockets") {
      this.#leave();
      this.#is(FINAL.has(code) ? `closed ${code}` : "replaced");
    } else {
      this.#comeBack();
    }
  }

  /** Forget the connection, which may be one that is dead without our knowing. */
  #leave() {
    clearTimeout(this.deadline);
    clearTimeout(this.pumping);
    this.pumping = undefined;
    this.inFlight = null;
    this.passing.clear();
    this.attempt = null;
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  #comeBack() {
    if (this.state === "open" && Date.now() - this.openedAt > this.waits.steady) this.delay = this.waits.shortest;
    this.#leave();
    if (this.ended) return;
    this.#is("waiting");
    this.comingBack = setTimeout(() => this.#open(), this.delay * (0.5 + Math.random() / 2)); // not all at once
    this.delay = Math.min(this.delay * 2, this.waits.longest);
  }

  #is(state) {
    this.state = state;
    this.onState(state);
  }
}
