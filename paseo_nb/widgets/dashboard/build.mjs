// Makes dashboard.js and dashboard.css from src/, with the run view's tools and parts: `npm ci` in
// ../run_view, then `node build.mjs` here.
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "../run_view/node_modules/esbuild/lib/main.js";

const out = process.argv[2] ?? ".";
const here = fileURLToPath(new URL(".", import.meta.url));
const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", write: false, absWorkingDir: here };
const js = await build({
  ...common,
  entryPoints: ["src/index.js"],
  format: "esm",
  target: "es2022",
  banner: { js: "/* paseo_nb dashboard, made from src/ by build.mjs. Contains highlight.js (BSD-3-Clause), through the run view's diffs. */" },
});
const css = await build({ ...common, entryPoints: ["src/dashboard.css"], loader: { ".css": "css" } });
await writeFile(`${out}/dashboard.js`, js.outputFiles[0].contents);
await writeFile(`${out}/dashboard.css`, css.outputFiles[0].contents);
