// Reads simulations, a JSON array, from standard input; writes the result of each, as a JSON array.
import { readFileSync } from "node:fs";
import { runSimulation } from "@cloud-copilot/iam-simulate";

const results = [];
for (const simulation of JSON.parse(readFileSync(0, "utf8"))) {
  const answer = await runSimulation(simulation, { simulationMode: "Strict" });
  if (answer.resultType !== "single") throw new Error(JSON.stringify(answer.errors));
  if (answer.result.ignoredContextKeys?.length) throw new Error(`no key of the action's: ${answer.result.ignoredContextKeys}`);
  results.push(answer.overallResult);
}
process.stdout.write(JSON.stringify(results));
