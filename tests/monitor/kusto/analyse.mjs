// Standard input: {"tables": {name: "(column: type, …)"}, "queries": {name: text}}. Standard output, for each query: what
// Microsoft's language service finds wrong with it, which tables it reads, which members of dynamic values it asks for,
// and which texts it compares with what.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { runInThisContext } from "node:vm";

const folder = join(process.argv[2], "node_modules", "@kusto", "language-service-next");
// The files define globals, as scripts of a page do.
for (const name of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  runInThisContext(readFileSync(join(folder, name), "utf8"), { filename: name });
}
const { GlobalState, KustoCode, Symbols, Syntax } = globalThis.Kusto.Language;
const System = globalThis.System;

const input = JSON.parse(readFileSync(0, "utf8"));
const tables = Object.entries(input.tables).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name));
const list = new (System.Collections.Generic.List$1(Symbols.Symbol).ctor)();
for (const table of tables) list.add(table);
const database = new Symbols.DatabaseSymbol.$ctor1("workspace", list);
const globals = GlobalState.Default.WithDatabase(database);

const each = (enumerable) => System.Linq.Enumerable.from(enumerable).ToArray();
const kind = (node) => System.Enum.toString(Syntax.SyntaxKind, node.Kind);

function analysed(text) {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const found = { problems: [], tables: [], members: [], compared: [] };
  for (const diagnostic of each(code.GetDiagnostics())) {
    found.problems.push(`${diagnostic.Code} at ${diagnostic.Start}: ${diagnostic.Message}`);
  }
  Syntax.SyntaxElement.WalkNodes(code.Syntax, (node) => visit(node, found));
  return found;
}

function visit(node, found) {
  switch (kind(node)) {
    case "NameReference":
      if (node.ReferencedSymbol instanceof Symbols.TableSymbol) found.tables.push(node.SimpleName);
      break;
    case "PathExpression":
      found.members.push({ of: source(node.Expression), name: source(node.Selector) });
      break;
    case "ElementExpression":
      found.members.push({ of: source(node.Expression), name: texts(node.Selector).join() });
      break;
    case "InExpression":
      found.compared.push({ what: source(node.Left), operator: source(node.Operator), values: texts(node.Right) });
      break;
    default:
      if (node instanceof Syntax.BinaryExpression && literal(node.Right)) {
        found.compared.push({ what: source(node.Left), operator: source(node.Operator), values: texts(node.Right) });
      }
  }
}

const literal = (node) => kind(node) === "StringLiteralExpression";
const source = (node) => node.toString().trim();

// The texts that stand in the node.
function texts(node) {
  const found = [];
  Syntax.SyntaxElement.WalkNodes(node, (inner) => {
    if (literal(inner)) found.push(inner.LiteralValue);
  });
  return found;
}

const results = Object.fromEntries(Object.entries(input.queries).map(([name, text]) => [name, analysed(text)]));
process.stdout.write(JSON.stringify(results));
