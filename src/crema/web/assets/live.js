// The page /docs/live: shows the examples' source and lets people talk to the server they look at.
import { Chat } from "./examples/chat.js";

const at = (id) => document.getElementById(id);

for (const block of document.querySelectorAll("pre[data-source]")) {
  fetch(block.dataset.source).then((answer) => answer.text()).then((text) => (block.textContent = text));
}

function log(direction, frame) {
  const line = document.createElement("div");
  line.className = direction;
  line.textContent = typeof frame === "string" ? frame : JSON.stringify(frame);
  at("log").append(line);
  at("log").scrollTop = at("log").scrollHeight;
}

async function call(path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body ?? {}) });
  const json = await answer.json();
  if (!answer.ok) throw new Error(json.detail);
  return json;
}

let chat;

addEventListener("focus", () => chat?.state === "replaced" && chat.connect());

at("connect").addEventListener("submit", async (event) => {
  event.preventDefault();
  chat?.close();
  const credentials = { email: at("email").value, password: at("password").value };
  const path = at("conversation").value ? `/chat/${at("conversation").value.trim()}` : "/chat";
  try {
    const { access_token: token } = await call("/authentication", credentials);
    chat = new Chat({
      path,
      ticket: async () => (await call("/chat/ticket", undefined, token)).ticket,
      onFrame: (frame) => log("in", frame),
      onState: (state) => (at("state").textContent = state),
      onRefused: ({ text, detail }) => log("in", `Not sent: ${text} (${detail})`),
    });
    chat.connect();
  } catch (error) {
    at("state").textContent = error.message;
  }
});

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!chat || !at("text").value) return;
  log("out", at("text").value);
  chat.say(at("text").value);
  at("text").value = "";
});
