// Prints what the AsyncAPI parser finds wrong with the document named on the command line, as JSON.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const diagnostics = await new Parser().validate(await readFile(process.argv[2], "utf8"));
console.log(JSON.stringify(diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }))));
