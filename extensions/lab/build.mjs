// Makes built/ from src/ with the run view's tools: `npm ci --ignore-scripts` in
// paseo_nb/widgets/run_view, then `node build.mjs` here.
//
// JupyterLab loads a prebuilt extension as a module-federation container: an object with `init`, which
// is given the modules that the page shares, and `get`. That is little enough to be written here; the
// usual tool chain (webpack or rspack, and all packages of JupyterLab) would be 800 MB for it.
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "../../paseo_nb/widgets/run_view/node_modules/esbuild/lib/main.js";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2] ?? `${here}built`;
const NAME = "paseo-nb";
const TOOLS = `${here}../../paseo_nb/widgets/run_view/node_modules`;
const tables = await readFile(`${here}../../pyproject.toml`, "utf8");
const version = /^version = "(.*)"$/m.exec(tables)[1];

const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", write: false, absWorkingDir: here };
const css = await build({ ...common, entryPoints: ["src/panel.css"], loader: { ".css": "css" } });
const js = await build({
  ...common,
  entryPoints: ["src/index.ts"],
  format: "cjs",
  target: "es2022",
  external: ["@jupyterlab/*", "@lumino/*"],
  define: { PANEL_CSS: JSON.stringify(css.outputFiles[0].text.trim()) },
  metafile: true,
});
const foreign = Object.keys(js.metafile.inputs).filter((path) => path.includes("node_modules/") && !path.includes("node_modules/highlight.js/"));
if (foreign.length) throw new Error(`say whose this is: ${foreign}`);
const shared = [...new Set(Object.values(js.metafile.inputs).flatMap((one) => one.imports.filter((i) => i.external).map((i) => i.path)))].sort();

const container = `/* paseo_nb's JupyterLab panel, made from src/ by build.mjs. Contains highlight.js (BSD-3-Clause, see highlight.js.LICENSE.txt), through the run view's diffs. */
(() => {
const shared = ${JSON.stringify(shared)}, found = {};
let scope, made;
const body = (require, module, exports) => {
${js.outputFiles[0].text.trim()}
};
const newest = (versions) => Object.keys(versions).sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
const load = async () => {
  await Promise.all(shared.map(async (name) => {
    if (!scope[name]) throw new Error("paseo-nb: this JupyterLab does not share " + name);
    found[name] = (await scope[name][newest(scope[name])].get())();
  }));
  const module = { exports: {} };
  body((name) => found[name], module, module.exports);
  return module.exports;
};
(window._JUPYTERLAB ??= {})[${JSON.stringify(NAME)}] = {
  init: (given) => { scope = given; },
  get: async () => { const exported = await (made ??= load()); return () => exported; },
};
})();
`;

const about = {
  name: NAME,
  version,
  description: "Coding agents in JupyterLab: the panel of paseo_nb",
  license: "Apache-2.0",
  jupyterlab: { extension: true, schemaDir: "schema", outputDir: "built", _build: { load: "static/remoteEntry.js", extension: "./extension" } },
};
const install = { packageManager: "python", packageName: "paseo_nb", uninstallInstructions: "pip uninstall paseo_nb" };
const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
await mkdir(`${out}/static`, { recursive: true });
await mkdir(`${out}/schemas/${NAME}`, { recursive: true });
await writeFile(`${out}/static/remoteEntry.js`, container);
await writeFile(`${out}/package.json`, json(about));
await writeFile(`${out}/schemas/${NAME}/package.json.orig`, json(about));
await writeFile(`${out}/install.json`, json(install));
await copyFile(`${TOOLS}/highlight.js/LICENSE`, `${out}/static/highlight.js.LICENSE.txt`);
await copyFile(`${here}schema/plugin.json`, `${out}/schemas/${NAME}/plugin.json`);
