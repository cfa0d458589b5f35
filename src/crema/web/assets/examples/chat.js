// A support chat in a browser that loses nothing: it comes back after every loss of the connection, asks for what it
// missed, and sends again what was not acknowledged. No library.
//
//   const chat = new Chat({ ticket: async () => (await api("POST", "/chat/ticket")).ticket, onFrame: show });
//   chat.connect();
//   chat.say("Где мой латте?");

const FINAL = new Set([1008, 4401, 4403, 4404]); // coming back would not help
const SHORTEST = 500;
const LONGEST = 30_000;

export class Chat {
  /**
   * @param {object} options
   * @param {() => Promise<string>} options.ticket  fetches a one-time ticket, with the user's login
   * @param {(frame: object) => void} options.onFrame  is given every frame that comes
   * @param {(state: string) => void} [options.onState]  "connecting", "open", "waiting", or "closed 4401"
   * @param {string} [options.path]  /chat, or /chat/{conversation_id} for those who answer
   * @param {string} [options.origin]  where Crema is
   */
  constructor({ ticket, onFrame, onState = () => {}, path = "/chat", origin = location.origin }) {
    Object.assign(this, { ticket, onFrame, onState });
    this.url = origin.replace(/^http/, "ws") + path;
    this.position = null; // the seq of the last message seen
    this.unacknowledged = new Map(); // client_id → text, in the order they were said
    this.delay = SHORTEST;
    this.ended = false;
  }

  async connect() {
    this.onState("connecting");
    let ticket;
    try {
      ticket = await this.ticket();
    } catch {
      this.#comeBack();
      return;
    }
    const after = this.position === null ? "" : `?after=${this.position}`;
    const socket = new WebSocket(this.url + after);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "auth", ticket }));
    socket.onmessage = (event) => this.#take(JSON.parse(event.data));
    socket.onclose = ({ code }) => {
      this.ready = false;
      if (this.ended || FINAL.has(code)) this.onState(`closed ${code}`);
      else this.#comeBack();
    };
  }

  /** Say something, now or when the connection is back. */
  say(text) {
    const id = crypto.randomUUID();
    this.unacknowledged.set(id, text);
    if (this.ready) this.#send({ type: "message", client_id: id, text });
  }

  /** Tell the others that one is writing. */
  typing() {
    if (this.ready) this.#send({ type: "typing" });
  }

  /** Tell the other side that everything shown was read. */
  read() {
    if (this.ready && this.position !== null) this.#send({ type: "read", seq: this.position });
  }

  close() {
    this.ended = true;
    this.socket?.close();
  }

  #take(frame) {
    if (frame.type === "ready") {
      this.ready = true;
      this.delay = SHORTEST;
      this.position ??= frame.last_seq;
      this.onState("open");
      for (const [id, text] of this.unacknowledged) this.#send({ type: "message", client_id: id, text });
    } else if (frame.type === "ack") {
      this.unacknowledged.delete(frame.client_id);
    } else if (frame.type === "message") {
      if (frame.seq <= this.position) return; // seen before
      this.position = frame.seq;
    }
    this.onFrame(frame);
  }

  #send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  #comeBack() {
    if (this.ended) return;
    this.onState("waiting");
    setTimeout(() => this.connect(), this.delay * (0.5 + Math.random() / 2)); // not all at once
    this.delay = Math.min(this.delay * 2, LONGEST);
  }
}
