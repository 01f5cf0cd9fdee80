// What a host starts for a bundle: the official package's own reading of the manifest, as JSON.
// node resolved.mjs PACKAGE DIRECTORY USER_CONFIG
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , packaged, directory, given] = process.argv;
const { getMcpConfigForManifest } = await import(pathToFileURL(join(packaged, "dist", "index.js")));
const found = await getMcpConfigForManifest({
  manifest: JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8")),
  extensionPath: directory,
  systemDirs: {},
  userConfig: JSON.parse(given),
  pathSeparator: "/",
});
console.log(JSON.stringify(found));
