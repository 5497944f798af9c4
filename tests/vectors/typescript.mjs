// Makes typescript.json, with Node's own crypto as the TypeScript tool uses it and nothing of this project:
// `node tests/vectors/typescript.mjs`. Refuses where there is one already: the vectors never change.
//
// Each vector has `name`, `key` (base64), `file` (text) and either `secrets` (exactly these are in it) or `code` (a
// reader must refuse with it).

import { createCipheriv, createHash } from "node:crypto";
import { writeFileSync } from "node:fs";

const derived = (what, length) => createHash("sha512").update(`claude-secrets vectors: ${what}`).digest().subarray(0, length);
const KEY = derived("key", 32);
const OTHER = derived("another key", 32);

function sealed(what, plain, ivLength = 12, key = KEY) {
  const iv = derived(`iv of ${what}`, ivLength);
  const cipher = createCipheriv("aes-256-gcm", key, iv);
  const ciphertext = Buffer.concat([cipher.update(plain, "utf8"), cipher.final()]);
  return [iv, cipher.getAuthTag(), ciphertext];
}

const file = (parts) => parts.map((part) => part.toString("base64")).join(":");
const flipped = (bytes) => Buffer.from(bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte)));
const vectors = [];
const good = (name, secrets, ivLength) =>
  vectors.push({ name, key: KEY.toString("base64"), file: file(sealed(name, JSON.stringify(secrets), ivLength)), secrets });
const bad = (name, code, text, key = KEY) => vectors.push({ name, key: key.toString("base64"), file: text, code });

const two = { GITHUB_TOKEN: "canary-value-one", DATABASE_URL: "postgres://canary-value-two@db/x" };
const [iv, tag, ciphertext] = sealed("two", JSON.stringify(two));

good("two", two, 12);
good("an IV of 16 bytes", two, 16);
good("nothing in it", {}, 12);
good("characters", { LINES: "canary-one\ncanary-two\r\n", SIGNS: "\u0000\"\\ e\u0301 \u{1f511} \u2028", "a.b-c_9": " canary " }, 12);
vectors.push({ name: "a newline at the end", key: KEY.toString("base64"), file: file([iv, tag, ciphertext]) + "\n", secrets: two });

bad("another key", "KEY_WRONG", file([iv, tag, ciphertext]), OTHER);
bad("a key of 16 bytes", "KEY_WRONG", file([iv, tag, ciphertext]), KEY.subarray(0, 16));
bad("a changed tag", "KEY_WRONG", file([iv, flipped(tag), ciphertext]));
bad("a changed IV", "KEY_WRONG", file([flipped(iv), tag, ciphertext]));
bad("a changed ciphertext", "KEY_WRONG", file([iv, tag, flipped(ciphertext)]));
bad("a shorter tag", "KEY_WRONG", file([iv, tag.subarray(0, 12), ciphertext]));
bad("a shorter ciphertext", "KEY_WRONG", file([iv, tag, ciphertext.subarray(0, -1)]));
bad("no IV", "KEY_WRONG", file([Buffer.alloc(0), tag, ciphertext]));
bad("cut off in the ciphertext", "STORE_FORMAT", file([iv, tag, ciphertext.subarray(0, 30)]).slice(0, -1));
bad("cut off in the tag", "STORE_FORMAT", file([iv, tag]));
bad("four parts", "STORE_FORMAT", file([iv, tag, ciphertext, tag]));
bad("not base64", "STORE_FORMAT", file([iv, tag, ciphertext]).replace(":", ":!"));
bad("empty", "STORE_FORMAT", "");
bad("not JSON inside", "STORE_FORMAT", file(sealed("not JSON", "canary-value-one")));
bad("a list inside", "STORE_FORMAT", file(sealed("a list", '["canary-value-one"]')));
bad("nothing inside", "STORE_FORMAT", file(sealed("nothing", "")));
bad("a number inside", "INVALID_VALUE", file(sealed("a number", '{"A": "canary-value-one", "B": 7}')));
bad("a name that is none", "INVALID_NAME", file(sealed("no name", '{"canary value one": "x"}')));

writeFileSync(new URL("typescript.json", import.meta.url), JSON.stringify(vectors, null, 1) + "\n", { flag: "wx" });
