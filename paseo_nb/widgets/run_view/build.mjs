// Makes run_view.js and run_view.css from src/: `npm ci && npm run build` in this folder.
import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const out = process.argv[2] ?? ".";
const names = ["markdown-it", "linkify-it", "mdurl", "entities", "uc.micro", "punycode.js", "highlight.js"];
const licences = [];
for (const name of names) {
  const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
  licences.push(`${name} ${version} (${license})`);
}
const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", write: false };
const js = await build({
  ...common,
  entryPoints: ["src/index.js"],
  format: "esm",
  target: "es2022",
  banner: { js: `/* paseo_nb run view, made from src/ by build.mjs. Contains ${licences.join(", ")}. */` },
});
const css = await build({ ...common, entryPoints: ["src/run_view.css"], loader: { ".css": "css" } });
await writeFile(`${out}/run_view.js`, js.outputFiles[0].contents);
await writeFile(`${out}/run_view.css`, css.outputFiles[0].contents);
