// Standard input: {name: text}. Standard output, for each: what Mermaid finds wrong with it, or an empty text.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";

// Its HTML sanitizer wants a page; with one that can do nothing it hands every text on as it is.
const document = { nodeType: 9, implementation: {}, createElement: () => ({}) };
globalThis.window = { document, Element: class {} };
const file = join(process.argv[2], "node_modules", "@mermaid-js", "tiny", "dist", "mermaid.tiny.js");
runInThisContext(readFileSync(file, "utf8"), { filename: file });

const problems = {};
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  try {
    await globalThis.mermaid.parse(text);
    problems[name] = "";
  } catch (error) {
    problems[name] = String(error.message ?? error);
  }
}
process.stdout.write(JSON.stringify(problems));
